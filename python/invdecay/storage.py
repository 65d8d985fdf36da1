"""Writing tables to disk.

A table grows in a hidden file beside its path and is renamed once it is whole and on disk, so that
the path is absent, old or complete at every moment. The formula is the checksum: an interrupted
table resumes by computing each chunk again and comparing it with the hidden file.
"""

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as formats

from ._arguments import floating_dtype, step_range, table_path
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
from .verification import TableInfo, Verification, inspect_table, statistics, verify_table

__all__ = ["TableInfo", "Verification", "inspect_table", "save_table", "statistics", "verify_table"]

_CHUNK = 1 << 22
"""Bytes computed, compared or written at once."""
_SYNC = 1 << 26
"""Bytes written between two synchronisations: Ctrl-C waits for one of them at most."""


def save_table(
    schedule: InverseTimeDecay,
    path: str | os.PathLike[str],
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    progress: Progress = None,
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
    from the first difference on. What another user has left is begun anew. A replaced file keeps
    its mode and, where allowed, its owner.
    Memory stays below 256 MiB whatever the length. While Python exits, ``.npy`` files can still be
    written, and Zarr arrays cannot, since the package zarr then starts no threads.

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
    target, steps = table_path(path), step_range(steps)
    stored = checked_schedule(schedule).dtype if dtype is None else floating_dtype("dtype", dtype)
    if target.suffix == ".zarr":
        from . import _zarr

        plan = _zarr.Plan.of(schedule, steps, stored, "auto")
        _zarr.write(_zarr.Folder(target, force), plan, progress, "save_table")
        return target
    sink = _stored(target, _header(steps, stored), table_size(target, steps, stored), force)
    piped(sink, schedule, steps, stored, _CHUNK, progress, reporter="save_table")
    return target


def table_size(path: Path, steps: range, dtype: np.dtype[Any]) -> int:
    """Return the bytes of a table: all of a ``.npy`` file, or the rates of a Zarr array."""
    header = b"" if path.suffix == ".zarr" else _header(steps, dtype)
    return len(header) + len(steps) * dtype.itemsize


def check_target(path: Path, size: int, force: bool = False) -> int:
    """Refuse a path or a size that cannot be written, as a write would; return the free space."""
    if path.suffix == ".zarr":
        from . import _zarr

        _zarr.Folder(path, force)
    else:
        _check_replaced(str(path), path.parent, None, force)
    return check_space(path.parent, size, path)


def _header(steps: range, dtype: np.dtype[Any]) -> bytes:
    stream = io.BytesIO()
    descr = formats.dtype_to_descr(dtype)
    content = {"descr": descr, "fortran_order": False, "shape": (len(steps),)}
    formats.write_array_header_1_0(stream, content)
    return stream.getvalue()


def _stored(path: Path, header: bytes, size: int, force: bool) -> Sink[None]:
    """Write the chunks to a file."""
    partial = _Partial(path, header, size, force)
    with partial.opened():
        while (values := (yield)) is not None:
            partial.put(values.view(np.uint8).data)
        partial.publish()


def _check_replaced(
    name: str, parent: Path, folder: int | None, force: bool
) -> os.stat_result | None:
    """Return the file to replace, None without one; refuse what is not to be replaced."""
    found = found_at(name, parent, folder)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "is a folder", name)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EEXIST, "exists and is not a regular file", name)

    def opener(name: str, flags: int) -> int:
        # By force a file is replaced that this user may not read.
        return os.open(name, getattr(os, "O_PATH", flags) if force else flags, dir_fd=folder)

    with open(name, "rb", buffering=0, opener=opener) as file:
        if is_mount_point(file.fileno()):
            raise OSError(errno.EBUSY, "is a mount point", name)
        magic = formats.MAGIC_PREFIX
        if not force and file.read(len(magic)) not in (b"", magic):
            raise OSError(errno.EEXIST, "exists and is not a .npy file; force replaces it", name)
    return found


class _Partial:
    """The hidden file in which a table grows. Nothing else is ever renamed to the table's path.

    Its folder is opened once and everything is relative to it, where the platform can do so.
    """

    _folder: int | None = None
    _end = _synced = 0  # bytes that are right, and those of them known to be on disk
    _resuming = True
    _published = False

    def __init__(self, path: Path, header: bytes, size: int, force: bool) -> None:
        self._path, self._parent = path.absolute(), path.parent
        self._header, self._size, self._force = header, size, force
        self._buffer = bytearray(_CHUNK)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Check what can be checked before the work; on an error say what is kept."""
        with ExitStack() as stack:
            self._name, hidden = str(self._path), hidden_path(self._path, ".partial")
            if os.open in os.supports_dir_fd:
                self._folder = os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, self._folder)
                self._name, hidden = self._path.name, Path(hidden.name)
            self._hidden = Hidden(str(hidden), self._path, self._folder)
            stack.enter_context(errors_naming(str(self._path)))
            try:
                old = self._check_path()
                stack.enter_context(self._hidden.opened())
                assert self._hidden.descriptor is not None
                self._file = io.FileIO(self._hidden.descriptor, "r+", closefd=False)
                self._prepare(old)
                self.put(memoryview(self._header))
                yield
            except BaseException as error:
                with suppress(OSError):
                    self._keep_or_discard(error)
                raise

    def _check_path(self) -> os.stat_result | None:
        return _check_replaced(self._name, self._parent, self._folder, self._force)

    def _prepare(self, old: os.stat_result | None) -> None:
        """Check that there is space, and let nobody read more than the old table meanwhile."""
        found = os.fstat(self._file.fileno())
        held = found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
        folder = self._parent if self._folder is None else self._folder
        check_space(folder, self._size - held, self._path)
        if old is not None:
            give_mode(self._file.fileno(), old.st_mode & 0o777 | 0o600)

    def put(self, data: memoryview) -> None:
        """Compare the next bytes of the table with those of the file, or write them."""
        if self._resuming:
            count = self._file.readinto(memoryview(self._buffer)[: len(data)])
            self._resuming = count == len(data) and self._buffer.startswith(data)
            if not self._resuming:
                self._file.truncate(self._end)
        begin, self._end = self._end, self._end + len(data)
        if not self._resuming:
            while data:
                data = data[self._file.write(data) :]
            # Linux then starts to move the bytes to the disk, while the next ones are computed.
            with suppress(AttributeError, OSError):
                advice = os.POSIX_FADV_DONTNEED
                os.posix_fadvise(self._file.fileno(), begin, self._end - begin, advice)
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
        old, descriptor, at = self._check_path(), self._file.fileno(), self._folder
        if old is not None:
            give_mode_and_owner(descriptor, old)
        if not self._hidden.is_there() or os.fstat(descriptor).st_size != self._size:
            raise OSError(errno.ESTALE, "the hidden file was changed by something else")
        if sys.platform == "win32":  # which does not rename an open file
            self._hidden.close()
        os.replace(self._hidden.name, self._name, src_dir_fd=at, dst_dir_fd=at)
        self._published = True
        if at is not None:
            synchronise(at)

    def _keep_or_discard(self, error: BaseException) -> None:
        """Remove a hidden file that holds nothing; else say where it is."""
        if self._published:
            error.add_note(f"{self._path} is complete.")
        elif hasattr(self, "_file") and self._hidden.is_there():
            size = os.fstat(self._file.fileno()).st_size
            if size <= len(self._header):
                self._hidden.remove()
            else:
                kept = f"{format_bytes(size)} are kept in {hidden_path(self._path, '.partial')}"
                rest = "the same call resumes, and removing that file discards them."
                error.add_note(f"{kept}: {rest}")
