"""Zarr arrays: their bits, and that no fault leaves a partial or wrong array behind."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import invdecay
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invdecay import InverseTimeDecay, _files, save_table, storage
from invdecay.verification import configuration
from support import arrays
from support.arrays import Stop, hidden, inodes, inspect, stop_after, verify
from support.faults import mounted
from support.processes import started_python

zarr: Any = pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
pytest.importorskip("dask.array", reason="needs the extra invdecay[dask]")

from invdecay import _zarr  # noqa: E402
from invdecay.dask import to_zarr  # noqa: E402

SCHEDULE = InverseTimeDecay(0.1, 1000, 0.5)
OTHER = InverseTimeDecay(0.2, 1000, 0.5)
STEPS = range(3, 6000)
"""47,976 bytes in float64: 12 chunks of 4,096 bytes, the last one short."""
CHUNKS = 12


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks of 4,096 bytes, and wait for no disk."""
    monkeypatch.setattr(_zarr, "CHUNK_BYTES", 4096)
    # The disk's own time is left to the tests that start processes.
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an array will be."""
    return tmp_path / "lr.zarr"


def interrupted(path: Any, chunks: int, schedule: InverseTimeDecay = SCHEDULE) -> BaseException:
    """Leave behind what an interruption after so many chunks leaves; return its error."""
    with pytest.raises(Stop) as caught:
        to_zarr(schedule, path, STEPS, progress=stop_after(chunks))
    return caught.value


def check(path: Any, schedule: InverseTimeDecay = SCHEDULE, steps: range = STEPS) -> None:
    """Check every bit of an array, and that nothing is left beside it."""
    arrays.check(path, schedule, steps)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Return a list that gets each chunk that is stored, and whether it was written."""
    chunks: list[tuple[int, bool]] = []
    store_chunk = _zarr.store_chunk

    def spied(*args: Any) -> Any:
        written = store_chunk(*args)
        chunks.append((args[2], written))
        return written

    monkeypatch.setattr(_zarr, "store_chunk", spied)
    return chunks


# ---------------------------------------------------------------- content


@pytest.mark.parametrize("stored", [None, "f2", "f4", "f8", ">f4"])
@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
@pytest.mark.parametrize(
    "steps",
    [
        range(0),
        range(1),
        range(512),
        range(513),
        STEPS,
        range(900, -900, -1),
        range(2**62, 2**63, 2**49),
    ],
    ids=str,
)
def test_bits_are_those_of_precompute(
    path: Path, steps: range, arithmetic: str, stored: str | None, staircase: bool
) -> None:
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=arithmetic)
    assert save_table(schedule, path, steps, dtype=stored) == path
    check(path, schedule, steps)
    native = np.dtype(stored or arithmetic).newbyteorder("=")
    assert zarr.open_array(path, mode="r").dtype == native


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**40), 2**40).filter(bool),
    st.integers(0, 100),
    st.integers(1, 120),
)
def test_any_range_and_any_chunks(start: int, step: int, length: int, chunks: int) -> None:
    steps = range(start, start + length * step, step)
    store = zarr.storage.MemoryStore()
    try:
        table = SCHEDULE.precompute(steps)
    except OverflowError:
        with pytest.raises(OverflowError, match="steps must fit int64"):
            to_zarr(SCHEDULE, store, steps, chunks=chunks)
        return
    to_zarr(SCHEDULE, store, steps, chunks=chunks)
    array = zarr.open_array(store, mode="r")
    assert array.chunks == (chunks,)
    assert array[:].tobytes() == table.tobytes()
    assert verify(store).equal
    if length:
        assert range(*array.attrs["invdecay"]["steps"]) == steps


def test_the_array_describes_itself(path: Path) -> None:
    schedule = InverseTimeDecay(0.1, 1000, 1 / 3, True, "mine", dtype="float32")
    to_zarr(schedule, path, range(5, 900, 7), dtype="float64", chunks=10)
    array = zarr.open_array(path, mode="r")
    description = array.attrs["invdecay"]
    assert description == {
        "version": invdecay.__version__,
        "schedule": {**schedule.get_config(), "dtype": "float32"},
        "steps": [5, 900, 7],
        "complete": True,
    }
    assert InverseTimeDecay.from_config(description["schedule"]) == schedule
    assert description["schedule"]["name"] == "mine"
    assert np.isnan(array.fill_value)
    assert array.compressors == ()
    assert array.chunks == (10,)
    assert array.metadata.zarr_format == 3


def test_a_missing_chunk_reads_as_nan(path: Path) -> None:
    to_zarr(SCHEDULE, path, STEPS)
    (path / "c" / "3").unlink()
    assert np.isnan(zarr.open_array(path, mode="r")[3 * 512 : 4 * 512]).all()


def test_chunks_of_nothing_but_nan_are_written(path: Path) -> None:
    """0 times an infinite step is NaN: the rates that Zarr would leave out as fill values."""
    schedule = InverseTimeDecay(1.0, 1e-38, 0.0, dtype="float32")
    with np.errstate(all="ignore"):
        to_zarr(schedule, path, range(10, 3000))
    assert np.isnan(zarr.open_array(path, mode="r")[:]).all()
    assert len(inodes(path / "c")) == 3
    assert storage.verify_table(path).equal
    assert storage.inspect_table(path).complete


def test_flags_are_reported_once(path: Path) -> None:
    pole = InverseTimeDecay(0.1, 1000, -1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        to_zarr(pole, path, STEPS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        to_zarr(pole, path, STEPS)
    (warning,) = caught
    # The fallback lets NumPy warn, which names its own operation.
    name = "to_zarr" if invdecay.backend == "native" else "divide"
    assert str(warning.message) == f"divide by zero encountered in {name}"
    with np.errstate(divide="ignore"):
        check(path, pole)


@pytest.mark.parametrize("chunks", [500, "auto"])
def test_progress_counts_elements(path: Path, chunks: Any) -> None:
    calls: list[tuple[int, int]] = []
    to_zarr(SCHEDULE, path, STEPS, chunks=chunks, progress=lambda *call: calls.append(call))
    assert {total for _, total in calls} == {len(STEPS)}
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (len(STEPS), len(STEPS))
    assert len(calls) == CHUNKS


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"schedule": 3}, TypeError, "schedule must be an InverseTimeDecay, got 3"),
        ({"path": 3}, TypeError, "path must be a path, a URL or a Zarr store, got 3"),
        ({"steps": 1.5}, TypeError, "steps must be an integer or a range, got 1.5"),
        ({"steps": 2**64}, OverflowError, "steps must fit int64"),
        ({"dtype": "g"}, TypeError, "dtype must be float16, float32 or float64"),
        ({"dtype": "int32"}, TypeError, "dtype must be .*, got int32"),
        ({"dtype": "nonsense"}, TypeError, "dtype must be .*, got 'nonsense'"),
        ({"chunks": 0}, ValueError, "chunks must be positive, got 0"),
        ({"chunks": 1.5}, TypeError, 'chunks must be an integer or "auto", got 1.5'),
        ({"chunks": "many"}, TypeError, "chunks must be an integer or \"auto\", got 'many'"),
        ({"client": 3}, TypeError, "client must be a synchronous Dask client, got 3"),
    ],
)
def test_bad_arguments_are_named(
    path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    call = {"schedule": SCHEDULE, "path": path, "steps": 10} | change
    with pytest.raises(error, match=message):
        to_zarr(call.pop("schedule"), call.pop("path"), call.pop("steps"), **call)
    assert os.listdir(path.parent) == []


# ---------------------------------------------------------------- stores


def local_fsspec_store(folder: Path) -> Any:
    url = f"file://{folder}/store.zarr"
    return zarr.storage.FsspecStore.from_url(url, storage_options={"auto_mkdir": True})


STORES: dict[str, Callable[[Path], Any]] = {
    "path": lambda folder: folder / "lr.zarr",
    "text": lambda folder: f"{folder}/lr.zarr",
    "file URL": lambda folder: f"file://{folder}/lr.zarr",
    "memory URL": lambda folder: f"memory://{folder.name}/lr.zarr",
    "local fsspec store": local_fsspec_store,
    "memory store": lambda folder: zarr.storage.MemoryStore(),
    "local store": lambda folder: zarr.storage.LocalStore(folder / "lr.zarr"),
}
IN_PLACE = "memory URL", "local fsspec store", "memory store"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each kind of place for an array."""
    return STORES[request.param](tmp_path)


@pytest.fixture(params=IN_PLACE)
def unnamed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each kind of place that cannot rename."""
    return STORES[request.param](tmp_path)


def test_every_store_resumes_and_is_replaced(store: Any, writes: list[tuple[int, bool]]) -> None:
    interrupted(store, 5)
    kept = {chunk for chunk, _ in writes}
    writes.clear()
    to_zarr(SCHEDULE, store, STEPS)
    assert {chunk for chunk, written in writes if not written} >= kept
    assert {chunk for chunk, _ in writes} == set(range(CHUNKS))
    check(store)
    to_zarr(OTHER, store, range(20))
    check(store, OTHER, range(20))
    to_zarr(OTHER, store, 0)
    check(store, OTHER, range(0))


def test_a_store_in_place_says_when_it_is_complete(unnamed: Any) -> None:
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append(storage_complete(unnamed))

    to_zarr(SCHEDULE, unnamed, STEPS, progress=progress)
    assert seen == [False] * CHUNKS
    assert storage_complete(unnamed)
    interrupted(unnamed, 3, OTHER)
    assert not storage_complete(unnamed)
    assert not inspect(unnamed).complete
    with pytest.raises(ValueError, match="is not complete"):
        verify(unnamed)


def storage_complete(store: Any) -> bool:
    complete: bool = zarr.open_array(store, mode="r").attrs["invdecay"]["complete"]
    return complete


def test_a_second_call_takes_a_store_in_place_over(unnamed: Any) -> None:
    def progress(done: int, total: int) -> None:
        if done == 3 * 512:
            to_zarr(OTHER, unnamed, STEPS)

    with pytest.raises(OSError, match=r"is not there|another call"):
        to_zarr(SCHEDULE, unnamed, STEPS, progress=progress)
    assert inspect(unnamed).schedule == {**OTHER.get_config(), "dtype": "float64"}


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    memory = zarr.storage.MemoryStore(read_only=True)
    with pytest.raises(ValueError, match="path must be a store that can be written"):
        to_zarr(SCHEDULE, memory, 10)
    packed = zarr.storage.ZipStore(tmp_path / "lr.zip", mode="w")
    zarr.create_array(packed, shape=(3,), dtype="f4")
    with packed, pytest.raises(ValueError, match="path must be a store that lists and deletes"):
        to_zarr(SCHEDULE, packed, 10)


def test_a_store_of_something_else_is_kept(unnamed: Any) -> None:
    place = unnamed
    if isinstance(unnamed, str):
        place = zarr.storage.FsspecStore.from_url(unnamed)
    group = zarr.create_group(place)
    group.create_array("inner", shape=(3,), dtype="f4")
    with pytest.raises(FileExistsError, match="Zarr group"):
        to_zarr(SCHEDULE, unnamed, STEPS)
    to_zarr(SCHEDULE, unnamed, STEPS, force=True)
    check(unnamed)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("chunks", [1, 5, CHUNKS])
def test_resuming_writes_only_what_is_missing(
    path: Path, chunks: int, writes: list[tuple[int, bool]]
) -> None:
    error = interrupted(path, chunks)
    (left,) = hidden(path)
    assert f"kept in {left}: the same call resumes" in error.__notes__[0]
    before = inodes(left)
    kept = {int(name[2:]) for name in before if name.startswith("c/")}
    assert len(kept) >= chunks
    writes.clear()
    to_zarr(SCHEDULE, path, STEPS)
    assert sorted(writes) == [(chunk, chunk not in kept) for chunk in range(CHUNKS)]
    after = inodes(path)
    assert {name: after[name] for name in before if name != "zarr.json"} == {
        name: inode for name, inode in before.items() if name != "zarr.json"
    }
    check(path)


def test_an_error_before_the_first_chunk_leaves_nothing(path: Path) -> None:
    with mock.patch.object(InverseTimeDecay, "_fill", side_effect=Stop), pytest.raises(Stop):
        to_zarr(SCHEDULE, path, STEPS)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-1] + b"x"),
        lambda chunk: chunk.write_bytes(b"x" + chunk.read_bytes()[1:]),
        lambda chunk: chunk.write_bytes(bytes(4096)),
        lambda chunk: chunk.write_bytes(chunk.read_bytes()[:100]),
        lambda chunk: chunk.write_bytes(chunk.read_bytes() + b"x"),
        lambda chunk: chunk.write_bytes(b""),
        lambda chunk: chunk.unlink(),
        lambda chunk: (chunk.unlink(), chunk.mkdir()),
        lambda chunk: (chunk.rename(chunk.parent / "away"), chunk.symlink_to("away")),
    ],
)
def test_a_damaged_chunk_is_written_again(path: Path, damage: Callable[[Path], Any]) -> None:
    interrupted(path, CHUNKS)
    (left,) = hidden(path)
    damage(left / "c" / "4")
    to_zarr(SCHEDULE, path, STEPS)
    check(path)


def test_what_killed_processes_and_others_leave_is_not_published(path: Path) -> None:
    interrupted(path, 3)
    (left,) = hidden(path)
    elsewhere = path.parent.parent / f"{path.parent.name}-elsewhere"
    elsewhere.mkdir()
    for name in "c/5.0123abcd.partial", "zarr.9876.partial", "c/99", "c/x", "y", "c/-1":
        (left / name).write_bytes(b"rubbish")
    (left / "c.old").mkdir()
    (left / "link").symlink_to(elsewhere)
    to_zarr(SCHEDULE, path, STEPS)
    check(path)
    assert list(elsewhere.iterdir()) == []


def test_planted_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    interrupted(path, 3)
    left = next(entry for entry in hidden(path) if entry != elsewhere)
    shutil.rmtree(left / "c")
    (left / "c").symlink_to(elsewhere)
    to_zarr(SCHEDULE, path, STEPS)
    assert list(elsewhere.iterdir()) == []
    assert verify(path).equal
    interrupted(path, 3, OTHER)
    left = next(entry for entry in hidden(path) if entry != elsewhere)
    shutil.rmtree(left)
    left.symlink_to(elsewhere)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        to_zarr(OTHER, path, STEPS)
    assert list(elsewhere.iterdir()) == []
    assert verify(path, SCHEDULE, None).equal


@pytest.mark.parametrize(
    ("schedule", "steps", "options"),
    [
        (OTHER, STEPS, {}),
        (SCHEDULE, range(4, 6000), {}),
        (SCHEDULE, STEPS, {"dtype": "float32"}),
        (SCHEDULE, STEPS, {"chunks": 700}),
        (InverseTimeDecay(0.1, 1000, 0.5, True), STEPS, {}),
        (InverseTimeDecay(0.1, 1000, 0.5, dtype="float32"), STEPS, {"dtype": "float64"}),
    ],
)
def test_another_table_starts_afresh(
    path: Path,
    schedule: InverseTimeDecay,
    steps: range,
    options: dict[str, Any],
    writes: list[tuple[int, bool]],
) -> None:
    interrupted(path, 5)
    writes.clear()
    to_zarr(schedule, path, steps, **options)
    assert all(written for _, written in writes)
    check(path, schedule, steps)


def test_another_name_of_the_schedule_is_the_same_table(
    path: Path, writes: list[tuple[int, bool]]
) -> None:
    interrupted(path, CHUNKS)
    writes.clear()
    renamed = InverseTimeDecay(0.1, 1000, 0.5, name="renamed")
    to_zarr(renamed, path, STEPS)
    assert not any(written for _, written in writes)
    assert zarr.open_array(path, mode="r").attrs["invdecay"]["schedule"]["name"] == "renamed"


# ---------------------------------------------------------------- the path: absent, old or complete


def test_the_path_is_absent_then_old_then_complete(path: Path) -> None:
    seen = []
    to_zarr(SCHEDULE, path, STEPS, progress=lambda *_: seen.append(path.exists()))
    assert seen == [False] * CHUNKS
    to_zarr(OTHER, path, STEPS, progress=lambda *_: check_bits(path, SCHEDULE))
    check(path, OTHER)
    interrupted(path, 5)
    check_bits(path, OTHER)


def check_bits(path: Path, schedule: InverseTimeDecay) -> None:
    array = zarr.open_array(path, mode="r")
    assert np.array_equal(array[:], schedule.precompute(STEPS))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        *((name, old) for name in ("rename", "fsync", "open", "mkdir") for old in (False, True)),
        ("unlink", True),
        ("rmdir", True),
    ],
)
def test_any_failing_system_call_leaves_the_old_or_the_new(
    path: Path, name: str, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The k-th call fails, for every k; then the same call finishes."""
    call = getattr(os, name)
    calls = 0
    failing = 0

    def replacement(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.EIO, "Input/output error")
        return call(*args, **kwargs)

    while failing == 0 or calls >= failing:
        shutil.rmtree(path, ignore_errors=True)
        if old:
            to_zarr(OTHER, path, STEPS)
        calls, failing = 0, failing + 1
        with monkeypatch.context() as patched:
            patched.setattr(os, name, replacement)
            try:
                to_zarr(SCHEDULE, path, range(3, 2000))
            except OSError as error:
                complete = any("is complete" in note for note in getattr(error, "__notes__", ()))
            else:
                complete = True
        if complete:
            assert verify(path, SCHEDULE, range(3, 2000)).equal
        elif old:
            check_bits(path, OTHER)
        else:
            assert not path.exists()
        to_zarr(SCHEDULE, path, range(3, 2000))
        check(path, SCHEDULE, range(3, 2000))
    assert failing > 1


CHILD = """
import os, sys, time
from invdecay import InverseTimeDecay, _zarr
from invdecay.dask import to_zarr
_zarr.CHUNK_BYTES = 4096
def progress(done, total):
    print(done, flush=True)
    {progress}
{setup}
to_zarr(InverseTimeDecay(0.1, 1000, 0.5), sys.argv[1], range(3, 6000), progress=progress)
"""


def child(
    path: Path, setup: str = "", progress: str = "pass"
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that writes the array."""
    return started_python(CHILD.format(setup=setup, progress=progress), str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c(path: Path, writes: list[tuple[int, bool]]) -> None:
    to_zarr(OTHER, path, STEPS)
    writes.clear()
    with child(path, progress="time.sleep(0.02)") as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in error
    assert "the same call resumes" in error
    check_bits(path, OTHER)
    (left,) = hidden(path)
    kept = len(inodes(left / "c"))
    assert 4 <= kept < CHUNKS
    to_zarr(SCHEDULE, path, STEPS)
    assert sum(not written for _, written in writes) == kept
    check(path)


@pytest.mark.parametrize("old", [False, True])
def test_a_process_that_dies_between_the_two_renames(path: Path, old: bool) -> None:
    """The second rename is where it dies; the next call puts the old array back, or finishes."""
    if old:
        to_zarr(OTHER, path, STEPS)
    setup = """
rename = os.rename
def dying(source, target):
    if str(target) == sys.argv[1]:
        os._exit(9)
    rename(source, target)
os.rename = dying
"""
    with child(path, setup) as process:
        process.communicate(timeout=60)
    assert process.returncode == 9
    assert not path.exists()
    if old:
        with pytest.raises(Stop):
            to_zarr(OTHER, path, range(10), progress=stop_after(1))
        check_bits(path, OTHER)
        for entry in hidden(path):
            shutil.rmtree(entry)
    else:
        to_zarr(SCHEDULE, path, STEPS)
        check(path)


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_nothing_the_old_or_the_new(path: Path, kills: int) -> None:
    rng = np.random.default_rng(5)
    program = "import os; os.fsync = lambda descriptor: time.sleep(0.002)"
    found = {"absent": 0, "old": 0, "complete": 0}
    for kill in range(kills):
        shutil.rmtree(path, ignore_errors=True)
        if kill % 2:
            to_zarr(OTHER, path, STEPS)
        with child(path, program) as process:
            assert process.stdout is not None
            for _ in range(rng.integers(1, CHUNKS + 3)):
                process.stdout.readline()
            time.sleep(rng.random() * 0.01)
            process.kill()
            process.communicate(timeout=60)
        if not path.exists():
            found["absent"] += 1
        elif verify(path).equal and inspect(path).schedule == configuration(SCHEDULE):
            found["complete"] += 1
        else:
            check_bits(path, OTHER)
            found["old"] += 1
        to_zarr(SCHEDULE, path, STEPS)
        check(path)
    print(kills, "kills:", found)


def test_two_writers_exclude_each_other(path: Path) -> None:
    refused = 0

    def progress(done: int, total: int) -> None:
        nonlocal refused
        for schedule in SCHEDULE, OTHER:
            with pytest.raises(BlockingIOError, match="being written by another call"):
                to_zarr(schedule, path, STEPS)
            refused += 1

    to_zarr(SCHEDULE, path, STEPS, progress=progress)
    assert refused == 2 * CHUNKS
    check(path)


def test_file_systems_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls for one array: the second one takes over, or the first one finishes it."""
    if _files.fcntl is None:
        pytest.skip("no locks on this platform")

    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(_files.fcntl, "flock", unsupported)

    def progress(done: int, total: int) -> None:
        if done == 3 * 512:
            to_zarr(SCHEDULE, path, STEPS)

    with pytest.raises(OSError, match=r"is not there|changed"):
        to_zarr(SCHEDULE, path, STEPS, progress=progress)
    check(path)


@pytest.mark.parametrize("what", ["folder", "chunk", "metadata", "all chunks", "replaced"])
@pytest.mark.parametrize("when", [1, 6, CHUNKS])
def test_hidden_files_that_are_removed_are_noticed(path: Path, what: str, when: int) -> None:
    to_zarr(OTHER, path, STEPS)

    def progress(done: int, total: int) -> None:
        nonlocal when
        when -= 1
        if when:
            return
        (left,) = hidden(path)
        match what:
            case "folder":
                left.rename(path.parent / "away")
            case "chunk":
                next((left / "c").iterdir()).unlink()
            case "metadata":
                (left / "zarr.json").unlink()
            case "all chunks":
                (left / "c").rename(path.parent / "away")  # at once, beside the writer's threads
            case "replaced":
                left.rename(path.parent / "away")
                shutil.copytree(path.parent / "away", left)

    with pytest.raises(OSError, match=r"not there|changed|replaced|No such file"):
        to_zarr(SCHEDULE, path, STEPS, progress=progress)
    check_bits(path, OTHER)
    shutil.rmtree(path.parent / "away", ignore_errors=True)
    to_zarr(SCHEDULE, path, STEPS)
    check(path)


def test_a_changed_working_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(path.parent)
    returned = to_zarr(SCHEDULE, "lr.zarr", STEPS, progress=lambda *_: os.chdir(elsewhere))
    assert returned == path
    assert verify(path).equal
    assert list(elsewhere.iterdir()) == []


# ---------------------------------------------------------------- what is replaced


def make_file(path: Path) -> None:
    path.write_bytes(b"precious")


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "precious").write_bytes(b"precious")


def make_group(path: Path) -> None:
    zarr.create_group(path).create_array("inner", shape=(3,), dtype="f4")


def make_damaged(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_bytes(b"{")


def make_array(path: Path) -> None:
    zarr.create_array(path, shape=(3, 3), dtype="i4")[:] = 7


def make_old_format(path: Path) -> None:
    zarr.create_array(path, shape=(3, 3), dtype="i4", zarr_format=2)[:] = 7


def make_empty(path: Path) -> None:
    path.mkdir()


def make_dangling(path: Path) -> None:
    path.symlink_to("nothing")


@pytest.mark.parametrize("make", [make_array, make_old_format, make_empty, make_dangling])
def test_arrays_and_nothing_are_replaced(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    to_zarr(SCHEDULE, path, STEPS)
    check(path)


@pytest.mark.parametrize("make", [make_file, make_group])
def test_force_replaces_files_and_groups(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    before = sorted(path.rglob("*"))
    with pytest.raises(FileExistsError, match="force replaces it"):
        to_zarr(SCHEDULE, path, STEPS)
    assert sorted(path.rglob("*")) == before
    assert os.listdir(path.parent) == [path.name]
    save_table(SCHEDULE, path, STEPS, force=True)
    check(path)


@pytest.mark.parametrize("make", [make_folder, make_damaged, os.mkfifo])
@pytest.mark.parametrize("force", [False, True])
def test_nothing_else_is_replaced(path: Path, make: Callable[[Path], None], force: bool) -> None:
    make(path)
    before = sorted(path.rglob("*"))
    with pytest.raises(FileExistsError, match="exists and is not a Zarr array"):
        to_zarr(SCHEDULE, path, STEPS, force=force)
    assert sorted(path.rglob("*")) == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("make", [make_file, make_folder, make_group, os.mkfifo])
def test_links_to_something_else_are_refused(path: Path, make: Callable[[Path], None]) -> None:
    target = path.parent / "target"
    make(target)
    path.symlink_to(target)
    with pytest.raises(FileExistsError):
        to_zarr(SCHEDULE, path, STEPS)
    assert path.is_symlink()


def test_a_link_to_an_array_is_replaced_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    to_zarr(OTHER, target, STEPS)
    path.symlink_to(target)
    to_zarr(SCHEDULE, path, STEPS)
    assert not path.is_symlink()
    check_bits(path, SCHEDULE)
    check_bits(target, OTHER)


def test_what_comes_to_the_path_meanwhile_is_not_replaced(path: Path) -> None:
    def progress(done: int, total: int) -> None:
        if done == total:
            make_folder(path)

    with pytest.raises(FileExistsError, match="exists and is not a Zarr array"):
        to_zarr(SCHEDULE, path, STEPS, progress=progress)
    assert (path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("name", [".", "..", "", "/"])
def test_folders_without_a_name_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside" if name == ".." else tmp_path)
    with pytest.raises(OSError, match=r"exists and is not a Zarr array|is a mount point"):
        to_zarr(SCHEDULE, name, STEPS, force=True)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_missing_folder_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*missing"):
        to_zarr(SCHEDULE, path.parent / "missing" / "lr.zarr", STEPS)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_a_replaced_folder_keeps_its_mode(path: Path) -> None:
    to_zarr(OTHER, path, STEPS)
    path.chmod(0o2750)
    to_zarr(SCHEDULE, path, STEPS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o2750


# ---------------------------------------------------------------- space


def test_too_little_space_is_known_beforehand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 40_000, 40_000))
    with pytest.raises(OSError, match=r"needs 49.2 kB, 40.0 kB are free") as caught:
        to_zarr(SCHEDULE, path, STEPS)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(path.parent) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t tmpfs -o size=1m tmpfs"):
        yield disk


def test_a_full_disk(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, writes: list[tuple[int, bool]]
) -> None:
    path = small_disk / "lr.zarr"
    to_zarr(OTHER, path, STEPS)
    filler = small_disk / "filler"
    filler.write_bytes(bytes((1 << 20) - (100 << 10)))
    with monkeypatch.context() as patched:
        patched.setattr(_files, "free_space", lambda folder: sys.maxsize)
        with pytest.raises(OSError, match="No space left") as caught:
            to_zarr(SCHEDULE, path, STEPS)
    assert caught.value.errno == errno.ENOSPC
    check_bits(path, OTHER)
    filler.unlink()
    writes.clear()
    to_zarr(SCHEDULE, path, STEPS)
    assert not all(written for _, written in writes)
    check(path)


def test_a_mount_point_is_refused(small_disk: Path) -> None:
    with pytest.raises(OSError, match="is a mount point") as caught:
        to_zarr(SCHEDULE, small_disk, STEPS, force=True)
    assert caught.value.errno == errno.EBUSY


# ---------------------------------------------------------------- verify and inspect


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
def test_verify_finds_every_changed_element(path: Path, stored: str) -> None:
    save_table(SCHEDULE, path, STEPS, dtype=stored)
    assert storage.verify_table(path) == storage.Verification(len(STEPS))
    array = zarr.open_array(path, mode="r+")
    for number, i in enumerate((5900, 2047, 2048, 5)):
        right = array[i : i + 1]
        array[i] = np.nextafter(right[0], np.dtype(stored).type(1))
        found = storage.verify_table(path)
        assert not found.equal
        assert (found.count, found.differing) == (len(STEPS), number + 1)
        first = {0: 5900, 1: 2047, 2: 2047, 3: 5}[number]
        expected = SCHEDULE.precompute(STEPS[first : first + 1], out=np.empty(1, stored))
        assert found.first_step == STEPS[first]
        assert found.stored == array[first] != found.expected
        assert found.expected == expected[0]


def test_verify_counts_a_missing_chunk(path: Path) -> None:
    save_table(SCHEDULE, path, STEPS)
    (path / "c" / "2").unlink()
    found = storage.verify_table(path)
    assert (found.differing, found.first_step) == (512, STEPS[1024])
    assert found.stored is not None
    assert np.isnan(found.stored)
    assert not storage.inspect_table(path).complete


def test_verify_tells_zeros_apart(path: Path) -> None:
    zero = InverseTimeDecay(0.0, 1000, 0.5)
    save_table(zero, path, STEPS)
    zarr.open_array(path, mode="r+")[7] = -0.0
    assert storage.verify_table(path).differing == 1


@pytest.mark.parametrize("layout", [{"chunks": (100,)}, {"chunks": (50,), "shards": (500,)}, {}])
@pytest.mark.parametrize("dtype", ["f4", ">f8"])
@pytest.mark.parametrize("version", [2, 3])
def test_arrays_of_other_programs(
    path: Path, layout: dict[str, Any], dtype: str, version: int
) -> None:
    if version == 2 and "shards" in layout:
        pytest.skip("no shards in the older format")
    rates = SCHEDULE.precompute(STEPS, out=np.empty(len(STEPS), dtype))
    array = zarr.create_array(
        path, shape=rates.shape, dtype=dtype, zarr_format=version, fill_value=0, **layout
    )
    array[:] = rates
    assert storage.verify_table(path, SCHEDULE, STEPS).equal
    found = storage.verify_table(path, SCHEDULE)
    assert found.count == len(STEPS)
    assert found.first_step == 0
    with pytest.raises(TypeError, match=r"schedule must be given.*lr\.zarr does not name its own"):
        storage.verify_table(path)
    info = storage.inspect_table(path)
    assert (info.length, info.complete, info.schedule, info.steps) == (5997, True, None, None)
    assert (info.first, info.last) == (rates[0], rates[-1])


def test_verify_refuses_what_cannot_be_compared(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a Zarr array"):
        storage.verify_table(path)
    save_table(SCHEDULE, path, STEPS)
    with pytest.raises(ValueError, match=r"lr\.zarr has 5997 elements, expected 10"):
        storage.verify_table(path, SCHEDULE, 10)
    assert not storage.verify_table(path, OTHER).equal
    assert storage.verify_table(path, OTHER, STEPS).differing == len(STEPS)
    (path / "c" / "2").write_bytes(b"short")
    with pytest.raises(OSError, match="rates from number 1024 on cannot be read"):
        storage.verify_table(path)
    attributes = zarr.open_array(path, mode="r+").attrs
    attributes["invdecay"] = {"steps": [1, 2], "schedule": {}, "complete": True}
    with pytest.raises(ValueError, match="attributes of invdecay are damaged"):
        storage.verify_table(path)
    for content in np.zeros((3, 3)), np.zeros(3, "i4"):
        zarr.create_array(path, data=content, overwrite=True)
        with pytest.raises(ValueError, match="must hold rates in one dimension"):
            storage.verify_table(path, SCHEDULE)


def test_inspect(path: Path) -> None:
    pole = InverseTimeDecay(0.1, 1000, -1, dtype="float32")
    with np.errstate(all="ignore"):
        save_table(pole, path, range(5, 2005, 5))
    rates = zarr.open_array(path, mode="r")[:]
    finite = rates[np.isfinite(rates)]
    calls: list[tuple[int, int]] = []
    info = storage.inspect_table(path, progress=lambda *call: calls.append(call))
    assert info == storage.TableInfo(
        format="zarr",
        dtype=np.dtype("float32"),
        length=400,
        size=sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file()),
        first=float(rates[0]),
        last=float(rates[-1]),
        smallest=float(finite.min()),
        largest=float(finite.max()),
        nan=0,
        infinite=1,
        complete=True,
        schedule=pole.get_config(),
        steps=range(5, 2005, 5),
    )
    assert calls[-1] == (400, 400)


def test_inspect_an_unfinished_array(path: Path) -> None:
    interrupted(path, 5)
    (left,) = hidden(path)
    info = inspect(left)
    assert not info.complete
    assert info.nan > 0
    assert info.steps == STEPS
