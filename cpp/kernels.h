// The plain C++ interface of the kernels: tables of loops as data. This header needs neither
// Highway nor Python.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace invdecay {

enum class Form { kContinuous, kStaircase };
inline constexpr std::array<Form, 2> kForms = {Form::kContinuous, Form::kStaircase};

// The bits of a half-precision number (IEEE binary16), which C++17 has no type for.
struct Float16 {
  std::uint16_t bits;
};

// The types of elements in arrays.
enum class DType { kInt32, kUInt32, kInt64, kUInt64, kFloat16, kFloat32, kFloat64 };

template <class T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::kInt32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return DType::kUInt32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::kInt64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return DType::kUInt64;
  if constexpr (std::is_same_v<T, Float16>) return DType::kFloat16;
  if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
  if constexpr (std::is_same_v<T, double>) return DType::kFloat64;
}

template <class T>
struct Hyperparameters {
  T initial_learning_rate, decay_steps, decay_rate;
};

// What a call may use. The caller finds it out, because the loops can neither read files nor throw.
struct Resources {
  int threads;
  std::size_t cache_bytes;  // of the last-level cache; larger results are stored past it
};

// The operands of an array loop, in the ufunc's order.
enum Operand : std::size_t { kStep, kInitialLearningRate, kDecaySteps, kDecayRate, kOut };
inline constexpr std::size_t kNumOperands = 5;

// Stores the learning rates of n steps. Each operand has a pointer and a stride in bytes.
using ArrayFunction = void(char* const* operands, std::size_t n, const std::intptr_t* strides,
                           const Resources& resources) noexcept;

struct ArrayLoop {
  Form form;
  DType step;
  DType result;  // also of the hyperparameters and of the arithmetic
  ArrayFunction* function;
};

// Stores the learning rate at start + i * step in out[i] for i < n. All these steps fit int64.
using RangeFunction = void(void* out, std::size_t n, std::int64_t start, std::int64_t step,
                           const Hyperparameters<double>& hyper,
                           const Resources& resources) noexcept;

struct RangeLoop {
  Form form;
  DType arithmetic;
  DType result;
  RangeFunction* function;
};

// All loops compiled for one SIMD target.
struct Kernels {
  const char* target;
  std::vector<ArrayLoop> array_loops;  // the same dtypes in the same order for every target
  std::vector<RangeLoop> range_loops;
};

// Returns the kernels of each target that this build has and this processor runs, best first. They
// live as long as the program.
const std::vector<Kernels>& AllKernels();

}  // namespace invdecay
