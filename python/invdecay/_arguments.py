"""Every check of an argument: the same argument is checked by the same function everywhere."""

import math
import operator
from typing import Any

import numpy as np

# ---------------------------------------------------------------- hyperparameters

_NO_NUMBERS = (str, bytes, bool, np.bool_, complex, np.complexfloating)


def hyperparameter(name: str, value: Any) -> float:
    """Return one hyperparameter as a Python float, or say by its name what is wrong with it.

    Raises
    ------
    TypeError
        If `value` is no single real number.
    ValueError
        If it is NaN, infinite or, for ``decay_steps``, not positive.
    """
    dtype = getattr(value, "dtype", None)
    is_array = isinstance(dtype, np.dtype) and (dtype.kind not in "iuf" or value.shape)
    if is_array or isinstance(value, _NO_NUMBERS):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if name == "decay_steps" and number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def check_hyperparameter(name: str, value: Any) -> None:
    """Check a hyperparameter of `inverse_time_decay`: numbers by value, arrays only by kind.

    A 0-d array of another library is an array: it may be traced, or on a device far away.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        is_array = value.shape != ()
    else:
        is_array = hasattr(value, "shape") or isinstance(value, (list, tuple))
    if not is_array:
        hyperparameter(name, value)
        return
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got an array of {dtype}")


def representable_hyperparameter(name: str, value: Any, dtype: np.dtype[Any]) -> float:
    """Check that a hyperparameter stays finite, and decay_steps positive, once cast to `dtype`."""
    number = hyperparameter(name, value)
    with np.errstate(all="ignore"):
        rounded = dtype.type(number)
    if not np.isfinite(rounded) or (name == "decay_steps" and rounded <= 0):
        raise ValueError(
            f"{name} must be {'positive' if rounded == 0 else 'finite'} in {dtype}, got {value!r}"
        )
    return number


# ---------------------------------------------------------------- steps, dtypes and results


def integer(name: str, value: Any, kind: str = "an integer") -> int:
    """Return an integer argument as a Python int; a boolean is not one."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be {kind}, got {value!r}")


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


def check_output(out: Any, length: int) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {out!r}")
    if out.dtype.kind != "f":
        raise TypeError(f"out must be of a real floating dtype, got {out.dtype}")
    if out.shape != (length,):
        raise ValueError(f"out must have shape ({length},), got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")


def arithmetic_dtype(initial_learning_rate: Any, dtype: Any) -> np.dtype[Any]:
    """Return `dtype`, else that of the initial learning rate, if it is an arithmetic dtype."""
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


def floating_dtype(name: str, value: Any) -> np.dtype[Any]:
    """Return the dtype that a table is stored in: any real floating one, in either byte order."""
    try:
        dtype: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise TypeError(f"{name} must be a real floating dtype, got {value!r}") from None
    if dtype.kind != "f":
        raise TypeError(f"{name} must be a real floating dtype, got {dtype}")
    return dtype
