"""What goes wrong while a table is written: killed writers, small disks, other users.

Run as a program it writes the table `TABLE` to the path given, for a test to kill it.
"""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay, save_table, storage

CHUNK = 4096
SCHEDULE = InverseTimeDecay(0.1, 1000, 0.5)
TABLE = range(-700, 400_000, 7)
"""458 kB in float64: 112 chunks, and tens of milliseconds of synchronised writes."""


def npy(schedule: InverseTimeDecay, steps: range, dtype: Any = None) -> bytes:
    """Return the whole file that `numpy.save` makes of the same table, padded with zeros."""
    stored = np.dtype(schedule.dtype if dtype is None else dtype)
    table = schedule.precompute(steps, out=np.zeros(len(steps), stored.newbyteorder("=")))
    stream = io.BytesIO()
    np.save(stream, table if stored.isnative else table.byteswap().view(stored))
    return stream.getvalue()


OLD = npy(InverseTimeDecay(1, 2, 3), range(5))


def save(path: Path, steps: range, **kwargs: Any) -> Path:
    """Write `SCHEDULE` over `steps`."""
    return save_table(SCHEDULE, path, steps, **kwargs)


def hidden(path: Path) -> Path:
    """Return the file in which the table at a path grows."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return path.with_name(f".invdecay-{digest[:16]}.partial")


@contextmanager
def mounted(place: Path, *commands: str) -> Iterator[Callable[..., None]]:
    """Run mount commands (``mount`` and the place added); skip where that is not permitted."""

    def mount(command: str) -> None:
        subprocess.run(["mount", *command.split(), place], check=True, capture_output=True)

    try:
        mount(commands[0])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here: {error}")
    try:
        for command in commands[1:]:
            mount(command)
        yield mount
    finally:
        subprocess.run(["umount", place], check=True)


@contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """Work in a folder as a user without rights; skip where users cannot be changed."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with chdir(folder):
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)


def start_writer(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that writes the table, and return once it is about to."""
    writer = subprocess.Popen([sys.executable, __file__, path], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    return writer


def kill_and_resume(path: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill writers at random moments; check what each leaves, and that it can be finished.

    Returns how often the path was found absent, old and complete after a kill.
    """
    random = np.random.default_rng(seed)
    complete = npy(SCHEDULE, TABLE)
    with start_writer(path) as writer:
        began = time.perf_counter()
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
        duration = time.perf_counter() - began
    assert path.read_bytes() == complete
    found = {"absent": 0, "old": 0, "complete": 0}
    for i in range(kills):
        path.unlink()
        if i % 2:
            path.write_bytes(OLD)
        with start_writer(path) as writer:
            time.sleep(random.uniform(0, duration))
            writer.kill()
        content = path.read_bytes() if path.exists() else None
        assert content in (OLD if i % 2 else None, complete)
        found["complete" if content == complete else "old" if i % 2 else "absent"] += 1
        save(path, TABLE)
        assert path.read_bytes() == complete
        assert os.listdir(path.parent) == [path.name]
    return found


if __name__ == "__main__":
    storage._CHUNK = storage._SYNC = CHUNK
    print("ready", flush=True)
    save(Path(sys.argv[1]), TABLE)
    print("done", flush=True)
