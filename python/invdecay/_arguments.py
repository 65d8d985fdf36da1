"""Every check of an argument: the same argument is checked by the same function everywhere."""

import math
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# ---------------------------------------------------------------- hyperparameters

_NOT_REAL = (str, bytes, bool, np.bool_, complex, np.complexfloating)


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
    dtype = getattr(value, "dtype", None)
    is_array = isinstance(dtype, np.dtype) and (dtype.kind not in "iuf" or value.shape)
    if is_array or isinstance(value, _NOT_REAL):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {_shortened(value)}")
    if positive and number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def hyperparameter_in(dtype: np.dtype[Any], name: str, value: Any) -> float:
    """Return a hyperparameter that stays finite, and ``decay_steps`` positive, in `dtype`."""
    number = hyperparameter(name, value)
    with np.errstate(all="ignore"):
        rounded = dtype.type(number)
    if not np.isfinite(rounded) or (name == "decay_steps" and rounded <= 0):
        raise ValueError(
            f"{name} must be {'positive' if rounded == 0 else 'finite'} in {dtype}, got {value!r}"
        )
    return number


def hyperparameter_operand(name: str, value: Any) -> Any:
    """Return a hyperparameter of `inverse_time_decay` as an operand.

    Single numbers are checked by value. Arrays are checked by dtype alone, because they follow
    IEEE arithmetic. A 0-d array of another library counts as an array: it may be traced, or on a
    device far away.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.shape == ():
            hyperparameter(name, value)
            return value
    elif isinstance(value, (list, tuple)):
        value = np.asarray(value)
    elif not hasattr(value, "shape"):
        return hyperparameter(name, value)
    value = widened(value)
    _check_dtypes(name, value, "iuf")
    return value


# ---------------------------------------------------------------- steps


def step_operand(step: Any) -> Any:
    """Return `step`, with array-likes as arrays, if it holds real numbers.

    The dtype alone decides, so that nothing lazy is computed.

    Raises
    ------
    TypeError
        If `step` holds text, complex numbers, dates, durations or objects.
    """
    if not (isinstance(step, (np.ndarray, np.generic)) or is_override(step)):
        if isinstance(step, int):
            return int(step)
        # An object array hides the numbers that need not fit a dtype, such as fractions.
        step = float(step) if is_python_number(step) else np.asarray(step)
    step = widened(step)
    _check_dtypes("step", step, "biuf")
    return step


def widened(array: Any) -> Any:
    """Return an array of ml_dtypes' small floats, such as bfloat16, as float32.

    NumPy's ufuncs do not promote them. Anything else is returned as it is.
    """
    dtype = getattr(array, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind == "V" and np.can_cast(dtype, np.float32):
        return array.astype(np.float32)
    return array


def is_override(operand: Any) -> bool:
    """Return whether NumPy's ufuncs hand themselves over to `operand` (Dask, xarray, pandas)."""
    override = getattr(type(operand), "__array_ufunc__", None)
    return override is not None and override is not np.ndarray.__array_ufunc__


def is_python_number(value: Any) -> bool:
    """Return whether `value` is a single number that is not NumPy's, such as a fraction."""
    return hasattr(type(value), "__float__") and not hasattr(value, "dtype")


def _check_dtypes(name: str, array: Any, kinds: str) -> None:
    if hasattr(array, "dtype"):
        dtypes = [array.dtype]
    else:  # a data frame or a data set has one for each column
        dtypes = [dtype for _, dtype in getattr(array, "dtypes", {}).items()]
    for dtype in dtypes:
        if not _is_of_kind(dtype, kinds):
            raise TypeError(f"{name} must hold real numbers, got an array of {dtype}")


def _is_of_kind(dtype: Any, kinds: str) -> bool:
    """Return whether a dtype of NumPy, pandas or polars holds real numbers of `kinds`."""
    kind = getattr(dtype, "kind", None)
    if isinstance(kind, str):
        return kind in kinds
    if hasattr(dtype, "is_numeric"):
        return dtype.is_integer() or dtype.is_float() or ("b" in kinds and str(dtype) == "Boolean")
    return True  # the array's own library checks it


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
    """Return the repr of a number, cut where an integer has thousands of digits."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        return f"an integer of {value.bit_length()} bits"
    return text


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
        typed = isinstance(own, np.dtype) and own.kind == "f"
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
