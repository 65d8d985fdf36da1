// Results in float16: the neighbourhoods of all numbers of float16 and of the ties between them, in
// every rounding mode, with their flags; and random schedules through every loop.
//
//   float16 STRIDE CALLS    every STRIDE-th number of float16; CALLS random schedules per loop
//
// With decay_rate 0 the learning rate is initial_learning_rate exactly. So arrays of initial rates
// bring any number to the conversion.

#include "check.h"
#include "hyperparameters.h"

using namespace invdecay;
using namespace invdecay::check;

namespace {

constexpr int kRoundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

struct Rounded {
  std::uint16_t bits;
  int flags;
};

// Rounds x to float16 as NumPy's cast does, by exact arithmetic in double. The rounding mode must
// be to nearest.
Rounded ToFloat16(double x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000 : 0);
  const auto with_sign = [sign](int bits) { return static_cast<std::uint16_t>(sign | bits); };
  if (std::isnan(x)) return {with_sign(0x7E00), 0};
  if (std::isinf(x)) return {with_sign(0x7C00), 0};
  if (x == 0) return {sign, 0};
  const int exponent = std::max(std::ilogb(x), -14);
  const double in_units = std::ldexp(std::abs(x), 10 - exponent);
  const double below = std::floor(in_units);
  const double rest = in_units - below;
  const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2) == 1);
  const int units = static_cast<int>(below) + (up ? 1 : 0);
  const bool tiny = std::abs(x) < 0x1p-14;
  // 1,024 units carry into the exponent by themselves.
  const long long bits = tiny ? units : (static_cast<long long>(exponent) + 14) * 1024 + units;
  if (bits >= 0x7C00) return {with_sign(0x7C00), FE_OVERFLOW};
  return {with_sign(static_cast<int>(bits)), tiny && rest != 0 ? FE_UNDERFLOW : 0};
}

double FromFloat16(int bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
}

bool SameFloat16(std::uint16_t a, std::uint16_t b) {
  const auto nan = [](std::uint16_t x) { return (x & 0x7FFF) > 0x7C00; };
  return a == b || (nan(a) && nan(b));
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

// Stores the values through a loop with arrays of initial learning rates.
template <class T>
int Store(const Kernels& kernels, const T* values, Float16* out, std::size_t n) {
  T constants[] = {1, 0};  // decay_steps, decay_rate
  float step = 0;
  char* const operands[kNumOperands] = {
      reinterpret_cast<char*>(&step), const_cast<char*>(reinterpret_cast<const char*>(values)),
      reinterpret_cast<char*>(&constants[0]), reinterpret_cast<char*>(&constants[1]),
      reinterpret_cast<char*>(out)};
  const std::intptr_t strides[kNumOperands] = {0, sizeof(T), 0, 0, sizeof(Float16)};
  std::feclearexcept(FE_ALL_EXCEPT);
  ArrayLoopOf<T, float, Float16>(kernels, Form::kContinuous)(operands, n, strides, AllResources());
  return std::fetestexcept(kReportedExceptions);
}

template <class T>
void CheckValues(const Values<T>& values, Mismatches& mismatches) {
  const std::size_t n = values.at.size();
  int flags = 0;
  for (const Rounded& expected : values.expected) flags |= expected.flags;
  std::vector<Float16> out(n);
  for (const Kernels& kernels : AllKernels()) {
    for (const int rounding : kRoundings) {
      const auto check = [&](std::size_t i, std::uint16_t bits, int raised, int expected_flags) {
        if (SameFloat16(bits, values.expected[i].bits) && raised == expected_flags) return;
        char what[200];
        std::snprintf(what, sizeof what,
                      "%zu-byte %a in mode %x: %04x instead of %04x, flags %x instead of %x",
                      sizeof(T), static_cast<double>(values.at[i]), static_cast<unsigned>(rounding),
                      bits, values.expected[i].bits, static_cast<unsigned>(raised),
                      static_cast<unsigned>(expected_flags));
        mismatches.Add(kernels.target, Form::kContinuous, what);
      };
      std::fesetround(rounding);
      const int raised = Store(kernels, values.at.data(), out.data(), n);
      std::fesetround(FE_TONEAREST);
      for (std::size_t i = 0; i < n; ++i) check(i, out[i].bits, raised, flags);
      // Alone, so that its own flags show: each number in one of the modes, to save time.
      for (std::size_t i = 0; i < n; ++i) {
        if (kRoundings[i % std::size(kRoundings)] != rounding) continue;
        Float16 one;
        std::fesetround(rounding);
        const int alone = Store(kernels, &values.at[i], &one, 1);
        std::fesetround(FE_TONEAREST);
        check(i, one.bits, alone, values.expected[i].flags);
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

// Whether a loop stores the float16 of what the loop of the same arithmetic stores in T, and raises
// the flags of both.
template <class T, class Run, class RunWide>
void CheckLoop(const Kernels& kernels, Form form, std::size_t n, const char* what, const Run& run,
               const RunWide& run_wide, Mismatches& mismatches) {
  std::vector<T> wide(n);
  std::vector<Float16> out(n + 1, Float16{0xABCD});
  std::feclearexcept(FE_ALL_EXCEPT);
  run_wide(wide.data());
  int flags = std::fetestexcept(kReportedExceptions);
  std::feclearexcept(FE_ALL_EXCEPT);
  run(out.data());
  const int raised = std::fetestexcept(kReportedExceptions);
  for (std::size_t i = 0; i < n; ++i) {
    const Rounded expected = ToFloat16(static_cast<double>(wide[i]));
    flags |= expected.flags;
    if (!SameFloat16(out[i].bits, expected.bits)) mismatches.Add(kernels.target, form, what);
  }
  if (raised != flags || out[n].bits != 0xABCD) mismatches.Add(kernels.target, form, what);
}

template <class T, class Step>
void CheckLoops(std::uint64_t calls, Mismatches& mismatches) {
  OnEveryProcessor(calls, [&](std::uint64_t i) {
    Random random(i + 1);
    const Form form = kForms[i % 2];
    const std::size_t n = i % 500 == 499 ? 3000000 : 1 + random.Below(700);
    std::vector<Step> steps(n);
    for (Step& step : steps) step = static_cast<Step>(random.Below(100000));
    const Hyperparameters<double> wide =
        random.Below(2) ? kSets[random.Below(std::size(kSets))].values
                        : Hyperparameters<double>{random.Magnitude<double>(-30, 20),
                                                  random.Magnitude<double>(-5, 12),
                                                  random.Magnitude<double>(-20, 4)};
    const Hyperparameters<T> h = In<T>(wide);
    const Resources resources{AvailableProcessors(), 1 << 22};
    for (const Kernels& kernels : AllKernels()) {
      CheckLoop<T>(
          kernels, form, n, "array",
          [&](Float16* out) { Evaluate(kernels, form, steps.data(), out, n, h, resources); },
          [&](T* out) { Evaluate(kernels, form, steps.data(), out, n, h, resources); }, mismatches);
      if constexpr (!std::is_same_v<Step, T>) continue;
      const auto start = static_cast<std::int64_t>(random() >> random.Below(64)) / 2;
      CheckLoop<T>(
          kernels, form, n, "range",
          [&](Float16* out) {
            RangeLoopOf<T, Float16>(kernels, form)(out, n, start, 3, In<double>(h), resources);
          },
          [&](T* out) {
            RangeLoopOf<T, T>(kernels, form)(out, n, start, 3, In<double>(h), resources);
          },
          mismatches);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t stride = CountArgument(argc, argv, 1);
  const std::uint64_t calls = CountArgument(argc, argv, 2);
  Mismatches mismatches;
  CheckNeighbourhoods<float>(stride, mismatches);
  CheckNeighbourhoods<double>(stride, mismatches);
  CheckLoops<double, double>(calls, mismatches);
  CheckLoops<double, float>(calls, mismatches);
  CheckLoops<double, std::int32_t>(calls, mismatches);
  CheckLoops<double, std::uint32_t>(calls, mismatches);
  CheckLoops<double, std::int64_t>(calls, mismatches);
  CheckLoops<double, std::uint64_t>(calls, mismatches);
  CheckLoops<float, float>(calls, mismatches);
  CheckLoops<float, std::int32_t>(calls, mismatches);
  CheckLoops<float, std::uint32_t>(calls, mismatches);
  CheckLoops<float, std::int64_t>(calls, mismatches);
  CheckLoops<float, std::uint64_t>(calls, mismatches);
  return mismatches.Report("float16", 2 * 0x7C00 / stride + 11 * calls);
}
