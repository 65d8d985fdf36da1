// Results in float16: the neighbourhoods of all numbers of float16 and of the ties between them, in
// every rounding mode, with their flags; and random ranges and arrays whose results are narrower
// than their arithmetic.
//
//   float16 STRIDE CASES    every STRIDE-th number of float16; CASES random calls of each loop
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
        const int raised = Raised();
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

// Rounds what a loop stored in T, and adds the flags of that.
template <class Out, class T>
Out Narrow(T x, int& flags) {
  if constexpr (std::is_same_v<Out, Float16>) {
    const Rounded rounded = ToFloat16(static_cast<double>(x));
    flags |= rounded.flags;
    return {rounded.bits};
  } else {
    return static_cast<Out>(x);  // the processor raises its flags
  }
}

bool SameNumber(Float16 a, Float16 b) { return SameFloat16(a.bits, b.bits); }
bool SameNumber(float a, float b) { return Same(a, b); }

// A narrow loop stores what the loop of the same arithmetic stores in T, rounded, and raises the
// flags of both. `store` runs the loop that fits its argument.
template <class Out, class T, class Store>
void CheckNarrow(const Kernels& kernels, Form form, const char* what, std::size_t n,
                 const Store& store, Mismatches& mismatches) {
  std::vector<T> wide(n);
  std::vector<Out> out(n + 1);
  std::memset(&out[n], 0xAB, sizeof(Out));
  std::feclearexcept(FE_ALL_EXCEPT);
  store(out.data());
  const int raised = Raised();
  std::feclearexcept(FE_ALL_EXCEPT);
  store(wide.data());
  int flags = 0;
  const std::vector<char> untouched(sizeof(Out), static_cast<char>(0xAB));
  bool same = std::memcmp(&out[n], untouched.data(), sizeof(Out)) == 0;
  for (std::size_t k = 0; k < n; ++k)
    same = same && SameNumber(out[k], Narrow<Out>(wide[k], flags));
  if (!same || raised != (flags | Raised())) mismatches.Add(kernels.target, form, what);
}

struct Case {
  Form form;
  std::size_t n;
  std::int64_t start;
  Hyperparameters<double> hyper;
  Resources resources;
};

Case RandomCase(std::uint64_t i) {
  Random random(i + 1);
  return {kForms[i % 2], i % 500 == 499 ? 3000000 : 1 + random.Below(700),
          static_cast<std::int64_t>(random() >> (1 + random.Below(63))) / 2,
          random.Below(2) ? kSets[random.Below(std::size(kSets))].values
                          : Hyperparameters<double>{random.Magnitude<double>(-30, 20),
                                                    random.Magnitude<double>(-5, 12),
                                                    random.Magnitude<double>(-20, 4)},
          Resources{AvailableProcessors(), 1 << 22}};
}

template <class T, class Step, class Out>
void CheckArray(const Kernels& kernels, const Case& c, Mismatches& mismatches) {
  std::vector<Step> steps(c.n);
  for (std::size_t k = 0; k < c.n; ++k) {
    steps[k] = static_cast<Step>(c.start + 3 * static_cast<std::int64_t>(k));
  }
  const auto store = [&](auto* out) {
    Evaluate(kernels, c.form, steps.data(), out, c.n, In<T>(c.hyper), c.resources);
  };
  CheckNarrow<Out, T>(kernels, c.form, "an array", c.n, store, mismatches);
}

template <class T, class Out, class... Steps>
void CheckNarrowLoops(std::uint64_t cases, Mismatches& mismatches) {
  OnEveryProcessor(cases, [&](std::uint64_t i) {
    Case c = RandomCase(i);
    c.hyper = In<double>(In<T>(c.hyper));
    for (const Kernels& kernels : AllKernels()) {
      const auto store = [&](auto* out) {
        using Result = std::remove_pointer_t<decltype(out)>;
        RangeLoopOf<T, Result>(kernels, c.form)(out, c.n, c.start, 3, c.hyper, c.resources);
      };
      CheckNarrow<Out, T>(kernels, c.form, "a range", c.n, store, mismatches);
      (CheckArray<T, Steps, Out>(kernels, c, mismatches), ...);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t stride = CountArgument(argc, argv, 1);
  const std::uint64_t cases = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  CheckNeighbourhoods<float>(stride, mismatches);
  CheckNeighbourhoods<double>(stride, mismatches);
  CheckNarrowLoops<float, Float16, std::int32_t, std::int64_t, float>(cases, mismatches);
  CheckNarrowLoops<double, Float16, std::int32_t, std::int64_t, float, double>(cases, mismatches);
  CheckNarrowLoops<double, float, std::int32_t, std::int64_t, float, double>(cases, mismatches);
  return mismatches.Report("float16", 2 * 0x7C00 / stride + 3 * cases);
}
