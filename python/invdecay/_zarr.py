"""Tables as Zarr arrays: written chunk by chunk, resumed and described.

The formula is the checksum: a chunk that is there already is computed again and compared, and it
is written only where it differs. The fill value is NaN, because Zarr reads a chunk that was never
written as the fill value, and a zero would look like a rate.

Chunks are not compressed. Compression would make writing and checking several times slower than
the disk, the sizes would not be known beforehand, and other programs read the plain bytes at once.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import LocalStore

from . import __version__
from ._arguments import floating_dtype, integer, step_range
from ._files import (
    Hidden,
    check_space,
    errors_naming,
    format_bytes,
    found_at,
    give_mode,
    give_mode_and_owner,
    hidden_path,
    is_mount_point,
    synchronise,
)
from ._pipeline import Progress, Sink, checked_schedule, piped
from .schedule import InverseTimeDecay
from .verification import Table, configuration, differences

Array = Any
"""A ``zarr.Array``, whose type parameter differs between the versions of zarr."""

CHUNK_BYTES = 1 << 24
"""Bytes of a chunk: long enough that a file's fixed costs vanish, short enough for any worker."""
_STORED = "float16", "float32", "float64"


# ---------------------------------------------------------------- what an array holds


def table_at(path: Any) -> Table:
    """Open a Zarr array to be read.

    An array of another program counts as complete if every chunk is there. Zarr does not write
    chunks that hold the fill value alone, so that such an array may look incomplete.
    """
    if isinstance(path, str):
        path = path.removeprefix("file://")
    try:
        array: Array = zarr.open_array(path, mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "is not a Zarr array", str(path)) from None
    if array.ndim != 1 or array.dtype.kind != "f":
        found = f"got {array.dtype} of shape {array.shape}"
        raise ValueError(f"{path} must hold rates in one dimension, {found}")
    schedule, steps, whole = _description(array) or (None, None, True)
    chunk = max(1, array.chunks[0])

    def read(start: int, stop: int) -> npt.NDArray[Any]:
        try:
            return np.asarray(array[start:stop])
        except ValueError as error:
            text = f"rates from number {start} on cannot be read: {error}"
            raise OSError(errno.EIO, text, str(path)) from error

    return Table(
        format="zarr",
        dtype=array.dtype,
        length=array.shape[0],
        piece=chunk * max(1, CHUNK_BYTES // (chunk * array.dtype.itemsize)),
        read=read,
        status=lambda: (
            array.nbytes_stored(),
            whole and array.nchunks_initialized == array.nchunks,
        ),
        fault="" if whole else "is not complete",
        schedule=schedule,
        steps=steps,
    )


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
            "schedule": configuration(self.schedule),
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


def _description(array: Array) -> tuple[InverseTimeDecay, range, bool] | None:
    """Return what an array says of itself: schedule, steps, and whether it is complete."""
    attributes = array.attrs.asdict().get("invdecay")
    if attributes is None:
        return None
    try:
        schedule = InverseTimeDecay.from_config(attributes["schedule"])
        steps = step_range(range(*attributes["steps"]))
        return schedule, steps, attributes["complete"] is True
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


def present_in(store: Store, chunks: int) -> set[int]:
    """Return which chunks are in the store, whatever they hold."""
    found = set()
    for key in collect_aiterator(store.list_prefix("c/")):
        name = key.removeprefix("c/")
        if name.isdecimal() and int(name) < chunks:
            found.add(int(name))
    return found


# ---------------------------------------------------------------- writing


def write(target: "Target", plan: Plan, progress: Progress, reporter: str) -> None:
    """Write what is missing of a table, and put it in its place."""
    chunk = plan.length * plan.dtype.itemsize
    sink = _stored(target, plan)
    piped(sink, plan.schedule, plan.steps, plan.dtype, chunk, progress, reporter)


def _stored(target: "Target", plan: Plan) -> Sink[None]:
    """Write the chunks to an array."""
    with errors_naming(target.name), target.opened(plan):
        chunk = 0
        while (values := (yield)) is not None:
            values = values.copy()  # a store in memory keeps what it is given
            store_chunk(target.array, target.call, chunk, values, chunk in target.present)
            chunk += 1
        target.publish(plan)


class NotFoundThereError(OSError):
    """A process does not find the array that it has to write."""


def is_written_by(array: Array, call: str) -> bool:
    """Return whether this process finds the array that `call` is writing."""
    try:
        found = zarr.open_array(array.store, mode="r").attrs.asdict()
    except (FileNotFoundError, ValueError):
        return False
    description = found.get("invdecay")
    return isinstance(description, dict) and description.get("call") == call


def store_chunk(
    array: Array, call: str, chunk: int, values: npt.NDArray[Any], present: bool
) -> bool:
    """Write a chunk, unless it is there already with the same bits; return whether it was not."""
    if not is_written_by(array, call):
        text = "the array that this call writes is not there"
        raise NotFoundThereError(errno.ENOENT, text, str(array.store))
    written = not (present and holds(array, chunk, values))
    if written:
        array.blocks[chunk] = values
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
    return written


def holds(array: Array, chunk: int, values: npt.NDArray[Any]) -> bool:
    """Return whether a chunk is there with these bits."""
    try:
        return not differences(array.blocks[chunk], values).any()
    except ValueError:  # a chunk of another length
        return False


# ---------------------------------------------------------------- where arrays are written


class InPlace:
    """A store that cannot rename: the attribute ``complete`` is set last."""

    array: Array
    present: set[int]  # chunks that an interrupted call has left

    def __init__(self, store: Store, force: bool) -> None:
        self.store = store
        self.name = str(store)
        if store.read_only:
            raise ValueError(f"path must be a store that can be written, got {store}")
        if not store.supports_listing or not store.supports_deletes:
            raise ValueError(f"path must be a store that lists and deletes, got {store}")
        _check_replaceable(store, str(store), force)

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        """Make the array for this call alone; on an error say what is kept."""
        self.call = uuid.uuid4().hex
        if self._same(plan):
            self.present = present_in(self.store, plan.chunks)
        else:
            sync(self.store.delete_dir(""))
            self.present = set()
        self.array = _create(self.store, plan, self.call)
        try:
            yield
        except BaseException as error:
            with suppress(Exception):
                if present_in(self.store, plan.chunks):
                    error.add_note(
                        f"What is finished is kept in {self.name}: the same call resumes."
                    )
                else:
                    sync(self.store.delete_dir(""))
            raise

    def _same(self, plan: Plan) -> bool:
        try:
            array: Array = zarr.open_array(self.store, mode="r")
            found = _description(array)
        except (OSError, ValueError):
            return False
        if found is None or array.metadata.zarr_format != 3:
            return False
        return Plan(*found[:2], array.dtype, array.chunks[0]).identity == plan.identity

    def publish(self, plan: Plan) -> None:
        """Let readers have the array, whose chunks are all there."""
        if not is_written_by(self.array, self.call):
            raise OSError(errno.ESTALE, "was removed or written by another call", self.name)
        self.array.update_attributes({"invdecay": plan.description(complete=True)})


class Folder:
    """A folder: the array is written beside it and renamed."""

    array: Array
    present: set[int]  # chunks that an interrupted call has left
    _published = False

    def __init__(self, path: Path, force: bool) -> None:
        self.path = Path(os.path.abspath(path))
        self.name = str(self.path)
        self._force = force
        self._check()

    def _check(self) -> os.stat_result | None:
        """Return what is to be replaced; refuse what is not, whatever a link leads to."""
        path = self.path
        if not path.parent.is_dir():
            raise OSError(errno.ENOENT, "no such folder", str(path.parent))
        found = found_at(self.name, path.parent)
        if found is None:
            return None
        if stat.S_ISDIR(found.st_mode):
            if hasattr(os, "O_DIRECTORY"):
                with _open(path) as descriptor:
                    if is_mount_point(descriptor):
                        raise OSError(errno.EBUSY, "is a mount point", self.name)
            if any(path.iterdir()):
                _check_replaceable(LocalStore(path, read_only=True), self.name, self._force)
        elif not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EEXIST, "exists and is not a Zarr array", self.name)
        elif not self._force:
            text = "exists and is not a Zarr array; force replaces it"
            raise OSError(errno.EEXIST, text, self.name)
        return found

    @contextmanager
    def opened(self, plan: Plan) -> Iterator[None]:
        """Make the array for this call alone; on an error say what is kept."""
        # One name for each table: a worker that a call has given up, and that still writes, then
        # never writes into an array of other rates.
        self.hidden = hidden_path(self.path, f"-{plan.identity[:16]}.partial")
        self.aside = hidden_path(self.path, ".old")
        self._hidden = Hidden(str(self.hidden), self.path, is_folder=True)
        old = self._check()
        with self._hidden.opened():
            try:
                if old is not None and self._hidden.descriptor is not None:
                    # Nobody reads more than the old array meanwhile.
                    give_mode(self._hidden.descriptor, old.st_mode & 0o777 | 0o700)
                self._discard_others()
                self._recover()
                self._tidy(plan)
                self.present = present_in(LocalStore(self.hidden), plan.chunks)
                missing = (plan.chunks - len(self.present)) * plan.length * plan.dtype.itemsize
                check_space(self.path.parent, missing, self.path)
                self.call = uuid.uuid4().hex
                self.array = _create(LocalStore(self.hidden), plan, self.call)
                yield
            except BaseException as error:
                with suppress(OSError):
                    self._keep_or_discard(error, plan)
                raise

    def _discard_others(self) -> None:
        """Remove what interrupted calls for other tables have left beside this path."""
        begin = hidden_path(self.path, "-").name
        for entry in self.path.parent.iterdir():
            if entry.name.startswith(begin) and entry != self.hidden:
                other = Hidden(str(entry), self.path, is_folder=True)
                with other.opened():
                    other.remove()

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

    def publish(self, plan: Plan) -> None:
        """Let readers have the array, if all its chunks are there."""
        self._tidy(plan)
        whole = len(present_in(self.array.store, plan.chunks)) == plan.chunks
        if not whole or not is_written_by(self.array, self.call):
            raise OSError(errno.ESTALE, f"{self.hidden} was changed by something else", self.name)
        self.array.update_attributes({"invdecay": plan.description(complete=True)})
        _synchronise(self.hidden / "zarr.json")
        if plan.chunks:
            _synchronise(self.hidden / "c")
        _synchronise(self.hidden)
        if not self._hidden.is_there():
            raise OSError(errno.ESTALE, f"{self.hidden} was replaced by something else", self.name)
        old = self._check()
        if old is not None and self._hidden.descriptor is not None:
            give_mode_and_owner(self._hidden.descriptor, old)
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
                os.rename(self.path, self.aside)
            os.rename(self.hidden, self.path)
        except BaseException:
            if os.path.lexists(self.aside) and not os.path.lexists(self.path):
                os.rename(self.aside, self.path)
            raise

    def _keep_or_discard(self, error: BaseException, plan: Plan) -> None:
        if self._published:
            error.add_note(f"{self.path} is complete.")
        elif count := len(present_in(LocalStore(self.hidden), plan.chunks)):
            size = format_bytes(count * plan.length * plan.dtype.itemsize)
            error.add_note(
                f"{size} are kept in {self.hidden}: the same call resumes, and removing that folder"
                " discards them."
            )
        else:
            shutil.rmtree(self.hidden)


Target = InPlace | Folder
"""A place for a table, and the array that one call is writing there."""


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


def _check_replaceable(store: Store, where: str, force: bool) -> None:
    """Refuse a store that holds anything but a Zarr array or, by force, a group."""
    found: Any = None
    try:
        found = zarr.open(store, mode="r")
    except FileNotFoundError:
        if sync(store.is_empty("")):
            return
    except (OSError, ValueError, KeyError):
        pass
    if isinstance(found, zarr.Group) and not force:
        text = "exists and is a Zarr group, not an array; force replaces it"
        raise OSError(errno.EEXIST, text, where)
    if found is None:
        raise OSError(errno.EEXIST, "exists and is not a Zarr array", where)


# ---------------------------------------------------------------- system calls


@contextmanager
def _open(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _synchronise(path: Path) -> None:
    """Wait until a file or a folder is on disk."""
    if not path.is_dir() or hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        with _open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR) as descriptor:
            synchronise(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
