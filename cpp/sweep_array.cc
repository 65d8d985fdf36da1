#include "sweep_array.h"

#include <pybind11/numpy.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/ndarraytypes.h>

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

// Finds the type of an array's elements. Returns false where no loop reads or stores them.
bool FindDType(PyArrayObject* array, DType& dtype) {
  if (!PyArray_ISNOTSWAPPED(array)) return false;
  const int type = PyArray_TYPE(array);
  constexpr bool kLongHas64Bits = sizeof(long) == 8;  // C has more integer types than sizes
  switch (type) {
    case NPY_INT:
      dtype = DType::kInt32;
      return true;
    case NPY_UINT:
      dtype = DType::kUInt32;
      return true;
    case NPY_LONG:
      dtype = kLongHas64Bits ? DType::kInt64 : DType::kInt32;
      return true;
    case NPY_ULONG:
      dtype = kLongHas64Bits ? DType::kUInt64 : DType::kUInt32;
      return true;
    case NPY_LONGLONG:
      dtype = DType::kInt64;
      return true;
    case NPY_ULONGLONG:
      dtype = DType::kUInt64;
      return true;
    case NPY_HALF:
      dtype = DType::kFloat16;
      return true;
    case NPY_FLOAT:
      dtype = DType::kFloat32;
      return true;
    case NPY_DOUBLE:
      dtype = DType::kFloat64;
      return true;
    default:
      return false;
  }
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

// Returns false where the array cannot be broadcast to the output.
bool SetOperand(Sweep& sweep, Operand k, PyArrayObject* array) {
  const auto axes = static_cast<std::size_t>(PyArray_NDIM(array));
  SweepOperand& operand = sweep.operands[k];
  operand.first = reinterpret_cast<std::uintptr_t>(PyArray_DATA(array));
  if (axes > sweep.axes) return false;
  for (std::size_t i = 0; i < axes; ++i) {
    const std::size_t axis = sweep.axes - axes + i;
    const auto length = static_cast<std::size_t>(PyArray_DIMS(array)[i]);
    if (length != sweep.lengths[axis] && length != 1) return false;
    if (length > 1) operand.strides[axis] = PyArray_STRIDES(array)[i];
  }
  return true;
}

// Returns false where the output has no axis for the range, or a step leaves int64.
bool SetRange(Sweep& sweep, const py::tuple& range) {
  const auto [start, distance] = range.cast<std::pair<std::int64_t, std::int64_t>>();
  if (sweep.axes == 0) return false;
  const std::size_t n = sweep.lengths[sweep.axes - 1];
  const std::uint64_t magnitude = distance < 0 ? 0 - static_cast<std::uint64_t>(distance)
                                               : static_cast<std::uint64_t>(distance);
  const std::uint64_t most =
      distance < 0 ? static_cast<std::uint64_t>(start) + (std::uint64_t{1} << 63)
                   : static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) -
                         static_cast<std::uint64_t>(start);
  if (n > 1 && magnitude > most / (n - 1)) return false;
  sweep.steps_are_range = true;
  sweep.operands[kStep].first = static_cast<std::uint64_t>(start);
  sweep.operands[kStep].strides[sweep.axes - 1] = distance;
  return true;
}

std::size_t ElementsOf(const Sweep& sweep) {
  std::size_t n = 1;
  for (std::size_t axis = 0; axis < sweep.axes; ++axis) n *= sweep.lengths[axis];
  return n;
}

// Describes a call to the kernels. Returns false where they do not take the operands.
bool Describe(const Operands& operands, Sweep& sweep) {
  std::array<PyArrayObject*, kNumOperands> arrays{};
  std::array<DType, kNumOperands> dtypes{};
  for (std::size_t k = 0; k < kNumOperands; ++k) {
    if (k == kStep && py::isinstance<py::tuple>(operands[k])) continue;
    if (!py::isinstance<py::array>(operands[k])) return false;
    arrays[k] = reinterpret_cast<PyArrayObject*>(operands[k].ptr());
    if (!FindDType(arrays[k], dtypes[k])) return false;
  }
  for (const Operand k : {kInitialLearningRate, kDecaySteps, kDecayRate}) {
    if (dtypes[k] != sweep.arithmetic) return false;
  }
  const bool narrow = sweep.arithmetic == DType::kFloat32;
  sweep.step = dtypes[kStep];
  sweep.result = dtypes[kOut];
  // Steps of more bits than the arithmetic would be rounded twice.
  if (sweep.step == DType::kFloat16 || (narrow && sweep.step == DType::kFloat64)) return false;
  if (sweep.result < DType::kFloat16 || sweep.result > sweep.arithmetic) return false;

  PyArrayObject* const out = arrays[kOut];
  if (!PyArray_ISWRITEABLE(out)) return false;
  sweep.axes = static_cast<std::size_t>(PyArray_NDIM(out));
  if (sweep.axes > kMaxAxes) return false;
  std::copy_n(PyArray_DIMS(out), sweep.axes, sweep.lengths.begin());
  for (std::size_t k = 0; k < kNumOperands; ++k) {
    const bool set = arrays[k] != nullptr ? SetOperand(sweep, static_cast<Operand>(k), arrays[k])
                                          : SetRange(sweep, operands[k].cast<py::tuple>());
    if (!set) return false;
  }
  if (ElementsOf(sweep) == 0) return true;

  // The kernels store the results in any order.
  const std::size_t size = SizeOf(sweep.result);
  if (!ElementsLieApart(sweep, size)) return false;
  const Extent stored = ExtentOf(sweep.operands[kOut], sweep);
  for (std::size_t k = 0; k < kOut; ++k) {
    if (arrays[k] == nullptr) continue;
    const Extent read = ExtentOf(sweep.operands[k], sweep);
    if (read.first < stored.last + size && stored.first < read.last + SizeOf(dtypes[k])) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<int> EvaluateArrays(const Kernels& kernels, const Operands& operands, bool staircase,
                                  const std::string& arithmetic) {
  Sweep sweep{};
  sweep.form = staircase ? Form::kStaircase : Form::kContinuous;
  sweep.arithmetic = ArithmeticNamed(arithmetic);
  if (!Describe(operands, sweep)) return std::nullopt;
  const Resources resources = ResourcesFor(ElementsOf(sweep));
  int raised = 0;
  WithoutGil([&] {
    const CollectExceptions exceptions;
    EvaluateSweep(kernels, sweep, resources);
    raised = exceptions.Raised();
  });
  return NumPyFlags(raised);
}

}  // namespace invdecay
