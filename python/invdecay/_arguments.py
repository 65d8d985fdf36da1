"""Every check of an argument: the same argument is checked by the same function everywhere."""

import math
import operator
import os
from collections import UserString
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# ---------------------------------------------------------------- hyperparameters

_NOT_REAL = (str, UserString, bytes, bytearray, bool, np.bool_, complex, np.complexfloating)


def hyperparameter(name: str, value: Any) -> float:
    """Return one hyperparameter as a Python float.

    Raises
    ------
    TypeError
        If `value` is not a single real number.
    ValueError
        If it is NaN, infinite or, for ``decay_steps``, not positive.
    """
    return finite(name, value, positive=name == "decay_steps")


def finite(name: str, value: Any, *, positive: bool = False) -> float:
    """Return one finite real number as a Python float; errors as for `hyperparameter`."""
    if not _may_be_one_number(value):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError, RuntimeError):  # PyTorch's tensors raise the last one
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {_shortened(value)}")
    if positive and number <= 0:
        raise ValueError(f"{name} must be positive, got {_shortened(value)}")
    return number


def _may_be_one_number(value: Any) -> bool:
    """Return whether ``float(value)`` may be asked.

    It would also read text in buffers, and take booleans and durations for numbers.
    """
    if isinstance(value, _NOT_REAL):
        return False
    if hasattr(value, "dtype") and not _is_of_kind(value.dtype, "iuf"):
        return False
    if getattr(value, "ndim", 0):
        return False
    return hasattr(type(value), "__float__") or hasattr(type(value), "__index__")


def hyperparameter_in(dtype: np.dtype[Any], name: str, value: Any) -> float:
    """Return a hyperparameter that stays finite, and ``decay_steps`` positive, in `dtype`."""
    number = hyperparameter(name, value)
    with np.errstate(all="ignore"):
        rounded = dtype.type(number)
    if not np.isfinite(rounded) or (name == "decay_steps" and rounded <= 0):
        raise ValueError(
            f"{name} must be {'positive' if rounded == 0 else 'finite'} in {dtype},"
            f" got {_shortened(value)}"
        )
    return number


def hyperparameter_operand(name: str, value: Any) -> Any:
    """Return a hyperparameter of `inverse_time_decay` as an operand.

    Single numbers are checked by value. Arrays are checked by dtype alone, because they follow
    IEEE arithmetic. A 0-d array of another library counts as an array: it may be traced, or on a
    device far away.
    """
    if type(value) is float and 0 < value < math.inf:
        return value  # the usual cases, by one look
    if type(value) is np.ndarray and value.ndim and value.dtype.kind in "iuf":
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        if value.shape == ():
            hyperparameter(name, value)
            return widened(value)
    elif isinstance(value, (list, tuple)):
        value = np.asarray(value)
    elif not hasattr(value, "shape"):
        return hyperparameter(name, value)
    _check_dtypes(name, value, "iuf")
    return widened(value)


# ---------------------------------------------------------------- steps


def step_operand(step: Any) -> Any:
    """Return `step`, with array-likes as arrays, if it holds real numbers.

    The dtype alone decides, so that nothing lazy is computed.

    Raises
    ------
    TypeError
        If `step` holds text, complex numbers, dates, durations or objects.
    """
    if type(step) is np.ndarray and step.dtype.kind in "biuf":
        return step  # the usual case, by one look
    if is_python_number(step):
        return python_number(step)
    if isinstance(step, (UserString, bytearray)) or hasattr(type(step), "as_py"):
        # NumPy would read the bytes of text: also of Arrow's scalars, whose numbers are told above.
        raise TypeError(f"step must hold real numbers, got {step!r}")
    if not (isinstance(step, (np.ndarray, np.generic)) or is_override(step)):
        # An object array hides the numbers that need not fit a dtype, such as fractions.
        step = np.asarray(step)
    _check_dtypes("step", step, "biuf")
    return widened(step)


def widened(array: Any) -> Any:
    """Return an array of a dtype that NumPy's ufuncs do not promote in one that they do.

    These are ml_dtypes' small floats, such as bfloat16, polars' 16-bit floats and booleans, and
    Arrow's booleans in pandas. Anything else is returned as it is.
    """
    dtype = getattr(array, "dtype", None)
    if isinstance(dtype, np.dtype):  # told first, because a name takes long to make
        return array.astype(np.float32) if _is_small_float(dtype) else array
    name = str(dtype)
    if name == "bool[pyarrow]":
        return array.astype("uint8[pyarrow]")
    if is_polars(array) and name in ("Boolean", "Float16"):
        import polars

        return array.cast(polars.UInt8 if name == "Boolean" else polars.Float32)
    return array


def _is_small_float(dtype: Any) -> bool:
    """Return whether a dtype is one of ml_dtypes' that float32 holds."""
    return isinstance(dtype, np.dtype) and dtype.kind == "V" and np.can_cast(dtype, np.float32)


NUMPYS_OWN = frozenset(
    {int, float, bool, type(None), list, tuple, range}
    | {np.ndarray, np.float64, np.float32, np.int64, np.int32}
)
"""The usual types that NumPy takes: told by one look, where the full question takes longer."""


def is_override(operand: Any) -> bool:
    """Return whether NumPy's ufuncs hand themselves over to `operand` (Dask, xarray, pandas)."""
    if type(operand) in NUMPYS_OWN:
        return False
    override = getattr(type(operand), "__array_ufunc__", None)
    return override is not None and override is not np.ndarray.__array_ufunc__


def is_polars(array: Any) -> bool:
    """Return whether `array` is a series of polars; its lazy expressions have no dtype."""
    return hasattr(array, "dtype") and _is_of_polars(array.dtype)


def _is_of_polars(dtype: Any) -> bool:
    return type(dtype).__module__.startswith("polars.")


def dtypes_of(array: Any) -> list[Any]:
    """Return the dtype of an array, or that of each column of a data frame or a data set."""
    if hasattr(array, "dtype"):
        return [array.dtype]
    dtypes = getattr(array, "dtypes", [])
    return dtypes if isinstance(dtypes, list) else [dtype for _, dtype in dtypes.items()]


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Return a dtype of real numbers, of pandas and polars too, as NumPy's.

    Raises
    ------
    TypeError
        If NumPy has no such dtype.
    """
    if isinstance(dtype, np.dtype):
        return dtype
    if _is_of_polars(dtype):
        return np.dtype(str(dtype).lower())
    of_pandas = getattr(dtype, "numpy_dtype", None) or getattr(dtype, "subtype", None)
    found: np.dtype[Any] = np.dtype(of_pandas or dtype)
    return found


def converted(array: Any, dtype: np.dtype[Any]) -> Any:
    """Return an overriding object in another dtype, where it has a way to convert."""
    if is_polars(array):
        import polars

        return array.cast(polars.Float32 if dtype == np.float32 else polars.Float64)
    return array.astype(dtype) if hasattr(array, "astype") else array


def is_python_number(value: Any) -> bool:
    """Return whether `value` is a single number that is not NumPy's, such as a fraction."""
    kind = type(value)
    is_number = hasattr(kind, "__float__") or hasattr(kind, "__index__")
    return is_number and not (hasattr(value, "dtype") or isinstance(value, UserString))


def python_number(step: Any) -> float:
    """Return a step that is a single number as an int, if it is one, else as a float.

    Beyond float64's range the float is infinite.
    """
    try:
        return operator.index(step)
    except TypeError:
        pass
    try:
        return float(step)
    except OverflowError:
        return math.inf if step > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"step must be a real number, got {step!r}") from None


def _check_dtypes(name: str, array: Any, kinds: str) -> None:
    for dtype in dtypes_of(array):
        if not _is_of_kind(dtype, kinds):
            raise TypeError(f"{name} must hold real numbers, got an array of {dtype}")


def _is_of_kind(dtype: Any, kinds: str) -> bool:
    """Return whether a dtype of NumPy, pandas or polars holds real numbers of `kinds`."""
    kind = getattr(dtype, "kind", None)
    if isinstance(kind, str):
        return kind in kinds or _is_small_float(dtype)
    if _is_of_polars(dtype):
        if str(dtype) == "Boolean":
            return "b" in kinds
        # NumPy has objects for 128-bit integers.
        return dtype.is_float() or (dtype.is_integer() and "128" not in str(dtype))
    # The array's own library says more.
    name = str(dtype).lower()
    return not ("complex" in name or "string" in name or ("bool" in name and "b" not in kinds))


def step_range(steps: int | range) -> range:
    """Return the steps of a table: ``range(steps)`` for an integer, a range as it is.

    A range of one step has the distance 1 here, so that every distance fits int64.

    Raises
    ------
    TypeError
        If `steps` is neither an integer nor a range.
    OverflowError
        If a step does not fit int64, or there are more steps than int64 counts.
    """
    if not isinstance(steps, range):
        steps = range(integer("steps", steps, "an integer or a range"))
    if not steps:
        return range(0)
    first, last = steps[0], steps[-1]
    for end in first, last:
        if not -(2**63) <= end < 2**63:
            raise OverflowError(f"steps must fit int64, got {end} in {steps}")
    if first == last:
        return range(first, first + 1)
    if (last - first) // steps.step >= 2**63 - 1:
        raise OverflowError(f"steps must be fewer than 2**63, got {steps}")
    return steps


def step_array(steps: range) -> npt.NDArray[np.int64]:
    """Return the steps of a checked range, whose distance may be more than int64 holds."""
    if not steps:
        return np.empty(0, np.int64)
    first, distance = (np.uint64(number % 2**64) for number in (steps[0], steps.step))
    return (np.arange(len(steps), dtype=np.uint64) * distance + first).view(np.int64)


# ---------------------------------------------------------------- single values


def integer(name: str, value: Any, kind: str = "an integer") -> int:
    """Return an integer argument as a Python int; a boolean is not one."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be {kind}, got {value!r}")


def boolean(name: str, value: Any) -> bool:
    """Return a boolean argument as a Python bool; numbers and text do not count as booleans."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a boolean, got {value!r}")
    return bool(value)


def _shortened(value: Any) -> str:
    """Return the repr of a number, or less where an integer has thousands of digits."""
    try:
        return repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        if isinstance(value, int):
            return f"an integer of {value.bit_length()} bits"
        return f"a {type(value).__name__} of thousands of digits"


# ---------------------------------------------------------------- dtypes and results


def arithmetic_dtype(initial_learning_rate: Any, dtype: Any) -> np.dtype[Any]:
    """Return `dtype`, else that of the initial learning rate, if it is float32 or float64."""
    if dtype is not None:
        try:
            arithmetic = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"dtype must be float32 or float64, got {dtype!r}") from None
    else:
        own = getattr(initial_learning_rate, "dtype", None)
        typed = isinstance(own, np.dtype) and (own.kind == "f" or _is_small_float(own))
        arithmetic = np.dtype(own if typed else np.float64)
    native: np.dtype[Any] = arithmetic.newbyteorder("=")
    if native not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {arithmetic}")
    return native


def floating_dtype(name: str, value: npt.DTypeLike) -> np.dtype[Any]:
    """Return a dtype in which a table may be stored: any real floating one."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"{name} must be a real floating dtype, got {value!r}") from None
    if dtype.kind != "f":
        raise TypeError(f"{name} must be a real floating dtype, got {dtype}")
    return dtype


def output(out: Any, length: int) -> npt.NDArray[Any]:
    """Return `out` if it can hold a table of `length` rates."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {out!r}")
    if isinstance(out, np.ma.MaskedArray):  # some ways to store keep its mask, and others do not
        raise TypeError(f"out must be an array without a mask, got {out!r}")
    if out.dtype.kind != "f":
        raise TypeError(f"out must be of a real floating dtype, got {out.dtype}")
    if out.shape != (length,):
        raise ValueError(f"out must have shape ({length},), got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def table_path(path: Any) -> Path:
    """Return `path` as a Path, if its suffix is that of a table."""
    try:
        target = Path(path)
    except TypeError:
        raise TypeError(f"path must be a string or a path, got {path!r}") from None
    text = os.fspath(path)
    if "://" in text:
        raise ValueError(f"path must be a path, not a URL, got {text!r}")
    if target.suffix not in (".npy", ".zarr"):
        raise ValueError(f"path must end in .npy or .zarr, got {text!r}")
    if "\0" in text:
        raise ValueError(f"path must not hold a null character, got {text!r}")
    return target
