"""What tables in files and in folders need of the file system."""

import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems answer that can neither lock a file nor synchronise a folder."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# Appending, so that a file which something else cut or extended ends with a wrong size.
_FILE = os.O_RDWR | os.O_APPEND | _NO_LINK | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK


# ---------------------------------------------------------------- space


def format_bytes(count: int) -> str:
    """Return a number of bytes as people read it: ``"80.0 TB"``."""
    power = min((len(str(count)) - 1) // 3, 6)
    return f"{count / 1000**power:.1f} {' kMGTPE'[power]}B" if power else f"{count} bytes"


def free_space(folder: str | os.PathLike[str] | int) -> int:
    """Return the bytes free in a folder, given by its path or its descriptor."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize  # some file systems do not know


def check_space(folder: Path | int, needed: int, path: Path) -> int:
    """Refuse what is larger than the free space; return that."""
    free = free_space(folder)
    if needed > free:
        text = f"needs {format_bytes(needed)}, {format_bytes(free)} are free"
        raise OSError(errno.ENOSPC, text, str(path))
    return free


# ---------------------------------------------------------------- what a rename replaces


def found_at(name: str, parent: Path, folder: int | None = None) -> os.stat_result | None:
    """Return what is at a name or where a link there leads; None for nothing.

    Refuse what this user may not replace, which a rename would say only after all the work.
    """
    try:
        entry = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    around = os.stat(parent if folder is None else folder)
    if around.st_mode & stat.S_ISVTX and os.geteuid() not in (0, around.st_uid, entry.st_uid):
        raise OSError(errno.EPERM, "belongs to another user, in a folder with a sticky bit", name)
    try:
        return os.stat(name, dir_fd=folder)
    except FileNotFoundError:  # a link to nothing is replaced too
        return None


def is_mount_point(descriptor: int) -> bool:
    """Return whether an open file is mounted where it is, so that no rename replaces it."""
    try:
        name = os.readlink(b"/proc/self/fd/%d" % descriptor)
        mounts = Path("/proc/self/mountinfo").read_bytes()
    except OSError:  # not on Linux
        return False
    for character in b"\\ \t\n":
        name = name.replace(bytes([character]), b"\\%03o" % character)
    return any(line.split()[4] == name for line in mounts.splitlines())


def give_mode_and_owner(descriptor: int, old: os.stat_result) -> None:
    """Give an open file the mode of another one and, where that is allowed, its owner."""
    if hasattr(os, "fchown"):
        with suppress(OSError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        give_mode(descriptor, stat.S_IMODE(old.st_mode))


def give_mode(descriptor: int, mode: int) -> None:
    """Change the mode of an open file, where it differs and the platform has such modes.

    Some file systems, such as FAT, have one mode for all files and refuse to change it.
    """
    if hasattr(os, "fchmod") and stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


@contextmanager
def errors_naming(name: str) -> Iterator[None]:
    """Let errors of the system name the table, rather than what is hidden beside it or nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = name
            del error.filename2
        raise


# ---------------------------------------------------------------- hidden files and folders


def hidden_path(path: Path, rest: str) -> Path:
    """Return the path beside a table's of what is not the table yet, or no longer."""
    # Not the table's own name and more, which a file system may find too long.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".invdecay-{digest}{rest}")


class Hidden:
    """A hidden file or folder that one call has for itself, while a table grows in it.

    It is made if it is missing, and never opened through a link. What another user has made is
    made anew, because its owner could change the table later.
    """

    descriptor: int | None = None  # Windows opens no folders

    def __init__(
        self, name: str, path: Path, folder: int | None = None, is_folder: bool = False
    ) -> None:
        self.name, self._path, self._folder, self._is_folder = name, path, folder, is_folder

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open it, if no other call has it open."""
        for tries_left in reversed(range(9)):
            with ExitStack() as stack:
                self.close = stack.close
                try:
                    made = self._open(stack)
                except FileNotFoundError:  # another call removed it, or the folder is missing
                    if tries_left:
                        continue
                    raise
                if self.is_there():
                    if made or self._is_ours():
                        yield
                        return
                    try:
                        self.remove()
                    except PermissionError as error:
                        text = f"{self.name} belongs to another user"
                        raise OSError(error.errno, text, str(self._path)) from None
                # Else another call has published or removed it before it was locked here.
        raise OSError(errno.ESTALE, f"{self.name} keeps changing", str(self._path))

    def _open(self, stack: ExitStack) -> bool:
        """Open and lock it; return whether it is new."""
        flags = _FOLDER if self._is_folder else _FILE
        try:
            if self._is_folder:
                os.mkdir(self.name, dir_fd=self._folder)
            else:
                flags |= os.O_CREAT | os.O_EXCL
                descriptor = os.open(self.name, flags, 0o666, dir_fd=self._folder)
            made = True
        except FileExistsError:
            made = False
        if self._is_folder or not made:
            if self._is_folder and not hasattr(os, "O_DIRECTORY"):
                return made
            flags &= ~(os.O_CREAT | os.O_EXCL)
            descriptor = os.open(self.name, flags, dir_fd=self._folder)
        self.descriptor = descriptor
        stack.callback(os.close, descriptor)
        found = os.fstat(descriptor)
        foreign = not self._is_folder and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1)
        if foreign or is_mount_point(descriptor):
            text = f"{self.name} is a link, mounted or not a file"
            raise OSError(errno.EEXIST, text, str(self._path))
        self._lock(descriptor, stack)
        return made

    def _lock(self, descriptor: int, stack: ExitStack) -> None:
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Not by closing it, since a process forked meanwhile has it open as well.
                stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
        except BlockingIOError as error:
            text = "is being written by another call"
            raise OSError(error.errno, text, str(self._path)) from None
        except OSError as error:
            # A network's file system locks only what is open for writing, which no folder is.
            if error.errno not in (*_UNSUPPORTED, errno.EBADF):
                raise

    def _is_ours(self) -> bool:
        if self.descriptor is None or not hasattr(os, "geteuid"):  # Windows
            return True
        return os.fstat(self.descriptor).st_uid == os.geteuid()

    def is_there(self) -> bool:
        """Return whether the name still is that of what was opened."""
        if self.descriptor is None:
            return True
        try:
            named = os.stat(self.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self.descriptor), named)

    def remove(self) -> None:
        """Remove it with all that it holds."""
        if self._is_folder:
            shutil.rmtree(self.name)
        else:
            os.unlink(self.name, dir_fd=self._folder)


def synchronise(descriptor: int) -> None:
    """Wait until an open folder is on disk, where the file system can do so."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
