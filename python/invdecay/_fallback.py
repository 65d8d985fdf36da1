"""The kernels composed of NumPy's own ufuncs, for where the native module is missing."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import converted, dtypes_of, is_override, numpy_dtype
from ._flags import flags_of, report_flags
from ._formula import formula

BLOCK = 8192
"""Elements evaluated at once: small enough for every temporary to stay in the L1/L2 cache."""

_STEP_LOOPS = tuple(np.dtype(t) for t in ("int32", "uint32", "int64", "uint64"))
_NUMBERS = (int, float)

# ---------------------------------------------------------------- the two functions


def _function(form: str, floor: Callable[[Any], Any] | None) -> Callable[..., Any]:
    def decay(
        step: Any,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        out: Any = None,
        *,
        where: Any = True,
        casting: Any = "same_kind",
        order: Any = "K",
        dtype: npt.DTypeLike | None = None,
        subok: bool = True,
    ) -> Any:
        operands = step, initial_learning_rate, decay_steps, decay_rate
        return _decay(name, floor, operands, out, where, casting, order, dtype, subok)

    name = f"{form}_decay"
    decay.__name__ = decay.__qualname__ = name
    decay.__module__ = "invdecay"  # pickles name the public module
    decay.__doc__ = f"Return the learning rate of the {form} schedule; keywords as for ufuncs."
    return decay


continuous_decay = _function("continuous", None)
staircase_decay = _function("staircase", np.floor)


def _decay(
    name: str,
    floor: Callable[[Any], Any] | None,
    operands: Sequence[Any],
    out: Any,
    where: Any,
    casting: Any,
    order: Any,
    dtype: npt.DTypeLike | None,
    subok: bool,
) -> Any:
    if isinstance(out, tuple) and len(out) != 1:
        raise ValueError(f"{name}: out must be one array, got {len(out)}")
    target = out[0] if isinstance(out, tuple) else out
    if any(map(is_override, (*operands, target))):
        if target is not None or where is not True:
            kinds = ", ".join(type(x).__name__ for x in operands)
            message = (
                f"{name}: the fallback takes out and where with NumPy arrays alone, got {kinds}"
            )
            raise TypeError(message)
        return _composed(name, floor, operands, dtype)
    if target is not None and not isinstance(target, np.ndarray):
        raise TypeError(f"{name}: out must be an array, got {target!r}")
    if target is not None and not target.flags.writeable:
        raise ValueError(f"{name}: out is read-only")
    dtypes = _loop_dtypes(name, operands, dtype)
    # Python numbers take the loop's dtype whatever `casting` says, except under "equiv", where
    # it depends on NumPy's version.
    for x, loop in zip(operands, dtypes, strict=False):
        if casting == "equiv" and type(x) in _NUMBERS:
            np.add(np.empty(0, loop), x, casting=casting, dtype=loop)
    arrays = [
        np.asanyarray(x, loop if type(x) in _NUMBERS else None)
        for x, loop in zip(operands, dtypes, strict=False)
    ]
    pairs = [(array.dtype, loop) for array, loop in zip(arrays, dtypes, strict=False)]
    if target is not None:
        pairs.append((dtypes[4], target.dtype))
    for given, wanted in pairs:
        if not np.can_cast(given, wanted, casting):
            raise TypeError(f"{name}: cannot cast {given} to {wanted} with casting={casting!r}")
    result = _in_blocks(name, floor, arrays, target, where, order, dtypes)
    if target is not None:
        return _wrapped(target, target, arrays)
    subclasses: list[Any] = [array for array in arrays if type(array) is not np.ndarray]
    if subok and subclasses:
        wrapper = max(subclasses, key=lambda array: getattr(array, "__array_priority__", 0.0))
        return _wrapped(result, wrapper, arrays)
    return result[()]


def _wrapped(
    result: npt.NDArray[Any], wrapper: npt.NDArray[Any], arrays: Sequence[npt.NDArray[Any]]
) -> Any:
    """Return a result as the subclass of `wrapper` has it, which may look at the operands.

    Masked arrays mask what is masked in any operand.
    """
    if type(wrapper) is np.ndarray:
        return result
    context = (np.frompyfunc(formula, len(arrays), 1), tuple(arrays), 0)
    is_scalar = result is not wrapper and result.ndim == 0
    return wrapper.__array_wrap__(result, context, is_scalar)


# ---------------------------------------------------------------- dtypes


def _weak_dtype(operand: Any) -> Any:
    """Return what NumPy promotion (NEP 50) sees: a weak Python number, or a dtype."""
    if type(operand) in (int, float, complex):
        return operand
    return np.asanyarray(operand).dtype


def _loop_dtypes(
    name: str, operands: Sequence[Any], dtype: npt.DTypeLike | None
) -> list[np.dtype[Any]]:
    """Return the dtypes of operands and result in the native loop for the same call."""
    if dtype is not None:
        asked = np.dtype(dtype)
    else:
        try:
            asked = np.result_type(*map(_weak_dtype, operands))
        except TypeError:
            asked = np.dtype(object)
        if asked.kind in "biu":
            asked = np.dtype(np.float64)
        elif asked == np.float16:
            asked = np.dtype(np.float32)
    if asked not in (np.float32, np.float64):
        given = ", ".join(str(np.asanyarray(operand).dtype) for operand in operands)
        raise TypeError(
            f"{name}: the arithmetic is float32 or float64, which ({given}) with dtype={asked}"
            " is not; pass dtype= or convert the arguments"
        )
    asked = asked.newbyteorder("=")
    step = np.asanyarray(operands[0]).dtype.newbyteorder("=")
    if type(operands[0]) is int:
        step = np.dtype(np.int64)
    elif step.kind in "biu" and step not in _STEP_LOOPS:
        step = np.dtype(np.int32)
    elif step.kind not in "biu" and step != np.float32:
        step = asked
    return [step, asked, asked, asked, asked]


# ---------------------------------------------------------------- evaluation


def _in_blocks(
    name: str,
    floor: Callable[[Any], Any] | None,
    arrays: Sequence[npt.NDArray[Any]],
    target: npt.NDArray[Any] | None,
    where: Any,
    order: Any,
    dtypes: Sequence[np.dtype[Any]],
) -> npt.NDArray[Any]:
    """Evaluate broadcast arrays block by block, and report the floating-point flags once.

    The iterator yields blocks in the operands' own dtypes. `astype` and assignment cast them,
    because the casts of an iterator report no flags.
    """
    masked = where is not True
    stored = [array.dtype for array in arrays]
    stored.append(dtypes[4] if target is None else target.dtype)
    elementwise = "overlap_assume_elementwise"
    flags: list[Any] = [["readonly", "aligned", "nbo", elementwise]] * 4
    write = "readwrite" if masked and target is not None else "writeonly"
    flags.append([write, "aligned", "nbo", "allocate", "no_broadcast", "no_subtype", elementwise])
    operands: list[Any] = [np.asarray(array) for array in arrays]
    operands.append(None if target is None else np.asarray(target))
    if masked:
        operands.append(_mask(where))
        flags.append(["readonly", "aligned", "nbo"])
        stored.append(np.dtype(np.bool_))
    iterator = np.nditer(
        operands,
        flags=["external_loop", "buffered", "zerosize_ok", "copy_if_overlap"],
        op_flags=flags,
        op_dtypes=[dtype.newbyteorder("=") for dtype in stored],
        order=order,
        casting="equiv",
        buffersize=BLOCK,
    )

    def store() -> None:
        blocks: Any = iterator if masked else ((*parts, ...) for parts in iterator)
        for *inputs, block, mask in blocks:
            if masked:
                block.astype(dtypes[4], copy=False)  # NumPy casts what is left out, too
            step, lr, decay_steps, rate = (
                operand.astype(dtype, copy=False)[mask]
                for operand, dtype in zip(inputs, dtypes, strict=False)
            )
            at = step.astype(dtypes[4], copy=False)
            block[mask] = formula(at, lr, decay_steps, rate, floor)

    with iterator:
        result: npt.NDArray[Any] = iterator.operands[4]
        raised = flags_of(store)
    report_flags(name, raised)
    return result


def _mask(where: Any) -> npt.NDArray[np.bool_]:
    """Return ``where=`` as NumPy reads it: arrays must be boolean, all else has a truth value."""
    if isinstance(where, np.ndarray):
        return where.astype(np.bool_, casting="safe", copy=False)
    return np.asarray(where, dtype=np.bool_)


def _composed(
    name: str,
    floor: Callable[[Any], Any] | None,
    operands: Sequence[Any],
    dtype: npt.DTypeLike | None,
) -> Any:
    """Evaluate objects that override NumPy's ufuncs, by their own operations."""
    labelled = [x for x in operands if type(x).__module__.split(".")[0] == "pandas"]
    if len({getattr(x, "ndim", 0) for x in labelled}) > 1:
        # Their operators match the labels of a series with the columns, those of ufuncs refuse.
        raise TypeError(f"{name}: a data frame and a series of pandas do not go together")
    seen = [x if type(x) in _NUMBERS else _numpy_dtype(x) for x in operands]
    like = [x if type(x) in _NUMBERS else np.empty(0, x) for x in seen]
    arithmetic = _loop_dtypes(name, like, dtype)[4]

    def typed(x: Any, dtype: Any) -> Any:
        # Where promotion alone gives the arithmetic, missing values of pandas stay missing.
        if type(x) in _NUMBERS or np.result_type(dtype, 0.0) == arithmetic:
            return x
        return converted(x, arithmetic)

    step, lr, decay_steps, rate = map(typed, operands, seen)
    result = formula(step, lr, decay_steps, rate, floor)
    if _numpy_dtype(result) != arithmetic:
        kind = type(result).__name__  # polars divides numbers by float32 in float64
        raise TypeError(f"{name}: without native kernels {kind} does not compute in {arithmetic}")
    return result


def _numpy_dtype(array: Any) -> np.dtype[Any]:
    """Return the dtype of an overriding object as NumPy's; what NumPy does not know is float64."""
    dtypes = set(dtypes_of(array))
    try:
        return numpy_dtype(dtypes.pop()) if len(dtypes) == 1 else np.dtype(np.float64)
    except TypeError:
        return np.dtype(np.float64)


def evaluate(
    out: npt.NDArray[Any],
    step: npt.NDArray[Any] | tuple[int, int],
    initial_learning_rate: npt.NDArray[Any],
    decay_steps: npt.NDArray[Any],
    decay_rate: npt.NDArray[Any],
    staircase: bool,
    arithmetic: str,
) -> int | None:
    """Evaluate a grid of steps and hyperparameters into `out` and return the flags it raised.

    `step` is an array, or the first step and the distance of a range along the last axis. None
    stands for an `out` that overlaps an input, which is left to NumPy, as by the kernels.
    """
    inputs = step, initial_learning_rate, decay_steps, decay_rate
    if any(isinstance(x, np.ndarray) and np.may_share_memory(out, x) for x in inputs):
        return None
    dtype = np.dtype(arithmetic)
    decay = staircase_decay if staircase else continuous_decay
    hyper = initial_learning_rate, decay_steps, decay_rate
    if isinstance(step, np.ndarray):
        return flags_of(lambda: decay(step, *hyper, out, dtype=dtype))
    start, distance = step
    length = out.shape[-1]

    def store() -> None:
        for i in range(0, length, _COLUMNS):
            columns = slice(i, i + _COLUMNS)
            at = np.arange(min(_COLUMNS, length - i)) * distance + (start + i * distance)
            lr, steps, rate = (x[..., columns] if x.ndim and x.shape[-1] > 1 else x for x in hyper)
            decay(at, lr, steps, rate, out[..., columns], dtype=dtype)

    return flags_of(store)


_COLUMNS = 1 << 20
"""Steps of a range that are an array at once."""


# ---------------------------------------------------------------- ranges


def fill_range(
    out: npt.NDArray[Any],
    start: int,
    step: int,
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool,
    arithmetic: str,
) -> int:
    """Store the decay of ``start + i * step`` in ``out[i]`` and return the flags it raised."""
    dtype = np.dtype(arithmetic)
    hyper = (dtype.type(x) for x in (initial_learning_rate, decay_steps, decay_rate))
    lr, steps, rate = hyper
    offsets = np.arange(min(BLOCK, len(out)), dtype=np.int64) * step

    def store() -> None:
        for i in range(0, len(out), BLOCK):
            block = out[i : i + BLOCK]
            at = (offsets[: len(block)] + (start + i * step)).astype(dtype)
            block[...] = formula(at, lr, steps, rate, np.floor if staircase else None)

    return flags_of(store)


# ---------------------------------------------------------------- threads

_process_limit = 1
_this_thread = threading.local()


def set_num_threads(n: int) -> None:
    """Keep the number for `get_num_threads`; the fallback itself runs on the calling thread."""
    global _process_limit
    _process_limit = n or 1


def get_num_threads() -> int:
    """Return the number of threads asked for."""
    return getattr(_this_thread, "limit", 0) or _process_limit


def limit_this_thread(n: int) -> int:
    """Override the number for calls of this Python thread (0: no override); return the old one."""
    previous: int = getattr(_this_thread, "limit", 0)
    _this_thread.limit = n
    return previous
