"""Floating-point flags: gathered from NumPy calls, and reported as `numpy.errstate` says."""

import sys
from collections.abc import Callable
from contextvars import copy_context

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


def flags_of(work: Callable[..., object], *arguments: object) -> int:
    """Return the floating-point flags of the NumPy calls that `work` makes, instead of reporting.

    It runs in a copy of the context, which holds `numpy.errstate`. So an interrupt at any moment
    leaves the caller's state as it was.
    """
    raised = 0

    def note(kind: str, flags: int) -> None:
        nonlocal raised
        raised |= flags

    def run() -> None:
        np.seterr(all="call")
        np.seterrcall(note)
        work(*arguments)

    copy_context().run(run)
    return raised
