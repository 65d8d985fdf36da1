"""Inverse-time-decay learning-rate schedules in bulk, bit for bit as Keras computes them."""

from importlib.metadata import version as _version

__version__ = _version("invdecay")

from ._backend import (
    available_targets,
    backend,
    continuous_decay,
    get_num_threads,
    num_threads,
    set_num_threads,
    show_config,
    simd_target,
    staircase_decay,
)
from .functions import inverse_time_decay
from .schedule import InverseTimeDecay
from .storage import save_table

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
