// Quotients next to a tie, where a division made of products would round the wrong way.
//
//   division FLOAT64    how many random float64 divisors; of float32, every FLOAT32-th mantissa
//
// With odd mantissa d, the quotient x 2^s / d lies e / (2 d) of an ulp beside a tie where
// 2^(s+1) x = e modulo d for an odd e: the smaller |e|, the closer. decay_rate -1 and
// a quotient from 1/2 to 2 show every bit of it: 1 - p is exact.

#include "check.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

using Wide = unsigned __int128;

// 1 / 2^k modulo an odd m.
std::uint64_t InverseOfPowerOfTwo(int k, std::uint64_t m) {
  std::uint64_t inverse = 1;
  for (int i = 0; i < k; ++i) {
    inverse = inverse % 2 == 0 ? inverse / 2 : static_cast<std::uint64_t>((Wide{inverse} + m) / 2);
  }
  return inverse;
}

// Calls use(x) for numerators x of T's precision p, as integers below 2^p, whose quotient by the
// integer d, odd and of p bits, is close to a tie.
template <class T, class Use>
void HardNumerators(std::uint64_t d, std::uint64_t count, const Use& use) {
  constexpr int kPrecision = std::numeric_limits<T>::digits;
  const std::uint64_t top = std::uint64_t{1} << (kPrecision - 1);
  // For a mantissa x below d the quotient needs one more bit of shift than for one above.
  const std::uint64_t inverse_below = InverseOfPowerOfTwo(kPrecision + 1, d);
  const std::uint64_t inverse_above = InverseOfPowerOfTwo(kPrecision, d);
  for (std::uint64_t k = 0; k < count; ++k) {
    const std::uint64_t e = 2 * (k / 2) + 1;
    const std::uint64_t residue = k % 2 ? d - e : e;
    for (const std::uint64_t inverse : {inverse_below, inverse_above}) {
      const auto x = static_cast<std::uint64_t>(Wide{residue} * inverse % d);
      if (inverse == inverse_below && x >= top) use(x);
      if (inverse == inverse_above && x + d < 2 * top) use(x + d);
    }
  }
}

template <class T>
void CheckDivisor(std::uint64_t d, int exponent, std::uint64_t count, Mismatches& mismatches) {
  T x[256], expected[256], actual[256];
  std::size_t n = 0;
  HardNumerators<T>(d, count, [&](std::uint64_t numerator) {
    x[n++] = std::ldexp(static_cast<T>(numerator), exponent);
  });
  if (n == 0) return;
  const Hyperparameters<T> h{1, std::ldexp(static_cast<T>(d), exponent), -1};
  Reference(Form::kContinuous, x, expected, n, h);
  for (const Kernels& kernels : AllKernels()) {
    Evaluate(kernels, Form::kContinuous, x, actual, n, h);
    mismatches.Compare(kernels.target, Form::kContinuous, x, h, actual, expected, n);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t stride = CountArgument(argc, argv, 1);
  const std::uint64_t doubles = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  constexpr std::uint64_t kPerDivisor = 32, kBatch = 256;
  const std::uint64_t floats = (std::uint64_t{1} << 22) / stride;  // odd mantissas of 24 bits
  OnEveryProcessor(floats / kBatch, [&](std::uint64_t batch) {
    Random random(batch);
    for (std::uint64_t i = batch * kBatch; i < (batch + 1) * kBatch; ++i) {
      const int exponent = static_cast<int>(random.Below(48)) - 47;
      CheckDivisor<float>((1u << 23) + 2 * (i * stride) + 1, exponent, kPerDivisor, mismatches);
    }
  });
  OnEveryProcessor(doubles / kBatch, [&](std::uint64_t batch) {
    Random random(batch + (1u << 30));
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      const std::uint64_t d = (random() >> 11) | std::uint64_t{1} << 52 | 1;
      const int exponent = static_cast<int>(random.Below(160)) - 120;
      CheckDivisor<double>(d, exponent, kPerDivisor, mismatches);
    }
  });
  return mismatches.Report("division", kPerDivisor * (floats + doubles));
}
