"""What tables in files and in folders need of the file system."""

import errno
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems answer that can neither lock a file nor synchronise a folder."""


def format_bytes(count: int) -> str:
    """Return a number of bytes as people read it: ``"80.0 TB"``."""
    power = min((len(str(count)) - 1) // 3, 6)
    return f"{count / 1000**power:.1f} {' kMGTPE'[power]}B" if power else f"{count} bytes"


def free_space(folder: str | os.PathLike[str] | int) -> int:
    """Return the bytes free in a folder, given by its path or its descriptor."""
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize  # some file systems do not know


def lock(descriptor: int) -> None:
    """Lock an open file or folder for this call alone, where the file system has locks."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(error.errno, "is being written by another call") from None
    except OSError as error:
        # A network's file system locks only what is open for writing, which no folder is.
        if error.errno not in (*UNSUPPORTED, errno.EBADF):
            raise


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
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
