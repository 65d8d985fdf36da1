"""How many threads a large call may use."""

import os
import threading
from types import TracebackType
from typing import Any

from ._arguments import integer
from ._backend import module

__all__ = ["get_num_threads", "num_threads", "set_num_threads"]


def _thread_count(n: Any, name: str) -> int:
    count = integer(name, n)
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
        If `n` is not an integer or is out of range.

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
    module.set_num_threads(_thread_count(n, "n"))


def get_num_threads() -> int:
    """Return how many threads a large call made here may use.

    Returns
    -------
    int
        The number of an enclosing `num_threads` block of this thread, else the process's.
    """
    _limit_this_thread()  # another thread may have ended a block of this one
    count: int = module.get_num_threads()
    return count


class num_threads:  # used like a function, as numpy.errstate is
    """Context manager: let the large calls that this thread makes inside use up to `n` threads.

    Parameters
    ----------
    n : int
        From 1 to 4096.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer or is out of range.
    RuntimeError
        If one object is entered again before it is left, is left without being entered, or is left
        on another thread.

    Notes
    -----
    The limit belongs to the thread that enters the block. Among blocks that overlap without being
    nested, as in generators and asyncio tasks of one thread, the one entered last counts. After
    the last block is left, the process's number counts again.

    Examples
    --------
    >>> import invdecay
    >>> with invdecay.num_threads(1):
    ...     invdecay.get_num_threads()
    1
    """

    _blocks: dict[int, int] | None = None
    """The blocks of the thread that is inside of this one."""

    def __init__(self, n: int) -> None:
        self._n = _thread_count(n, "n")
        self._entered = threading.Lock()

    def __enter__(self) -> None:
        if not self._entered.acquire(blocking=False):
            raise RuntimeError("this num_threads block is entered already; make one for each use")
        self._blocks = _blocks_of_this_thread()
        self._blocks[id(self)] = self._n
        _limit_this_thread()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._blocks is None:
            raise RuntimeError("this num_threads block is not entered")
        if self._blocks is not _blocks_of_this_thread():
            raise RuntimeError("this num_threads block was entered on another thread")
        self._leave()
        self._entered.release()

    def __del__(self) -> None:
        # Ctrl-C may come inside __enter__ or __exit__, and another thread may close a generator.
        self._leave()

    def _leave(self) -> None:
        if self._blocks is not None:
            self._blocks.pop(id(self), None)
            _limit_this_thread()
            self._blocks = None


_this_thread = threading.local()


def _blocks_of_this_thread() -> dict[int, int]:
    """Return the numbers of the blocks that this thread is inside of, in the order of entering."""
    if not hasattr(_this_thread, "blocks"):
        _this_thread.blocks = {}
    blocks: dict[int, int] = _this_thread.blocks
    return blocks


def _limit_this_thread() -> None:
    module.limit_this_thread(next(reversed(_blocks_of_this_thread().values()), 0))


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
