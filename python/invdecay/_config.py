"""Which backend runs here, and on what."""

import platform
from typing import Any, Literal

import numpy as np

from ._backend import available_targets, backend, module, simd_target
from .threads import get_num_threads


def show_config(mode: Literal["stdout", "dicts"] = "stdout") -> dict[str, Any] | None:
    """Show which backend runs here, and on what.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print a readable page, or return the same as a dictionary, as `numpy.show_config` does.

    Returns
    -------
    dict or None
        The dictionary for ``mode="dicts"``.

    Raises
    ------
    ValueError
        For any other `mode`.

    Examples
    --------
    >>> import invdecay
    >>> invdecay.show_config("dicts")["backend"] == invdecay.backend
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {mode!r}")
    from . import __version__

    config = {
        "invdecay": __version__,
        "backend": backend,
        "simd_target": simd_target,
        "available_targets": list(available_targets),
        "num_threads": get_num_threads(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "build": dict(module.build_info) if backend == "native" else {},
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        print(f"{key + ':':20}{value}")
    return None
