"""Tables computed chunk by chunk while another thread writes or compares the chunk before."""

import _thread
import threading
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ._backend import report_flags
from .schedule import InverseTimeDecay

Result = TypeVar("Result")
Progress: TypeAlias = Callable[[int, int], object] | None
"""Called with the elements done and all of them."""
Sink: TypeAlias = Generator[None, npt.NDArray[Any] | None, Result]
"""Takes a table chunk by chunk, then None, and returns its result."""


def checked_schedule(schedule: Any) -> InverseTimeDecay:
    if not isinstance(schedule, InverseTimeDecay):
        raise TypeError(f"schedule must be an InverseTimeDecay, got {schedule!r}")
    return schedule


class _Stopped(Exception):
    """Thrown into a sink whose caller goes no further."""


class _Worker:
    """Runs a sink in another thread.

    Ctrl-C is raised in the main thread alone, so that it never cuts short what owns the files.
    Where no thread can be started (too many of them, or Python is exiting) the caller runs it.
    """

    def __init__(self, sink: Sink[Any]) -> None:
        self.todo: SimpleQueue[Any] = SimpleQueue()
        self._replies: SimpleQueue[Any] = SimpleQueue()
        self._sink, self._over, self._inline = sink, threading.Event(), True

    def start(self) -> None:
        """Let the sink run to its first yield."""
        self._inline = False
        try:
            # Not threading.Thread: its start, cut short, does not say whether the thread runs.
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            self._inline = True
        self.put(None)
        self.get()

    def put(self, item: Any) -> None:
        self.todo.put(item)
        if self._inline:
            self._step()

    def get(self) -> Any:
        """Return the sink's next reply, or raise what it raised."""
        reply = self._replies.get()
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def end(self) -> None:
        """Wait until the sink has ended."""
        if self._inline:
            self._run()
        self._over.wait()

    def _run(self) -> None:
        while not self._over.is_set():
            self._step()

    def _step(self) -> None:
        item = self.todo.get()
        try:
            stopped = isinstance(item, _Stopped)
            reply = self._sink.throw(item) if stopped else self._sink.send(item)
        except BaseException as error:
            self._over.set()
            reply = error.value if isinstance(error, StopIteration) else error
        self._replies.put(reply)


def piped(
    sink: Sink[Result],
    schedule: InverseTimeDecay,
    steps: range,
    dtype: np.dtype[Any],
    chunk: int,
    progress: Progress,
    reporter: str | None = None,
) -> Result:
    """Compute a table in chunks of so many bytes and send each to `sink`; return its result."""
    length = max(1, chunk // dtype.itemsize)
    worker, stopped = _Worker(sink), _Stopped()
    flags = done = 0

    def advance() -> None:
        nonlocal done
        worker.get()
        done = min(done + length, len(steps))
        if progress is not None:
            progress(done, len(steps))

    try:
        worker.start()
        # Zeros, since the padding inside a long double is stored as it is found.
        native = dtype.newbyteorder("=")
        buffers = [np.zeros(min(length, len(steps)), native) for _ in range(2)]
        for start in range(0, len(steps), length):
            if start - done == 2 * length:
                advance()
            part = steps[start : start + length]
            values = buffers[start // length % 2][: len(part)]
            flags |= schedule._fill(values, part)
            worker.put(values if dtype.isnative else values.byteswap().view(dtype))
        while done < len(steps):
            advance()
        if reporter is not None:
            report_flags(reporter, flags)
        worker.put(None)
        result: Result = worker.get()
        return result
    except BaseException as error:
        worker.todo.put(stopped)  # at once: a second Ctrl-C must not leave the thread waiting
        worker.end()
        for note in getattr(stopped, "__notes__", ()):
            error.add_note(note)
        raise
