// Runs every loop of every target once per length, to be counted by instructions.py:
//
//     valgrind --tool=callgrind --callgrind-out-file=counts instructions_driver
//
// writes a file of counts for each run, labelled "target|loop|length". Outside valgrind it only
// runs them.

#include <valgrind/callgrind.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels.h"

namespace {

using namespace invdecay;

// Multiples of every vector and block, so that the difference of two counts has neither start-up
// nor tail in it; with whole stairs, and far below what is split over threads.
constexpr std::size_t kLengths[] = {16000, 32000};
// The streaming loops, so long that start-up does not count.
constexpr std::size_t kStreamedBytes = std::size_t{9} << 20;
// One thread, and fewer bytes than a streamed result has, whatever cache this machine has.
constexpr Resources kResources{1, kStreamedBytes - 1};

// A type of elements: its name, and how a number is stored as one.
struct Elements {
  const char* name;
  void (*store)(double number, char* at);
};

template <class T>
void Store(double number, char* at) {
  const T element = static_cast<T>(number);
  std::memcpy(at, &element, sizeof element);
}

// By DType. No loop reads float16.
constexpr Elements kElements[kNumDTypes] = {
    {"int32", Store<std::int32_t>}, {"uint32", Store<std::uint32_t>},
    {"int64", Store<std::int64_t>}, {"uint64", Store<std::uint64_t>},
    {"float16", nullptr},           {"float32", Store<float>},
    {"float64", Store<double>},
};

const Elements& Of(DType dtype) { return kElements[static_cast<std::size_t>(dtype)]; }

// Returns n elements in few instructions. Each is one more than the one before; after `period`
// elements they start again from the first number.
std::vector<char> Repeated(DType dtype, double first, std::size_t period, std::size_t n) {
  const std::size_t size = SizeOf(dtype);
  std::vector<char> bytes(n * size);
  period = std::min(period, n);
  for (std::size_t i = 0; i < period; ++i) {
    Of(dtype).store(first + static_cast<double>(i), bytes.data() + i * size);
  }
  for (std::size_t done = period * size; done < bytes.size(); done *= 2) {
    std::copy_n(bytes.data(), std::min(done, bytes.size() - done), bytes.data() + done);
  }
  return bytes;
}

// Counts the instructions of run() under a label. A macro of valgrind takes the label by address.
template <class Run>
void Count(const std::string& loop, std::size_t n, const Run& run) {
  const std::string label = loop + '|' + std::to_string(n);
  CALLGRIND_ZERO_STATS;
  run();
  CALLGRIND_DUMP_STATS_AT(label.c_str());
}

// Counts a call with the given distances in elements between steps, and from each hyperparameter to
// the next.
void CountCall(const std::string& name, const ArrayLoop& loop, std::size_t n,
               std::size_t step_distance, std::size_t hyper_distance) {
  const auto hyper = [&](double value) {
    return Repeated(loop.arithmetic, value, 1, hyper_distance == 0 ? 1 : n);
  };
  std::vector<char> arrays[kNumOperands] = {Repeated(loop.step, 0, 1000, n * step_distance),
                                            hyper(0.1), hyper(1000), hyper(0.5),
                                            std::vector<char>(n * SizeOf(loop.result))};
  char* operands[kNumOperands];
  for (std::size_t k = 0; k < kNumOperands; ++k) operands[k] = arrays[k].data();
  const auto stride = [](std::size_t distance, DType dtype) {
    return static_cast<std::intptr_t>(distance * SizeOf(dtype));
  };
  const std::intptr_t hyper_stride = stride(hyper_distance, loop.arithmetic);
  const std::intptr_t strides[kNumOperands] = {stride(step_distance, loop.step), hyper_stride,
                                               hyper_stride, hyper_stride, stride(1, loop.result)};
  Count(name, n, [&] { loop.function(operands, n, strides, kResources); });
}

void CountArrayLoop(const std::string& form, const ArrayLoop& loop, bool streams) {
  const bool narrow = loop.result != loop.arithmetic;
  const std::string within = narrow ? std::string(" in ") + Of(loop.arithmetic).name : "";
  const std::string name = form + Of(loop.step).name + within + " -> " + Of(loop.result).name;
  for (const std::size_t n : kLengths) {
    CountCall(name, loop, n, 1, 0);
    if (narrow) continue;
    CountCall(name + ", strided", loop, n, 2, 0);
    if (loop.step == loop.result) CountCall(name + ", arrays of hyperparameters", loop, n, 1, 1);
  }
  const bool common = loop.step != DType::kUInt32 && loop.step != DType::kUInt64;
  if (streams && common) {
    CountCall(name + ", streamed", loop, kStreamedBytes / SizeOf(loop.result), 1, 0);
  }
}

void CountRangeLoop(const std::string& form, const RangeLoop& loop, bool streams) {
  const std::string name =
      form + "range in " + Of(loop.arithmetic).name + " -> " + Of(loop.result).name;
  std::vector<char> out(kStreamedBytes);
  const auto count = [&](const std::string& of, std::size_t n, std::int64_t start) {
    Count(of, n, [&] { loop.function(out.data(), n, start, 1, {0.1, 1000, 0.5}, kResources); });
  };
  for (const std::size_t n : kLengths) {
    count(name, n, 0);
    count(name + ", past int32", n, std::int64_t{1} << 40);
  }
  if (streams) count(name + ", streamed", out.size() / SizeOf(loop.result), 0);
}

}  // namespace

int main() {
  std::printf("%s\n", INVDECAY_TOOLS);
  for (const Kernels& kernels : AllKernels()) {
    const bool streams = std::strcmp(kernels.target, "SCALAR") != 0;
    const auto form = [&](Form of) {
      return std::string(kernels.target) +
             (of == Form::kStaircase ? "|staircase, " : "|continuous, ");
    };
    for (const ArrayLoop& loop : kernels.array_loops) {
      CountArrayLoop(form(loop.form), loop, streams);
    }
    for (const RangeLoop& loop : kernels.range_loops) {
      CountRangeLoop(form(loop.form), loop, streams);
    }
  }
}
