"""Tables as Zarr arrays: written chunk by chunk, resumed, verified and described.

A table is written by one task for each chunk, in threads here or on a Dask cluster. The formula
is the checksum: a chunk that is there already is computed again and compared, and it is written
only where it differs. The fill value is NaN, because Zarr reads a chunk that was never written as
the fill value, and a zero would look like a rate.

Chunks are not compressed. Compression would make writing and checking several times slower than
the disk, the sizes would not be known beforehand, and other programs read the plain bytes at once.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import LocalStore

from . import __version__
from ._arguments import floating_dtype, integer, step_range
from ._backend import report_flags
from ._files import UNSUPPORTED, format_bytes, free_space, give_mode_and_owner, is_mount_point, lock
from ._pipeline import checked_schedule
from .schedule import InverseTimeDecay
from .threads import num_threads
from .verification import TableInfo, Verification, differences, statistics

Array = Any
"""A ``zarr.Array``, whose type parameter differs between the versions of zarr."""
Progress = Callable[[int, int], object] | None
T = TypeVar("T")
R = TypeVar("R")
Runner = Callable[[Callable[[T], R], Iterable[T]], Generator[R, None, None]]
"""Applies a function to many arguments and yields the results as they come, in any order."""

CHUNK_BYTES = 1 << 24
"""Bytes of a chunk: long enough that a file's fixed costs vanish, short enough for any worker."""
_THREADS = 2
"""One chunk is computed while another one is written."""
_PATIENCE = 60.0
"""Seconds after which a network's file system shows what another machine has written."""
_SAMPLES = 16
"""How many chunks the client of a cluster compares."""
_STORED = "float16", "float32", "float64"


# ---------------------------------------------------------------- the interface of storage.py


def save(
    schedule: InverseTimeDecay,
    path: Path,
    steps: range,
    dtype: np.dtype[Any],
    progress: Progress = None,
    force: bool = False,
) -> Path:
    """Write a table to a Zarr array in the folder `path`, in threads of this process."""
    plan = Plan.of(schedule, steps, dtype, "auto")
    target = Folder(path, force)
    write(target, plan, in_threads, progress, "save_table")
    return target.path


def verify(
    path: Any,
    schedule: InverseTimeDecay | None = None,
    steps: range | None = None,
    progress: Progress = None,
) -> Verification:
    """Recompute the rates of a Zarr array and compare every bit.

    What is not given is taken from the array's attributes.
    """
    array = _opened(path)
    described = _description(array)
    length = array.shape[0]
    if described is not None:
        if not described.complete:
            raise OSError(errno.EINVAL, "is not complete", str(path))
        schedule = described.schedule if schedule is None else schedule
        steps = described.steps if steps is None else steps
    elif schedule is None:
        raise TypeError(f"schedule must be given, since {path} does not name its own")
    steps = range(length) if steps is None else steps
    if len(steps) != length:
        raise ValueError(f"{path} has {length} elements, expected {len(steps)}")
    done = differing = 0
    first = length
    with closing(in_threads(partial(_compared, array, schedule, steps), _pieces(array))) as pieces:
        for piece in pieces:
            differing += piece.differing
            first = min(first, piece.first)
            done += piece.length
            if progress is not None:
                progress(done, length)
    if not differing:
        return Verification(length)
    expected = np.empty(1, array.dtype.newbyteorder("="))
    schedule._fill(expected, steps[first : first + 1])
    return Verification(length, differing, steps[first], float(array[first]), float(expected[0]))


def inspect(path: Any, progress: Progress = None) -> TableInfo:
    """Describe a Zarr array: what it says of itself and what its rates are.

    An array of another program counts as complete if every chunk is there. Zarr does not write
    chunks that hold the fill value alone, so that such an array may look incomplete.
    """
    array = _opened(path)
    described = _description(array)
    length = array.shape[0]

    def chunks() -> Iterator[npt.NDArray[Any]]:
        for where in _pieces(array):
            yield _read(array, where)
            if progress is not None:
                progress(where.stop, length)

    if described is None:
        complete = array.nchunks_initialized == array.nchunks
    else:
        complete = described.complete and len(_present(array.store, array.nchunks)) == array.nchunks
    return TableInfo(
        format="zarr",
        dtype=array.dtype,
        length=length,
        size=array.nbytes_stored(),
        complete=complete,
        schedule=None if described is None else _config(described.schedule),
        steps=None if described is None else described.steps,
        **statistics(chunks()),
    )


# ---------------------------------------------------------------- what an array holds


@dataclass(frozen=True)
class Plan:
    """What a table holds and how it is cut into chunks."""

    schedule: InverseTimeDecay
    steps: range
    dtype: np.dtype[Any]
    length: int  # elements of a chunk

    @classmethod
    def of(
        cls,
        schedule: InverseTimeDecay,
        steps: int | range,
        dtype: npt.DTypeLike | None,
        chunks: int | Literal["auto"],
    ) -> "Plan":
        schedule, steps = checked_schedule(schedule), step_range(steps)
        stored = schedule.dtype if dtype is None else floating_dtype("dtype", dtype)
        stored = stored.newbyteorder("=")  # the order of the bytes is Zarr's own affair
        if stored.name not in _STORED:
            raise TypeError(f"dtype must be float16, float32 or float64 in Zarr, got {stored}")
        if chunks == "auto":
            length = min(CHUNK_BYTES // stored.itemsize, len(steps))
        else:
            length = integer("chunks", chunks, 'an integer or "auto"')
            if length < 1:
                raise ValueError(f"chunks must be positive, got {chunks!r}")
        return cls(schedule, steps, stored, max(1, length))

    @property
    def chunks(self) -> int:
        return -(-len(self.steps) // self.length)

    def steps_of(self, chunk: int) -> range:
        return self.steps[chunk * self.length : (chunk + 1) * self.length]

    def description(self, complete: bool) -> dict[str, Any]:
        """Return the attribute ``invdecay`` of the array."""
        return {
            "version": __version__,
            "schedule": _config(self.schedule),
            "steps": [self.steps.start, self.steps.stop, self.steps.step],
            "complete": complete,
        }

    @property
    def identity(self) -> str:
        """A digest of all that decides the chunks' bytes."""
        description = self.description(complete=False)
        del description["schedule"]["name"]
        what = description["schedule"], description["steps"], self.dtype.name, self.length
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _config(schedule: InverseTimeDecay) -> dict[str, Any]:
    return {**schedule.get_config(), "dtype": schedule.dtype.name}


@dataclass(frozen=True)
class Description:
    """What the attributes say of an array that was written here."""

    schedule: InverseTimeDecay
    steps: range
    complete: bool


def _description(array: Array) -> Description | None:
    attributes = array.attrs.asdict().get("invdecay")
    if attributes is None:
        return None
    try:
        return Description(
            InverseTimeDecay.from_config(attributes["schedule"]),
            step_range(range(*attributes["steps"])),
            attributes["complete"] is True,
        )
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise ValueError(f"{array.store}: the attributes of invdecay are damaged") from error


def _create(store: Store, plan: Plan, call: str) -> Array:
    """Write the metadata of an array that `call` is going to fill; its chunks stay as they are."""
    sync(store.delete("zarr.json"))
    return zarr.create_array(
        store,
        shape=(len(plan.steps),),
        chunks=(plan.length,),
        dtype=plan.dtype,
        fill_value=math.nan,
        compressors=None,
        filters=None,
        attributes={"invdecay": plan.description(complete=False) | {"call": call}},
        # Rates that are NaN throughout are rates as well, and resuming looks for their chunk.
        config={"write_empty_chunks": True},
    )


def _present(store: Store, chunks: int) -> set[int]:
    """Return which chunks are in the store, whatever they hold."""
    found = set()
    for key in collect_aiterator(store.list_prefix("c/")):
        name = key.removeprefix("c/")
        if name.isdecimal() and int(name) < chunks:
            found.add(int(name))
    return found


# ---------------------------------------------------------------- writing


class NotFoundThereError(OSError):
    """A process does not find the array that it has to write."""


def is_written_by(array: Array, call: str) -> bool:
    """Return whether this process finds the array that `call` is writing."""
    try:
        found = zarr.open_array(array.store, mode="r").attrs.asdict()
    except (OSError, ValueError):
        return False
    description = found.get("invdecay")
    return isinstance(description, dict) and description.get("call") == call


@dataclass(frozen=True)
class Stored:
    """A chunk that is in the store with the right rates."""

    chunk: int
    flags: int  # floating-point flags of its rates
    written: bool  # False: it was there already


def store_chunk(array: Array, plan: Plan, call: str, task: tuple[int, bool]) -> Stored:
    """Compute a chunk and write it, unless it is there already with the same bits."""
    chunk, present = task
    if not is_written_by(array, call):
        text = "the array that this call writes is not there"
        raise NotFoundThereError(errno.ENOENT, text, str(array.store))
    with num_threads(1):
        where, values, flags = _rates(plan, chunk)
    written = not (present and _holds(array, where, values))
    if written:
        array[where] = values
    if isinstance(array.store, LocalStore):
        path = array.store.root / "c" / str(chunk)
        try:
            # Also where the chunk was kept: its writer may have ended before this line.
            _synchronise(path)
        except OSError:
            # The kernel goes on to show bytes that did not reach the disk: they must not be
            # there when the next call compares.
            path.unlink(missing_ok=True)
            raise
    return Stored(chunk, flags, written)


def _rates(plan: Plan, chunk: int) -> tuple[slice, npt.NDArray[Any], int]:
    """Compute a chunk: its place in the array, its rates and their floating-point flags."""
    steps = plan.steps_of(chunk)
    values = np.empty(len(steps), plan.dtype)
    flags = plan.schedule._fill(values, steps)
    begin = chunk * plan.length
    return slice(begin, begin + len(steps)), values, flags


def _holds(array: Array, where: slice, values: npt.NDArray[Any]) -> bool:
    try:
        return not differences(array[where], values).any()
    except ValueError:  # a chunk of another length
        return False


def write(
    target: "Target",
    plan: Plan,
    run: Runner[tuple[int, bool], Stored],
    progress: Progress,
    name: str,
    elsewhere: bool = False,
) -> None:
    """Write what is missing of a table by `run`, here or elsewhere, and put it in its place."""
    with target.opened(plan):
        flags = done = 0
        task = partial(store_chunk, target.array, plan, target.call)
        tasks = ((chunk, chunk in target.present) for chunk in range(plan.chunks))
        with closing(run(task, tasks)) as results:
            for stored in results:
                if elsewhere and not done:
                    _check_seen(target.array, plan, {stored.chunk})
                flags |= stored.flags
                done += len(plan.steps_of(stored.chunk))
                if progress is not None:
                    progress(done, len(plan.steps))
        report_flags(name, flags)
        if elsewhere:
            _check_seen(target.array, plan, set(range(plan.chunks)))
        target.publish(plan)


def _check_seen(array: Array, plan: Plan, chunks: set[int]) -> None:
    """Check that this process sees the chunks that others have written.

    Each must be there; a few are read and compared, since reading all of them here would take
    longer than many workers take to write them.
    """
    deadline = time.monotonic() + _PATIENCE
    while missing := chunks - _present(array.store, plan.chunks):
        if time.monotonic() > deadline:
            text = f"{len(missing)} chunks that workers have written are not seen here"
            raise NotFoundThereError(errno.ENOENT, text, str(array.store))
        time.sleep(0.5)
    for chunk in sorted(chunks)[:: max(1, len(chunks) // _SAMPLES)]:
        if not _holds(array, *_rates(plan, chunk)[:2]):
            text = f"chunk {chunk} does not hold what a worker has written"
            raise OSError(errno.EIO, text, str(array.store))


def in_threads(function: Callable[[T], R], arguments: Iterable[T]) -> Generator[R, None, None]:
    """Apply a function in a few threads of this process."""
    pending: set[Future[R]] = set()
    pool = ThreadPoolExecutor(_THREADS, "invdecay-zarr")
    try:
        for argument in arguments:
            pending.add(pool.submit(function, argument))
            if len(pending) > _THREADS:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in pending:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


# ---------------------------------------------------------------- where arrays are written


class Target(Protocol):
    """A place for a table, and the array that one call is writing there."""

    name: str  # for messages
    array: Array
    call: str
    present: set[int]  # chunks that an interrupted call has left

    def opened(self, plan: Plan) -> AbstractContextManager[None]:
        """Make the array for this call alone; on an error say what is kept."""
        ...

    def publish(self, plan: Plan) -> None:
        """Let readers have the array, whose chunks are all there."""
        ...


class InPlace:
    """A store that cannot rename: the attribute ``complete`` is set last."""

    def __init__(self, store: Store, force: bool) -> None:
        self.store = store
        self.name = str(store)
        if store.read_only:
            raise ValueError(f"path must be a store that can be written, got {store}")
        if not store.supports_listing or not store.supports_deletes:
            raise ValueError(f"path must be a store that lists and deletes, got {store}")
        _check_replaceable(_kind(store), str(store), force)

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        self.call = uuid.uuid4().hex
        if self._same(plan):
            self.present = _present(self.store, plan.chunks)
        else:
            sync(self.store.delete_dir(""))
            self.present = set()
        self.array = _create(self.store, plan, self.call)
        try:
            yield
        except BaseException as error:
            with suppress(Exception):
                if _present(self.store, plan.chunks):
                    error.add_note(
                        f"What is finished is kept in {self.name}: the same call resumes."
                    )
                else:
                    sync(self.store.delete_dir(""))
            raise

    def _same(self, plan: Plan) -> bool:
        try:
            array = zarr.open_array(self.store, mode="r")
            found = _description(array)
        except (OSError, ValueError):
            return False
        if found is None or array.metadata.zarr_format != 3:
            return False
        there = Plan(found.schedule, found.steps, array.dtype, array.chunks[0])
        return there.identity == plan.identity

    def publish(self, plan: Plan) -> None:
        if not is_written_by(self.array, self.call):
            raise OSError(errno.ESTALE, "was removed or written by another call", self.name)
        self.array.update_attributes({"invdecay": plan.description(complete=True)})


class Folder:
    """A folder: the array is written beside it and renamed."""

    _published = False

    def __init__(self, path: Path, force: bool) -> None:
        self.path = Path(os.path.abspath(path))
        self.name = str(self.path)
        self._force = force
        self._check()

    def _check(self) -> None:
        """Refuse what is not replaced, whatever a link at the path leads to."""
        path = self.path
        if not path.parent.is_dir():
            raise OSError(errno.ENOENT, "no such folder", str(path.parent))
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:  # a link to nothing is replaced too
            return
        if stat.S_ISDIR(mode):
            with _descriptor(path) as descriptor:
                if descriptor is not None and is_mount_point(descriptor):
                    raise OSError(errno.EBUSY, "is a mount point", str(path))
            if any(path.iterdir()):
                _check_replaceable(_kind(LocalStore(path, read_only=True)), self.name, self._force)
        elif not stat.S_ISREG(mode):
            raise OSError(errno.EEXIST, "exists and is not a Zarr array", str(path))
        elif not self._force:
            text = "exists and is not a Zarr array; force replaces it"
            raise OSError(errno.EEXIST, text, str(path))

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        # Not the array's own name and more, which a file system may find too long.
        digest = hashlib.sha256(os.fsencode(self.path.name)).hexdigest()[:16]
        # One name for each table: a worker that a call has given up, and that still writes, then
        # never writes into an array of other rates.
        self.hidden = self.path.with_name(f".invdecay-{digest}-{plan.identity[:16]}.partial")
        self.aside = self.path.with_name(f".invdecay-{digest}.old")
        others = re.compile(rf"\.invdecay-{digest}-[0-9a-f]{{16}}\.partial")
        with _locked(self.hidden, self.path) as self._descriptor:
            try:
                self._discard_others(others)
                self._recover()
                self._tidy(plan)
                self.present = _present(LocalStore(self.hidden), plan.chunks)
                self._check_space(plan)
                self.call = uuid.uuid4().hex
                self.array = _create(LocalStore(self.hidden), plan, self.call)
                yield
            except BaseException as error:
                with suppress(OSError):
                    self._keep_or_discard(error, plan)
                raise

    def _discard_others(self, others: re.Pattern[str]) -> None:
        """Remove what interrupted calls for other tables have left beside this path."""
        for entry in self.path.parent.iterdir():
            if others.fullmatch(entry.name) and entry != self.hidden:
                with _locked(entry, self.path):
                    shutil.rmtree(entry)

    def _recover(self) -> None:
        """Put back what a call that ended while it renamed has moved aside."""
        if os.path.lexists(self.aside):
            if os.path.lexists(self.path):
                _remove(self.aside)
            else:
                os.rename(self.aside, self.path)

    def _tidy(self, plan: Plan) -> None:
        """Remove from the hidden folder all that does not belong to the array.

        These are the temporary files of processes that were killed. Links are removed as well,
        since a worker would write where they lead.
        """
        chunks = self.hidden / "c"
        for entry in os.scandir(self.hidden):
            if entry.name == "zarr.json" and entry.is_file(follow_symlinks=False):
                continue
            if entry.name != "c" or not entry.is_dir(follow_symlinks=False):
                _remove(Path(entry.path))
        if chunks.is_dir():
            for entry in os.scandir(chunks):
                belongs = entry.name.isdecimal() and int(entry.name) < plan.chunks
                if not belongs or not entry.is_file(follow_symlinks=False):
                    _remove(Path(entry.path))

    def _check_space(self, plan: Plan) -> None:
        needed = (plan.chunks - len(self.present)) * plan.length * plan.dtype.itemsize
        free = free_space(self.path.parent)
        if needed > free:
            text = f"needs {format_bytes(needed)}, {format_bytes(free)} are free"
            raise OSError(errno.ENOSPC, text, str(self.path))

    def publish(self, plan: Plan) -> None:
        self._tidy(plan)
        whole = len(_present(self.array.store, plan.chunks)) == plan.chunks
        if not whole or not is_written_by(self.array, self.call):
            raise OSError(errno.ESTALE, f"{self.hidden} was changed by something else", self.name)
        self.array.update_attributes({"invdecay": plan.description(complete=True)})
        _synchronise(self.hidden / "zarr.json")
        _synchronise(self.hidden / "c", missing_ok=not plan.chunks)
        _synchronise(self.hidden)
        if self._descriptor is not None and not _is_same(self._descriptor, self.hidden):
            raise OSError(errno.ESTALE, f"{self.hidden} was replaced by something else", self.name)
        self._check()
        self._replace()
        self._published = True
        _synchronise(self.path.parent)
        if os.path.lexists(self.aside):
            _remove(self.aside)

    def _replace(self) -> None:
        """Move the hidden folder to the path.

        A folder that is not empty cannot be replaced by a rename, so that an old array is moved
        aside first. In between, for the time of one system call, there is nothing at the path.
        """
        try:
            with suppress(FileNotFoundError):
                old = self.path.lstat()
                if self._descriptor is not None and stat.S_ISDIR(old.st_mode):
                    give_mode_and_owner(self._descriptor, old)
                os.rename(self.path, self.aside)
            os.rename(self.hidden, self.path)
        except BaseException:
            if os.path.lexists(self.aside) and not os.path.lexists(self.path):
                os.rename(self.aside, self.path)
            raise

    def _keep_or_discard(self, error: BaseException, plan: Plan) -> None:
        if self._published:
            error.add_note(f"{self.path} is complete.")
        elif count := len(_present(LocalStore(self.hidden), plan.chunks)):
            size = format_bytes(count * plan.length * plan.dtype.itemsize)
            error.add_note(
                f"{size} are kept in {self.hidden}: the same call resumes, and removing that folder"
                " discards them."
            )
        else:
            shutil.rmtree(self.hidden)


def target_of(path: Any, force: bool) -> Target:
    """Return where a table goes: a path, the URL of a store, or a store."""
    if isinstance(path, LocalStore):
        return Folder(path.root, force)
    if isinstance(path, Store):
        return InPlace(path, force)
    if isinstance(path, str) and path.startswith("file://"):
        return Folder(Path(path.removeprefix("file://")), force)
    if isinstance(path, str) and "://" in path:
        return InPlace(zarr.storage.FsspecStore.from_url(path), force)
    try:
        return Folder(Path(path), force)
    except TypeError:
        raise TypeError(f"path must be a path, a URL or a Zarr store, got {path!r}") from None


Kind = Literal["nothing", "array", "group", "other"]


def _kind(store: Store) -> Kind:
    """Return what a store holds."""
    try:
        found = zarr.open(store, mode="r")
    except FileNotFoundError:
        return "nothing" if sync(store.is_empty("")) else "other"
    except (OSError, ValueError, KeyError):
        return "other"
    return "array" if isinstance(found, zarr.Array) else "group"


def _check_replaceable(kind: Kind, where: str, force: bool) -> None:
    if kind == "group" and not force:
        text = "exists and is a Zarr group, not an array; force replaces it"
        raise OSError(errno.EEXIST, text, where)
    if kind == "other":
        raise OSError(errno.EEXIST, "exists and is not a Zarr array", where)


# ---------------------------------------------------------------- reading


def _opened(path: Any) -> Array:
    """Open a one-dimensional array of rates to be read."""
    if isinstance(path, str) and path.startswith("file://"):
        path = path.removeprefix("file://")
    try:
        array: Array = zarr.open_array(path, mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "is not a Zarr array", str(path)) from None
    if array.ndim != 1 or array.dtype.kind != "f":
        raise ValueError(
            f"{path} must hold rates in one dimension, got {array.dtype} of shape {array.shape}"
        )
    return array


def _pieces(array: Array) -> Iterator[slice]:
    """Cut an array into slices of whole chunks, of about `CHUNK_BYTES` where chunks are shorter."""
    chunk = array.chunks[0]
    length = chunk * max(1, CHUNK_BYTES // (chunk * array.dtype.itemsize))
    for start in range(0, array.shape[0], length):
        yield slice(start, min(start + length, array.shape[0]))


def _read(array: Array, where: slice) -> npt.NDArray[Any]:
    try:
        values = np.asarray(array[where])
    except ValueError as error:
        text = f"rates from number {where.start} on cannot be read: {error}"
        raise OSError(errno.EIO, text, str(array.store)) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class Compared:
    """How a piece of an array compares with the schedule."""

    length: int
    differing: int
    first: int  # where in the array the first difference is; past the end without one


def _compared(array: Array, schedule: InverseTimeDecay, steps: range, where: slice) -> Compared:
    stored = _read(array, where)
    expected = np.empty_like(stored)
    with num_threads(1):
        schedule._fill(expected, steps[where])
    different = differences(stored, expected)
    count = int(np.count_nonzero(different))
    first = where.start + int(different.argmax()) if count else len(steps)
    return Compared(len(stored), count, first)


# ---------------------------------------------------------------- system calls


@contextmanager
def _descriptor(folder: Path, flags: int = 0) -> Iterator[int | None]:
    """Open a folder; None on Windows, which opens no folders."""
    if not hasattr(os, "O_DIRECTORY"):
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path, path: Path) -> Iterator[int | None]:
    """Open a folder, made if it is missing, never through a link, for one writer alone.

    File systems without locks are used unlocked.
    """
    while True:
        with suppress(FileExistsError):
            folder.mkdir()
        with _descriptor(folder, getattr(os, "O_NOFOLLOW", 0)) as descriptor:
            if descriptor is not None:
                lock(descriptor)
            if descriptor is None or _is_same(descriptor, folder):
                yield descriptor
                return
        # Published or removed by another call between our opening it and our locking it.


def _is_same(descriptor: int, path: Path) -> bool:
    """Return whether `path` names the open folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _synchronise(path: Path, missing_ok: bool = False) -> None:
    """Wait until a file or a folder is on disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except FileNotFoundError:
        if missing_ok:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
