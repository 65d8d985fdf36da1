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
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels.h"

namespace {

using namespace invdecay;

// Multiples of every vector and block, so that the difference of two counts has neither start-up
// nor tail in it; with whole stairs, and far below what is split over threads.
constexpr std::initializer_list<std::size_t> kLengths = {16000, 32000};
// The streaming loops, so long that start-up does not count.
constexpr std::size_t kStreamedBytes = std::size_t{9} << 20;

const char* Name(DType dtype) {
  switch (dtype) {
    case DType::kInt32:
      return "int32";
    case DType::kUInt32:
      return "uint32";
    case DType::kInt64:
      return "int64";
    case DType::kUInt64:
      return "uint64";
    case DType::kFloat16:
      return "float16";
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
  }
  return "";
}

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

// One thread, and fewer bytes than a streamed result has, whatever cache this machine has.
constexpr Resources kResources{1, kStreamedBytes - 1};

// Counts one call of a loop, with the given distance in elements between steps, and from each
// hyperparameter to the next.
template <class T, class Step>
void CountCall(const std::string& label, const ArrayLoop& loop, std::size_t n,
               std::size_t step_distance, std::size_t hyper_distance) {
  const std::vector<Step> steps = RepeatedSteps<Step>(n * step_distance);
  const std::size_t hypers = hyper_distance == 0 ? 1 : n;
  std::vector<T> lr(hypers, T(0.1)), decay_steps(hypers, T{1000}), rate(hypers, T(0.5));
  std::vector<T> out(n);
  char* const operands[kNumOperands] = {
      const_cast<char*>(reinterpret_cast<const char*>(steps.data())),
      reinterpret_cast<char*>(lr.data()), reinterpret_cast<char*>(decay_steps.data()),
      reinterpret_cast<char*>(rate.data()), reinterpret_cast<char*>(out.data())};
  const auto hyper_stride = static_cast<std::intptr_t>(hyper_distance * sizeof(T));
  const std::intptr_t strides[kNumOperands] = {
      static_cast<std::intptr_t>(step_distance * sizeof(Step)), hyper_stride, hyper_stride,
      hyper_stride, static_cast<std::intptr_t>(SizeOf(loop.result))};
  Count(label + '|' + std::to_string(n), [&] { loop.function(operands, n, strides, kResources); });
}

template <class T, class Step>
void CountArrayLoop(const std::string& label, const ArrayLoop& loop, bool scalar) {
  const bool narrow = loop.result != loop.arithmetic;
  const std::string path = label + Name(loop.step) +
                           (narrow ? std::string(" in ") + Name(loop.arithmetic) : "") + " -> " +
                           Name(loop.result);
  for (const std::size_t n : kLengths) {
    CountCall<T, Step>(path, loop, n, 1, 0);
    if (narrow) continue;
    CountCall<T, Step>(path + ", strided", loop, n, 2, 0);
    if (std::is_same_v<T, Step>) {
      CountCall<T, Step>(path + ", arrays of hyperparameters", loop, n, 1, 1);
    }
  }
  const bool common = std::is_signed_v<Step>;
  if (common && !scalar) {
    const std::size_t n = kStreamedBytes / SizeOf(loop.result);
    CountCall<T, Step>(path + ", streamed", loop, n, 1, 0);
  }
}

template <class T>
void CountArrayLoop(const std::string& label, const ArrayLoop& loop, bool scalar) {
  switch (loop.step) {
    case DType::kInt32:
      return CountArrayLoop<T, std::int32_t>(label, loop, scalar);
    case DType::kUInt32:
      return CountArrayLoop<T, std::uint32_t>(label, loop, scalar);
    case DType::kInt64:
      return CountArrayLoop<T, std::int64_t>(label, loop, scalar);
    case DType::kUInt64:
      return CountArrayLoop<T, std::uint64_t>(label, loop, scalar);
    case DType::kFloat32:
      return CountArrayLoop<T, float>(label, loop, scalar);
    case DType::kFloat64:
      return CountArrayLoop<T, double>(label, loop, scalar);
    case DType::kFloat16:
      std::abort();  // no loop reads it
  }
}

void CountRangeLoop(const std::string& label, const RangeLoop& loop, bool scalar) {
  const std::string path = label + "range in " + Name(loop.arithmetic) + " -> " + Name(loop.result);
  const std::size_t size = SizeOf(loop.result);
  std::vector<char> out(kStreamedBytes);
  const Hyperparameters<double> hyper{0.1, 1000, 0.5};
  const auto count = [&](const std::string& name, std::size_t n, std::int64_t start) {
    Count(name + '|' + std::to_string(n),
          [&] { loop.function(out.data(), n, start, 1, hyper, kResources); });
  };
  for (const std::size_t n : kLengths) {
    count(path, n, 0);
    count(path + ", past int32", n, std::int64_t{1} << 40);
  }
  if (!scalar) count(path + ", streamed", out.size() / size, 0);
}

}  // namespace

int main() {
  std::printf("%s\n", INVDECAY_TOOLS);
  for (const Kernels& kernels : AllKernels()) {
    const bool scalar = std::strcmp(kernels.target, "SCALAR") == 0;
    const auto label = [&](Form form) {
      return std::string(kernels.target) +
             (form == Form::kStaircase ? "|staircase|" : "|continuous|");
    };
    for (const ArrayLoop& loop : kernels.array_loops) {
      if (loop.arithmetic == DType::kFloat32) {
        CountArrayLoop<float>(label(loop.form), loop, scalar);
      } else {
        CountArrayLoop<double>(label(loop.form), loop, scalar);
      }
    }
    for (const RangeLoop& loop : kernels.range_loops) {
      CountRangeLoop(label(loop.form), loop, scalar);
    }
  }
}
