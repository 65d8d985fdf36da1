// The kernels as plain C++: loop pointers and target names. No Highway, no Python.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace invdecay {

enum class Form { kContinuous, kStaircase };
inline constexpr std::array<Form, 2> kForms = {Form::kContinuous, Form::kStaircase};

// A ufunc loop: steps of type StepT; hyperparameters, arithmetic and result of type T.
template <class T, class StepT>
struct Signature {
  using Arithmetic = T;
  using Step = StepT;
};

// Every loop there is. A new dtype is one line here; the dtype codes follow from the types.
using Signatures = std::tuple<                                          //
    Signature<double, std::int32_t>, Signature<double, std::uint32_t>,  //
    Signature<double, std::int64_t>, Signature<double, std::uint64_t>,  //
    Signature<double, float>, Signature<double, double>,                //
    Signature<float, std::int32_t>, Signature<float, std::uint32_t>,    //
    Signature<float, std::int64_t>, Signature<float, std::uint64_t>,    //
    Signature<float, float>>;
inline constexpr std::size_t kNumLoops = std::tuple_size_v<Signatures>;

// The operands of a loop, in the ufunc's order.
enum Operand : std::size_t { kStep, kInitialLearningRate, kDecaySteps, kDecayRate, kOut };
inline constexpr std::size_t kNumOperands = 5;

// NumPy's inner loop: per operand a pointer and a stride in bytes; dimensions[0] elements.
using UfuncLoop = void (*)(char** operands, const std::intptr_t* dimensions,
                           const std::intptr_t* strides, void* data);

template <class T>
struct Hyperparameters {
  T initial_learning_rate, decay_steps, decay_rate;
};

// Stores the learning rate at start + i * step in out[i] for i < n. All these steps fit int64.
using RangeLoop = void (*)(void* out, std::size_t n, std::int64_t start, std::int64_t step,
                           const Hyperparameters<double>& hyper);

// A range loop's arithmetic and stored type.
template <class T, class OutT>
struct RangeSignature {
  using Arithmetic = T;
  using Out = OutT;
};
using RangeSignatures = std::tuple<RangeSignature<double, double>, RangeSignature<double, float>,
                                   RangeSignature<float, float>>;
inline constexpr std::size_t kNumRangeLoops = std::tuple_size_v<RangeSignatures>;

// Results of more bytes than this are stored around the cache. 0: than the last-level cache has.
inline std::atomic<std::size_t> stream_past{0};

// All loops compiled for one SIMD target, indexed by form and place in the signature lists.
struct Kernels {
  const char* target;
  std::array<std::array<UfuncLoop, kNumLoops>, kForms.size()> loops;
  std::array<std::array<RangeLoop, kNumRangeLoops>, kForms.size()> range_loops;
};

// The kernels of each target that this build has and this processor runs, best first.
// The first call is not thread-safe; the result lives as long as the program.
std::vector<Kernels>& AllKernels();

}  // namespace invdecay
