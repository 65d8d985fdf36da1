"""Tables as Dask arrays, and tables that a Dask cluster writes, for lengths past one machine."""

import errno
import logging
import os
import queue
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import dask.array as da
import numpy as np
import numpy.typing as npt

from ._arguments import step_range
from .schedule import InverseTimeDecay
from .threads import num_threads

if TYPE_CHECKING:
    import distributed

    from ._zarr import Target

__all__ = ["precompute", "to_zarr"]

T = TypeVar("T")
R = TypeVar("R")


def precompute(schedule: InverseTimeDecay, steps: int | range, *, chunks: Any = "auto") -> da.Array:
    """Return a lazy table of the learning rates at a range of steps.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    chunks : int, str or tuple, optional
        Lengths of the blocks, as everywhere in Dask.

    Returns
    -------
    dask.array.Array
        One-dimensional, of the schedule's dtype, with the bits of ``schedule.precompute``. Each
        block is precomputed where it is needed, from its place in the range alone: nothing is
        built here but a graph of one task for each block.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As ``schedule.precompute`` does, or Dask for its `chunks`.

    See Also
    --------
    to_zarr : write such a table.

    Notes
    -----
    A block is computed on one thread, as Dask itself runs as many blocks at once as it may.

    Examples
    --------
    >>> import invdecay, invdecay.dask
    >>> schedule = invdecay.InverseTimeDecay(0.1, 1000, 1.0)
    >>> table = invdecay.dask.precompute(schedule, 10**12)
    >>> table.shape, table[:3].compute()
    ((1000000000000,), array([0.1      , 0.0999001, 0.0998004]))
    """
    steps = step_range(steps)
    shape = (len(steps),)
    blocks = da.core.normalize_chunks(chunks, shape, dtype=schedule.dtype)  # type: ignore[no-untyped-call]
    table: da.Array = da.map_blocks(  # type: ignore[no-untyped-call]
        _block,
        schedule,
        steps,
        chunks=blocks,
        dtype=schedule.dtype,
        meta=np.empty(0, schedule.dtype),
    )
    return table


def _block(
    schedule: InverseTimeDecay, steps: range, *, block_info: dict[Any, Any]
) -> npt.NDArray[Any]:
    ((start, stop),) = block_info[None]["array-location"]
    with num_threads(1):
        return schedule.precompute(steps[start:stop])


# ---------------------------------------------------------------- writing on a cluster


def to_zarr(
    schedule: InverseTimeDecay,
    path: Any,
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    chunks: int | Literal["auto"] = "auto",
    client: "distributed.Client | str | None" = None,
    progress: Callable[[int, int], object] | None = None,
    force: bool = False,
    timeout: float = 60.0,
) -> Any:
    """Write the learning rates at a range of steps to a Zarr array, on a cluster if there is one.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate. The arithmetic is in its dtype.
    path : str, path or zarr store
        The folder to make or replace; or the URL of a store that fsspec knows (``s3://...``); or
        a store. A relative path means one below the client's working directory. A folder must be
        one that all workers share.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    dtype : dtype, optional
        The dtype of the array: float16, float32 or float64; each element is rounded once on
        store. Default: ``schedule.dtype``.
    chunks : int or "auto", optional
        Elements of a chunk. Default: 16 MiB of them.
    client : distributed.Client or str, optional
        The cluster that computes and writes the chunks, or the address of its scheduler. Default:
        the current client, if there is one, else threads of this process.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.
    force : bool, optional
        Replace a file or a Zarr group at `path` as well. A Zarr array is replaced in any case,
        and a folder of anything else in none.
    timeout : float, optional
        Seconds to wait for the scheduler, and for a worker while there is none.

    Returns
    -------
    pathlib.Path, str or zarr store
        Where the array is: an absolute path, or `path` as it was given.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is not what it has to be.
    FileNotFoundError
        If the folder of `path` is missing, or a worker does not share it.
    FileExistsError
        If there is something at `path` that is not replaced.
    BlockingIOError
        If another call is writing this array.
    TimeoutError
        If the scheduler does not answer, or there is no worker, for `timeout` seconds.
    ConnectionError
        If the scheduler is lost, or workers die again and again.
    OSError
        If a chunk cannot be written, a full disk included, or a worker has no invdecay or no zarr.

    Warns
    -----
    RuntimeWarning
        If a worker has another version of invdecay. The rates are the same bit for bit.

    See Also
    --------
    precompute : the same table as a lazy Dask array.
    invdecay.save_table : the same array without Dask.

    Notes
    -----
    In a folder the array is absent, old or complete at every moment. It grows in a hidden folder
    beside `path`, which is renamed once every chunk is there and on disk. An old array is moved
    aside just before; in between, for the time of one system call, there is nothing at `path`.
    If that second rename fails, the old array is moved back.

    A store that cannot rename (any URL but ``file://``, any store but a ``LocalStore``) is
    written in place: the attribute ``complete`` is false until all chunks are there, and is set
    last. There are no locks in such a store, so that only one call may write it at a time.

    After an interruption (Ctrl-C, a crash, an error) the same call goes on. A chunk that is there
    is computed again and compared, and it is written only if it differs: the formula is the
    checksum. A call for another table starts afresh.

    The fill value is NaN, so that a missing chunk never looks like rates. Chunks are not
    compressed, which is the fastest and has an exact size. The attribute ``invdecay`` holds
    ``version``, ``schedule`` (as from ``get_config``, always with its ``dtype``), ``steps``
    (start, stop and step of the range) and ``complete``.

    Examples
    --------
    >>> import tempfile, zarr
    >>> from invdecay import InverseTimeDecay, dask
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = dask.to_zarr(schedule, f"{folder}/lr.zarr", range(0, 4000, 1000))
    ...     array = zarr.open_array(path, mode="r")
    ...     array[:], array.attrs["invdecay"]["steps"]
    (array([0.1       , 0.05      , 0.03333333, 0.025     ]), [0, 4000, 1000])
    """
    from zarr.storage import MemoryStore

    from . import _zarr

    plan = _zarr.Plan.of(schedule, steps, dtype, chunks)
    target = _zarr.target_of(path, force)
    with _connected(client, timeout) as cluster:
        if cluster is None:
            _zarr.write(target, plan, _zarr.in_threads, progress, "to_zarr")
        else:
            if isinstance(path, MemoryStore):
                raise ValueError("path is a store in memory, which workers do not share")
            workers = _Workers(cluster, timeout, target)
            workers.wait_for_one()
            workers.check_packages()
            _zarr.write(target, plan, workers.run, progress, "to_zarr", elsewhere=True)
    return target.path if isinstance(target, _zarr.Folder) else path


@contextmanager
def _connected(
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
    from distributed.comm.addressing import resolve_address

    address = client
    with _quiet_logs():
        try:
            # First, since a client whose address is wrong prints a traceback when it is deleted.
            resolve_address(address)
            opened = Client(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call]
        except OSError:
            raise TimeoutError(
                f"no Dask scheduler answers at {address} within {timeout:g} s"
            ) from None
        except ValueError as error:
            raise ValueError(
                f"client must be the address of a scheduler, got {address!r}: {error}"
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


_LOGGERS = "distributed.client", "distributed.core", "distributed.comm", "distributed.batched"


class _Workers:
    """The workers of a cluster, and how they are asked to write the chunks of one array."""

    def __init__(self, client: Any, timeout: float, target: "Target") -> None:
        self.client = client
        self.timeout = timeout
        self.target = target
        self.address = self.client.scheduler.address

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Turn Dask's errors of a lost connection into one."""
        from distributed.comm.core import CommClosedError

        try:
            yield
        except (CancelledError, CommClosedError):
            raise ConnectionError(f"the Dask scheduler at {self.address} is lost") from None

    def wait_for_one(self) -> None:
        """Wait for a worker by giving it work, since adaptive clusters start none without."""
        with self._talking():
            future = self.client.submit(int, pure=False)
            try:
                future.result(timeout=self.timeout)
            except TimeoutError:
                raise self._no_worker() from None
            finally:
                future.release()

    def _no_worker(self) -> TimeoutError:
        return TimeoutError(
            f"the Dask cluster at {self.address} has had no worker for {self.timeout:g} s"
        )

    def check_packages(self) -> None:
        """Check that each worker has what it needs, before a task makes it fail."""
        from . import __version__

        with self._talking():
            found = self.client.run(_version_probe(), on_error="return")
        for worker, versions in found.items():
            if isinstance(versions, Exception):
                raise OSError(f"the worker {worker} cannot be asked for its packages: {versions}")
            missing = [name for name, version in versions.items() if version is None]
            if missing:
                raise OSError(
                    f"the worker {worker} has no {missing[0]}, which must be installed there"
                )
            if versions["invdecay"] != __version__:
                warnings.warn(
                    f"the worker {worker} has invdecay {versions['invdecay']}, and this is"
                    f" {__version__}; the rates are the same bit for bit",
                    RuntimeWarning,
                    stacklevel=3,
                )

    def _check_sharing(self) -> None:
        """Check that each worker finds the array, before any of them computes."""
        from ._zarr import is_written_by

        found = self.client.run(
            is_written_by, self.target.array, self.target.call, on_error="return"
        )
        for worker, answer in found.items():
            if isinstance(answer, Exception):
                raise OSError(f"the worker {worker} cannot look for the array: {answer}")
            if not answer:
                raise self._not_shared(worker)

    def _not_shared(self, worker: str) -> OSError:
        text = f"is not shared with the worker {worker}; choose a folder that all workers see"
        return FileNotFoundError(errno.ENOENT, text, self.target.name)

    def run(self, function: Callable[[T], R], arguments: Iterable[T]) -> Generator[R, None, None]:
        """Apply a function on the workers; yield the results as they come."""
        with self._talking():
            self._check_sharing()
            yield from self._run(function, arguments)

    def _run(self, function: Callable[[T], R], arguments: Iterable[T]) -> Generator[R, None, None]:
        arguments = iter(arguments)
        pending: set[Any] = set()
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        seen = time.monotonic()
        try:
            while True:
                # A few tasks for each thread: the client's memory and Ctrl-C depend on it.
                room = max(1, 4 * sum(self.client.nthreads().values())) - len(pending)
                for argument in islice(arguments, max(0, room)):
                    future = self.client.submit(_attempt, function, argument, pure=False)
                    future.add_done_callback(done.put)
                    pending.add(future)
                if not pending:
                    return
                try:
                    future = done.get(timeout=1)
                except queue.Empty:
                    if self.client.nthreads():
                        seen = time.monotonic()
                    elif time.monotonic() - seen > self.timeout:
                        raise self._no_worker() from None
                    continue
                seen = time.monotonic()
                pending.discard(future)
                yield self._result(future)
        finally:
            with suppress(Exception):
                self.client.cancel(list(pending), force=True)

    def _result(self, future: Any) -> Any:
        """Return a task's result, or raise one error that says what to do."""
        from distributed import KilledWorker

        from ._zarr import is_written_by

        error = future.exception()
        if isinstance(error, KilledWorker):
            raise ConnectionError(
                f"workers of the Dask cluster at {self.address} die again and again"
            )
        if error is not None:
            raise OSError(f"a task on the Dask cluster at {self.address} failed: {error!r}")
        result = future.result()
        if not isinstance(result, _Failure):
            return result
        if result.not_found:
            if is_written_by(self.target.array, self.target.call):
                raise self._not_shared(result.worker)
            raise OSError(errno.ESTALE, "was removed or written by another call", self.target.name)
        if result.number is not None:
            raise OSError(result.number, result.text, self.target.name)
        raise OSError(f"a task on the worker {result.worker} failed: {result.text}")


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


def _attempt(function: Callable[[T], R], argument: T) -> R | _Failure:
    """Return a task's result, or why it has failed."""
    try:
        return function(argument)
    except Exception as error:
        from distributed import get_worker

        from ._zarr import NotFoundThereError

        number = error.errno if isinstance(error, OSError) else None
        text = repr(error) if number is None else os.strerror(number)
        worker = get_worker().address
        return _Failure(worker, number, text, isinstance(error, NotFoundThereError))


def _version_probe() -> Callable[[], dict[str, str | None]]:
    """Return a function that is sent whole, because a worker may have no invdecay to find it in."""

    def versions() -> dict[str, str | None]:
        import importlib

        found: dict[str, str | None] = {}
        for name in ("invdecay", "zarr"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                found[name] = None
                continue
            try:
                found[name] = module.__version__
            except (AttributeError, ImportError):
                found[name] = "unknown"
        return found

    return versions
