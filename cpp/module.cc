// The table of contents of invdecay._core.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>  // std::optional

#include <string>

#include "kernels.h"
#include "processors.h"
#include "sweep_array.h"
#include "ufunc.h"

namespace py = pybind11;

namespace {

std::string UfuncDoc(const char* form, const char* progress) {
  return std::string("Return the learning rate of the ") + form +
         R"( inverse-time-decay schedule.

``initial_learning_rate / (1 + decay_rate * )" +
         progress + R"()``. Each operation rounds to the dtype of the
result, which is float32 or float64: ``dtype``, or else the promotion of the arguments.

Parameters
----------
step, initial_learning_rate, decay_steps, decay_rate : array_like
    They are broadcast against each other.
**kwargs
    As for every NumPy ufunc: ``out``, ``where``, ``casting``, ``order``, ``dtype``, ``subok``.

Returns
-------
ndarray or scalar
    Of the arguments' broadcast shape.

See Also
--------
invdecay.inverse_time_decay : Both forms under one name, with checked hyperparameters.)";
}

// The public functions of one SIMD target.
struct TargetKernels {
  const invdecay::Kernels* kernels;
  py::object continuous_decay, staircase_decay;

  explicit TargetKernels(const invdecay::Kernels& of)
      : kernels(&of),
        continuous_decay(invdecay::MakeUfunc(of, invdecay::Form::kContinuous, "continuous_decay",
                                             UfuncDoc("continuous", "(step / decay_steps)"))),
        staircase_decay(invdecay::MakeUfunc(of, invdecay::Form::kStaircase, "staircase_decay",
                                            UfuncDoc("staircase", "floor(step / decay_steps)"))) {}
};

TargetKernels KernelsFor(const std::string& target) {
  for (const invdecay::Kernels& kernels : invdecay::AllKernels()) {
    if (target == kernels.target) return TargetKernels(kernels);
  }
  throw py::value_error("target must be one of those that this processor runs, got '" + target +
                        "'");
}

py::tuple TargetNames() {
  py::list names;
  for (const invdecay::Kernels& kernels : invdecay::AllKernels()) names.append(kernels.target);
  return names;
}

}  // namespace

// pybind11's own function is PyInit__core_of_main, which PyInit__core below calls.
PYBIND11_MODULE(_core_of_main, m, py::mod_gil_not_used()) {
  invdecay::ImportNumPy();

  py::class_<TargetKernels>(m, "Kernels")
      .def_readonly("continuous_decay", &TargetKernels::continuous_decay)
      .def_readonly("staircase_decay", &TargetKernels::staircase_decay)
      .def(
          "fill_range",
          [](const TargetKernels& self, const py::object& out, std::int64_t start,
             std::int64_t step, double initial_learning_rate, double decay_steps, double decay_rate,
             bool staircase, const std::string& arithmetic) {
            return invdecay::FillRange(*self.kernels, out, start, step,
                                       {initial_learning_rate, decay_steps, decay_rate}, staircase,
                                       arithmetic);
          },
          py::arg("out"), py::arg("start"), py::arg("step"), py::arg("initial_learning_rate"),
          py::arg("decay_steps"), py::arg("decay_rate"), py::arg("staircase"),
          py::arg("arithmetic"))
      .def(
          "evaluate",
          [](const TargetKernels& self, const py::object& out, const py::object& step,
             const py::object& initial_learning_rate, const py::object& decay_steps,
             const py::object& decay_rate, bool staircase, const std::string& arithmetic) {
            const invdecay::Operands operands{step, initial_learning_rate, decay_steps, decay_rate,
                                              out};
            return invdecay::EvaluateArrays(*self.kernels, operands, staircase, arithmetic);
          },
          py::arg("out"), py::arg("step"), py::arg("initial_learning_rate"), py::arg("decay_steps"),
          py::arg("decay_rate"), py::arg("staircase"), py::arg("arithmetic"));
  m.attr("targets") = TargetNames();
  m.def("kernels", KernelsFor, py::arg("target"));

  m.def("report_flags", invdecay::ReportFlags, py::arg("name"), py::arg("flags"));
  m.def("set_num_threads", invdecay::SetProcessThreadLimit, py::arg("n"));
  m.def("get_num_threads", invdecay::ThreadLimit);
  m.def("limit_this_thread", invdecay::SetThisThreadLimit, py::arg("n"));

  py::dict build;
  build["compiler"] = INVDECAY_COMPILER;
  build["highway"] = INVDECAY_HIGHWAY;
  m.attr("build_info") = build;
}

// Refuses a subinterpreter. pybind11 would wait there for ever before Python 3.12.
PYBIND11_EXPORT PyMODINIT_FUNC PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "invdecay._core cannot be imported in a subinterpreter, only in the main one");
    return nullptr;
  }
  return PyInit__core_of_main();
}
