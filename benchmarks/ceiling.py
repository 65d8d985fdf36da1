"""The speed of memory: threaded copies and fills of the same bytes, from ceiling.cc."""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import invdecay
import numpy as np
import numpy.typing as npt
from cmake_build import built
from timing import interleaved

_PATTERN = 0x3F3F3F3F
_STATE_BYTES = 1 << 28

Array = npt.NDArray[Any]


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(built("ceiling", "ceiling.so")))
    library.ceiling_method.restype = ctypes.c_char_p
    library.ceiling_method.argtypes = [ctypes.c_size_t]
    library.ceiling_run.restype = ctypes.c_bool
    library.ceiling_run.argtypes = (
        [ctypes.c_size_t] + [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 3 + [ctypes.c_int]
    )
    return library


@cache
def methods() -> list[str]:
    """Return the names of all methods."""
    names: list[str] = []
    while (name := _library().ceiling_method(len(names))) is not None:
        names.append(name.decode())
    return names


def _run(method: int, out: Array, source: Array | None, threads: int) -> bool:
    """Do one copy or fill, and return whether the method can do it."""
    address = None if source is None else source.ctypes.data
    width = 0 if source is None else source.itemsize
    done: bool = _library().ceiling_run(
        method, out.ctypes.data, address, out.size, width, out.itemsize, threads
    )
    return done


def fastest(
    out: Array, source: Array | None, threads: int | None = None
) -> tuple[str, Callable[[], object]]:
    """Return the fastest method that fills `out` or copies `source` into it, and its call.

    Elements of `source` twice as wide as those of `out` lose every other 32-bit word.
    """
    count = threads or invdecay.get_num_threads()
    calls = {
        name: call
        for number, name in enumerate(methods())
        if (call := partial(_run, number, out, source, count))()
    }
    times = interleaved(calls, rounds=3)
    name = min(times, key=lambda method: float(np.median(times[method])))
    out.fill(0)
    calls[name]()
    words = out.reshape(-1).view(np.uint32)
    if source is None:
        right = bool((words == np.uint32(_PATTERN)).all())
    else:
        every = source.itemsize // out.itemsize
        right = np.array_equal(words, source.view(np.uint32)[::every])
    if not right:
        raise AssertionError(f"the method {name!r} moved wrong bytes")
    return name, calls[name]


@cache
def _state_call() -> Callable[[], object]:
    out, source = (np.zeros(_STATE_BYTES // 4, np.float32) for _ in range(2))
    return partial(_run, methods().index("streaming stores"), out, source, 2)


def state() -> float:
    """Return the memory state: milliseconds of a non-temporal copy of 2^28 bytes by two threads."""
    return float(np.median(interleaved({"copy": _state_call()}, 5)["copy"])) * 1e3
