"""The one dispatcher: it decides what a step is and which code evaluates it.

`inverse_time_decay` and `InverseTimeDecay` both come here, so that they accept and refuse the same
steps. The kinds are, in the order in which they are tried: arrays of another array library, Python
ranges, objects that override NumPy's ufuncs, and what NumPy itself takes.
"""

import math
from functools import lru_cache
from operator import setitem
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrayapi
from ._arguments import dtypes_of, is_override, numpy_dtype, step_array, step_operand, step_range
from ._backend import evaluate as evaluate_grid
from ._backend import fill_range, report_flags, ufunc_of
from ._flags import flags_of
from ._formula import float_step

Hyperparameters = tuple[Any, Any, Any]
Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]

NARROW: dict[Any, bool] = {
    key: code in "ef" for code in "?bBhHiIlLqQefd" for key in (code, np.dtype(code).type)
}
"""For the steps that the ufuncs take, whether Python numbers beside them become float32.

The keys are the codes of dtypes and the types of NumPy's own scalars.
"""

LARGE = 1 << 15
"""Elements of a result from which the package's own iteration is faster than NumPy's."""

_PIECE = 1 << 25
"""Elements filled between two looks at pending signals (Ctrl-C): tens of milliseconds."""
_BLOCK = 1 << 15
"""Elements computed at once where `out` needs a conversion that the kernels do not store."""


def evaluate(
    step: Any,
    hyper: Hyperparameters,
    staircase: bool,
    *,
    out: Any = None,
    dtype: Any = None,
    **keywords: Any,
) -> Any:
    """Return the learning rates at `step`, whatever kind of steps it holds.

    Parameters
    ----------
    step : number, array_like, range or array of another library
        The steps.
    hyper : tuple
        Initial learning rate, decay steps and decay rate, checked: Python numbers or arrays.
    staircase : bool
        Which form.
    out : ndarray, optional
        Where to store the result.
    dtype : dtype, optional
        The dtype of the arithmetic. Default: the promotion of the operands.
    **keywords
        Further keywords of the ufunc.
    """
    xp = _arrayapi.namespace(step, *hyper)
    if xp is not None:
        if out is not None or keywords:
            kinds = ", ".join(type(x).__name__ for x in (step, *hyper))
            raise TypeError(f"out and ufunc keywords need NumPy operands, got {kinds}")
        name = None if dtype is None else np.dtype(dtype).name
        return _arrayapi.decay(xp, step, *hyper, staircase, name)
    overridden = any(map(is_override, (step, *hyper, out)))
    if isinstance(step, range):
        steps = step_range(step)
        if not (overridden or keywords or isinstance(out, tuple)):
            result = _at_range(steps, hyper, staircase, out, dtype)
            if result is not None:
                return result
        step = step_array(steps)
    step = step_operand(step)
    ufunc = ufunc_of(staircase)
    if overridden:
        return _overridden(ufunc, step, hyper, out, dtype, keywords)
    if type(step) is int and not -(2**63) <= step < 2**63:
        narrow = (dtype or promotion(0.0, *hyper)) == np.float32
        step = float_step(step, narrow)
    if not keywords and not isinstance(out, tuple):
        result = _at_grid(step, hyper, staircase, out, dtype)
        if result is not None:
            return result
        if dtype is None:
            # NumPy takes None in place of an output, and parses it faster by position.
            return ufunc(step, *hyper, out)
    if dtype is not None:
        keywords["dtype"] = dtype
    return ufunc(step, *hyper, out=out, **keywords)


# ---------------------------------------------------------------- dtypes


def promotion(*operands: Any) -> np.dtype[Any] | None:
    """Return the dtype of the arithmetic: NumPy's promotion (NEP 50) of the operands.

    Integers count as float64 and float16 counts as float32. None stands for anything else, which
    the ufunc refuses, and for dtypes that NumPy does not know.
    """
    try:
        seen = [x if type(x) in (int, float) else numpy_dtype(x.dtype) for x in operands]
        dtype = np.result_type(*seen)
    except TypeError:
        return None
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype == np.float16:
        return np.dtype(np.float32)
    native: np.dtype[Any] = dtype.newbyteorder("=")
    return native if native in (np.float32, np.float64) else None


# ---------------------------------------------------------------- hyperparameters


def kept_arrays(narrow: bool, hyper: Hyperparameters) -> tuple[npt.NDArray[Any], ...] | None:
    """Return checked Python numbers as 0-d arrays of the dtype they take beside such steps.

    `narrow` is for float16 and float32 steps. NumPy takes longer to convert three numbers than to
    evaluate 1,000 steps, so the arrays are kept. They may be given to NumPy's own code alone:
    an override could unlock and change them. None stands for anything but three good Python
    numbers.
    """
    try:
        return _kept_arrays(narrow, *hyper)
    except TypeError:  # an array or a list cannot be hashed
        return None


@lru_cache(maxsize=128, typed=True)
def _kept_arrays(narrow: bool, *numbers: Any) -> tuple[npt.NDArray[Any], ...] | None:
    if not all(type(number) in (int, float) for number in numbers):
        return None
    if numbers[0] == 0 or not numbers[1] > 0:  # 0.0 and -0.0 are one key, but differ in the rate
        return None
    try:
        with np.errstate(all="ignore"):
            arrays = [np.asarray(x, np.float32 if narrow else np.float64) for x in numbers]
    except OverflowError:
        return None
    for array in arrays:
        if not np.isfinite(array):  # the conversion has a flag to report
            return None
        array.flags.writeable = False
    return tuple(arrays)


# ---------------------------------------------------------------- overriding objects


def _overridden(
    ufunc: Any, step: Any, hyper: Hyperparameters, out: Any, dtype: Any, keywords: dict[str, Any]
) -> Any:
    """Let Dask, xarray, pandas, polars and the like call the ufunc."""
    if out is None and _has_missing_values(step) and all(type(x) is float for x in hyper):
        # As one array they would be objects.
        return step.apply(
            lambda column: _overridden(ufunc, column, hyper, None, dtype, {**keywords})
        )
    if out is not None:
        keywords["out"] = out
    if dtype is None:
        return ufunc(step, *hyper, **keywords)
    arithmetic = np.dtype(dtype)
    natural = promotion(step, *hyper) if hasattr(step, "dtype") else None
    if natural is not None and natural == arithmetic:  # a dtype equals None if it is float64
        return ufunc(step, *hyper, **keywords)  # missing values stay missing
    operands = (step, *hyper)
    if all(hasattr(x, "astype") or isinstance(x, (int, float)) for x in operands):
        # Dask takes a ufunc's dtype= as a mere label, so the operands carry the dtype.
        typed = [
            arithmetic.type(x) if isinstance(x, (int, float)) else x.astype(arithmetic)
            for x in operands
        ]
        return ufunc(*typed, **keywords)
    return ufunc(*operands, dtype=arithmetic, **keywords)


def _has_missing_values(frame: Any) -> bool:
    """Return whether this is pandas's data frame with columns of nullable dtypes."""
    columns = [] if hasattr(frame, "dtype") else dtypes_of(frame)
    return any(not isinstance(dtype, np.dtype) for dtype in columns)


# ---------------------------------------------------------------- ranges and grids


def fill(
    out: npt.NDArray[Any],
    steps: range,
    hyper: tuple[float, float, float],
    staircase: bool,
    arithmetic: np.dtype[Any],
) -> int:
    """Store the learning rates at `steps` in `out`, and return the floating-point flags raised.

    `out` is any writable one-dimensional array of a real floating dtype. The flags are NumPy's
    (1 divide, 2 over, 4 under, 8 invalid). Nothing is reported.
    """
    flags = 0
    if abs(steps.step) >= 2**63:  # a distance that int64 does not hold, between two steps or three
        for i, step in enumerate(steps):
            flags |= fill(out[i : i + 1], range(step, step + 1), hyper, staircase, arithmetic)
        return flags
    name = _name(arithmetic)
    direct = out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative
    if direct and out.dtype.char in "efd" and out.itemsize <= arithmetic.itemsize:
        for i in range(0, len(steps), _PIECE):
            piece = out[i : i + _PIECE]
            flags |= fill_range(piece, steps[i], steps.step, *hyper, staircase, name)
        return flags
    buffer = np.empty(min(_BLOCK, len(steps)), arithmetic)
    for i in range(0, len(steps), _BLOCK):
        block = buffer[: len(steps) - i]
        flags |= fill_range(block, steps[i], steps.step, *hyper, staircase, name)
        flags |= flags_of(setitem, out, slice(i, i + _BLOCK), block)
    return flags


def _at_range(
    steps: range, hyper: Hyperparameters, staircase: bool, out: Any, dtype: Any
) -> npt.NDArray[Any] | None:
    """Evaluate a range without an array of steps; None where the operands need NumPy's help."""
    like = np.broadcast_to(np.int64(0), len(steps))  # the dtype and shape of the steps
    found = _plan(like, hyper, out, dtype)
    if found is None:
        return None
    result, arrays, arithmetic = found
    # One step is broadcast, and a distance beyond int64 is for an array of steps.
    if result.shape[-1:] != like.shape or abs(steps.step) >= 2**63:
        return None
    flags: int | None
    if result.ndim == 1 and all(array.ndim == 0 for array in arrays):
        lr, decay_steps, rate = map(float, arrays)
        flags = fill(result, steps, (lr, decay_steps, rate), staircase, arithmetic)
    else:
        at = (steps.start, steps.step)
        flags = evaluate_grid(result, at, *arrays, staircase, _name(arithmetic))
        if flags is None:
            return None
    report_flags(ufunc_of(staircase).__name__, flags)
    return result


def _at_grid(
    step: Any, hyper: Hyperparameters, staircase: bool, out: Any, dtype: Any
) -> npt.NDArray[Any] | None:
    """Evaluate arrays where NumPy's iteration would be slow; None where it serves.

    NumPy evaluates one row at a time, on one thread, and casts a buffer at a time where `out` is
    narrower. The package's own iteration splits the whole result over threads, and rounds each
    rate as it stores it.
    """
    narrow = type(out) is np.ndarray and out.dtype.char in "ef"
    most = math.prod(x.size for x in (step, *hyper) if type(x) is np.ndarray)
    if most < LARGE and not narrow:
        return None
    at = np.asarray(step)
    flat = at.flags.forc and not any(getattr(x, "ndim", 0) for x in hyper)
    if flat and out is None:
        return None
    found = _plan(step, hyper, out, dtype)
    if found is None:
        return None
    result, arrays, arithmetic = found
    flat = flat and result.flags.c_contiguous
    if result.dtype == arithmetic and (flat or result.size < LARGE):
        return None
    if at.dtype.kind == "f":
        loop = at.dtype.newbyteorder("=") if at.dtype in (np.float32, arithmetic) else arithmetic
    else:
        loop = np.result_type(at.dtype.newbyteorder("="), np.int32 if at.itemsize < 4 else at.dtype)
    at = np.asarray(at, loop)
    flags = evaluate_grid(result, at, *arrays, staircase, _name(arithmetic))
    if flags is None:
        return None
    report_flags(ufunc_of(staircase).__name__, flags)
    return result


_ALLOCATE_LAST: Any = [["readonly"]] * 4 + [["writeonly", "allocate"]]


def _plan(
    step: npt.NDArray[Any], hyper: Hyperparameters, out: Any, dtype: Any
) -> tuple[npt.NDArray[Any], Arrays, np.dtype[Any]] | None:
    """Return the output, the hyperparameters as arrays, and the arithmetic of a grid.

    None stands for whatever NumPy has to judge: subclasses, other dtypes, bad shapes.
    """
    operands = (step, *hyper)
    if not all(map(_is_real, operands)):
        return None
    arithmetic = promotion(*operands) if dtype is None else np.dtype(dtype)
    if arithmetic not in (np.float32, np.float64):
        return None
    if out is None:
        try:
            out = np.nditer(
                [*operands, None],
                flags=["zerosize_ok"],
                op_flags=_ALLOCATE_LAST,
                op_dtypes=[None] * 4 + [arithmetic],
            ).operands[4]
        except ValueError:  # shapes that cannot be broadcast
            return None
    elif not _may_hold(out, arithmetic):
        return None
    lr, decay_steps, rate = (np.asarray(x, arithmetic) for x in hyper)
    return out, (lr, decay_steps, rate), arithmetic


def _is_real(operand: Any) -> bool:
    if type(operand) is np.ndarray or isinstance(operand, np.generic):
        return operand.dtype.kind in "biuf"
    return type(operand) in (int, float)


def _may_hold(out: Any, arithmetic: np.dtype[Any]) -> bool:
    """Return whether the kernels store rates of such arithmetic in the elements of `out`."""
    if type(out) is not np.ndarray or out.dtype.char not in "efd" or not out.dtype.isnative:
        return False
    return out.flags.behaved and out.itemsize <= arithmetic.itemsize


def _name(arithmetic: np.dtype[Any]) -> str:
    """Return ``arithmetic.name``, which NumPy takes a microsecond to put together."""
    return "float32" if arithmetic.itemsize == 4 else "float64"
