"""Tables on disk: `save_table`, `verify_table` and `inspect_table`.

A table grows in a hidden file beside its path and is renamed once it is whole and on disk, so that
the path is absent, old or complete at every moment. The formula is the checksum: an interrupted
table resumes by computing each chunk again and comparing it with the hidden file.
"""

import _thread
import errno
import functools
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
from numpy.lib import format as formats

from ._arguments import floating_dtype, step_range
from ._backend import report_flags
from .schedule import InverseTimeDecay

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_Array: TypeAlias = npt.NDArray[Any]
_Path: TypeAlias = str | os.PathLike[str]
_Progress: TypeAlias = Callable[[int, int], object] | None
_Result = TypeVar("_Result")
_Sink: TypeAlias = Generator[None, _Array | None, _Result]
"""Takes a table chunk by chunk, then None, and returns its result."""

_CHUNK = 1 << 22
"""Bytes computed, compared or written at once."""
_SYNC = 1 << 26
"""Bytes written between two synchronisations: Ctrl-C waits for one of them at most."""
_UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems answer that can neither lock a file nor synchronise a folder."""


# ---------------------------------------------------------------- the public functions


def save_table(
    schedule: InverseTimeDecay,
    path: _Path,
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    progress: _Progress = None,
    force: bool = False,
) -> Path:
    """Write the learning rates at a range of steps to a ``.npy`` or ``.zarr`` table.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate. The arithmetic is in its dtype.
    path : str or path
        The table to make or replace; its suffix, ``.npy`` or ``.zarr``, decides the format.
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
        `path`. A ``.npy`` file has the bytes that ``numpy.save`` makes of
        ``schedule.precompute(steps)``.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is of the wrong type, the suffix another one, or a step beyond int64.
    BlockingIOError
        If another call is writing this table.
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
    Memory stays below 256 MiB whatever the length.

    Calls for one path exclude each other by ``flock``. File systems without it (some NFS and
    Lustre mounts) and Windows have no such lock: let only one call at a time write a path there.

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
    target, steps = _table_path(path), step_range(steps)
    stored = _checked(schedule).dtype if dtype is None else floating_dtype("dtype", dtype)
    if target.suffix == ".zarr":
        from . import _zarr

        return _zarr.save(schedule, target, steps, stored, progress, force)
    sink = _stored(target, _header(steps, stored), table_size(steps, stored), force)
    _piped(sink, schedule, steps, stored, progress, reporter="save_table")
    return target


@dataclass(frozen=True)
class Verification:
    """How a table of `count` elements compares with its schedule.

    `differing` elements differ, in at least one bit. At the first of them, of step `first_step`,
    the file has the rate `stored` and the schedule `expected`; all three are None without one.
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
    path: _Path,
    schedule: InverseTimeDecay | None = None,
    steps: int | range | None = None,
    *,
    progress: _Progress = None,
) -> Verification:
    """Compare every byte of a table with what its schedule gives.

    Parameters
    ----------
    path : str or path
        A ``.npy`` or ``.zarr`` table.
    schedule : InverseTimeDecay, optional
        What the table should hold. A ``.zarr`` table knows it, a ``.npy`` file does not.
    steps : int or range, optional
        The steps of the table. Default: those that a ``.zarr`` table names; the integers from 0.
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
        If the file is not a table of this length in a real floating dtype.
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
    steps = None if steps is None else step_range(steps)
    if target.suffix == ".zarr":
        from . import _zarr

        return _zarr.verify(target, schedule, steps, progress)
    schedule = _checked(schedule)
    dtype, length, offset, size = _read_header(target)
    steps = range(length) if steps is None else steps
    whole = offset + length * dtype.itemsize
    for unit, found, expected in ("elements", length, len(steps)), ("bytes", size, whole):
        if found != expected:
            raise ValueError(f"{path} has {found} {unit}, expected {expected}")
    return _piped(_compared(target, offset, steps), schedule, steps, dtype, progress)


@dataclass(frozen=True)
class TableInfo:
    """What a table holds.

    `format` is "npy" or "zarr", `length` counts the elements of the whole table, and `size` its
    bytes on disk. `smallest` and `largest` are of the finite elements. What there is none of is
    None. A ``.npy`` file says nothing of its `schedule` (a configuration) and its `steps`.
    """

    format: str
    dtype: np.dtype[Any]
    length: int
    size: int
    complete: bool
    first: float | None = None
    last: float | None = None
    smallest: float | None = None
    largest: float | None = None
    nan: int = 0
    infinite: int = 0
    schedule: dict[str, Any] | None = None
    steps: range | None = None


def inspect_table(path: _Path, *, progress: _Progress = None) -> TableInfo:
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
        Of a truncated ``.npy`` file, which is not complete, the elements that are there.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path, or the file not a table in a real floating dtype.
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
    dtype, length, offset, size = _read_header(target)
    present = min(length, (size - offset) // dtype.itemsize)

    def chunks() -> Iterator[_Array]:
        many = max(1, _CHUNK // dtype.itemsize)
        for done in range(0, present, many):
            count = min(many, present - done)
            yield np.fromfile(target, dtype, count, offset=offset + done * dtype.itemsize)
            if progress is not None:
                progress(done + count, present)

    complete = size == offset + length * dtype.itemsize
    return TableInfo("npy", dtype, length, size, complete, **statistics(chunks()))


def statistics(chunks: Iterable[_Array]) -> dict[str, Any]:
    """Return first, last, smallest, largest, nan and infinite of a `TableInfo`."""
    found: dict[str, Any] = {"nan": 0, "infinite": 0}
    for chunk in chunks:
        found = {"first": float(chunk[0])} | found | {"last": float(chunk[-1])}
        is_finite = np.isfinite(chunk)
        if not is_finite.all():
            found["nan"] += int(np.isnan(chunk).sum())
            found["infinite"] += int(np.isinf(chunk).sum())
            chunk = chunk[is_finite]
        if len(chunk):
            low, high = float(chunk.min()), float(chunk.max())
            found["smallest"] = min(found.get("smallest", low), low)
            found["largest"] = max(found.get("largest", high), high)
    return found


# ---------------------------------------------------------------- arguments, sizes and headers


def _checked(schedule: Any) -> InverseTimeDecay:
    if not isinstance(schedule, InverseTimeDecay):
        raise TypeError(f"schedule must be an InverseTimeDecay, got {schedule!r}")
    return schedule


def _table_path(path: Any) -> Path:
    """Return `path` as a Path, if its suffix is that of a table."""
    try:
        target = Path(path)
    except TypeError:
        raise TypeError(f"path must be a string or a path, got {path!r}") from None
    if target.suffix not in (".npy", ".zarr"):
        raise ValueError(f"path must end in .npy or .zarr, got {os.fspath(path)!r}")
    return target


def table_size(steps: range, dtype: np.dtype[Any]) -> int:
    """Return the bytes of a table's ``.npy`` file."""
    return len(_header(steps, dtype)) + len(steps) * dtype.itemsize


def free_space(folder: _Path | int) -> int:
    """Return the bytes free in a folder, given by its path or its descriptor."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize  # some file systems do not know


def format_bytes(count: int) -> str:
    """Return a number of bytes as people read it: ``"80.0 TB"``."""
    power = min((len(str(count)) - 1) // 3, 6)
    return f"{count / 1000**power:.1f} {' kMGTPE'[power]}B" if power else f"{count} bytes"


def _header(steps: range, dtype: np.dtype[Any]) -> bytes:
    stream = io.BytesIO()
    descr = formats.dtype_to_descr(dtype)
    content = {"descr": descr, "fortran_order": False, "shape": (len(steps),)}
    formats.write_array_header_1_0(stream, content)
    return stream.getvalue()


def _read_header(path: Path) -> tuple[np.dtype[Any], int, int, int]:
    """Return dtype and length of a ``.npy`` table, where its data begin, and the file's size."""
    if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    with open(path, "rb") as file:
        try:
            old = formats.read_magic(file) == (1, 0)
            read = formats.read_array_header_1_0 if old else formats.read_array_header_2_0
            shape, _, dtype = read(file)
        except ValueError as error:
            raise ValueError(f"{path} is not a .npy file: {error}") from None
        if len(shape) != 1 or dtype.kind != "f":
            wanted = "one dimension of a real floating dtype"
            raise ValueError(f"{path} has shape {shape} of {dtype}, expected {wanted}")
        return dtype, shape[0], file.tell(), os.fstat(file.fileno()).st_size


# ---------------------------------------------------------------- computing beside the files


class _Stopped(Exception):
    """Thrown into a sink whose caller goes no further."""


class _Worker:
    """Runs a sink in a thread of its own.

    Ctrl-C is raised in the main thread alone, so that it never cuts short what owns the files.
    Where no thread can be started (too many of them, or Python is exiting) the caller runs it.
    """

    def __init__(self, sink: _Sink[Any]) -> None:
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


def _piped(
    sink: _Sink[_Result],
    schedule: InverseTimeDecay,
    steps: range,
    dtype: np.dtype[Any],
    progress: _Progress,
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
        worker.start()
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
        return result
    except BaseException as error:
        worker.todo.put(stopped)  # at once: a second Ctrl-C must not leave the thread waiting
        worker.end()
        for note in getattr(stopped, "__notes__", ()):
            error.add_note(note)
        raise


def _compared(path: Path, offset: int, steps: range) -> _Sink[Verification]:
    """Compare the chunks with those of a file."""
    done = differing = 0
    first: tuple[int | None, float | None, float | None] = None, None, None
    while (expected := (yield)) is not None:
        size, word = expected.itemsize, f"u{min(expected.itemsize, 8)}"
        stored = np.fromfile(path, expected.dtype, len(expected), offset=offset + done * size)
        if len(stored) != len(expected):
            raise ValueError(f"{path} became shorter while it was read")
        unequal = stored.view(word) != expected.view(word)
        if unequal.any():
            where = np.flatnonzero(unequal.reshape(len(stored), -1).any(axis=1))
            if not differing:
                i = int(where[0])
                first = steps[done + i], float(stored[i]), float(expected[i])
            differing += len(where)
        done += len(expected)
    return Verification(len(steps), differing, *first)


def _stored(path: Path, header: bytes, size: int, force: bool) -> _Sink[None]:
    """Write the chunks to a file."""
    with _Partial(path, header, size, force).opened() as partial:
        while (values := (yield)) is not None:
            partial.put(values.view(np.uint8).data)
        partial.publish()


# ---------------------------------------------------------------- the hidden file


class _Partial:
    """The hidden file in which a table grows. Nothing else is ever renamed to the table's path.

    Its folder is opened once and everything is relative to it, where the platform can do so.
    """

    _file: io.FileIO
    _folder: int | None = None
    _end = _synced = 0  # bytes that are right, and those of them known to be on disk
    _resuming = True
    _published = False

    def __init__(self, path: Path, header: bytes, size: int, force: bool) -> None:
        self._path, self._parent = path.absolute(), path.parent
        self._header, self._size, self._force = header, size, force
        # Not the table's own name and more, which a file system may find too long.
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        self._hidden_path = self._path.with_name(f".invdecay-{digest}.partial")
        self._name, self._hidden = str(self._path), str(self._hidden_path)
        self._buffer = bytearray(_CHUNK)

    @contextmanager
    def opened(self) -> Iterator["_Partial"]:
        """Check what can be checked before the work; on an error say what is kept."""
        with ExitStack() as stack:
            if os.open in os.supports_dir_fd:
                self._folder = os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, self._folder)
                self._name, self._hidden = self._path.name, self._hidden_path.name
            try:
                old = self._replaced()
                self._open(stack)
                self._prepare(old)
                self.put(memoryview(self._header))
                yield self
            except BaseException as error:
                if isinstance(error, OSError):
                    error.filename = str(self._path)
                    del error.filename2
                with suppress(OSError):
                    self._keep_or_discard(error)
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
        if _is_mount_point(self._path):
            raise OSError(errno.EBUSY, "is a mount point")
        folder = os.stat(self._parent if self._folder is None else self._folder)
        if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, entry.st_uid):
            raise OSError(errno.EPERM, "belongs to another user, in a folder with a sticky bit")
        if not self._force:
            magic = formats.MAGIC_PREFIX
            opener = functools.partial(os.open, dir_fd=self._folder)
            with open(self._name, "rb", opener=opener) as file:
                if file.read(len(magic)) not in (b"", magic):
                    raise OSError(errno.EEXIST, "exists and is not a .npy file; force replaces it")
        return found

    def _open(self, stack: ExitStack) -> None:
        """Open the hidden file, made if missing, never through a link, for this call alone."""
        # Appending, so that a file which something else cut or extended ends with a wrong size.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        for _ in range(9):
            descriptor = os.open(self._hidden, flags, 0o666, dir_fd=self._folder)
            file = stack.enter_context(io.FileIO(descriptor, "r+"))
            found = os.fstat(descriptor)
            foreign = not stat.S_ISREG(found.st_mode) or found.st_nlink > 1
            if foreign or _is_mount_point(self._hidden_path):
                raise OSError(errno.EEXIST, f"{self._hidden_path} is not a file of ours")
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno == errno.EWOULDBLOCK:
                    raise OSError(error.errno, "is being written by another call") from None
                if error.errno not in _UNSUPPORTED:
                    raise
            if self._is_hidden(file):
                self._file = file
                return
            # Published or removed by another call between our opening it and our locking it.
        raise OSError(errno.ESTALE, f"{self._hidden_path} keeps changing")

    def _is_hidden(self, file: io.FileIO) -> bool:
        """Whether the hidden name is that of an open file."""
        try:
            named = os.stat(self._hidden, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file.fileno()), named)

    def _prepare(self, old: os.stat_result | None) -> None:
        """Check that there is space, and let nobody read more than the old table meanwhile."""
        found = os.fstat(self._file.fileno())
        held = found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
        free = free_space(self._parent if self._folder is None else self._folder)
        if self._size - held > free:
            needs = format_bytes(self._size - held)
            raise OSError(errno.ENOSPC, f"needs {needs}, {format_bytes(free)} are free")
        if old is not None and hasattr(os, "fchmod"):
            os.fchmod(self._file.fileno(), old.st_mode & 0o777 | 0o600)

    def put(self, data: memoryview) -> None:
        """Compare the next bytes of the table with those of the file, or write them."""
        if self._resuming:
            count = self._file.readinto(memoryview(self._buffer)[: len(data)])
            self._resuming = count == len(data) and self._buffer.startswith(data)
            if not self._resuming:
                self._file.truncate(self._end)
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
            # The kernel goes on to show bytes that may have failed to reach the disk. The next
            # call must not find them.
            self._file.truncate(self._synced)
            raise
        self._synced = self._end

    def publish(self) -> None:
        """Rename the file, once it is on disk, if it still is what this call wrote."""
        if self._resuming:
            self._file.truncate(self._end)
        self._synchronise()
        old, descriptor, at = self._replaced(), self._file.fileno(), self._folder
        if old is not None and hasattr(os, "fchown"):
            with suppress(OSError):
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        if not self._is_hidden(self._file) or os.fstat(descriptor).st_size != self._size:
            raise OSError(errno.ESTALE, "the hidden file was changed by something else")
        if sys.platform == "win32":  # which does not rename an open file
            self._file.close()
        os.replace(self._hidden, self._name, src_dir_fd=at, dst_dir_fd=at)
        self._published = True
        try:
            if at is not None:
                os.fsync(at)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise

    def _keep_or_discard(self, error: BaseException) -> None:
        """Remove a hidden file that holds nothing; else say where it is."""
        if self._published:
            error.add_note(f"{self._path} is complete.")
        elif hasattr(self, "_file") and self._is_hidden(self._file):
            size = os.fstat(self._file.fileno()).st_size
            if size <= len(self._header):
                os.unlink(self._hidden, dir_fd=self._folder)
            else:
                kept = f"{format_bytes(size)} are kept in {self._hidden_path}"
                rest = "the same call resumes, and removing that file discards them."
                error.add_note(f"{kept}: {rest}")


def _is_mount_point(path: Path) -> bool:
    """Whether a path or a link there leads to a file that is mounted (known on Linux)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    name = os.fsencode(os.path.realpath(path))
    for character in b"\\ \t\n":
        name = name.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split()[4] == name for line in mounts.splitlines())
