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

_PATTERN_BYTE = 0x3F


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


def methods() -> list[str]:
    """Return the names of all methods."""
    names: list[str] = []
    while (name := _library().ceiling_method(len(names))) is not None:
        names.append(name.decode())
    return names


def movers(
    out: npt.NDArray[Any], source: npt.NDArray[Any] | None, threads: int | None = None
) -> dict[str, Callable[[], object]]:
    """Return a call per method that fills `out`, or copies `source` into it; each is checked.

    Elements of `source` twice as wide as those of `out` lose every other 32-bit word.
    """
    count = threads or invdecay.get_num_threads()
    calls: dict[str, Callable[[], object]] = {}
    for number, name in enumerate(methods()):
        call = partial(_run, number, out, source, count)
        out.view(np.uint8)[:] = 0
        if call():
            _check(name, out, source)
            calls[name] = call
    return calls


def _run(method: int, out: npt.NDArray[Any], source: npt.NDArray[Any] | None, threads: int) -> bool:
    """Do one copy or fill; False where the method cannot."""
    address = None if source is None else source.ctypes.data
    width = 0 if source is None else source.itemsize
    done: bool = _library().ceiling_run(
        method, out.ctypes.data, address, out.size, width, out.itemsize, threads
    )
    return done


def _check(method: str, out: npt.NDArray[Any], source: npt.NDArray[Any] | None) -> None:
    """Compare what a method wrote with what it should have written."""
    words = out.view(np.uint32)
    if source is None:
        right = bool((words == np.uint32(_PATTERN_BYTE * 0x01010101)).all())
    else:
        right = bool(
            np.array_equal(words, source.view(np.uint32)[:: source.itemsize // out.itemsize])
        )
    if not right:
        raise AssertionError(f"the ceiling's method {method!r} moved wrong bytes")


def fastest(
    out: npt.NDArray[Any], source: npt.NDArray[Any] | None, threads: int | None = None
) -> tuple[str, Callable[[], object]]:
    """Return the method with the lowest median time on these arrays, and its call."""
    calls = movers(out, source, threads)
    times = interleaved(calls, rounds=5)
    name = min(times, key=lambda method: float(np.median(times[method])))
    return name, calls[name]
