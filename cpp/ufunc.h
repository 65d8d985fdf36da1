// The kernels as NumPy objects.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels.h"

namespace invdecay {

// Imports NumPy's C API. To be called once, before all else here.
void ImportNumPy();

// Returns a numpy.ufunc of one form.
pybind11::object MakeUfunc(const Kernels& kernels, Form form, const char* name,
                           const std::string& doc);

// Stores a range's learning rates in a contiguous one-dimensional array. Returns NumPy's numbers
// for the floating-point exceptions raised.
int FillRange(const Kernels& kernels, const pybind11::object& out, std::int64_t start,
              std::int64_t step, const Hyperparameters<double>& hyper, bool staircase,
              const std::string& arithmetic);

// Returns float32 or float64 by its name, else throws.
DType ArithmeticNamed(const std::string& name);

// Returns what a call of n elements may use.
Resources ResourcesFor(std::size_t n) noexcept;

// Returns NumPy's numbers for the floating-point exceptions of <cfenv>.
int NumPyFlags(int raised);

// Warns about floating-point exceptions, or raises them, as numpy.errstate says.
void ReportFlags(const char* name, int flags);

}  // namespace invdecay
