// Integer steps: all of int32 and uint32, and int64 and uint64 next to the ties of rounding
// to float32 or float64, each into both arithmetic types.
//
//   conversions STRIDE STEPS    every STRIDE-th 32-bit integer; STEPS 64-bit ones per loop
//
// The hyperparameters make each bit of the converted step visible in the result: decay_steps is the
// power of two that brings it between 1 and 2 in magnitude, where 1 + decay_rate * p is exact.

#include "check.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

constexpr std::size_t kBlock = 4096;

template <class Step>
int Exponent(Step step) {
  int exponent = 0;
  std::frexp(static_cast<double>(step), &exponent);
  return exponent - 1;
}

template <class T, class Step>
void CheckBlock(const Step* steps, std::size_t n, Mismatches& mismatches) {
  const T power = static_cast<T>(std::ldexp(1.0, Exponent(steps[0])));
  const Hyperparameters<T> h{1, power, steps[0] < Step{0} ? T{1} : T{-1}};
  T expected[kBlock], actual[kBlock];
  Reference(Form::kContinuous, steps, expected, n, h);
  for (const Kernels& kernels : AllKernels()) {
    Evaluate(kernels, Form::kContinuous, steps, actual, n, h);
    mismatches.Compare(kernels.target, Form::kContinuous, steps, h, actual, expected, n);
  }
}

template <class T, class Step>
void CheckAll32(std::uint64_t stride, Mismatches& mismatches) {
  const std::uint64_t blocks = (std::uint64_t{1} << 32) / kBlock;
  OnEveryProcessor(blocks / stride, [&](std::uint64_t i) {
    Step steps[kBlock];
    // Other blocks in between on every call of another stride; the first and last always.
    const std::uint64_t block = i * stride + (stride > 1 ? (i * 2654435761u) % stride : 0);
    for (std::size_t k = 0; k < kBlock; ++k) {
      steps[k] = static_cast<Step>(static_cast<std::uint32_t>(block * kBlock + k));
    }
    CheckBlock<T>(steps, kBlock, mismatches);
  });
}

// Integers of one magnitude and sign, most of them at or next to a tie of T.
template <class T, class Step>
void CheckNearTies(std::uint64_t count, Mismatches& mismatches) {
  constexpr int kPrecision = std::numeric_limits<T>::digits;
  OnEveryProcessor((count + kBlock - 1) / kBlock, [&](std::uint64_t block) {
    Random random(block + 1);
    const int top = static_cast<int>(random.Below(std::numeric_limits<Step>::digits));
    const bool negative = std::is_signed_v<Step> && random.Below(2) == 0;
    Step steps[kBlock];
    for (Step& step : steps) {
      std::uint64_t magnitude = (random() >> 1 | std::uint64_t{1} << 63) >> (63 - top);
      const int shift = top - kPrecision;  // of the bit that a tie has set, all below it clear
      if (shift >= 0 && random.Below(8) != 0) {
        const std::uint64_t tie = std::uint64_t{1} << shift;
        magnitude = (magnitude & ~(2 * tie - 1)) | tie;
        // One off, a bit anywhere below, or the tie itself.
        const std::uint64_t off = std::uint64_t{1}
                                  << random.Below(static_cast<std::uint64_t>(shift) + 1);
        const std::uint64_t kind = random.Below(5);
        if (off < tie && kind < 4) {
          const std::uint64_t by = kind % 2 ? 1 : off;
          magnitude = kind / 2 ? magnitude + by : magnitude - by;
        }
      }
      step = static_cast<Step>(negative ? std::uint64_t{0} - magnitude : magnitude);
    }
    CheckBlock<T>(steps, kBlock, mismatches);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t stride = CountArgument(argc, argv, 1);
  const std::uint64_t count = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  CheckAll32<float, std::int32_t>(stride, mismatches);
  CheckAll32<float, std::uint32_t>(stride, mismatches);
  CheckAll32<double, std::int32_t>(stride, mismatches);
  CheckAll32<double, std::uint32_t>(stride, mismatches);
  CheckNearTies<float, std::int64_t>(count, mismatches);
  CheckNearTies<float, std::uint64_t>(count, mismatches);
  CheckNearTies<double, std::int64_t>(count, mismatches);
  CheckNearTies<double, std::uint64_t>(count, mismatches);
  return mismatches.Report("conversions", 4 * ((std::uint64_t{1} << 32) / stride) + 4 * count);
}
