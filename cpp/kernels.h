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
inline constexpr std::size_t kNumDTypes = 7;

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

// Returns the bytes of an element.
constexpr std::size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 2;
    case DType::kInt32:
    case DType::kUInt32:
    case DType::kFloat32:
      return 4;
    case DType::kInt64:
    case DType::kUInt64:
    case DType::kFloat64:
      return 8;
  }
  return 0;
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

// A loop whose result is narrower than its arithmetic takes steps and results that lie side by
// side, and hyperparameters with a stride of 0.
struct ArrayLoop {
  Form form;
  DType step;
  DType arithmetic;  // also of the hyperparameters
  DType result;
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

// ------------------------------ Sweeps

// Operands of sweeps are numbers, because the steps of a range have no address. This is the pointer
// to an array's element.
template <class T>
T* AtAddress(std::uint64_t address) {
  return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr)
}

// The numbers that the last part of the formula combines: initial_learning_rate / (1 + decay_rate *
// p), where p is the quotient of step and decay_steps, floored in the staircase form. Where p would
// be another number for each element, kProgress is the step itself and kDivisor is decay_steps.
enum Quantity : std::size_t { kProgress, kLearningRate, kRate, kDivisor };
inline constexpr std::size_t kNumQuantities = 4;

// What the rows of a result are evaluated from. Each quantity either varies along a row, and then
// `columns` holds its numbers; or it is the same for a whole row, and then `rows` holds one number
// for each row. The other pointer is null; both are for a divisor that is not used.
template <class T>
struct SweepValues {
  std::array<const T*, kNumQuantities> columns;
  std::array<const T*, kNumQuantities> rows;
};

// Where a loop stores its results.
struct SweepOutput {
  void* data;
  std::size_t n;  // a multiple of the lanes
  bool stream;    // past the cache; data is then aligned to the bytes of the results of all lanes
};

// Rows that are shorter than a few vectors repeat a pattern: the vector number k begins with the
// same column as number k + size / lanes.
template <class T>
struct ShortRowPattern {
  using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  const Index* row;  // by how many rows each element is behind the first of its vector
  std::size_t size;  // of `row`, and of `columns` in SweepValues
};

// The loops of a sweep with arithmetic in T and results of one type.
template <class T>
struct SweepLoops {
  DType result;
  std::size_t lanes;

  // Converts n elements to T. They are at first + i * stride. By DType; null where T cannot hold
  // the elements.
  using Gather = void(std::uint64_t first, std::int64_t stride, T* to, std::size_t n);
  std::array<Gather*, kNumDTypes> gather;
  Gather* gather_range;

  // Replaces n steps by their progress. There is one number of decay_steps, or n.
  void (*progress)(Form form, T* steps, const T* decay_steps, bool one, std::size_t n);

  // Returns a function that stores the progress of n elements of short rows, from the beginning of
  // a pattern on. `by_column` holds the pattern of the operand that varies along a row, `by_row`
  // the other operand's number for each row and a vector more.
  using ShortProgress = void(const T* by_column, const T* by_row, const ShortRowPattern<T>& pattern,
                             std::size_t columns, std::size_t column, T* to, std::size_t n);
  ShortProgress* (*short_progress)(Form form, bool step_by_row);

  // Stores the results of consecutive rows of at least `lanes` columns, from a column of the first
  // row on. The columns wrap around once: `columns` has a vector more than a row.
  using LongRows = void(Form form, const SweepValues<T>& values, std::size_t columns,
                        std::size_t column, const SweepOutput& out);
  LongRows* long_rows;
  LongRows* long_rows_with_divisor;

  // The same without a divisor, for rows of any length, from the beginning of a pattern on. `rows`
  // has a vector more.
  void (*short_rows)(const SweepValues<T>& values, const ShortRowPattern<T>& pattern,
                     std::size_t columns, std::size_t column, const SweepOutput& out);

  // Completes the stores of this thread that went past the cache.
  void (*flush)();
};

struct Sweeps {
  std::vector<SweepLoops<float>> float32;  // by the type of the arithmetic
  std::vector<SweepLoops<double>> float64;
};

// All loops compiled for one SIMD target.
struct Kernels {
  const char* target;
  std::vector<ArrayLoop> array_loops;  // the same dtypes in the same order for every target
  std::vector<RangeLoop> range_loops;
  Sweeps sweeps;
};

// Returns the kernels of each target that this build has and this processor runs, best first. They
// live as long as the program.
const std::vector<Kernels>& AllKernels();

}  // namespace invdecay
