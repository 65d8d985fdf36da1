"""Tables compared with their schedules, and described."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay, verification
from invdecay.verification import TableInfo, Verification, inspect_table, verify_table
from support.faults import SCHEDULE, save

STEPS = range(3, 6000)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read 4,096 bytes at a time."""
    monkeypatch.setattr(verification, "_CHUNK", 4096)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a table will be."""
    return tmp_path / "lr.npy"


@pytest.mark.parametrize("stored", ["f2", "f4", ">f8", ">g"])
def test_verify_finds_every_bit(path: Path, stored: str) -> None:
    """How many elements differ, which step is the first, and what is there."""
    random, dtype = np.random.default_rng(4), np.dtype(stored)
    save(path, STEPS, dtype=stored)
    content, right = path.read_bytes(), np.load(path).astype(float)
    assert verify_table(path, SCHEDULE, STEPS) == Verification(len(STEPS))
    for count in 1, 2, 5, 600:
        damaged = bytearray(content)
        for place in random.choice(np.arange(128, len(content)), count, replace=False):
            damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        pairs = [
            np.frombuffer(data, f"V{dtype.itemsize}", offset=128) for data in (content, damaged)
        ]
        where = np.flatnonzero([a != b for a, b in zip(*pairs, strict=True)])
        found, first = verify_table(path, SCHEDULE, STEPS), where[0]
        there = float(np.load(path)[first])
        expected = Verification(len(STEPS), len(where), STEPS[first], there, float(right[first]))
        assert not found.equal
        assert repr(found) == repr(expected)  # NaN too


def test_verify_refuses_other_files(path: Path) -> None:
    """It says what the file has and what was expected."""

    def refused(error: type[Exception], match: str, schedule: Any = SCHEDULE, **steps: Any) -> None:
        with pytest.raises(error, match=match):
            verify_table(path, schedule, **steps)

    refused(FileNotFoundError, "lr.npy")
    for function in verify_table, inspect_table:
        with pytest.raises(ValueError, match=r"path must end in \.npy or \.zarr, got 'lr\.txt'"):
            function("lr.txt")
    content = save(path, range(100)).read_bytes()
    refused(ValueError, "lr.npy has 100 elements, expected 99", steps=99)
    refused(TypeError, "schedule must be given, since .*lr.npy does not", schedule=None)
    refused(TypeError, "steps must be an integer or a range, got 1.0", steps=1.0)
    for damaged in content[:-1], content[:128], content + b"x":
        path.write_bytes(damaged)
        refused(ValueError, f"lr.npy has {len(damaged)} bytes, expected 928")
    for wrong in np.zeros(5, "i8"), np.zeros((2, 5)), np.float64(1):
        np.save(path, wrong)
        refused(ValueError, r"lr.npy has shape .* of .*, expected one dimension of a real float")
    for damaged in b"", b"text", content[:20]:
        path.write_bytes(damaged)
        refused(ValueError, "lr.npy is not a .npy file")
    path.unlink()
    os.mkfifo(path)
    refused(OSError, "not a regular file.*lr.npy")


def test_verify_takes_one_nan_for_another(path: Path) -> None:
    """Its payload differs between machines; and rates that are not finite are reported nowhere."""
    schedule = InverseTimeDecay(0.0, 1000, -1.0)
    with np.errstate(invalid="ignore"):
        table = schedule.precompute(2000)
    assert np.isnan(table[1000])
    table.view("u8")[1000] ^= 12345
    np.save(path, table)
    assert verify_table(path, schedule).equal
    table[1000] = 0
    np.save(path, table)
    assert verify_table(path, schedule).first_step == 1000


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "g"])
def test_inspect(path: Path, dtype: str) -> None:
    """Extremes of the finite elements, and how many are not; a truncated file is not complete."""
    random = np.random.default_rng(5)
    for length in 0, 1, 5000:
        table = random.normal(size=length).astype(dtype)
        for special in np.nan, np.inf, -np.inf:
            table[random.random(length) < 0.1] = special
        np.save(path, table)
        for present in length, length // 3:
            os.truncate(path, 128 + present * table.itemsize)
            found, size = inspect_table(path), path.stat().st_size
            there = table[:present].astype(float)
            finite = there[np.isfinite(there)]
            ends = (there[0], there[-1]) if present else (None, None)
            extremes = (finite.min(), finite.max()) if len(finite) else (None, None)
            counts = int(np.isnan(there).sum()), int(np.isinf(there).sum())
            expected = TableInfo(
                "npy", table.dtype, length, size, present == length, *ends, *extremes, *counts
            )
            np.testing.assert_equal(vars(found), vars(expected))
