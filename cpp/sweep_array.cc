#include "sweep_array.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "fpenv.h"
#include "gil.h"
#include "sweep.h"
#include "ufunc.h"

namespace invdecay {
namespace {

namespace py = pybind11;

constexpr const char* kNames[kNumOperands] = {"step", "initial_learning_rate", "decay_steps",
                                              "decay_rate", "out"};

bool HasDType(const py::array& array, DType dtype) {
  const py::dtype numpy = array.dtype();
  const auto is = [&](char kind, py::ssize_t size) {
    return numpy.kind() == kind && numpy.itemsize() == size && numpy.attr("isnative").cast<bool>();
  };
  switch (dtype) {
    case DType::kInt32:
      return is('i', 4);
    case DType::kUInt32:
      return is('u', 4);
    case DType::kInt64:
      return is('i', 8);
    case DType::kUInt64:
      return is('u', 8);
    case DType::kFloat16:
      return is('f', 2);
    case DType::kFloat32:
      return is('f', 4);
    case DType::kFloat64:
      return is('f', 8);
  }
  return false;
}

// Returns the array, if it has one of these dtypes in native byte order.
py::array ArrayOf(Operand k, const py::object& object, const std::vector<DType>& allowed,
                  DType& dtype) {
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(std::string(kNames[k]) + " must be a NumPy array, got " +
                         py::repr(object).cast<std::string>());
  }
  auto array = py::reinterpret_borrow<py::array>(object);
  for (const DType candidate : allowed) {
    if (HasDType(array, candidate)) {
      dtype = candidate;
      return array;
    }
  }
  throw py::type_error(std::string(kNames[k]) +
                       " has a dtype that this arithmetic does not take: " +
                       py::str(array.dtype()).cast<std::string>());
}

// The addresses that the elements of an operand begin at: from the first to the last.
struct Extent {
  std::uint64_t first, last;
};

Extent ExtentOf(const SweepOperand& operand, const Sweep& sweep) {
  Extent extent{operand.first, operand.first};
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) {
    const std::int64_t stride = operand.strides[axis];
    const std::uint64_t length = sweep.lengths[axis] - 1;
    (stride < 0 ? extent.first : extent.last) += length * static_cast<std::uint64_t>(stride);
  }
  return extent;
}

// Whether no two elements of the output share a byte. It may also be false where the elements of
// different rows lie between each other.
bool ElementsLieApart(const Sweep& sweep, std::uint64_t size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> axes;  // stride and length
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) {
    const std::int64_t stride = sweep.operands[kOut].strides[axis];
    const auto magnitude = static_cast<std::uint64_t>(stride < 0 ? -stride : stride);
    if (sweep.lengths[axis] > 1) axes.emplace_back(magnitude, sweep.lengths[axis]);
  }
  std::sort(axes.begin(), axes.end());
  std::uint64_t extent = size;
  for (const auto& [stride, length] : axes) {
    if (stride < extent) return false;
    extent += (length - 1) * stride;
  }
  return true;
}

void SetOperand(Sweep& sweep, Operand k, const py::array& array) {
  const auto axes = static_cast<std::size_t>(array.ndim());
  SweepOperand& operand = sweep.operands[k];
  operand.first = reinterpret_cast<std::uintptr_t>(array.data());
  bool fits = axes <= sweep.axes;
  for (std::size_t i = 0; fits && i < axes; ++i) {
    const std::size_t axis = sweep.axes - axes + i;
    const auto length = static_cast<std::size_t>(array.shape(static_cast<py::ssize_t>(i)));
    fits = length == sweep.lengths[axis] || length == 1;
    if (length > 1) operand.strides[axis] = array.strides(static_cast<py::ssize_t>(i));
  }
  if (!fits) {
    throw py::value_error(std::string(kNames[k]) +
                          " cannot be broadcast to the shape of out, got " +
                          py::str(array.attr("shape")).cast<std::string>());
  }
}

void SetRange(Sweep& sweep, const py::object& step) {
  const auto [start, distance] = step.cast<std::pair<std::int64_t, std::int64_t>>();
  if (sweep.axes == 0) throw py::value_error("step must be an array where out has no axis");
  // The distance to the last step must not leave int64, nor may the step itself.
  const std::size_t n = sweep.lengths[sweep.axes - 1];
  const std::uint64_t magnitude = distance < 0 ? 0 - static_cast<std::uint64_t>(distance)
                                               : static_cast<std::uint64_t>(distance);
  const std::uint64_t room =
      distance < 0 ? static_cast<std::uint64_t>(start) + (std::uint64_t{1} << 63)
                   : static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) -
                         static_cast<std::uint64_t>(start);
  if (n > 1 && magnitude > room / (n - 1)) {
    throw py::value_error("step must be a range of 64-bit integers, got " +
                          py::repr(step).cast<std::string>());
  }
  sweep.steps_are_range = true;
  sweep.operands[kStep].first = static_cast<std::uint64_t>(start);
  sweep.operands[kStep].strides[sweep.axes - 1] = distance;
}

}  // namespace

int EvaluateArrays(const Kernels& kernels, const py::object& out, const py::object& step,
                   const py::object& initial_learning_rate, const py::object& decay_steps,
                   const py::object& decay_rate, bool staircase, const std::string& arithmetic) {
  if (arithmetic != "float32" && arithmetic != "float64") {
    throw py::value_error("arithmetic must be 'float32' or 'float64', got '" + arithmetic + "'");
  }
  const bool narrow = arithmetic == "float32";
  Sweep sweep{};
  sweep.form = staircase ? Form::kStaircase : Form::kContinuous;
  sweep.arithmetic = narrow ? DType::kFloat32 : DType::kFloat64;

  std::vector<DType> results{DType::kFloat16, DType::kFloat32};
  std::vector<DType> steps{DType::kInt32, DType::kUInt32, DType::kInt64, DType::kUInt64,
                           DType::kFloat32};
  if (!narrow) {
    results.push_back(DType::kFloat64);
    steps.push_back(DType::kFloat64);
  }
  const py::array result = ArrayOf(kOut, out, results, sweep.result);
  if (!result.writeable()) throw py::value_error("out must be writable");
  sweep.axes = static_cast<std::size_t>(result.ndim());
  if (sweep.axes > kMaxAxes) throw py::value_error("out must not have more than 64 axes");
  std::size_t n = 1;
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) {
    sweep.lengths[axis] = static_cast<std::size_t>(result.shape(static_cast<py::ssize_t>(axis)));
    n *= sweep.lengths[axis];
  }
  SetOperand(sweep, kOut, result);

  // Owned here, because other threads may run while the loops do.
  std::vector<py::array> inputs;
  const auto add = [&](Operand k, const py::object& object, const std::vector<DType>& allowed,
                       DType& dtype) {
    inputs.push_back(ArrayOf(k, object, allowed, dtype));
    SetOperand(sweep, k, inputs.back());
  };
  if (py::isinstance<py::tuple>(step)) {
    SetRange(sweep, step);
  } else {
    add(kStep, step, steps, sweep.step);
  }
  DType arithmetic_dtype;
  add(kInitialLearningRate, initial_learning_rate, {sweep.arithmetic}, arithmetic_dtype);
  add(kDecaySteps, decay_steps, {sweep.arithmetic}, arithmetic_dtype);
  add(kDecayRate, decay_rate, {sweep.arithmetic}, arithmetic_dtype);
  if (n == 0) return 0;

  const auto size = static_cast<std::uint64_t>(result.itemsize());
  if (!ElementsLieApart(sweep, size)) throw py::value_error("out must not overlap itself");
  const Extent stored = ExtentOf(sweep.operands[kOut], sweep);
  for (const Operand k : {kStep, kInitialLearningRate, kDecaySteps, kDecayRate}) {
    if (k == kStep && sweep.steps_are_range) continue;
    const Extent read = ExtentOf(sweep.operands[k], sweep);
    if (read.first < stored.last + size && stored.first < read.last + sizeof(double)) {
      throw py::value_error(std::string("out must not lie between the elements of ") + kNames[k]);
    }
  }

  const Resources resources = ResourcesFor(n);
  int raised = 0;
  WithoutGil([&] {
    const CollectExceptions exceptions;
    EvaluateSweep(kernels, sweep, resources);
    raised = exceptions.Raised();
  });
  return NumPyFlags(raised);
}

}  // namespace invdecay
