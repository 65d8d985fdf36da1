// What every kernel must give: the formula in plain scalar C++, written apart from the kernels.
#pragma once

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace invdecay::check {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
Bits<T> BitsOf(T x) {
  Bits<T> bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

template <class T>
T FromBits(Bits<T> bits) {
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Equal bits; NaN is NaN whatever its payload.
template <class T>
bool Same(T a, T b) {
  return BitsOf(a) == BitsOf(b) || (std::isnan(a) && std::isnan(b));
}

template <class T, class Step>
T LearningRate(Form form, Step step, T initial_learning_rate, T decay_steps, T decay_rate) {
  T p = static_cast<T>(step) / decay_steps;
  if (form == Form::kStaircase) p = std::floor(p);
  return initial_learning_rate / (T{1} + decay_rate * p);
}

// Not inlined, so that no operation moves past the caller's look at the floating-point flags.
template <class T, class Step>
[[gnu::noinline]] void Reference(Form form, const Step* steps, T* out, std::size_t n,
                                 const Hyperparameters<T>& h) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = LearningRate(form, steps[i], h.initial_learning_rate, h.decay_steps, h.decay_rate);
  }
}

// The bits of a float16, and the exceptions that rounding to it raises.
struct Rounded {
  std::uint16_t bits;
  int flags;
};

// Rounds x to float16 as NumPy's cast does, by exact arithmetic in double. The rounding mode must
// be to nearest.
inline Rounded ToFloat16(double x) {
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

inline bool SameFloat16(std::uint16_t a, std::uint16_t b) {
  const auto nan = [](std::uint16_t x) { return (x & 0x7FFF) > 0x7C00; };
  return a == b || (nan(a) && nan(b));
}

}  // namespace invdecay::check
