"""Writing schedule tables to disk.

A table grows in a hidden file beside its path and is moved there once it is whole and on disk:
the path is absent, old or complete, never partial. A manifest beside the hidden file has one line
per finished chunk, by which interrupted work resumes. Both are hints only: a chunk counts as
finished when its line is intact and its bytes, read again, have the checksum of that line.
"""

import errno
import hashlib
import io
import json
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import step_range
from ._backend import report_flags
from .schedule import InverseTimeDecay

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither renamed nor replaced
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 24
"""Bytes computed, checksummed, written and synchronised at once."""
_BUFFERS = 2
"""One chunk is computed while the other is written."""
_WRITE = 1 << 22
"""Bytes given to one write: how soon Ctrl-C is heard on a slow disk."""
_PREALLOCATE = 1 << 28
"""Bytes allocated by one call, which some file systems do block by block."""
_READ = 1 << 20
"""Bytes read at once where a chunk is verified."""
_LONGEST_LINE = 1 << 10
"""Bytes of a manifest line, with room to spare."""
_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that cannot preallocate, or synchronise a folder."""


def save_table(
    schedule: InverseTimeDecay,
    path: str | os.PathLike[str],
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write the learning rates at a range of steps to a ``.npy`` file.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate. The arithmetic is in its dtype.
    path : str or path
        The file to make or replace; a symbolic link there is replaced, not followed.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    dtype : dtype, optional
        The dtype of the table, any real floating one; each element is rounded once on store.
        Default: ``schedule.dtype``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    pathlib.Path
        The path of the table, whose bytes are those of
        ``numpy.save(path, schedule.precompute(steps))``.

    Raises
    ------
    TypeError
        If `schedule` is no `InverseTimeDecay`, `path` no path, `steps` neither an integer nor
        a range, or `dtype` no real floating dtype.
    OverflowError
        If a step does not fit int64.
    BlockingIOError
        If another call is writing this table.
    OSError
        If the file cannot be written, a full disk included. What was at `path` is untouched.

    See Also
    --------
    InverseTimeDecay.precompute : the same table in memory.

    Notes
    -----
    Until the table is complete and synchronised to disk it is a hidden file in the same folder,
    ``.NAME.partial``, with ``.NAME.manifest`` beside it. After an interruption (Ctrl-C, a crash,
    an error) the same call verifies the chunks that are finished, by their SHA-256, and computes
    the rest; a call with other arguments starts afresh. Memory stays below 256 MiB whatever the
    length, and the space is allocated before the work begins where the file system can do so.
    Files are locked where the platform has ``flock``.

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
    if not isinstance(schedule, InverseTimeDecay):
        raise TypeError(f"schedule must be an InverseTimeDecay, got {schedule!r}")
    target = _checked_path(path)
    plan = _Plan.of(schedule, step_range(steps), _stored_dtype(schedule, dtype))
    done = 0

    def advance(chunk: int) -> None:
        nonlocal done
        done += len(plan.steps_of(chunk))
        if progress is not None:
            progress(done, len(plan.steps))

    with _Partial(target, plan).opened() as partial:
        for chunk in partial.resume():
            advance(chunk)
        partial.allocate()
        _write_missing_chunks(partial, schedule, advance)
        report_flags("save_table", partial.flags)
        partial.publish()
    return target


# ---------------------------------------------------------------- arguments


def _checked_path(path: Any) -> Path:
    """`path` as a Path where a table may be put."""
    try:
        target = Path(path)
    except TypeError:
        raise TypeError(f"path must be a string or a path, got {path!r}") from None
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise OSError(errno.ENOENT, "no such folder", str(target.parent)) from None
        return target
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "is a folder", str(target))
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise OSError(errno.EEXIST, "exists and is no regular file", str(target))
    return target


def _stored_dtype(schedule: InverseTimeDecay, dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    try:
        stored = schedule.dtype if dtype is None else np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a real floating dtype, got {dtype!r}") from None
    if stored.kind != "f":
        raise TypeError(f"dtype must be a real floating dtype, got {stored}")
    return stored


# ---------------------------------------------------------------- what the files hold


@dataclass(frozen=True)
class _Plan:
    """What a table holds, where its chunks lie, and how the manifest speaks of them."""

    steps: range
    dtype: np.dtype[Any]
    header: bytes
    length: int  # elements of a chunk
    identity: str  # SHA-256 of all that decides the table's bytes and their chunks

    @classmethod
    def of(cls, schedule: InverseTimeDecay, steps: range, dtype: np.dtype[Any]) -> "_Plan":
        header = _npy_header(len(steps), dtype)
        length = max(1, _CHUNK // dtype.itemsize)
        parameters = {
            "schedule": {**schedule.get_config(), "dtype": schedule.dtype.name},
            "start": steps.start,
            "step": steps.step,
            "header": header.hex(),
            "chunk": length,
        }
        identity = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
        return cls(steps, dtype, header, length, identity)

    @property
    def size(self) -> int:
        return len(self.header) + len(self.steps) * self.dtype.itemsize

    @property
    def chunks(self) -> int:
        return -(-len(self.steps) // self.length)

    def steps_of(self, chunk: int) -> range:
        return self.steps[chunk * self.length : (chunk + 1) * self.length]

    def offset_of(self, chunk: int) -> int:
        return len(self.header) + chunk * self.length * self.dtype.itemsize

    @property
    def first_line(self) -> bytes:
        return _line({"invdecay": "manifest", "version": 1, "parameters": self.identity})

    def line(self, chunk: int, flags: int, sha256: str) -> bytes:
        """Return the manifest's line for a finished chunk, sealed against alteration."""
        seal = hashlib.sha256(f"{self.identity} {chunk} {flags} {sha256}".encode()).hexdigest()
        return _line({"chunk": chunk, "flags": flags, "sha256": sha256, "seal": seal[:16]})

    def parsed(self, line: bytes) -> tuple[int, int, str] | None:
        """Chunk, flags and checksum from a manifest line; None where it is not as written."""
        try:
            entry = json.loads(line)
            chunk, flags, sha256 = entry["chunk"], entry["flags"], entry["sha256"]
            intact = line == self.line(chunk, flags, sha256)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return (chunk, flags, sha256) if intact else None


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _npy_header(length: int, dtype: np.dtype[Any]) -> bytes:
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    content = {"descr": descr, "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, content)
    return stream.getvalue()


# ---------------------------------------------------------------- the files


class _Partial:
    """The unfinished table and its manifest, locked for one writer while they are open."""

    flags = 0  # floating-point flags of the finished chunks

    def __init__(self, path: Path, plan: _Plan) -> None:
        self.path = path
        self.plan = plan
        self.finished = bytearray(plan.chunks)
        self._file = path.with_name(f".{path.name}.partial")
        self._manifest = path.with_name(f".{path.name}.manifest")
        self._ours: list[Path] = []
        self._inspected = False
        self._stopped = threading.Event()

    @contextmanager
    def opened(self) -> Iterator["_Partial"]:
        """Lock and open both files; on an error keep them if anything in them is finished."""
        with ExitStack() as stack:
            self._data = stack.enter_context(_open_locked(self._file, self.path))
            self._ours = [self._file]
            try:
                self._lines = stack.enter_context(_open(self._manifest, os.O_APPEND))
                self._ours = [self._manifest, self._file]
                yield self
            except BaseException as error:
                self._keep_or_discard(error)
                raise

    def resume(self) -> Iterator[int]:
        """Find and yield the finished chunks of the same table; empty the files of any other."""
        with _naming(self.path), open(self._lines.fileno(), "rb", closefd=False) as lines:
            if lines.readline(_LONGEST_LINE) == self.plan.first_line:
                yield from self._verified(lines)
            else:
                self._lines.truncate(0)
                self._data.truncate(0)
                _append(self._lines, self.plan.first_line)
        self._inspected = True

    def _verified(self, lines: io.BufferedReader) -> Iterator[int]:
        line = b"\n"
        while piece := lines.readline(_LONGEST_LINE):
            line = piece
            entry = self.plan.parsed(line)
            if entry is None:
                continue
            chunk, flags, sha256 = entry
            if not self.finished[chunk] and self._checksum(chunk) == sha256:
                self.finished[chunk] = True
                self.flags |= flags
                yield chunk
        if not line.endswith(b"\n"):  # cut off by a crash: the next line starts on its own
            _append(self._lines, b"\n")

    def _checksum(self, chunk: int) -> str:
        """SHA-256 of what the file holds of a chunk."""
        digest = hashlib.sha256()
        missing = len(self.plan.steps_of(chunk)) * self.plan.dtype.itemsize
        self._data.seek(self.plan.offset_of(chunk))
        while missing and (piece := self._data.read(min(missing, _READ))):
            digest.update(piece)
            missing -= len(piece)
        return digest.hexdigest()

    def allocate(self) -> None:
        """Give the file its size, its space on disk and the table's header."""
        with _naming(self.path):
            if os.fstat(self._data.fileno()).st_size > self.plan.size:
                self._data.truncate(self.plan.size)
            _preallocate(self._data, self.plan.size)
            _write_at(self._data, memoryview(self.plan.header), 0, self._stopped)

    def store(self, chunk: int, values: memoryview, flags: int, sha256: str) -> None:
        """Write a chunk, and once it is on disk its line. Runs in the writer thread."""
        with _naming(self.path):
            _write_at(self._data, values, self.plan.offset_of(chunk), self._stopped)
            if self._stopped.is_set():
                return
            # One chunk at a time, or a last great flush would hold off Ctrl-C for seconds.
            os.fsync(self._data.fileno())
            _append(self._lines, self.plan.line(chunk, flags, sha256))
        self.finished[chunk] = True

    def stop(self) -> None:
        """Let a `store` in progress return early."""
        self._stopped.set()

    def publish(self) -> None:
        """Move the complete table to its path."""
        with _naming(self.path):
            os.fsync(self._data.fileno())
            if sys.platform == "win32":
                self._data.close()
            os.replace(self._file, self.path)
            with suppress(OSError):  # without its partial file a manifest claims nothing
                self._manifest.unlink()
            _sync_folder(self.path.parent)

    def _keep_or_discard(self, error: BaseException) -> None:
        if not _same_file(self._data, self._file):  # published already
            return
        empty = os.fstat(self._data.fileno()).st_size == 0
        if empty or (self._inspected and not any(self.finished)):
            for leftover in self._ours:
                with suppress(OSError):
                    leftover.unlink()
        else:
            error.add_note(f"What is finished is kept in {self._file}; the same call resumes.")


def _write_missing_chunks(
    partial: _Partial, schedule: InverseTimeDecay, advance: Callable[[int], None]
) -> None:
    """Compute each chunk that is missing while the one before it is written."""
    plan = partial.plan
    # Zeros, since the padding inside a long double is stored as it is found.
    buffers = [np.zeros(min(plan.length, len(plan.steps)), plan.dtype) for _ in range(_BUFFERS)]
    missing = [chunk for chunk in range(plan.chunks) if not partial.finished[chunk]]
    writing: deque[tuple[int, Future[None]]] = deque()

    def wait_for_oldest() -> None:
        chunk, stored = writing.popleft()
        stored.result()
        advance(chunk)

    with _writer_thread(partial.stop) as writer:
        for i, chunk in enumerate(missing):
            if len(writing) == _BUFFERS:
                wait_for_oldest()
            steps = plan.steps_of(chunk)
            values = buffers[i % _BUFFERS][: len(steps)]
            flags = schedule._fill(values, steps)
            partial.flags |= flags
            raw = values.view(np.uint8).data
            # Twice as fast as BLAKE2b where the processor has SHA instructions.
            sha256 = hashlib.sha256(raw).hexdigest()
            writing.append((chunk, writer.submit(partial.store, chunk, raw, flags, sha256)))
        while writing:
            wait_for_oldest()


@contextmanager
def _writer_thread(stop: Callable[[], None]) -> Iterator[ThreadPoolExecutor]:
    """One thread that has ended when the block is left, however it is left."""
    executor = ThreadPoolExecutor(1, "invdecay-writer")
    try:
        yield executor
    except BaseException:
        stop()
        raise
    finally:
        interrupt = None
        while True:
            try:
                executor.shutdown(cancel_futures=True)
                break
            except KeyboardInterrupt as again:  # the files must outlive the thread
                interrupt = again
        if interrupt is not None:
            raise interrupt


# ---------------------------------------------------------------- system calls


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an OSError that names no file name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def _open(path: Path, flags: int = 0) -> io.FileIO:
    """Open a plain file to read and write, made if missing, never through a link."""
    flags |= os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    file = io.FileIO(os.open(path, flags, 0o666), "r+")
    try:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or path.is_symlink():
            raise OSError(errno.EEXIST, "exists and is no file of ours", str(path))
    except BaseException:
        file.close()
        raise
    return file


def _open_locked(partial: Path, path: Path) -> io.FileIO:
    """Open the partial file for one writer alone."""
    while True:
        file = _open(partial)
        try:
            if fcntl is not None:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(file, partial):
                return file
        except BlockingIOError:
            file.close()
            raise OSError(errno.EWOULDBLOCK, "being written by another call", str(path)) from None
        except BaseException:
            file.close()
            raise
        file.close()  # published or removed by its writer before the lock was ours


def _same_file(file: io.FileIO, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return not file.closed and os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _preallocate(file: io.FileIO, size: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        for offset in range(0, size, _PREALLOCATE):
            os.posix_fallocate(file.fileno(), offset, min(_PREALLOCATE, size - offset))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _write_at(file: io.FileIO, data: memoryview, offset: int, stopped: threading.Event) -> None:
    """Write all of `data`, or part of it once `stopped` is set."""
    while data and not stopped.is_set():
        piece = data[:_WRITE]
        if hasattr(os, "pwrite"):
            written = os.pwrite(file.fileno(), piece, offset)
        else:
            os.lseek(file.fileno(), offset, os.SEEK_SET)
            written = os.write(file.fileno(), piece)
        data = data[written:]
        offset += written


def _append(file: io.FileIO, line: bytes) -> None:
    """Write a line at the end of a file opened with O_APPEND."""
    while line:
        line = line[os.write(file.fileno(), line) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)
