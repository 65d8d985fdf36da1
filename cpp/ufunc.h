// The only NumPy glue: dtype codes derived from C++ signatures, promotion, ufunc objects.
#pragma once

#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <numpy/dtype_api.h>
#include <numpy/ufuncobject.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels.h"

namespace invdecay {
namespace py = pybind11;

// ------------------------------ dtypes

template <class T>
constexpr int kTypeNum = -1;
template <>
inline constexpr int kTypeNum<std::int32_t> = NPY_INT32;
template <>
inline constexpr int kTypeNum<std::uint32_t> = NPY_UINT32;
template <>
inline constexpr int kTypeNum<std::int64_t> = NPY_INT64;
template <>
inline constexpr int kTypeNum<std::uint64_t> = NPY_UINT64;
template <>
inline constexpr int kTypeNum<float> = NPY_FLOAT32;
template <>
inline constexpr int kTypeNum<double> = NPY_FLOAT64;

// The dtype codes of all loops, five a loop, as NumPy reads them.
template <std::size_t... I>
constexpr auto TypeCodes(std::index_sequence<I...>) {
  std::array<char, kNumLoops * kNumOperands> codes{};
  const auto set = [&](std::size_t loop, int step, int rest) {
    for (std::size_t k = 0; k < kNumOperands; ++k) {
      codes[loop * kNumOperands + k] = static_cast<char>(k == kStep ? step : rest);
    }
  };
  (set(I, kTypeNum<typename std::tuple_element_t<I, Signatures>::Step>,
       kTypeNum<typename std::tuple_element_t<I, Signatures>::Arithmetic>),
   ...);
  return codes;
}
inline constexpr auto kTypeCodes = TypeCodes(std::make_index_sequence<kNumLoops>());

inline PyArray_DTypeMeta* DTypeOf(int type_num) {  // borrowed: built-in DTypes live for ever
  PyArray_Descr* descr = PyArray_DescrFromType(type_num);
  auto* dtype = reinterpret_cast<PyArray_DTypeMeta*>(Py_TYPE(descr));
  Py_DECREF(descr);
  return dtype;
}

// ------------------------------ promotion

// The arithmetic: what the caller fixed by dtype= or signature=, else NumPy's promotion of the
// arguments, where integers become float64 and float16 float32. Null with an error set where that
// is neither float32 nor float64.
inline PyArray_DTypeMeta* ArithmeticOf(PyObject* ufunc, PyArray_DTypeMeta* const operands[],
                                       PyArray_DTypeMeta* const fixed[]) {
  PyArray_DTypeMeta* const float32 = DTypeOf(NPY_FLOAT32);
  PyArray_DTypeMeta* const float64 = DTypeOf(NPY_FLOAT64);
  for (std::size_t k = kNumOperands; k-- > 0;) {
    if (fixed[k] == nullptr) continue;
    if (fixed[k] == float32 || fixed[k] == float64) return fixed[k];
    break;
  }
  bool free = true;
  for (std::size_t k = 0; k < kNumOperands; ++k) free = free && fixed[k] == nullptr;
  if (free) {
    PyArray_DTypeMeta* inputs[kOut];
    for (std::size_t k = 0; k < kOut; ++k) inputs[k] = operands[k];
    PyArray_DTypeMeta* common = PyArray_PromoteDTypeSequence(kOut, inputs);
    if (common == nullptr) {
      if (!PyErr_ExceptionMatches(PyExc_TypeError)) return nullptr;
      PyErr_Clear();
    } else {
      Py_DECREF(common);  // built-in: borrowed from here on
      const int type_num = common->type_num;
      if (common == float32 || common == DTypeOf(NPY_FLOAT16)) return float32;
      if (common == float64 || common == &PyArray_PyFloatDType || common == &PyArray_PyLongDType ||
          PyTypeNum_ISINTEGER(type_num) || PyTypeNum_ISBOOL(type_num)) {
        return float64;
      }
    }
  }
  const auto name = [](PyArray_DTypeMeta* dtype) {
    return dtype == nullptr ? "-" : reinterpret_cast<PyTypeObject*>(dtype)->tp_name;
  };
  PyErr_Format(PyExc_TypeError,
               "%U: the arithmetic is float32 or float64, which (%s, %s, %s, %s) -> %s is not;"
               " pass dtype= or convert the arguments",
               py::object(py::reinterpret_borrow<py::object>(ufunc).attr("__name__")).ptr(),
               name(operands[0]), name(operands[1]), name(operands[2]), name(operands[3]),
               name(fixed[kOut]));
  return nullptr;
}

// The steps of the loop to take: those of the argument, narrow integers as int32, others as T.
inline PyArray_DTypeMeta* StepOf(PyArray_DTypeMeta* step, PyArray_DTypeMeta* arithmetic) {
  if (step == &PyArray_PyLongDType) return DTypeOf(NPY_INT64);
  if (step == DTypeOf(NPY_FLOAT32)) return step;
  if (PyTypeNum_ISBOOL(step->type_num)) return DTypeOf(NPY_INT32);
  if (!PyTypeNum_ISINTEGER(step->type_num)) return arithmetic;
  // By size: C has more integer types than sizes.
  PyArray_Descr* descr = PyArray_DescrFromType(step->type_num);
  const npy_intp size = PyDataType_ELSIZE(descr);
  Py_DECREF(descr);
  const bool is_unsigned = PyTypeNum_ISUNSIGNED(step->type_num);
  if (size == 8) return DTypeOf(is_unsigned ? NPY_UINT64 : NPY_INT64);
  return DTypeOf(is_unsigned && size == 4 ? NPY_UINT32 : NPY_INT32);
}

// NumPy's hook for calls whose dtypes are not those of a loop.
inline int Promote(PyObject* ufunc, PyArray_DTypeMeta* const operands[],
                   PyArray_DTypeMeta* const fixed[], PyArray_DTypeMeta* chosen[]) {
  PyArray_DTypeMeta* const arithmetic = ArithmeticOf(ufunc, operands, fixed);
  if (arithmetic == nullptr) return -1;
  for (std::size_t k = 0; k < kNumOperands; ++k) {
    chosen[k] = fixed[k] != nullptr ? fixed[k]
                : k == kStep        ? StepOf(operands[kStep], arithmetic)
                                    : arithmetic;
    Py_INCREF(chosen[k]);
  }
  return 0;
}

// Besides all other calls, the promoter takes those of integer steps and float32 hyperparameters:
// there are such loops, but NumPy promotes to float64 unless dtype= says otherwise.
inline void AddPromoters(const py::object& ufunc) {
  const auto promoter = py::capsule(reinterpret_cast<void*>(Promote), "numpy._ufunc_promoter");
  const auto add = [&](py::handle step, py::handle hyper) {
    const auto dtypes = py::make_tuple(step, hyper, hyper, hyper, py::none());
    if (PyUFunc_AddPromoter(ufunc.ptr(), dtypes.ptr(), promoter.ptr()) < 0) {
      throw py::error_already_set();
    }
  };
  const auto dtype = [](int type_num) {
    return py::handle(reinterpret_cast<PyObject*>(DTypeOf(type_num)));
  };
  add(py::none(), py::none());
  for (int type_num : {NPY_INT32, NPY_UINT32, NPY_INT64, NPY_UINT64}) {
    add(dtype(type_num), dtype(NPY_FLOAT32));
  }
}

// ------------------------------ ufuncs

// NumPy copies none of what it is given: loops, codes, name and doc must live for ever.
inline py::object MakeUfunc(std::array<UfuncLoop, kNumLoops>& loops, const char* name,
                            const char* doc) {
  static const std::array<void*, kNumLoops> no_data{};
  auto ufunc = py::reinterpret_steal<py::object>(
      PyUFunc_FromFuncAndData(loops.data(), no_data.data(), kTypeCodes.data(), kNumLoops, kOut,
                              kNumOperands - kOut, PyUFunc_None, name, doc, 0));
  if (!ufunc) throw py::error_already_set();
  AddPromoters(ufunc);
  // Pickles name the public module. Before NumPy 2.2 ufuncs take no attributes, and pickle looks
  // through the loaded modules instead.
  if (PyObject_SetAttrString(ufunc.ptr(), "__module__", py::str("invdecay").ptr()) < 0)
    PyErr_Clear();
  return ufunc;
}

// ------------------------------ ranges

// NumPy's numbers for the floating-point exceptions raised since the last feclearexcept.
inline int RaisedFlags() {
  const int raised = std::fetestexcept(FE_ALL_EXCEPT);
  return (raised & FE_DIVBYZERO ? NPY_FPE_DIVIDEBYZERO : 0) |
         (raised & FE_OVERFLOW ? NPY_FPE_OVERFLOW : 0) |
         (raised & FE_UNDERFLOW ? NPY_FPE_UNDERFLOW : 0) |
         (raised & FE_INVALID ? NPY_FPE_INVALID : 0);
}

template <std::size_t... I>
int FindRangeLoop(int arithmetic, int out, std::index_sequence<I...>) {
  int found = -1;
  (void)((kTypeNum<typename std::tuple_element_t<I, RangeSignatures>::Arithmetic> == arithmetic &&
          kTypeNum<typename std::tuple_element_t<I, RangeSignatures>::Out> == out &&
          (found = static_cast<int>(I), true)) ||
         ...);
  return found;
}

// Fills a contiguous one-dimensional array and returns the flags raised on the way.
inline int FillRange(const Kernels& kernels, const py::object& out, std::int64_t start,
                     std::int64_t step, const Hyperparameters<double>& hyper, bool staircase,
                     const std::string& arithmetic) {
  auto* array = reinterpret_cast<PyArrayObject*>(out.ptr());
  if (!PyArray_Check(out.ptr()) || PyArray_NDIM(array) != 1 || !PyArray_ISCARRAY(array)) {
    throw py::type_error("out must be a writable, aligned, contiguous 1-D array");
  }
  const int found = FindRangeLoop(arithmetic == "float32" ? NPY_FLOAT32 : NPY_FLOAT64,
                                  PyArray_TYPE(array), std::make_index_sequence<kNumRangeLoops>());
  if (found < 0) throw py::type_error("no range loop stores " + arithmetic + " in out's dtype");
  const RangeLoop loop = kernels.range_loops[staircase ? 1 : 0][static_cast<std::size_t>(found)];
  void* data = PyArray_DATA(array);
  const auto n = static_cast<std::size_t>(PyArray_DIM(array, 0));
  const py::gil_scoped_release release;
  std::feclearexcept(FE_ALL_EXCEPT);  // an empty range raises none
  loop(data, n, start, step, hyper);
  const int flags = RaisedFlags();
  std::feclearexcept(FE_ALL_EXCEPT);
  return flags;
}

}  // namespace invdecay
