"""Zarr arrays, and what interrupted calls leave of them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay

zarr: Any = pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")

from invdecay import _zarr, verification  # noqa: E402


class Stop(Exception):
    """Raised by a test from within a call."""


def stop_after(chunks: int, error: type[BaseException] = Stop) -> Callable[[int, int], None]:
    """Return a progress callback that raises once so many chunks are written."""
    calls = itertools.count(1)

    def progress(done: int, total: int) -> None:
        if next(calls) == chunks:
            raise error

    return progress


def hidden(path: Path) -> list[Path]:
    """Return what is beside an array."""
    return [entry for entry in path.parent.iterdir() if entry != path]


def inodes(folder: Path) -> dict[str, int]:
    """Return the inode of each file below a folder: a file that is written anew has another."""
    found = {entry: entry.stat().st_ino for entry in folder.rglob("*") if entry.is_file()}
    return {str(entry.relative_to(folder)): inode for entry, inode in found.items()}


def chunks(folder: Path) -> dict[str, int]:
    """Return the inode of each chunk of an array."""
    return {name: inode for name, inode in inodes(folder).items() if name.startswith("c/")}


def verify(store: Any, *table: Any) -> verification.Verification:
    """Compare an array, in a store of any kind, with a schedule and steps or with its own."""
    schedule, steps = table or (None, None)
    return verification.compared(_zarr.table_at(store), store, schedule, steps)


def inspect(store: Any) -> verification.TableInfo:
    """Describe an array in a store of any kind."""
    return verification.described(_zarr.table_at(store))


def check(path: Any, schedule: InverseTimeDecay, steps: range) -> None:
    """Check every bit of an array, and that nothing is left beside it."""
    array = zarr.open_array(path, mode="r")
    table = schedule.precompute(steps, out=np.empty(len(steps), array.dtype))
    assert array[:].tobytes() == table.tobytes()
    assert array.attrs["invdecay"]["complete"] is True
    if isinstance(path, Path):
        assert hidden(path) == []
        assert set(inodes(path)) == {"zarr.json", *(f"c/{i}" for i in range(array.nchunks))}
