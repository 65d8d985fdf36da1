"""Inverse-time-decay learning-rate schedules in bulk, bit for bit as Keras computes them."""

from typing import TYPE_CHECKING, Any

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
from .threads import get_num_threads, num_threads, set_num_threads

if TYPE_CHECKING:
    from .storage import save_table

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


def __getattr__(name: str) -> Any:
    # What these two need takes longer to import than all the rest.
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("invdecay")
    elif name == "save_table":
        from .storage import save_table

        globals()[name] = save_table
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
