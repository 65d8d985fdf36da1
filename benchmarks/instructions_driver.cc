// Runs every loop of every target once per length, to be counted by instructions.py:
//
//     valgrind --tool=callgrind --callgrind-out-file=counts instructions_driver
//
// writes a file of counts for each run, labelled "target|form|path|length". Outside valgrind it
// only runs them.

#include <valgrind/callgrind.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <numeric>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels.h"
#include "parallel.h"

namespace {

using namespace invdecay;

// Multiples of every vector and block, so that the difference of two counts has neither start-up
// nor tail in it; with whole stairs, and far below what is split over threads.
constexpr std::initializer_list<std::size_t> kLengths = {16000, 32000};
// The streaming loops, so long that start-up does not count.
constexpr std::size_t kStreamedBytes = std::size_t{9} << 20;

template <class T>
constexpr const char* kName = nullptr;
template <>
constexpr const char* kName<float> = "float32";
template <>
constexpr const char* kName<double> = "float64";
template <>
constexpr const char* kName<std::int32_t> = "int32";
template <>
constexpr const char* kName<std::uint32_t> = "uint32";
template <>
constexpr const char* kName<std::int64_t> = "int64";
template <>
constexpr const char* kName<std::uint64_t> = "uint64";

// Counts the instructions of run() under a label. A macro of valgrind takes the label by address.
template <class Run>
void Count(const std::string& label, const Run& run) {
  CALLGRIND_ZERO_STATS;
  run();
  CALLGRIND_DUMP_STATS_AT(label.c_str());
}

// The steps 0 to 999, over and over, in few instructions.
template <class Step>
std::vector<Step> RepeatedSteps(std::size_t n) {
  std::array<Step, 1000> period;
  std::iota(period.begin(), period.end(), Step{0});
  std::vector<Step> steps(n);
  for (std::size_t i = 0; i < n; i += period.size()) {
    std::copy_n(period.begin(), std::min(period.size(), n - i),
                steps.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return steps;
}

// One call of a loop, with the given distance in elements between steps, and from each
// hyperparameter to the next.
template <class Sig>
void CountLoop(const std::string& label, UfuncLoop loop, std::size_t n, std::size_t step_distance,
               std::size_t hyper_distance) {
  using T = typename Sig::Arithmetic;
  using Step = typename Sig::Step;
  const std::vector<Step> steps = RepeatedSteps<Step>(n * step_distance);
  const std::size_t hypers = hyper_distance == 0 ? 1 : n;
  std::vector<T> lr(hypers, T(0.1)), decay_steps(hypers, T{1000}), rate(hypers, T(0.5)), out(n);
  char* operands[kNumOperands] = {
      const_cast<char*>(reinterpret_cast<const char*>(steps.data())),
      reinterpret_cast<char*>(lr.data()), reinterpret_cast<char*>(decay_steps.data()),
      reinterpret_cast<char*>(rate.data()), reinterpret_cast<char*>(out.data())};
  const auto hyper_stride = static_cast<std::intptr_t>(hyper_distance * sizeof(T));
  const std::intptr_t strides[kNumOperands] = {
      static_cast<std::intptr_t>(step_distance * sizeof(Step)), hyper_stride, hyper_stride,
      hyper_stride, sizeof(T)};
  const auto dimension = static_cast<std::intptr_t>(n);
  Count(label + '|' + std::to_string(n), [&] { loop(operands, &dimension, strides, nullptr); });
}

template <class Sig>
void CountLoops(const std::string& label, UfuncLoop loop, bool scalar) {
  using T = typename Sig::Arithmetic;
  const std::string path = label + kName<typename Sig::Step> + " -> " + kName<T>;
  for (const std::size_t n : kLengths) {
    CountLoop<Sig>(path, loop, n, 1, 0);
    CountLoop<Sig>(path + ", strided", loop, n, 2, 0);
    if (std::is_same_v<T, typename Sig::Step>) {
      CountLoop<Sig>(path + ", arrays of hyperparameters", loop, n, 1, 1);
    }
  }
  const bool common = std::is_signed_v<typename Sig::Step>;
  if (common && !scalar)
    CountLoop<Sig>(path + ", streamed", loop, kStreamedBytes / sizeof(T), 1, 0);
}

template <class Sig>
void CountRange(const std::string& label, RangeLoop loop, bool scalar) {
  using Out = typename Sig::Out;
  const std::string path =
      label + "range in " + kName<typename Sig::Arithmetic> + " -> " + kName<Out>;
  std::vector<Out> out(kStreamedBytes / sizeof(Out));
  const Hyperparameters<double> hyper{0.1, 1000, 0.5};
  const auto count = [&](const std::string& name, std::size_t n, std::int64_t start) {
    Count(name + '|' + std::to_string(n), [&] { loop(out.data(), n, start, 1, hyper); });
  };
  for (const std::size_t n : kLengths) {
    count(path, n, 0);
    count(path + ", past int32", n, std::int64_t{1} << 40);
  }
  if (!scalar) count(path + ", streamed", out.size(), 0);
}

template <std::size_t... I, std::size_t... J>
void CountAll(const Kernels& kernels, std::index_sequence<I...>, std::index_sequence<J...>) {
  const bool scalar = std::strcmp(kernels.target, "SCALAR") == 0;
  for (const Form form : kForms) {
    const auto f = static_cast<std::size_t>(form);
    const std::string label =
        std::string(kernels.target) + (form == Form::kStaircase ? "|staircase|" : "|continuous|");
    (CountLoops<std::tuple_element_t<I, Signatures>>(label, kernels.loops[f][I], scalar), ...);
    (CountRange<std::tuple_element_t<J, RangeSignatures>>(label, kernels.range_loops[f][J], scalar),
     ...);
  }
}

}  // namespace

int main() {
  std::printf("%s\n", INVDECAY_TOOLS);
  this_thread_limit = 1;
  stream_past = kStreamedBytes - 1;  // whatever cache this machine has
  // What a first call finds out once, the cache's size, belongs to no loop.
  double rate = 0;
  AllKernels().front().range_loops[0][0](&rate, 1, 0, 1, {0.1, 1000, 0.5});
  for (const Kernels& kernels : AllKernels()) {
    CountAll(kernels, std::make_index_sequence<kNumLoops>(),
             std::make_index_sequence<kNumRangeLoops>());
  }
}
