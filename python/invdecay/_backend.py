"""The one place that chooses between the native kernels and the NumPy fallback."""

import importlib.util
import os
from typing import Any, Literal

import numpy as np

from . import _fallback

__all__ = [
    "available_targets",
    "backend",
    "continuous_decay",
    "evaluate",
    "fill_range",
    "module",
    "report_flags",
    "simd_target",
    "staircase_decay",
    "ufunc_of",
]


def _choose_backend() -> Literal["native", "fallback"]:
    asked = os.environ.get("INVDECAY_BACKEND", "")
    if asked not in ("", "native", "fallback"):
        raise ImportError(f"INVDECAY_BACKEND must be 'native' or 'fallback', got {asked!r}")
    present = importlib.util.find_spec("invdecay._core") is not None
    if asked == "native" and not present:
        raise ImportError(
            "INVDECAY_BACKEND=native, but this invdecay was installed without its native module"
            " (no compiler or no Highway when it was built)"
        )
    if asked == "fallback" or not present:
        return "fallback"
    return "native"


def _choose_target(available: tuple[str, ...]) -> str:
    asked = os.environ.get("INVDECAY_TARGET", "")
    if asked and asked not in available:
        known = ", ".join(available)
        raise ImportError(f"INVDECAY_TARGET must be one of {known} on this machine, got {asked!r}")
    return asked or available[0]


backend: Literal["native", "fallback"] = _choose_backend()
"""Which kernels run: "native" or "fallback"."""

available_targets: tuple[str, ...] = ()
"""The SIMD targets built in that this processor runs, best first; empty in the fallback."""

simd_target: str | None = None
"""The SIMD target in use; None in the fallback."""

module: Any = _fallback
_kernels: Any = _fallback
if backend == "native":
    from . import _core

    available_targets = _core.targets
    simd_target = _choose_target(available_targets)
    module, _kernels = _core, _core.kernels(simd_target)

continuous_decay: np.ufunc = _kernels.continuous_decay
staircase_decay: np.ufunc = _kernels.staircase_decay
fill_range = _kernels.fill_range
evaluate = _kernels.evaluate
report_flags = module.report_flags


def ufunc_of(staircase: Any) -> np.ufunc:
    """Return the ufunc of one form of the schedule."""
    return staircase_decay if staircase else continuous_decay
