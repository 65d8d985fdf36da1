"""The kernels under test: those of a SIMD target, or the fallback."""

import functools
from typing import Any

from invdecay import _backend, _fallback


@functools.cache  # each call of _core.kernels makes new ufuncs
def kernels_of(target: str) -> Any:
    """Return continuous_decay, staircase_decay and fill_range of a SIMD target or the fallback."""
    return _fallback if target == "fallback" else _backend.module.kernels(target)


def ufunc(kernels: Any, staircase: bool) -> Any:
    """Return one form's ufunc of `kernels`."""
    return kernels.staircase_decay if staircase else kernels.continuous_decay
