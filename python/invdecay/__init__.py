"""Inverse-time-decay learning-rate schedules in bulk, bit for bit as Keras computes them."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself takes longer to import than all that is needed here
if TYPE_CHECKING:
    from typing import Any

    from ._backend import (
        available_targets,
        backend,
        continuous_decay,
        simd_target,
        staircase_decay,
    )
    from ._config import show_config
    from .functions import inverse_time_decay
    from .schedule import InverseTimeDecay
    from .storage import save_table
    from .threads import get_num_threads, num_threads, set_num_threads

    __version__: str

__all__ = [
    "InverseTimeDecay",
    "__version__",
    "available_targets",
    "backend",
    "continuous_decay",
    "get_num_threads",
    "inverse_time_decay",
    "num_threads",
    "save_table",
    "set_num_threads",
    "show_config",
    "simd_target",
    "staircase_decay",
]

_MODULES = {
    "_backend": (
        "available_targets",
        "backend",
        "continuous_decay",
        "simd_target",
        "staircase_decay",
    ),
    "_config": ("show_config",),
    "functions": ("inverse_time_decay",),
    "schedule": ("InverseTimeDecay",),
    "storage": ("save_table",),
    "threads": ("get_num_threads", "num_threads", "set_num_threads"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that the command hears Ctrl-C before NumPy is imported."""
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("invdecay")
        return globals()[name]
    for module, names in _MODULES.items():
        if name in names:
            globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
