"""What goes wrong while a table is written: failing system calls, killed writers, small disks.

Run as a program it writes the table `TABLE` to the path given, for a test to kill it.
"""

import hashlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from invdecay import InverseTimeDecay, save_table, storage

CHUNK = 4096
SCHEDULE = InverseTimeDecay(0.1, 1000, 0.5)
TABLE = range(-700, 400_000, 7)
"""458 kB in float64: 112 chunks, and a tenth of a second and more of synchronised writes."""


def npy(schedule: InverseTimeDecay, steps: range, dtype: Any = None) -> bytes:
    """Return the whole file that `numpy.save` makes of the same table."""
    out = np.zeros(len(steps), schedule.dtype if dtype is None else dtype)
    stream = io.BytesIO()
    np.save(stream, schedule.precompute(steps, out=out))
    return stream.getvalue()


def save(path: Path, steps: range, **kwargs: Any) -> Path:
    """Write `SCHEDULE` over `steps`."""
    return save_table(SCHEDULE, path, steps, **kwargs)


def hidden(path: Path) -> tuple[Path, Path]:
    """Return the partial file and the manifest of a path."""
    return path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.manifest")


@dataclass
class Fault:
    """How often the function was called, and whether the fault came to pass."""

    calls: int = 0
    struck: bool = False


@contextmanager
def failing(name: str, number: int, first: int, lasting: bool = False) -> Iterator[Fault]:
    """Let the `first`-th call of ``os.name`` fail, and all later ones too where it is lasting."""
    fault, call = Fault(), getattr(os, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        fault.calls += 1
        if fault.calls == first or (lasting and fault.calls > first):
            fault.struck = True
            named = args[:1] if name in ("open", "replace") else ()
            raise OSError(number, os.strerror(number), *named)
        return call(*args, **kwargs)

    with mock.patch.object(os, name, replacement):
        yield fault


@contextmanager
def mounted(folder: Path, *commands: str) -> Iterator[Callable[..., None]]:
    """Run mount commands (``mount`` and the folder added); skip where that is not permitted."""

    def mount(command: str) -> None:
        subprocess.run(["mount", *command.split(), folder], check=True, capture_output=True)

    try:
        mount(commands[0])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not permitted here: {error}")
    try:
        for command in commands[1:]:
            mount(command)
        yield mount
    finally:
        subprocess.run(["umount", folder], check=True)


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
    old = b"an older table"
    with start_writer(path) as writer:
        began = time.perf_counter()
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
        duration = time.perf_counter() - began
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(complete).digest()
    found = {"absent": 0, "old": 0, "complete": 0}
    for i in range(kills):
        path.unlink()
        if i % 2:
            path.write_bytes(old)
        with start_writer(path) as writer:
            time.sleep(random.uniform(0, duration))
            writer.kill()
        content = path.read_bytes() if path.exists() else None
        assert content in ((old,) if i % 2 else (None,)) or content == complete
        found["complete" if content == complete else "old" if i % 2 else "absent"] += 1
        save(path, TABLE)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(complete).digest()
        assert not any(file.exists() for file in hidden(path))
    return found


if __name__ == "__main__":
    storage._CHUNK = CHUNK
    print("ready", flush=True)
    save(Path(sys.argv[1]), TABLE)
    print("done", flush=True)
