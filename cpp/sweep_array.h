// Sweeps over NumPy arrays.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <optional>
#include <string>

#include "kernels.h"

namespace invdecay {

using Operands = std::array<pybind11::object, kNumOperands>;

// Stores the learning rates in the output, to whose shape the other arrays are broadcast. The steps
// are an array, or the tuple (start, distance) of a range along the output's last axis. Returns
// NumPy's numbers for the floating-point exceptions raised.
//
// Returns nothing, and stores nothing, where NumPy has to judge the operands: other dtypes, shapes
// that cannot be broadcast, an output that is read-only or overlaps itself or an input.
std::optional<int> EvaluateArrays(const Kernels& kernels, const Operands& operands, bool staircase,
                                  const std::string& arithmetic);

}  // namespace invdecay
