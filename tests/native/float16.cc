// Results in float16: the neighbourhoods of all numbers of float16 and of the ties between them, in
// every rounding mode, with their flags; and random ranges.
//
//   float16 STRIDE RANGES    every STRIDE-th number of float16; RANGES random ranges per loop
//
// With decay_rate 0 the learning rate is initial_learning_rate exactly, which brings any number to
// the conversion.

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

double FromFloat16(int bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
}

// A result of arithmetic in T, and what must be stored for it.
template <class T>
struct Values {
  std::vector<T> at;
  std::vector<Rounded> expected;
  void Add(T x) {
    at.push_back(x);
    expected.push_back(ToFloat16(static_cast<double>(x)));
  }
};

// Numbers of T beside x: a few units in the last place, and where float32 has its own ties.
template <class T>
void AddBeside(double x, Values<T>& values) {
  for (const double sign : {1.0, -1.0}) {
    const double ulp32 = std::ldexp(1.0, std::max(std::ilogb(x), -126) - 23);
    for (const double by : {0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 64.0, -64.0, 4096.0, -4096.0}) {
      const T near = static_cast<T>(sign * (x + by * ulp32));
      values.Add(near);
      values.Add(std::nextafter(near, T{0}));
      values.Add(std::nextafter(near, std::numeric_limits<T>::infinity()));
    }
  }
}

// Checks each value in each rounding mode, alone and in a vector.
template <class T>
void CheckValues(const Values<T>& values, Mismatches& mismatches) {
  constexpr std::size_t kLong = 67;
  Float16 out[kLong];
  for (const Kernels& kernels : AllKernels()) {
    RangeFunction* const loop = RangeLoopOf<T, Float16>(kernels, Form::kContinuous);
    for (std::size_t i = 0; i < values.at.size(); ++i) {
      const Hyperparameters<double> h{static_cast<double>(values.at[i]), 1, 0};
      const Rounded& expected = values.expected[i];
      for (const int rounding : kRoundings) {
        const std::size_t n = (i + static_cast<std::size_t>(rounding)) % 7 == 0 ? kLong : 1;
        std::fesetround(rounding);
        std::feclearexcept(FE_ALL_EXCEPT);
        loop(out, n, 0, 1, h, {1, std::size_t{1} << 20});
        const int raised = std::fetestexcept(kReportedExceptions);
        std::fesetround(FE_TONEAREST);
        bool same = raised == expected.flags;
        for (std::size_t k = 0; k < n; ++k) same = same && SameFloat16(out[k].bits, expected.bits);
        if (same) continue;
        char what[200];
        std::snprintf(what, sizeof what,
                      "%zu-byte %a in mode %x: %04x instead of %04x, flags %x instead of %x",
                      sizeof(T), h.initial_learning_rate, static_cast<unsigned>(rounding),
                      out[0].bits, expected.bits, static_cast<unsigned>(raised),
                      static_cast<unsigned>(expected.flags));
        mismatches.Add(kernels.target, Form::kContinuous, what);
      }
    }
  }
}

template <class T>
void CheckNeighbourhoods(std::uint64_t stride, Mismatches& mismatches) {
  OnEveryProcessor(0x7C00 / stride + 1, [&](std::uint64_t i) {
    const auto bits = static_cast<int>(i * stride);
    Values<T> values;
    const double here = FromFloat16(bits), next = FromFloat16(bits + 1);
    if (bits != 0) AddBeside<T>(here, values);
    AddBeside<T>((here + next) / 2, values);
    CheckValues(values, mismatches);
  });
  using Limits = std::numeric_limits<T>;
  Values<T> specials;
  for (const T x : {T{0}, Limits::infinity(), Limits::max(), Limits::min(), FromBits<T>(1),
                    std::nextafter(Limits::min(), T{0}), T(0x1p-126), T(0x1p-127), T(0x1p-149),
                    T(0x1p-26), T(0x1p127), T(1e38)}) {
    specials.Add(x);
    specials.Add(-x);
  }
  specials.Add(Limits::quiet_NaN());
  CheckValues(specials, mismatches);
}

// A loop stores the float16 of what the loop of the same arithmetic stores in T, and raises the
// flags of both.
template <class T>
void CheckRanges(std::uint64_t ranges, Mismatches& mismatches) {
  OnEveryProcessor(ranges, [&](std::uint64_t i) {
    Random random(i + 1);
    const Form form = kForms[i % 2];
    const std::size_t n = i % 500 == 499 ? 3000000 : 1 + random.Below(700);
    const auto start = static_cast<std::int64_t>(random() >> (1 + random.Below(63))) / 2;
    const Hyperparameters<T> h =
        In<T>(random.Below(2) ? kSets[random.Below(std::size(kSets))].values
                              : Hyperparameters<double>{random.Magnitude<double>(-30, 20),
                                                        random.Magnitude<double>(-5, 12),
                                                        random.Magnitude<double>(-20, 4)});
    const Resources resources{AvailableProcessors(), 1 << 22};
    std::vector<T> wide(n);
    std::vector<Float16> out(n + 1, Float16{0xABCD});
    for (const Kernels& kernels : AllKernels()) {
      std::feclearexcept(FE_ALL_EXCEPT);
      RangeLoopOf<T, T>(kernels, form)(wide.data(), n, start, 3, In<double>(h), resources);
      int flags = std::fetestexcept(kReportedExceptions);
      std::feclearexcept(FE_ALL_EXCEPT);
      RangeLoopOf<T, Float16>(kernels, form)(out.data(), n, start, 3, In<double>(h), resources);
      bool same = out[n].bits == 0xABCD;
      const int raised = std::fetestexcept(kReportedExceptions);
      for (std::size_t k = 0; k < n; ++k) {
        const Rounded expected = ToFloat16(static_cast<double>(wide[k]));
        flags |= expected.flags;
        same = same && SameFloat16(out[k].bits, expected.bits);
      }
      if (!same || raised != flags) mismatches.Add(kernels.target, form, "a range");
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t stride = CountArgument(argc, argv, 1);
  const std::uint64_t ranges = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  CheckNeighbourhoods<float>(stride, mismatches);
  CheckNeighbourhoods<double>(stride, mismatches);
  CheckRanges<double>(ranges, mismatches);
  CheckRanges<float>(ranges, mismatches);
  return mismatches.Report("float16", 2 * 0x7C00 / stride + 2 * ranges);
}
