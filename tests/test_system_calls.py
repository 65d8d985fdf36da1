"""The k-th system call on a file fails, for every k that save_table makes, whichever call that is.

This takes every call of the C library, those of Python's own file objects too. Run as a program it
does the trying, under the shim.
"""

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from invdecay import storage
from support.faults import CHUNK, OLD, SCHEDULE, hidden, npy, save
from support.processes import shared_library

STEPS = range(3, 3000)
KINDS = ["afresh", "over an old table", "resumed"]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that lets calls fail."""
    return shared_library("failing_calls", tmp_path_factory.mktemp("shim"))


@pytest.mark.skipif(sys.platform != "linux", reason="the shim is for glibc")
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_every_call_fails_in_turn(shim: Path, tmp_path: Path, number: int, lasting: bool) -> None:
    """Never a partial table, a lost old one, an open file or a silent acceptance."""
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, tmp_path / "lr.npy", str(number), str(lasting)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    failed = set().union(*json.loads(done.stdout).values())
    assert failed >= {"openat64", "write", "read", "fsync", "renameat", "close", "flock", "fchmod"}


# ---------------------------------------------------------------- the program under the shim


def prepare(path: Path, kind: str) -> bytes | None:
    """Leave in the folder what a call finds there; return the table at the path."""
    for file in path, hidden(path):
        file.unlink(missing_ok=True)
    if kind == "afresh":
        return None
    path.write_bytes(OLD)
    path.chmod(0o640)
    if kind == "resumed":

        def stop(done: int, total: int) -> None:
            if done > total / 2:
                raise InterruptedError

        with suppress(InterruptedError):
            save(path, STEPS, progress=stop)
    return OLD


def try_call(path: Path, kind: str, call: int, number: int, lasting: bool) -> str | None:
    """Write the table while one call fails, then again; return the name of the one that failed."""
    old, complete = prepare(path, kind), npy(SCHEDULE, STEPS)
    shim = ctypes.CDLL(None)
    shim.failing_calls_disarm.restype = ctypes.c_char_p
    descriptors = os.listdir("/proc/self/fd")
    shim.failing_calls_arm(ctypes.c_long(call), ctypes.c_long(2**62 if lasting else call), number)
    raised: int | None = None
    try:
        save(path, STEPS)
    except OSError as error:
        raised = error.errno
    finally:
        failed = shim.failing_calls_disarm()
    where = f"{kind}: call {call} fails: {failed}"
    content = path.read_bytes() if path.exists() else None
    assert content == complete or (content == old and raised), where
    assert raised in (None, number), where
    assert os.listdir("/proc/self/fd") == descriptors, where
    assert threading.active_count() == 1, where
    save(path, STEPS)
    assert path.read_bytes() == complete, where
    assert os.listdir(path.parent) == [path.name], where
    return None if failed is None else failed.decode()


def main(path: Path, number: int, lasting: bool) -> dict[str, dict[str, int]]:
    """Let each call fail in turn, until none does; count them by name."""
    storage._CHUNK, storage._SYNC = CHUNK, 2 * CHUNK
    save(path, STEPS)  # whatever is imported or opened once
    failed = {}
    for kind in KINDS:
        counts: Counter[str] = Counter()
        while name := try_call(path, kind, counts.total() + 1, number, lasting):
            counts[name] += 1
        failed[kind] = dict(counts)
    return failed


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")))
