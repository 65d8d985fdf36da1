// Sweeps over NumPy arrays.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "kernels.h"

namespace invdecay {

// Stores the learning rates in `out`, an array to whose shape all others are broadcast. `step` is
// an array, or the tuple (start, distance) of a range along the last axis of `out`. Returns NumPy's
// numbers for the floating-point exceptions raised.
int EvaluateArrays(const Kernels& kernels, const pybind11::object& out,
                   const pybind11::object& step, const pybind11::object& initial_learning_rate,
                   const pybind11::object& decay_steps, const pybind11::object& decay_rate,
                   bool staircase, const std::string& arithmetic);

}  // namespace invdecay
