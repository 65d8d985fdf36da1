// Evaluates the formula over arrays of several dimensions whose operands are broadcast.
//
// sweep.cc decides in which order, by which threads and through which buffers. The loops that it
// calls are in sweep_loops.cc, compiled once per SIMD target. cpp/README.md has the design.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace invdecay {

inline constexpr std::size_t kMaxAxes = 64;

// An operand: its element at the indices i is at first + sum(i * strides). For an array, that is an
// address and the strides are bytes. For the steps of a range, it is the step itself.
struct SweepOperand {
  std::uint64_t first;
  std::array<std::int64_t, kMaxAxes> strides;
};

struct Sweep {
  Form form;
  DType arithmetic;  // also of the hyperparameters
  DType result;
  DType step;
  bool steps_are_range;
  std::size_t axes;
  std::array<std::size_t, kMaxAxes> lengths;
  std::array<SweepOperand, kNumOperands> operands;
};

// Stores the learning rates of a sweep. No two elements of the output may overlap, nor may the
// output and an input.
void EvaluateSweep(const Kernels& kernels, const Sweep& sweep, const Resources& resources) noexcept;

}  // namespace invdecay
