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

_STORES = "plain", "non-temporal", "prefetched non-temporal"
_PATTERN = 0x3F3F3F3F

Array = npt.NDArray[Any]


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(built("ceiling", "ceiling.so")))
    address, size = ctypes.c_void_p, ctypes.c_size_t
    library.ceiling_move.argtypes = ctypes.c_int, address, address, size, size, ctypes.c_int
    library.ceiling_move.restype = None
    return library


def _move(stores: int, out: Array, source: Array | None, threads: int) -> None:
    read, address = 0, None
    if source is not None:
        read, address = source.itemsize // out.itemsize, source.ctypes.data
    _library().ceiling_move(stores, out.ctypes.data, address, out.nbytes // 4, read, threads)


def fastest(
    out: Array, source: Array | None, threads: int | None = None
) -> tuple[str, Callable[[], object]]:
    """Return the fastest stores that fill `out` or copy `source` into it, and their call.

    Elements of `source` twice as wide as those of `out` lose every other 32-bit word.
    """
    count = threads or invdecay.get_num_threads()
    moves = {name: partial(_move, k, out, source, count) for k, name in enumerate(_STORES)}
    times = interleaved(moves, rounds=3)
    name = min(times, key=lambda name: float(np.median(times[name])))
    out.fill(0)
    moves[name]()
    expected: Any = _PATTERN
    if source is not None:
        expected = source.view(np.uint32)[:: source.itemsize // out.itemsize]
    if not (out.reshape(-1).view(np.uint32) == expected).all():
        raise AssertionError(f"{name} stores moved wrong bytes")
    return name, moves[name]


@cache
def _large_copy() -> Callable[[], object]:
    out, source = (np.ones(1 << 26, np.float32) for _ in range(2))  # zeros share one page
    return partial(_move, _STORES.index("non-temporal"), out, source, 2)


def state() -> float:
    """Return the memory state: milliseconds of a non-temporal copy of 2^28 bytes by two threads."""
    return float(np.median(interleaved({"copy": _large_copy()}, 5)["copy"])) * 1e3
