#include "ufunc.h"

#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <numpy/dtype_api.h>
#include <numpy/ufuncobject.h>
#include <pybind11/numpy.h>

#include <algorithm>
#include <cfenv>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "fpenv.h"
#include "gil.h"
#include "parallel.h"
#include "processors.h"

namespace invdecay {
namespace {

namespace py = pybind11;

// ------------------------------ dtypes

int TypeNumber(DType dtype) {
  switch (dtype) {
    case DType::kInt32:
      return NPY_INT32;
    case DType::kUInt32:
      return NPY_UINT32;
    case DType::kInt64:
      return NPY_INT64;
    case DType::kUInt64:
      return NPY_UINT64;
    case DType::kFloat16:
      return NPY_FLOAT16;
    case DType::kFloat32:
      return NPY_FLOAT32;
    case DType::kFloat64:
      return NPY_FLOAT64;
  }
  return NPY_NOTYPE;
}

// Returns a borrowed reference. NumPy's own DTypes live as long as the interpreter.
PyArray_DTypeMeta* NumPyDType(int type_number) {
  PyArray_Descr* descr = PyArray_DescrFromType(type_number);
  auto* dtype = reinterpret_cast<PyArray_DTypeMeta*>(Py_TYPE(descr));
  Py_DECREF(descr);
  return dtype;
}

// ------------------------------ Promotion

// Returns the dtype of the arithmetic: that of the output, if the caller fixed one by dtype= or
// signature=; else NumPy's promotion of the inputs, where integers become float64 and float16
// becomes float32. Returns null with an error set where the result is neither float32 nor float64.
PyArray_DTypeMeta* ArithmeticOf(PyObject* ufunc, PyArray_DTypeMeta* const operands[]) {
  PyArray_DTypeMeta* const float32 = NumPyDType(NPY_FLOAT32);
  PyArray_DTypeMeta* const float64 = NumPyDType(NPY_FLOAT64);
  PyArray_DTypeMeta* const out = operands[kOut];
  if (out != nullptr) {
    if (out == float32 || out == float64) return out;
  } else {
    PyArray_DTypeMeta* inputs[kOut];
    std::copy_n(operands, static_cast<std::size_t>(kOut), inputs);
    PyArray_DTypeMeta* common = PyArray_PromoteDTypeSequence(kOut, inputs);
    if (common == nullptr) {
      if (!PyErr_ExceptionMatches(PyExc_TypeError)) return nullptr;
      PyErr_Clear();
    } else {
      Py_DECREF(common);  // one of NumPy's own, so that a borrowed reference is enough
      const int type_number = common->type_num;
      if (common == float32 || common == NumPyDType(NPY_FLOAT16)) return float32;
      if (common == float64 || common == &PyArray_PyFloatDType || common == &PyArray_PyLongDType ||
          PyTypeNum_ISINTEGER(type_number) || PyTypeNum_ISBOOL(type_number)) {
        return float64;
      }
    }
  }
  const auto name = [](PyArray_DTypeMeta* dtype) {
    return dtype == nullptr ? "-" : reinterpret_cast<PyTypeObject*>(dtype)->tp_name;
  };
  PyErr_Format(PyExc_TypeError,
               "%s: the arithmetic is float32 or float64, which (%s, %s, %s, %s) -> %s is not;"
               " pass dtype= or convert the arguments",
               reinterpret_cast<PyUFuncObject*>(ufunc)->name, name(operands[0]), name(operands[1]),
               name(operands[2]), name(operands[3]), name(out));
  return nullptr;
}

// Returns the dtype of steps of the loop to take: that of the argument, int32 for narrow integers,
// and the dtype of the arithmetic for all others.
PyArray_DTypeMeta* StepOf(PyArray_DTypeMeta* step, PyArray_DTypeMeta* arithmetic) {
  if (step == &PyArray_PyLongDType) return NumPyDType(NPY_INT64);
  if (step == NumPyDType(NPY_FLOAT32)) return step;
  if (PyTypeNum_ISBOOL(step->type_num)) return NumPyDType(NPY_INT32);
  if (!PyTypeNum_ISINTEGER(step->type_num)) return arithmetic;
  // By size, because C has more integer types than sizes.
  PyArray_Descr* descr = PyArray_DescrFromType(step->type_num);
  const npy_intp size = PyDataType_ELSIZE(descr);
  Py_DECREF(descr);
  const bool is_unsigned = PyTypeNum_ISUNSIGNED(step->type_num);
  if (size == 8) return NumPyDType(is_unsigned ? NPY_UINT64 : NPY_INT64);
  return NumPyDType(is_unsigned && size == 4 ? NPY_UINT32 : NPY_INT32);
}

// Chooses the loop for dtypes that are not those of a loop.
//
// NumPy has put the dtypes of signature= and dtype= into `operands` already, and it remembers the
// answer under `operands` alone. So the answer may depend on nothing else: `fixed`, which says what
// the caller fixed, would make a call depend on the calls before it. NumPy itself refuses a loop
// that disagrees with `fixed`.
int Promote(PyObject* ufunc, PyArray_DTypeMeta* const operands[],
            PyArray_DTypeMeta* const /*fixed*/[], PyArray_DTypeMeta* chosen[]) {
  PyArray_DTypeMeta* const arithmetic = ArithmeticOf(ufunc, operands);
  if (arithmetic == nullptr) return -1;
  for (std::size_t k = 0; k < kNumOperands; ++k) {
    chosen[k] = k == kStep ? StepOf(operands[kStep], arithmetic) : arithmetic;
    Py_INCREF(chosen[k]);
  }
  return 0;
}

// NumPy's own search would send integer steps with dtype=float32 through a cast, and would take the
// loop of integer steps and float32 hyperparameters where promotion says float64. So the promoter
// takes these calls, and all others for which no loop has the dtypes.
void AddPromoters(const py::object& ufunc) {
  const auto promoter = py::capsule(reinterpret_cast<void*>(Promote), "numpy._ufunc_promoter");
  const auto add = [&](py::handle step, py::handle hyper) {
    const auto dtypes = py::make_tuple(step, hyper, hyper, hyper, py::none());
    if (PyUFunc_AddPromoter(ufunc.ptr(), dtypes.ptr(), promoter.ptr()) < 0) {
      throw py::error_already_set();
    }
  };
  const auto dtype = [](int type_number) {
    return py::handle(reinterpret_cast<PyObject*>(NumPyDType(type_number)));
  };
  add(py::none(), py::none());
  for (int type_number : {NPY_INT32, NPY_UINT32, NPY_INT64, NPY_UINT64}) {
    add(dtype(type_number), dtype(NPY_FLOAT32));
  }
}

// ------------------------------ Calls

// NumPy's inner loop. `data` is the loop of the kernels.
void CallArrayFunction(char** operands, const npy_intp* dimensions, const npy_intp* strides,
                       void* data) noexcept {
  const auto n = static_cast<std::size_t>(dimensions[0]);
  reinterpret_cast<ArrayFunction*>(data)(operands, n, strides, ResourcesFor(n));
}

// What NumPy's ufunc points to without a copy.
struct UfuncTables {
  std::string doc;
  std::vector<PyUFuncGenericFunction> functions;
  std::vector<void*> data;
  std::vector<char> type_numbers;
};

}  // namespace

void ImportNumPy() {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) throw py::error_already_set();
  // What follows is done once in a process, or in this thread. Done later, for want of memory it
  // would abort the process: inside a noexcept loop, in std::call_once, or in the C library.
  LastLevelCacheBytes();
  py::isinstance<py::array>(py::none());
  SetThisThreadLimit(0);
  try {
    throw std::bad_alloc();
  } catch (const std::bad_alloc&) {
  }
}

py::object MakeUfunc(const Kernels& kernels, Form form, const char* name, const std::string& doc) {
  auto tables = std::make_unique<UfuncTables>();
  tables->doc = doc;
  for (const ArrayLoop& loop : kernels.array_loops) {
    if (loop.form != form || loop.result != loop.arithmetic) continue;
    tables->functions.push_back(CallArrayFunction);
    tables->data.push_back(reinterpret_cast<void*>(loop.function));
    for (std::size_t k = 0; k < kNumOperands; ++k) {
      tables->type_numbers.push_back(
          static_cast<char>(TypeNumber(k == kStep ? loop.step : loop.result)));
    }
  }
  auto ufunc = py::reinterpret_steal<py::object>(PyUFunc_FromFuncAndData(
      tables->functions.data(), tables->data.data(), tables->type_numbers.data(),
      static_cast<int>(tables->functions.size()), kOut, kNumOperands - kOut, PyUFunc_None, name,
      tables->doc.c_str(), 0));
  if (!ufunc) throw py::error_already_set();
  // The ufunc owns its tables: NumPy releases this object with it.
  auto* object = reinterpret_cast<PyUFuncObject*>(ufunc.ptr());
  py::capsule owner(tables.get(), [](void* owned) { delete static_cast<UfuncTables*>(owned); });
  tables.release();
  object->obj = owner.release().ptr();
  AddPromoters(ufunc);
  // A pickle names the public module. Before NumPy 2.2 a ufunc takes no attributes, and pickle
  // searches the loaded modules instead.
  if (PyObject_SetAttrString(ufunc.ptr(), "__module__", py::str("invdecay").ptr()) < 0)
    PyErr_Clear();
  return ufunc;
}

DType ArithmeticNamed(const std::string& name) {
  if (name == "float32") return DType::kFloat32;
  if (name == "float64") return DType::kFloat64;
  throw py::value_error("arithmetic must be 'float32' or 'float64', got '" + name + "'");
}

int FillRange(const Kernels& kernels, const py::object& out, std::int64_t start, std::int64_t step,
              const Hyperparameters<double>& hyper, bool staircase, const std::string& arithmetic) {
  auto* array = reinterpret_cast<PyArrayObject*>(out.ptr());
  if (!PyArray_Check(out.ptr()) || PyArray_NDIM(array) != 1 || !PyArray_ISCARRAY(array)) {
    throw py::type_error("out must be a writable, aligned, contiguous 1-D array");
  }
  const Form form = staircase ? Form::kStaircase : Form::kContinuous;
  const DType computed = ArithmeticNamed(arithmetic);
  const auto loop = std::find_if(
      kernels.range_loops.begin(), kernels.range_loops.end(), [&](const RangeLoop& candidate) {
        return candidate.form == form && candidate.arithmetic == computed &&
               TypeNumber(candidate.result) == PyArray_TYPE(array);
      });
  if (loop == kernels.range_loops.end()) {
    const auto dtype = py::str(out.attr("dtype")).cast<std::string>();
    throw py::type_error("out must have a dtype that results of " + arithmetic +
                         " arithmetic are stored in, got " + dtype);
  }
  void* data = PyArray_DATA(array);
  const auto n = static_cast<std::size_t>(PyArray_DIM(array, 0));
  const Resources resources = ResourcesFor(n);
  int raised = 0;
  WithoutGil([&] {
    const CollectExceptions exceptions;
    loop->function(data, n, start, step, hyper, resources);
    raised = exceptions.Raised();
  });
  return NumPyFlags(raised);
}

Resources ResourcesFor(std::size_t n) noexcept {
  // Few elements are not worth a look at the limits.
  constexpr std::size_t kMostBytesPerElement = 8 + 4 * 8;
  Resources resources{1, LastLevelCacheBytes()};
  if (n >= 2 * kMinBytesPerThread / kMostBytesPerElement) {
    try {
      resources.threads = ThreadLimit();
    } catch (const std::exception&) {
      // Without memory to find out, one thread works.
    }
  }
  return resources;
}

int NumPyFlags(int raised) {
  return (raised & FE_DIVBYZERO ? NPY_FPE_DIVIDEBYZERO : 0) |
         (raised & FE_OVERFLOW ? NPY_FPE_OVERFLOW : 0) |
         (raised & FE_UNDERFLOW ? NPY_FPE_UNDERFLOW : 0) |
         (raised & FE_INVALID ? NPY_FPE_INVALID : 0);
}

void ReportFlags(const char* name, int flags) {
  if (flags != 0 && PyUFunc_GiveFloatingpointErrors(name, flags) < 0) {
    throw py::error_already_set();
  }
}

}  // namespace invdecay
