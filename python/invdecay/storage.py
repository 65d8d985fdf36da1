"""Tables on disk: `save_table`, `verify_table` and `inspect_table`.

A table grows in a hidden file in the folder of its path and is renamed once it is whole and on
disk, so that the path is absent, old or complete at every moment. The formula is the checksum: an
interrupted table resumes by computing each chunk again and comparing it with the hidden file.
"""

import errno
import hashlib
import io
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ._arguments import floating_dtype, step_range
from ._backend import report_flags
from .schedule import InverseTimeDecay

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["TableInfo", "Verification", "inspect_table", "save_table", "verify_table"]

_Result = TypeVar("_Result")
_Sink: TypeAlias = Generator[None, npt.NDArray[Any] | None, _Result]
"""Takes a table chunk by chunk, then None, and returns its result."""
_Progress: TypeAlias = Callable[[int, int], object]

_CHUNK = 1 << 22
"""Bytes computed, compared or written at once."""
_SYNC = 1 << 26
"""Bytes written between two synchronisations: Ctrl-C waits for one of them at most."""
_UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems answer that can neither lock a file nor synchronise a folder."""


# ---------------------------------------------------------------- the public functions


def save_table(
    schedule: InverseTimeDecay,
    path: str | os.PathLike[str],
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    progress: _Progress | None = None,
    force: bool = False,
) -> Path:
    """Write the learning rates at a range of steps to a ``.npy`` or ``.zarr`` table.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate. The arithmetic is in its dtype.
    path : str or path
        The table to make or replace. The suffix decides the format: ``.npy`` or ``.zarr``.
        A symbolic link to a regular file is replaced, not followed.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    dtype : dtype, optional
        The dtype of the table, any real floating one; each element is rounded once on store.
        Default: ``schedule.dtype``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.
    force : bool, optional
        Replace an existing file even if it is not a table of the suffix's format.

    Returns
    -------
    pathlib.Path
        The path of the table. A ``.npy`` file has the bytes that
        ``numpy.save(path, schedule.precompute(steps))`` writes.

    Raises
    ------
    TypeError
        If `schedule` is not an `InverseTimeDecay`, `path` not a path, `steps` neither an integer
        nor a range, or `dtype` not a real floating dtype.
    ValueError
        If the suffix of `path` is neither ``.npy`` nor ``.zarr``.
    OverflowError
        If a step does not fit int64.
    BlockingIOError
        If another call is writing this table.
    FileExistsError
        If something else than a table of this format is at `path`.
    OSError
        If the table cannot be written, a full disk included. What was at `path` is untouched.

    See Also
    --------
    InverseTimeDecay.precompute : the same table in memory.
    verify_table : compares a table with its schedule.

    Notes
    -----
    Free space, permissions and what is at `path` are checked before the work. Until the table is
    complete and on disk it is a hidden file in the same folder, ``.invdecay-*.partial``. After an
    interruption (Ctrl-C, a crash, an error) a note on the exception says what is kept. The same
    call then resumes: it computes the table again, compares it with the hidden file, and writes
    from the first difference on. A replaced file keeps its mode and, where allowed, its owner.

    Memory stays below 256 MiB whatever the length. Two calls for one path exclude each other by
    ``flock``. On file systems without it (some NFS and Lustre mounts) and on Windows nothing
    does: see to it yourself that only one call at a time writes a path there.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from invdecay import InverseTimeDecay, save_table
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_table(schedule, f"{folder}/lr.npy", range(0, 4000, 1000), dtype="float32")
    ...     np.load(path)
    array([0.1       , 0.05      , 0.03333334, 0.025     ], dtype=float32)
    """
    _check_schedule(schedule)
    target, steps = _table_path(path), step_range(steps)
    stored = schedule.dtype if dtype is None else floating_dtype("dtype", dtype)
    if target.suffix == ".zarr":
        from . import _zarr

        return _zarr.save(schedule, target, steps, stored, progress, force)
    sink = _stored(target, steps, stored, force)
    _piped(sink, schedule, steps, stored, progress, reporter="save_table")
    return target


@dataclass(frozen=True)
class Verification:
    """How a table compares with its schedule.

    Attributes
    ----------
    count : int
        The number of elements.
    differing : int
        How many of them differ from the schedule's in at least one bit.
    first_step : int or None
        The first step whose element differs.
    stored, expected : float or None
        What the file and the schedule have there.
    """

    count: int
    differing: int = 0
    first_step: int | None = None
    stored: float | None = None
    expected: float | None = None

    @property
    def equal(self) -> bool:
        """Whether every bit is the schedule's."""
        return self.differing == 0


def verify_table(
    path: str | os.PathLike[str],
    schedule: InverseTimeDecay | None = None,
    steps: int | range | None = None,
    *,
    progress: _Progress | None = None,
) -> Verification:
    """Compare every byte of a table with what its schedule gives.

    Parameters
    ----------
    path : str or path
        A ``.npy`` or ``.zarr`` table.
    schedule : InverseTimeDecay, optional
        What the table should hold. A ``.zarr`` table knows it, a ``.npy`` file does not.
    steps : int or range, optional
        The steps of the table. Default: those that a ``.zarr`` table names, or the integers from
        0 on.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    Verification
        How many elements differ, and the first of them.

    Raises
    ------
    TypeError
        If an argument is of the wrong type, or `schedule` is missing for a ``.npy`` file.
    ValueError
        If the suffix is neither ``.npy`` nor ``.zarr``, or the file is not a table of the length
        of `steps` in a real floating dtype.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from invdecay import InverseTimeDecay, save_table
    >>> from invdecay.storage import verify_table
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_table(schedule, f"{folder}/lr.npy", 4000)
    ...     verify_table(path, schedule).equal
    True
    """
    target = _table_path(path)
    if schedule is not None or target.suffix == ".npy":
        _check_schedule(schedule)
    if steps is not None:
        steps = step_range(steps)
    if target.suffix == ".zarr":
        from . import _zarr

        return _zarr.verify(target, schedule, steps, progress)
    assert schedule is not None
    file = _NpyFile.of(target)
    steps = range(file.length) if steps is None else steps
    if file.length != len(steps):
        raise ValueError(f"{path} has {file.length} elements, expected {len(steps)}")
    if file.size != file.whole:
        raise ValueError(f"{path} has {file.size} bytes, expected {file.whole}")
    return _piped(_compared(file, steps), schedule, steps, file.dtype, progress)


@dataclass(frozen=True)
class TableInfo:
    """What a table holds.

    Attributes
    ----------
    format : {"npy", "zarr"}
        The format of the table.
    dtype : numpy.dtype
        The dtype of its elements.
    length : int
        The number of elements of the whole table.
    size : int
        The bytes it takes on disk.
    first, last, smallest, largest : float or None
        The first and the last element, and the extremes of the finite ones; None without any.
    nan, infinite : int
        How many elements are NaN or infinite.
    complete : bool
        Whether every element is there.
    schedule : dict or None
        The schedule's configuration, where the table says it.
    steps : range or None
        The steps, where the table says them.
    """

    format: str
    dtype: np.dtype[Any]
    length: int
    size: int
    first: float | None
    last: float | None
    smallest: float | None
    largest: float | None
    nan: int
    infinite: int
    complete: bool
    schedule: dict[str, Any] | None = None
    steps: range | None = None


def inspect_table(path: str | os.PathLike[str], *, progress: _Progress | None = None) -> TableInfo:
    """Return what a table holds, from reading it once.

    Parameters
    ----------
    path : str or path
        A ``.npy`` or ``.zarr`` table.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    TableInfo
        Format, length, size, extremes, and for ``.zarr`` the schedule. Of a truncated ``.npy``
        file the elements that are there are described.

    Raises
    ------
    TypeError
        If `path` is not a path.
    ValueError
        If the suffix is neither ``.npy`` nor ``.zarr``, or the file is not a table of one
        dimension in a real floating dtype.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from invdecay import InverseTimeDecay, save_table
    >>> from invdecay.storage import inspect_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = inspect_table(save_table(InverseTimeDecay(0.1, 9, 1.0), f"{folder}/a.npy", 10))
    >>> info.length, info.first, info.last, info.complete
    (10, 0.1, 0.05, True)
    """
    target = _table_path(path)
    if target.suffix == ".zarr":
        from . import _zarr

        return _zarr.inspect(target, progress)
    file = _NpyFile.of(target)
    present = min(file.length, (file.size - file.offset) // file.dtype.itemsize)

    def chunks() -> Iterator[npt.NDArray[Any]]:
        with open(target, "rb") as stream:
            stream.seek(file.offset)
            for done in range(0, present, _CHUNK):
                yield np.fromfile(stream, file.dtype, min(_CHUNK, present - done))
                if progress is not None:
                    progress(min(done + _CHUNK, present), present)

    found = statistics(chunks())
    complete = file.size == file.whole
    return TableInfo("npy", file.dtype, file.length, file.size, complete=complete, **found)


def statistics(chunks: Iterable[npt.NDArray[Any]]) -> dict[str, Any]:
    """Return first, last, smallest, largest, nan and infinite of a `TableInfo`."""
    first = last = smallest = largest = None
    nan = infinite = 0
    for chunk in chunks:
        first, last = float(chunk[0]) if first is None else first, float(chunk[-1])
        finite = chunk[np.isfinite(chunk)]
        unnumbered = int(np.count_nonzero(np.isnan(chunk)))
        nan, infinite = nan + unnumbered, infinite + len(chunk) - len(finite) - unnumbered
        if len(finite):
            low, high = float(finite.min()), float(finite.max())
            smallest = low if smallest is None else min(low, smallest)
            largest = high if largest is None else max(high, largest)
    return {
        "first": first,
        "last": last,
        "smallest": smallest,
        "largest": largest,
        "nan": nan,
        "infinite": infinite,
    }


def table_size(steps: range, dtype: np.dtype[Any]) -> int:
    """Return the bytes of a table's ``.npy`` file."""
    return len(_header(len(steps), dtype)) + len(steps) * dtype.itemsize


def free_space(folder: str | os.PathLike[str] | int) -> int:
    """Return the bytes free in a folder, given by its path or its descriptor."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize  # some file systems do not know


def format_bytes(count: int) -> str:
    """Return a number of bytes as people read it: ``"80.0 TB"``."""
    if count < 1000:
        return f"{count} bytes"
    power = min((len(str(count)) - 1) // 3, 6)
    return f"{count / 1000**power:.1f} {' kMGTPE'[power]}B"


# ---------------------------------------------------------------- arguments and headers


def _check_schedule(schedule: Any) -> None:
    if not isinstance(schedule, InverseTimeDecay):
        raise TypeError(f"schedule must be an InverseTimeDecay, got {schedule!r}")


def _table_path(path: Any) -> Path:
    """Return `path` as a Path, if its suffix is that of a table."""
    try:
        target = Path(path)
    except TypeError:
        raise TypeError(f"path must be a string or a path, got {path!r}") from None
    if target.suffix not in (".npy", ".zarr"):
        raise ValueError(f"path must end in .npy or .zarr, got {os.fspath(path)!r}")
    return target


def _header(length: int, dtype: np.dtype[Any]) -> bytes:
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    content = {"descr": descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, content)
    return stream.getvalue()


@dataclass(frozen=True)
class _NpyFile:
    """What the header of a ``.npy`` file says, and the size of the file."""

    path: Path
    dtype: np.dtype[Any]
    length: int
    offset: int
    size: int

    @classmethod
    def of(cls, path: Path) -> "_NpyFile":
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        with open(path, "rb") as file:
            try:
                first = np.lib.format.read_magic(file) == (1, 0)
                formats = np.lib.format
                read = formats.read_array_header_1_0 if first else formats.read_array_header_2_0
                shape, _, dtype = read(file)
            except ValueError as error:
                raise ValueError(f"{path} is not a .npy file: {error}") from None
            if len(shape) != 1 or dtype.kind != "f":
                expected = "one dimension of a real floating dtype"
                raise ValueError(f"{path} has shape {shape} of {dtype}, expected {expected}")
            return cls(path, dtype, shape[0], file.tell(), os.fstat(file.fileno()).st_size)

    @property
    def whole(self) -> int:
        """Bytes of the file where nothing is missing."""
        return self.offset + self.length * self.dtype.itemsize


# ---------------------------------------------------------------- computing beside the files


class _Stopped(Exception):
    """Thrown into a sink whose caller goes no further."""


class _Worker(threading.Thread):
    """Runs a sink in a thread of its own.

    Ctrl-C is raised in the main thread alone, so that it never cuts short what owns the files.
    Where no thread can be started (too many of them, or Python is exiting) the caller runs it.
    """

    def __init__(self, sink: _Sink[Any]) -> None:
        super().__init__(name="invdecay-files")
        self.todo: SimpleQueue[Any] = SimpleQueue()
        self._replies: SimpleQueue[Any] = SimpleQueue()
        self._sink = sink
        self._begun = self._inline = self._over = False

    def begin(self) -> None:
        """Let the sink run to its first yield."""
        try:
            self.start()
        except RuntimeError:
            self._inline = True
        self._begun = True
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

    def run(self) -> None:
        while not self._over:
            self._step()

    def _step(self) -> None:
        item = self.todo.get()
        try:
            stopped = isinstance(item, _Stopped)
            reply = self._sink.throw(item) if stopped else self._sink.send(item)
        except StopIteration as end:
            self._over, reply = True, end.value
        except BaseException as error:
            self._over, reply = True, error
        self._replies.put(reply)

    def end(self) -> None:
        """Wait until the sink has ended. One that was not begun has not opened anything."""
        if self._begun and self._inline:
            self.run()
        elif self._begun:
            self.join()


def _piped(
    sink: _Sink[_Result],
    schedule: InverseTimeDecay,
    steps: range,
    dtype: np.dtype[Any],
    progress: _Progress | None,
    reporter: str | None = None,
) -> _Result:
    """Compute a table chunk by chunk while `sink` is at work on the chunk before."""
    length = max(1, _CHUNK // dtype.itemsize)
    worker, stopped = _Worker(sink), _Stopped()
    flags = done = 0

    def advance() -> None:
        nonlocal done
        worker.get()
        done = min(done + length, len(steps))
        if progress is not None:
            progress(done, len(steps))

    try:
        worker.begin()
        # Zeros, since the padding inside a long double is stored as it is found.
        native = dtype.newbyteorder("=")
        buffers = [np.zeros(min(length, len(steps)), native) for _ in range(2)]
        for start in range(0, len(steps), length):
            if start - done == 2 * length:
                advance()
            chunk = steps[start : start + length]
            values = buffers[start // length % 2][: len(chunk)]
            flags |= schedule._fill(values, chunk)
            worker.put(values if dtype.isnative else values.byteswap().view(dtype))
        while done < len(steps):
            advance()
        if reporter is not None:
            report_flags(reporter, flags)
        worker.put(None)
        result: _Result = worker.get()
        worker.end()
        return result
    except BaseException as error:
        worker.todo.put(stopped)  # at once: a second Ctrl-C must not leave the thread waiting
        worker.end()
        for note in getattr(stopped, "__notes__", ()):
            error.add_note(note)
        raise


def _compared(file: _NpyFile, steps: range) -> _Sink[Verification]:
    """Compare the chunks with those of a file."""
    buffer = bytearray(_CHUNK)
    done = differing = 0
    first: tuple[int | None, float | None, float | None] = None, None, None
    with open(file.path, "rb", buffering=0) as stream:
        stream.seek(file.offset)
        while (expected := (yield)) is not None:
            if stream.readinto(memoryview(buffer)[: expected.nbytes]) != expected.nbytes:
                raise ValueError(f"{file.path} became shorter while it was read")
            if not buffer.startswith(_bytes(expected)):
                stored = np.frombuffer(buffer, file.dtype, len(expected))
                words = f"u{min(file.dtype.itemsize, 8)}", (len(expected), -1)
                unequal = stored.view(words[0]) != expected.view(words[0])
                where = np.flatnonzero(unequal.reshape(words[1]).any(axis=1))
                if not differing:
                    i = int(where[0])
                    first = steps[done + i], float(stored[i]), float(expected[i])
                differing += len(where)
            done += len(expected)
    return Verification(len(steps), differing, *first)


def _stored(path: Path, steps: range, dtype: np.dtype[Any], force: bool) -> _Sink[None]:
    """Write the chunks to a file."""
    with _Partial(path, table_size(steps, dtype), force).opened() as partial:
        partial.put(memoryview(_header(len(steps), dtype)))
        while (values := (yield)) is not None:
            partial.put(_bytes(values))
        partial.publish()


def _bytes(values: npt.NDArray[Any]) -> memoryview:
    return values.view(np.uint8).data


# ---------------------------------------------------------------- the hidden file


class _Partial:
    """The hidden file in which a table grows. Nothing else is ever renamed to the table's path.

    Its folder is opened once and everything is relative to it, where the platform can do so.
    """

    _folder: int | None = None
    _end = _synced = 0  # bytes that are right, and those of them known to be on disk
    _resuming = True
    _published = False

    def __init__(self, path: Path, size: int, force: bool) -> None:
        self._path, self._size, self._force = path, size, force
        # Not the table's own name and more, which a file system may find too long.
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        self._hidden_path = path.with_name(f".invdecay-{digest}.partial")
        self._name, self._hidden = str(path), str(self._hidden_path)
        self._buffer = bytearray(min(_CHUNK, size))

    @contextmanager
    def opened(self) -> Iterator["_Partial"]:
        """Check what can be checked before the work; on an error say what is kept."""
        with ExitStack() as stack:
            if os.open in os.supports_dir_fd:
                folder = _descriptor(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
                self._folder = stack.enter_context(folder)
                self._name, self._hidden = self._path.name, self._hidden_path.name
            stack.enter_context(self._naming())
            old = self._replaced()
            self._file = stack.enter_context(self._locked())
            try:
                self._check_space()
                if old is not None and hasattr(os, "fchmod"):  # no more readers than the old has
                    os.fchmod(self._file.fileno(), stat.S_IMODE(old.st_mode) & 0o777 | 0o600)
                yield self
            except BaseException as error:
                with suppress(OSError):
                    self._keep_or_discard(error)
                raise

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Let every OSError name the table."""
        try:
            yield
        except OSError as error:
            error.filename = str(self._path)
            del error.filename2
            raise

    def _replaced(self) -> os.stat_result | None:
        """Return the file to replace, None without one; refuse what is not to be replaced."""
        try:
            entry = os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
            found = os.stat(self._name, dir_fd=self._folder)
        except FileNotFoundError:  # a link to nothing is replaced too
            return None
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, "is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EEXIST, "exists and is not a regular file")
        if self._folder is not None:
            folder = os.fstat(self._folder)
            owners = 0, folder.st_uid, entry.st_uid
            if folder.st_mode & stat.S_ISVTX and os.geteuid() not in owners:
                raise OSError(errno.EPERM, "belongs to another user, in a folder with a sticky bit")
        flags = getattr(os, "O_PATH", os.O_RDONLY) if self._force else os.O_RDONLY
        with _descriptor(self._name, flags, self._folder) as descriptor:
            if _is_mount_point(descriptor):
                raise OSError(errno.EBUSY, "is a mount point")
            head = b"" if self._force else os.read(descriptor, len(np.lib.format.MAGIC_PREFIX))
            if head not in (b"", np.lib.format.MAGIC_PREFIX):
                raise OSError(errno.EEXIST, "exists and is not a .npy file; force replaces it")
        return found

    def _locked(self) -> io.FileIO:
        """Open the hidden file, made if missing, never through a link, for this call alone."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        for _ in range(100):
            with ExitStack() as stack:
                descriptor = os.open(self._hidden, flags, 0o666, dir_fd=self._folder)
                file = stack.enter_context(io.FileIO(descriptor, "r+"))
                found = os.fstat(descriptor)
                regular = stat.S_ISREG(found.st_mode) and found.st_nlink < 2
                if not regular or _is_mount_point(descriptor):
                    raise OSError(errno.EEXIST, f"{self._hidden_path} is not a file of ours")
                self._lock(descriptor)
                if self._is_hidden(file):
                    stack.pop_all()
                    return file
            # Published or removed by another call between our opening it and our locking it.
        raise OSError(errno.ESTALE, f"{self._hidden_path} keeps changing")

    def _lock(self, descriptor: int) -> None:
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EWOULDBLOCK, "being written by another call") from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise

    def _is_hidden(self, file: io.FileIO) -> bool:
        """Whether the hidden name is still that of the open file."""
        try:
            named = os.stat(self._hidden, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file.fileno()), named)

    def _check_space(self) -> None:
        found = os.fstat(self._file.fileno())
        held = found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
        free = free_space(self._path.parent if self._folder is None else self._folder)
        if self._size - held > free:
            needs = format_bytes(self._size - held)
            raise OSError(errno.ENOSPC, f"needs {needs}, {format_bytes(free)} are free")

    def put(self, data: memoryview) -> None:
        """Compare the next bytes of the table with those of the file, or write them."""
        if self._resuming:
            count = self._file.readinto(memoryview(self._buffer)[: len(data)])
            self._resuming = count == len(data) and self._buffer.startswith(data)
            if not self._resuming:
                self._file.truncate(self._end)
                self._file.seek(self._end)
        self._end += len(data)
        if not self._resuming:
            while data:
                data = data[self._file.write(data) :]
            if self._end - self._synced >= _SYNC:
                self._synchronise()

    def _synchronise(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError:
            # The kernel goes on to show bytes that did not reach the disk: they must not be
            # there when the next call compares.
            self._file.truncate(self._synced)
            raise
        self._synced = self._end

    def publish(self) -> None:
        """Rename the file, once it is on disk, if it still is what this call wrote."""
        if self._resuming:
            self._file.truncate(self._end)
        self._synchronise()
        old = self._replaced()
        if old is not None:
            _give_mode_and_owner(self._file.fileno(), old)
        if not self._is_hidden(self._file) or self._file.seek(0, os.SEEK_END) != self._size:
            raise OSError(errno.ESTALE, "the hidden file was changed by something else")
        if sys.platform == "win32":  # which does not rename an open file
            self._file.close()
        at = self._folder
        os.replace(self._hidden, self._name, src_dir_fd=at, dst_dir_fd=at)
        self._published = True
        if at is not None:
            try:
                os.fsync(at)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise

    def _keep_or_discard(self, error: BaseException) -> None:
        if self._published:
            error.add_note(f"{self._path} is complete.")
        elif self._is_hidden(self._file):
            size = os.fstat(self._file.fileno()).st_size
            if size == 0:
                os.unlink(self._hidden, dir_fd=self._folder)
            else:
                error.add_note(
                    f"{format_bytes(size)} are kept in {self._hidden_path}: the same call resumes,"
                    " and removing that file discards them."
                )


@contextmanager
def _descriptor(path: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_mount_point(descriptor: int) -> bool:
    """Whether an open file is a mount of its own, which no rename replaces (known on Linux)."""
    try:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        with _descriptor(os.path.dirname(name), os.O_PATH) as folder:
            texts = [Path(f"/proc/self/fdinfo/{n}").read_text() for n in (descriptor, folder)]
    except (OSError, AttributeError):
        return False
    lines = {line for text in texts for line in text.splitlines()}
    return sum(line.startswith("mnt_id") for line in lines) > 1


def _give_mode_and_owner(descriptor: int, old: os.stat_result) -> None:
    if hasattr(os, "fchown"):
        for user in old.st_uid, -1:
            with suppress(OSError):
                os.fchown(descriptor, user, old.st_gid)
                break
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
