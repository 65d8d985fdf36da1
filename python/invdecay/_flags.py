"""Floating-point flags: gathered from NumPy calls, and reported as `numpy.errstate` says."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

DIVIDE, OVER, UNDER, INVALID = 1, 2, 4, 8  # NumPy's NPY_FPE_* bits

_RAISERS: tuple[tuple[int, Callable[[], object]], ...] = (
    (DIVIDE, lambda: np.divide(1.0, 0.0)),
    (OVER, lambda: np.multiply(sys.float_info.max, 2.0)),
    (UNDER, lambda: np.multiply(sys.float_info.min, sys.float_info.min)),
    (INVALID, lambda: np.subtract(np.inf, np.inf)),
)


def report_flags(name: str, flags: int) -> None:
    """Warn, raise or call as `numpy.errstate` says, once for each floating-point flag set."""
    for bit, raise_it in _RAISERS:
        if flags & bit:
            raise_it()


class _Flags:
    """Gathers the floating-point flags of the NumPy calls made inside its `with` block."""

    def __init__(self) -> None:
        self.value = 0

    def __call__(self, kind: str, flags: int) -> None:
        self.value |= flags


@contextmanager
def gathered_flags() -> Iterator[_Flags]:
    """Keep the flags of the NumPy calls made inside, instead of reporting them."""
    flags = _Flags()
    with np.errstate(all="call", call=flags):
        yield flags
