"""The one place that chooses between the native kernels and the NumPy fallback."""

import importlib.util
import operator
import os
import platform
from types import TracebackType
from typing import Any, Literal

import numpy as np

from . import _fallback

__all__ = [
    "available_targets",
    "backend",
    "continuous_decay",
    "fill_range",
    "get_num_threads",
    "num_threads",
    "report_flags",
    "set_num_threads",
    "show_config",
    "simd_target",
    "staircase_decay",
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

_module: Any = _fallback
_kernels: Any = _fallback
if backend == "native":
    from . import _core

    available_targets = _core.targets
    simd_target = _choose_target(available_targets)
    _module, _kernels = _core, _core.kernels(simd_target)

continuous_decay: np.ufunc = _kernels.continuous_decay
staircase_decay: np.ufunc = _kernels.staircase_decay
fill_range = _kernels.fill_range
report_flags = _module.report_flags


# ---------------------------------------------------------------- threads


def _thread_count(n: Any, name: str) -> int:
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {n!r}") from None
    if not 1 <= count <= 4096:
        raise ValueError(f"{name} must be from 1 to 4096, got {n!r}")
    return count


def set_num_threads(n: int) -> None:
    """Let large calls use up to `n` threads, in the whole process.

    Parameters
    ----------
    n : int
        From 1 to 4096. More than the machine has processors is allowed and slower.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of range.

    See Also
    --------
    num_threads : the same for the calls inside a ``with`` block.

    Notes
    -----
    Before the first call the number is that of the processors available to the process: its
    affinity mask and its cgroup quota, looked at anew in every call. The environment variable
    ``INVDECAY_NUM_THREADS`` sets it at import. The fallback stores the number and runs on one
    thread.

    Examples
    --------
    >>> import invdecay
    >>> before = invdecay.get_num_threads()
    >>> invdecay.set_num_threads(2)
    >>> invdecay.get_num_threads()
    2
    >>> invdecay.set_num_threads(before)
    """
    _module.set_num_threads(_thread_count(n, "n"))


def get_num_threads() -> int:
    """Return how many threads a large call made here may use.

    Returns
    -------
    int
        The number of an enclosing `num_threads` block of this thread, else the process's.
    """
    count: int = _module.get_num_threads()
    return count


class num_threads:  # a function's name: used as one, like numpy.errstate
    """Context manager: let the large calls that this thread makes inside use up to `n` threads.

    Parameters
    ----------
    n : int
        From 1 to 4096.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer or out of range.

    Examples
    --------
    >>> import invdecay
    >>> with invdecay.num_threads(1):
    ...     invdecay.get_num_threads()
    1
    """

    def __init__(self, n: int) -> None:
        self._n = _thread_count(n, "n")
        self._previous: list[int] = []

    def __enter__(self) -> None:
        self._previous.append(_module.limit_this_thread(self._n))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _module.limit_this_thread(self._previous.pop())


def _threads_from_environment() -> None:
    text = os.environ.get("INVDECAY_NUM_THREADS", "")
    if not text:
        return
    try:
        set_num_threads(int(text))
    except ValueError:
        msg = f"INVDECAY_NUM_THREADS must be an integer from 1 to 4096, got {text!r}"
        raise ImportError(msg) from None


_threads_from_environment()


# ---------------------------------------------------------------- what runs here


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
        "build": dict(_core.build_info) if backend == "native" else {},
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        print(f"{key + ':':20}{value}")
    return None
