"""How a Dask cluster writes the chunks of a Zarr array, and how what goes wrong there is told."""

import errno
import logging
import os
import queue
import time
import warnings
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from zarr.storage import MemoryStore

from . import __version__
from ._backend import report_flags
from ._pipeline import Progress
from ._zarr import (
    Array,
    NotFoundThereError,
    Plan,
    Target,
    holds,
    is_written_by,
    present_in,
    store_chunk,
)
from .threads import num_threads

if TYPE_CHECKING:
    import distributed

_PATIENCE = 60.0
"""Seconds after which a network's file system shows what another machine has written."""
_SAMPLES = 16
"""How many chunks the client compares."""


# ---------------------------------------------------------------- the connection


@contextmanager
def connected(
    client: "distributed.Client | str | None", timeout: float
) -> Iterator["distributed.Client | None"]:
    """Yield a client that is open; None where the work is to be done here."""
    if client is None:
        try:
            from distributed import Client
        except ModuleNotFoundError:
            yield None
            return
        try:
            client = Client.current()  # type: ignore[no-untyped-call]
        except ValueError:
            yield None
            return
    if not isinstance(client, str):
        if getattr(client, "asynchronous", True):
            raise TypeError(f"client must be a synchronous Dask client, got {client!r}")
        yield client
        return
    from distributed import Client

    class Opened(Client):
        def start(self, **options: Any) -> None:
            try:
                # Dask waits for ever for what takes a connection and says nothing.
                super().start(**options, callback_timeout=timeout + 1)  # type: ignore[no-untyped-call]
            except Exception:
                # Nothing is left to be closed, which would print a traceback.
                self.status = "closed"
                raise

    address = client
    with _quiet_logs():
        try:
            opened = Opened(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call]
        except OSError:
            raise TimeoutError(
                f"no Dask scheduler answers at {address} within {timeout:g} s"
            ) from None
        except Exception as error:  # Dask checks an address by whatever fails
            text = str(error).partition("\n")[0]
            raise ValueError(
                f"client must be the address of a scheduler, got {address!r}: {text}"
            ) from None
        try:
            yield opened
        finally:
            with suppress(Exception):
                opened.close(timeout=2)  # type: ignore[no-untyped-call]


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep Dask's log of lost connections off the terminal; what matters is raised."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# The last one says that Ctrl-C came while Dask's client was asking something.
_LOGGERS = (
    *(f"distributed.{name}" for name in ("client", "core", "comm", "batched")),
    "tornado.application",
)


# ---------------------------------------------------------------- what a worker does


@dataclass(frozen=True)
class _Failure:
    """Why a task has failed, in plain values.

    Dask's client waits for ever for an exception that it cannot unpickle, and workers log each
    exception with its traceback.
    """

    worker: str
    number: int | None  # errno
    text: str
    not_found: bool


def _store(array: Array, plan: Plan, call: str, chunk: int, present: bool) -> int | _Failure:
    """Compute and write a chunk; return the floating-point flags of its rates, or what failed."""
    try:
        values, flags = _rates(plan, chunk)
        store_chunk(array, call, chunk, values, present)
        return flags
    except Exception as error:
        from distributed import get_worker

        number = error.errno if isinstance(error, OSError) else None
        text = repr(error) if number is None else os.strerror(number)
        worker = get_worker().address
        return _Failure(worker, number, text, isinstance(error, NotFoundThereError))


def _rates(plan: Plan, chunk: int) -> tuple[npt.NDArray[Any], int]:
    """Compute a chunk: its rates and their floating-point flags."""
    steps = plan.steps_of(chunk)
    values = np.empty(len(steps), plan.dtype)
    with num_threads(1):
        return values, plan.schedule._fill(values, steps)


# ---------------------------------------------------------------- what the client does


class Workers:
    """The workers of a cluster, which write the chunks of one array."""

    def __init__(self, client: Any, timeout: float, target: Target) -> None:
        self._client, self._timeout, self._target = client, timeout, target
        self._address = client.scheduler.address

    def write(self, plan: Plan, progress: Progress, reporter: str) -> None:
        """Write what is missing of a table, and put it in its place."""
        target = self._target
        if isinstance(getattr(target, "store", None), MemoryStore):
            raise ValueError("path is a store in memory, which workers do not share")
        self._wait_for_one()
        self._check_packages()
        with target.opened(plan):
            flags = done = 0
            with closing(self._stored(plan)) as chunks:
                for chunk, found in chunks:
                    if not done:
                        self._check_seen(plan, {chunk})
                    flags |= found
                    done += len(plan.steps_of(chunk))
                    if progress is not None:
                        progress(done, len(plan.steps))
            report_flags(reporter, flags)
            self._check_seen(plan, set(range(plan.chunks)))
            target.publish(plan)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn Dask's errors of a lost connection into one."""
        from distributed.comm.core import CommClosedError

        try:
            yield
        except (CancelledError, CommClosedError):
            raise ConnectionError(f"the Dask scheduler at {self._address} is lost") from None

    def _wait_for_one(self) -> None:
        """Wait for a worker by giving it work, since adaptive clusters start none without."""
        with self._talking():
            future = self._client.submit(int, pure=False)
            try:
                future.result(timeout=self._timeout)
            except TimeoutError:
                raise self._no_worker() from None
            finally:
                future.release()

    def _no_worker(self) -> TimeoutError:
        return TimeoutError(
            f"the Dask cluster at {self._address} has had no worker for {self._timeout:g} s"
        )

    def _check_packages(self) -> None:
        """Check that each worker has what it needs, before a task makes it fail."""
        with self._talking():
            found = self._client.get_versions(packages=["invdecay", "zarr"])
        for worker, facts in found["workers"].items():
            versions = facts["packages"]
            for name in "invdecay", "zarr":
                if versions[name] is None:
                    raise OSError(
                        f"the worker {worker} has no {name}, which must be installed there"
                    )
            if versions["invdecay"] != __version__:
                warnings.warn(
                    f"the worker {worker} has invdecay {versions['invdecay']}, and this is"
                    f" {__version__}; the rates are the same bit for bit",
                    RuntimeWarning,
                    stacklevel=4,
                )

    def _check_sharing(self) -> None:
        """Check that each worker finds the array, before any of them computes."""
        target = self._target
        found = self._client.run(is_written_by, target.array, target.call, on_error="return")
        for worker, answer in found.items():
            if isinstance(answer, Exception):
                raise OSError(f"the worker {worker} cannot look for the array: {answer}")
            if not answer:
                raise self._not_shared(worker)

    def _not_shared(self, worker: str) -> OSError:
        text = f"is not shared with the worker {worker}; choose a folder that all workers see"
        return FileNotFoundError(errno.ENOENT, text, self._target.name)

    def _check_seen(self, plan: Plan, chunks: set[int]) -> None:
        """Check that this process sees the chunks that workers have written.

        Each must be there; a few are read and compared, since reading all of them here would take
        longer than many workers take to write them.
        """
        array, deadline = self._target.array, time.monotonic() + _PATIENCE
        while missing := chunks - present_in(array.store, plan.chunks):
            if time.monotonic() > deadline:
                text = f"{len(missing)} chunks that workers have written are not seen here"
                raise OSError(errno.ENOENT, text, self._target.name)
            time.sleep(0.5)
        for chunk in sorted(chunks)[:: max(1, len(chunks) // _SAMPLES)]:
            if not holds(array, chunk, _rates(plan, chunk)[0]):
                text = f"chunk {chunk} does not hold what a worker has written"
                raise OSError(errno.EIO, text, self._target.name)

    def _stored(self, plan: Plan) -> Generator[tuple[int, int], None, None]:
        """Let the workers store all chunks; yield each with its flags as it is done."""
        client, target = self._client, self._target
        chunks = iter(range(plan.chunks))
        pending: dict[Any, int] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._talking():
            self._check_sharing()
            seen = time.monotonic()
            try:
                while True:
                    # A few tasks for each thread: the client's memory and Ctrl-C depend on it.
                    room = max(1, 4 * sum(client.nthreads().values())) - len(pending)
                    for chunk in islice(chunks, max(0, room)):
                        task = target.array, plan, target.call, chunk, chunk in target.present
                        future = client.submit(_store, *task, pure=False)
                        future.add_done_callback(done.put)
                        pending[future] = chunk
                    if not pending:
                        return
                    future, flags = None, None
                    with suppress(queue.Empty, TimeoutError):
                        future = done.get(timeout=1)
                        flags = self._result(future)
                    if future is not None and flags is not None:
                        yield pending.pop(future), flags
                    elif future is not None:
                        # Its worker is gone with the result: another one makes it again.
                        future.add_done_callback(done.put)
                    if flags is not None or client.nthreads():
                        seen = time.monotonic()
                    elif time.monotonic() - seen > self._timeout:
                        raise self._no_worker()
            finally:
                with suppress(Exception):
                    client.cancel(list(pending), force=True)

    def _result(self, future: Any) -> int:
        """Return a task's flags, or raise one error that says what to do.

        TimeoutError stands for a result that was there and is there no more.
        """
        from distributed import KilledWorker

        error = future.exception(timeout=1)
        if isinstance(error, KilledWorker):
            raise ConnectionError(
                f"workers of the Dask cluster at {self._address} die again and again"
            )
        if error is not None:
            raise OSError(f"a task on the Dask cluster at {self._address} failed: {error!r}")
        result: int | _Failure = future.result(timeout=1)
        if not isinstance(result, _Failure):
            return result
        target = self._target
        if result.not_found:
            if is_written_by(target.array, target.call):
                raise self._not_shared(result.worker)
            raise OSError(errno.ESTALE, "was removed or written by another call", target.name)
        if result.number is not None:
            raise OSError(result.number, result.text, target.name)
        raise OSError(f"a task on the worker {result.worker} failed: {result.text}")
