// What every kernel must give: the formula in plain scalar C++, written apart from the kernels.
#pragma once

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

}  // namespace invdecay::check
