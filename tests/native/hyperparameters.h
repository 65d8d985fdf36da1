// The sets of hyperparameters that the checks share.
#pragma once

#include "kernels.h"

namespace invdecay::check {

struct NamedSet {
  const char* name;
  Hyperparameters<double> values;
};

inline constexpr NamedSet kSets[] = {
    {"TensorFlow tutorial", {0.001, 20000, 1}},
    // 1 - p is exact for p from 1/2 to 2, so that the last bit of the quotient shows.
    {"quotient laid open", {1, 0x1.fffffep30, -1}},
    {"Keras page", {0.1, 1, 0.5}},
    {"thirds", {0.1, 1 / 3., 1 / 3.}},
    {"powers of two", {0.5, 1024, 0.25}},
    {"decay_steps past float32", {0.1, 16777217, 0.1}},
    {"negative rate", {0.1, 1000, -0.5}},
    {"denominator through zero", {0.1, 1, -1}},
    {"zero over zero", {0, 3, -1}},
    {"negative learning rate", {-0.1, 999.999, 0.5}},
    {"no decay", {0.1, 1000, 0}},
    {"subnormal results", {3e-38, 7, 0.5}},
    {"decay_steps subnormal", {0.1, 3e-39, 1e-30}},
    {"decay_steps huge", {0.1, 3e38, 1e30}},
    {"overflow", {0.1, 1e-30, 1e30}},
    {"underflow", {1e-30, 1e-10, 1e30}},
};

template <class T, class From>
Hyperparameters<T> In(const Hyperparameters<From>& h) {
  return {static_cast<T>(h.initial_learning_rate), static_cast<T>(h.decay_steps),
          static_cast<T>(h.decay_rate)};
}

}  // namespace invdecay::check
