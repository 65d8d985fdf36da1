// The table of contents of invdecay._core.

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "kernels.h"
#include "parallel.h"
#include "ufunc.h"

namespace py = pybind11;

namespace {

constexpr const char* kContinuousDoc =
    R"(Learning rate of the continuous inverse-time-decay schedule.

``initial_learning_rate / (1 + decay_rate * (step / decay_steps))``, each operation rounded to the
dtype of the result: the promotion of the arguments, or ``dtype``, either of float32 and float64.

Parameters
----------
step, initial_learning_rate, decay_steps, decay_rate : array_like
    Broadcast against each other.
**kwargs
    As for every NumPy ufunc: ``out``, ``where``, ``casting``, ``order``, ``dtype``, ``subok``.

Returns
-------
ndarray or scalar
    Of the arguments' broadcast shape.

See Also
--------
invdecay.inverse_time_decay : the same under one name, with checked hyperparameters.)";

constexpr const char* kStaircaseDoc = R"(Learning rate of the staircase inverse-time-decay schedule.

``initial_learning_rate / (1 + decay_rate * floor(step / decay_steps))``, each operation rounded to
the dtype of the result: the promotion of the arguments, or ``dtype``, either of float32 and float64.

Parameters
----------
step, initial_learning_rate, decay_steps, decay_rate : array_like
    Broadcast against each other.
**kwargs
    As for every NumPy ufunc: ``out``, ``where``, ``casting``, ``order``, ``dtype``, ``subok``.

Returns
-------
ndarray or scalar
    Of the arguments' broadcast shape.

See Also
--------
invdecay.inverse_time_decay : the same under one name, with checked hyperparameters.)";

// The public functions of one SIMD target.
struct TargetKernels {
  const invdecay::Kernels* kernels;
  py::object continuous_decay, staircase_decay;

  explicit TargetKernels(invdecay::Kernels& of)
      : kernels(&of),
        continuous_decay(invdecay::MakeUfunc(of.loops[0], "continuous_decay", kContinuousDoc)),
        staircase_decay(invdecay::MakeUfunc(of.loops[1], "staircase_decay", kStaircaseDoc)) {}
};

TargetKernels KernelsFor(const std::string& target) {
  for (invdecay::Kernels& kernels : invdecay::AllKernels()) {
    if (target == kernels.target) return TargetKernels(kernels);
  }
  throw py::value_error("no such target on this machine: " + target);
}

py::tuple TargetNames() {
  py::list names;
  for (const invdecay::Kernels& kernels : invdecay::AllKernels()) names.append(kernels.target);
  return names;
}

int LimitThisThread(int n) { return std::exchange(invdecay::this_thread_limit, n); }

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) throw py::error_already_set();

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
          py::arg("arithmetic"));
  m.attr("targets") = TargetNames();
  m.def("kernels", KernelsFor, py::arg("target"));

  m.def("report_flags", [](const char* name, int flags) {
    if (flags != 0 && PyUFunc_GiveFloatingpointErrors(name, flags) < 0)
      throw py::error_already_set();
  });
  m.def("set_num_threads", [](int n) { invdecay::process_thread_limit = n; });
  m.def("get_num_threads", invdecay::ThreadLimit);
  m.def("limit_this_thread", LimitThisThread);

  py::dict build;
  build["compiler"] = INVDECAY_COMPILER;
  build["highway"] = INVDECAY_HIGHWAY;
  m.attr("build_info") = build;
}
