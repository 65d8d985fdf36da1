"""The kernels composed of NumPy's own ufuncs, for where the native module is missing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._flags import gathered_flags, report_flags
from ._formula import formula

BLOCK = 8192
"""Elements evaluated at once: small enough for every temporary to stay in the L1/L2 cache."""


# ---------------------------------------------------------------- dtypes

_STEP_LOOPS = tuple(np.dtype(t) for t in ("int32", "uint32", "int64", "uint64"))


def _weak_dtype(operand: Any) -> Any:
    """Return what NumPy promotion (NEP 50) sees: a weak Python number, or a dtype."""
    if type(operand) in (int, float, complex):
        return operand
    return np.asanyarray(operand).dtype


def _loop_dtypes(
    name: str, operands: Sequence[Any], signature: Sequence[np.dtype[Any] | None]
) -> list[np.dtype[Any]]:
    """Return the dtypes of the loop that the native promoter picks for the same call."""
    asked = next((dtype for dtype in reversed(signature) if dtype is not None), None)
    if asked is None:
        seen = [_weak_dtype(operand) for operand in operands]
        try:
            asked = np.result_type(*seen)
        except TypeError:
            asked = np.dtype(object)
        if asked.kind in "biu":
            asked = np.dtype(np.float64)
        elif asked == np.float16:
            asked = np.dtype(np.float32)
    if asked not in (np.float32, np.float64):
        dtypes = ", ".join(str(np.asanyarray(operand).dtype) for operand in operands)
        msg = f"{name}: the arithmetic is float32 or float64, which ({dtypes})"
        msg += f" with dtype={asked} is not; pass dtype= or convert the arguments"
        raise TypeError(msg)
    step = np.asanyarray(operands[0]).dtype.newbyteorder("=")
    if signature[0] is not None:
        step = signature[0]
    elif type(operands[0]) is int:
        step = np.dtype(np.int64)
    elif step.kind in "biu" and step not in _STEP_LOOPS:
        step = np.dtype(np.int32)
    elif step.kind not in "biu" and step != np.float32:
        step = asked
    loop = [step, asked, asked, asked, asked]
    exists = step in (*_STEP_LOOPS, np.dtype(np.float32), asked)
    if not exists or any(s is not None and s != d for s, d in zip(signature, loop, strict=True)):
        raise TypeError(f"{name} has no loop for the signature {signature}")
    return loop


# ---------------------------------------------------------------- the ufuncs


class FallbackUfunc:
    """One decay form with the calling conventions of a `numpy.ufunc`, in pure Python.

    `numpy.nditer` does the broadcasting, casting, buffering and overlap handling that NumPy's
    ufunc machinery does for the native one. ``at``, ``reduce`` and the other methods that take
    no four-argument function are absent, and so is ``types``.
    """

    nin, nout, nargs = 4, 1, 5
    signature = None
    identity = None
    __module__ = "invdecay"

    def __init__(self, name: str, floor: Callable[[Any], Any] | None) -> None:
        self.__name__ = self.__qualname__ = name
        self._floor = floor

    def __repr__(self) -> str:
        return f"<ufunc '{self.__name__}' (fallback)>"

    def __reduce__(self) -> str:
        return self.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not 4 <= len(args) <= 5:
            msg = f"{self.__name__}() takes from 4 to 5 positional arguments, got {len(args)}"
            raise TypeError(msg)
        if len(args) == 5:
            if "out" in kwargs:
                msg = f"{self.__name__}() got out both by position and by keyword"
                raise TypeError(msg)
            kwargs["out"] = args[4]
        inputs, out = args[:4], kwargs.get("out")
        if out is None:
            kwargs.pop("out", None)
        elif not isinstance(out, tuple):
            kwargs["out"] = (out,)
        overrides = _array_ufunc_overrides((*inputs, *kwargs.get("out", ())))
        if not overrides:
            return self._evaluate(inputs, **kwargs)
        for operand in overrides:
            result = type(operand).__array_ufunc__(operand, self, "__call__", *inputs, **kwargs)
            if result is not NotImplemented:
                return result
        kinds = ", ".join(type(operand).__name__ for operand in overrides)
        raise TypeError(f"{self.__name__}: no operand implements it for the types: {kinds}")

    def _evaluate(
        self,
        inputs: Sequence[Any],
        *,
        out: tuple[Any] = (None,),
        where: Any = True,
        casting: Any = "same_kind",
        order: Any = "K",
        dtype: npt.DTypeLike | None = None,
        signature: Any = None,
        subok: bool = True,
    ) -> Any:
        asked = _signature(signature, dtype)
        dtypes = _loop_dtypes(self.__name__, inputs, asked)
        (target,) = out
        if target is not None and not isinstance(target, np.ndarray):
            raise TypeError("return arrays must be of ArrayType")
        if target is not None and not target.flags.writeable:
            raise ValueError("output array is read-only")
        masked = where is not True
        # Python numbers take the loop's dtype whatever `casting` says; but some NumPy refuse them
        # under "equiv", which only NumPy can tell.
        for x, dtype in zip(inputs, dtypes, strict=False):
            if casting == "equiv" and type(x) in (int, float):
                np.add(np.empty(0, dtype), x, casting=casting, dtype=dtype)
        arrays = [
            np.asanyarray(x, dtype if type(x) in (int, float) else None)
            for x, dtype in zip(inputs, dtypes, strict=False)
        ]
        pairs = [(array.dtype, dtype) for array, dtype in zip(arrays, dtypes, strict=False)]
        if target is not None:
            pairs.append((dtypes[4], target.dtype))
        for given, wanted in pairs:
            if not np.can_cast(given, wanted, casting):
                msg = f"{self.__name__}: cannot cast {given} to {wanted} with casting={casting!r}"
                raise TypeError(msg)
        # The iterator hands out blocks in the operands' own dtypes: casts are made by `astype` and
        # by assignment, because those of an iterator report no floating-point flags.
        stored = [array.dtype for array in arrays]
        stored.append(dtypes[4] if target is None else target.dtype)
        elementwise = "overlap_assume_elementwise"
        flags: list[Any] = [["readonly", "aligned", "nbo", elementwise]] * 4
        write = "readwrite" if masked and target is not None else "writeonly"
        flags.append(
            [write, "aligned", "nbo", "allocate", "no_broadcast", "no_subtype", elementwise]
        )
        operands: list[Any] = [np.asarray(a) for a in arrays]
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
        with gathered_flags() as gathered, iterator:
            result = iterator.operands[4]
            for *operands, block, mask in iterator if masked else _with_true(iterator):
                at = ... if mask is True else mask
                if masked:
                    block.astype(dtypes[4], copy=False)  # NumPy casts what is left out, too
                step, lr, steps, rate = (
                    operand.astype(dtype, copy=False)[at]
                    for operand, dtype in zip(operands, dtypes, strict=False)
                )
                block[at] = formula(
                    step.astype(dtypes[4], copy=False), lr, steps, rate, self._floor
                )
        report_flags(self.__name__, gathered.value)
        if target is not None:
            return target
        return _wrapped(result, arrays, self, inputs, subok)


def _mask(where: Any) -> npt.NDArray[np.bool_]:
    """Return ``where=`` as NumPy reads it: arrays must be boolean, all else has a truth value."""
    if isinstance(where, np.ndarray):
        return where.astype(np.bool_, casting="safe", copy=False)
    return np.asarray(where, dtype=np.bool_)


def _with_true(iterator: Any) -> Iterator[tuple[Any, ...]]:
    for blocks in iterator:
        yield (*blocks, True)


def _signature(signature: Any, dtype: npt.DTypeLike | None) -> list[np.dtype[Any] | None]:
    """Return ``signature=`` and ``dtype=`` as five dtypes, None where nothing is asked."""
    free: list[np.dtype[Any] | None] = [None] * 4
    if signature is None:
        return [*free, None if dtype is None else np.dtype(dtype)]
    if dtype is not None:
        raise TypeError("cannot specify both 'signature' and 'dtype'")
    if isinstance(signature, str):
        signature = tuple(signature.replace("->", ""))
    if len(signature) == 1:
        raise TypeError(f"signature must name 5 dtypes, got {signature!r}; or use dtype=")
    if len(signature) != 5:
        raise ValueError(f"signature must name 5 dtypes, got {signature!r}")
    return [None if part is None else np.dtype(part) for part in signature]


def _array_ufunc_overrides(operands: Sequence[Any]) -> list[Any]:
    """One operand of each type that overrides ufuncs, subclasses before their bases."""
    found: list[Any] = []
    for operand in operands:
        method = getattr(type(operand), "__array_ufunc__", np.ndarray.__array_ufunc__)
        if method is None:
            raise TypeError(f"operand '{type(operand).__name__}' does not support ufuncs")
        if method is np.ndarray.__array_ufunc__ or type(operand) in map(type, found):
            continue
        at = next(
            (i for i, f in enumerate(found) if issubclass(type(operand), type(f))), len(found)
        )
        found.insert(at, operand)
    return found


def _wrapped(
    result: npt.NDArray[Any],
    arrays: Sequence[npt.NDArray[Any]],
    ufunc: FallbackUfunc,
    inputs: Sequence[Any],
    subok: bool,
) -> Any:
    """Return the result as NumPy hands it out: subclasses wrapped, 0-d arrays as scalars."""
    subclasses: list[Any] = [array for array in arrays if type(array) is not np.ndarray]
    if subok and subclasses:
        wrapper = max(subclasses, key=lambda array: getattr(array, "__array_priority__", 0.0))
        return wrapper.__array_wrap__(result, (ufunc, tuple(inputs), 0), result.ndim == 0)
    return result[()]


continuous_decay = FallbackUfunc("continuous_decay", None)
staircase_decay = FallbackUfunc("staircase_decay", np.floor)


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
    with gathered_flags() as gathered:
        for i in range(0, len(out), BLOCK):
            block = out[i : i + BLOCK]
            at = (offsets[: len(block)] + (start + i * step)).astype(dtype)
            block[...] = formula(at, lr, steps, rate, np.floor if staircase else None)
    return gathered.value


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
