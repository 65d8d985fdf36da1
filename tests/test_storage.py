"""Tables on disk: the bytes, and that no fault leaves a partial or wrong table behind."""

import errno
import os
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from invdecay import InverseTimeDecay, save_table, storage
from support.storage_faults import (
    CHUNK,
    SCHEDULE,
    failing,
    hidden,
    kill_and_resume,
    mounted,
    npy,
    save,
)

STEPS = range(3, 6000)
"""47,976 bytes in float64: 12 chunks of 4,096 bytes, the last one short."""
CHUNKS = 12
OLD = b"an older table"


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a chunk of 4,096 bytes, written in pieces of 1,500, and wait for no disk."""
    monkeypatch.setattr(storage, "_CHUNK", CHUNK)
    monkeypatch.setattr(storage, "_WRITE", 1500)
    monkeypatch.setattr(storage, "_READ", 1000)
    monkeypatch.setattr(storage, "_PREALLOCATE", 1 << 14)
    # The disk's own time is left to the tests that start processes.
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a table will be."""
    return tmp_path / "lr.npy"


class Stop(Exception):
    """Raised by a test from within save_table."""


def stop_after(chunks: int, error: type[BaseException] = Stop) -> Callable[[int, int], None]:
    """Return a progress callback that raises once so many chunks are written."""
    calls = 0

    def progress(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == chunks:
            raise error

    return progress


def interrupted(path: Path, chunks: int) -> None:
    """Leave behind what an interruption after so many chunks leaves."""
    with pytest.raises(Stop):
        save(path, STEPS, progress=stop_after(chunks))


def error_of_save(path: Path) -> OSError | None:
    """Try to write the table."""
    try:
        save(path, STEPS)
    except OSError as error:
        return error
    return None


class Counting(InverseTimeDecay):
    """A schedule that tells which steps were computed."""

    computed: list[range]

    def _fill(self, out: Any, steps: range) -> int:
        """Note the steps and compute them."""
        vars(type(self))["computed"].append(steps)
        return super()._fill(out, steps)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """`SCHEDULE`, counting."""
    monkeypatch.setattr(Counting, "computed", [], raising=False)
    return Counting.from_config(SCHEDULE.get_config())


def assert_nothing_hidden(path: Path) -> None:
    """Only the table is left in the folder."""
    assert os.listdir(path.parent) == [path.name]


# ---------------------------------------------------------------- content


@pytest.mark.parametrize("stored", [None, "f2", "f4", "f8", "g", ">f4", ">f8"])
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
def test_file_is_that_of_numpy_save(
    path: Path, steps: range, arithmetic: str, stored: str | None, staircase: bool
) -> None:
    """Header and data, byte for byte."""
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=arithmetic)
    returned = save_table(schedule, path, steps, dtype=stored)
    assert returned == path
    assert path.read_bytes() == npy(schedule, steps, stored)
    assert_nothing_hidden(path)


def test_memory_map(path: Path) -> None:
    """The table can be mapped, and holds what precompute holds."""
    save_table(SCHEDULE, path, 10_000)
    table = np.load(path, mmap_mode="r")
    assert isinstance(table, np.memmap)
    np.testing.assert_array_equal(table, SCHEDULE.precompute(10_000), strict=True)


def test_chunk_size_leaves_the_bytes_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one element a chunk to all in one."""
    for chunk in 1, 8, 1000, 1 << 24:
        monkeypatch.setattr(storage, "_CHUNK", chunk)
        assert save(path, range(300)).read_bytes() == npy(SCHEDULE, range(300))


def test_progress_counts_elements(path: Path) -> None:
    """Rising from the first chunk to the whole."""
    seen: list[tuple[int, int]] = []
    save(path, STEPS, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) == CHUNKS
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {len(STEPS)}
    assert seen[-1] == (len(STEPS), len(STEPS))


def test_relative_path_and_text(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain name in the working folder."""
    monkeypatch.chdir(path.parent)
    assert save_table(SCHEDULE, "lr.npy", 5) == Path("lr.npy")
    assert path.read_bytes() == npy(SCHEDULE, range(5))


def test_without_posix_calls(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform that can neither preallocate, nor write at a place, nor lock."""
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.delattr(os, "pwrite")
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(storage, "fcntl", None)
    interrupted(path, 5)
    assert save(path, STEPS).read_bytes() == npy(SCHEDULE, STEPS)


def test_short_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may take fewer bytes than it was given."""
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:1000], at))
    interrupted(path, 5)
    assert save(path, STEPS).read_bytes() == npy(SCHEDULE, STEPS)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "dtype", ["i8", "bool", "c16", "S3", "O", "M8[s]", "nonsense", [("a", "f4")]]
)
def test_dtype_must_be_real_and_floating(path: Path, dtype: Any) -> None:
    """And is named if it is not."""
    with pytest.raises(TypeError, match="dtype must be a real floating dtype, got"):
        save_table(SCHEDULE, path, 5, dtype=dtype)
    assert not os.listdir(path.parent)


def test_bad_arguments(path: Path) -> None:
    """Each is named, and nothing is written."""
    with pytest.raises(TypeError, match=r"schedule must be an InverseTimeDecay, got 0\.1"):
        save_table(0.1, path, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path must be a string or a path, got 7"):
        save_table(SCHEDULE, 7, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"steps must be an integer or a range, got 5\.0"):
        save_table(SCHEDULE, path, 5.0)  # type: ignore[arg-type]
    with pytest.raises(OverflowError, match="steps must fit int64"):
        save_table(SCHEDULE, path, 2**63 + 1)
    assert not os.listdir(path.parent)


def test_bad_paths(path: Path) -> None:
    """A folder, a missing or no folder above it, a pipe."""
    with pytest.raises(IsADirectoryError, match=path.parent.name):
        save_table(SCHEDULE, path.parent, 5)
    with pytest.raises(FileNotFoundError, match="missing"):
        save_table(SCHEDULE, path.parent / "missing" / "lr.npy", 5)
    path.write_bytes(OLD)
    with pytest.raises(NotADirectoryError, match=path.name):
        save_table(SCHEDULE, path / "lr.npy", 5)
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="pipe"):
        save_table(SCHEDULE, pipe, 5)
    assert sorted(os.listdir(path.parent)) == ["lr.npy", "pipe"]


# ---------------------------------------------------------------- interruption


@pytest.mark.parametrize("chunks", range(1, CHUNKS + 1))
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, OSError])
def test_resume_at_every_chunk(
    path: Path, chunks: int, error: type[BaseException], counting: Counting
) -> None:
    """The old table stays, the note says how to resume, and finished chunks are not recomputed."""
    path.write_bytes(OLD)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(error) as caught:
        save(path, STEPS, progress=stop_after(chunks, error))
    assert path.read_bytes() == OLD
    assert f"{hidden(path)[0]}; the same call resumes" in caught.value.__notes__[0]
    assert not any(thread.name.startswith("invdecay") for thread in threading.enumerate())
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
    save_table(counting, path, STEPS)
    assert path.read_bytes() == npy(SCHEDULE, STEPS)
    # The chunk being written when the call stopped may have been finished too.
    assert CHUNKS - chunks - 2 <= len(Counting.computed) <= CHUNKS - chunks
    assert_nothing_hidden(path)


def test_interruption_while_resuming(path: Path) -> None:
    """Finished chunks survive an interruption of their verification."""
    interrupted(path, 8)
    interrupted(path, 1)
    partial, manifest = hidden(path)
    assert len(manifest.read_bytes().splitlines()) > 8
    seen: list[int] = []
    save(path, STEPS, progress=lambda done, total: seen.append(done))
    assert path.read_bytes() == npy(SCHEDULE, STEPS)
    assert not partial.exists()


def test_interruption_before_the_first_chunk(path: Path) -> None:
    """Nothing worth keeping is kept."""
    with (
        mock.patch.object(InverseTimeDecay, "_fill", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        save(path, STEPS)
    assert not hasattr(caught.value, "__notes__")
    assert not os.listdir(path.parent)


@pytest.mark.parametrize(
    "other",
    [
        {"schedule": InverseTimeDecay(0.2, 1000, 0.5)},
        {"schedule": InverseTimeDecay(0.1, 1000, 0.5, staircase=True)},
        {"schedule": InverseTimeDecay(0.1, 1000, 0.5, dtype="float32")},
        {"steps": range(4, 6001)},
        {"steps": range(3, 12000)},
        {"steps": range(3, 3000)},
        {"steps": range(3, 11997, 2)},
        {"dtype": ">f8"},
        {"dtype": "f4"},
        {"chunk": 8192},
    ],
    ids=str,
)
def test_other_parameters_start_afresh(
    path: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial table of anything else is never taken over."""
    interrupted(path, 8)
    monkeypatch.setattr(storage, "_CHUNK", other.get("chunk", CHUNK))
    schedule, steps = other.get("schedule", SCHEDULE), other.get("steps", STEPS)
    dtype = other.get("dtype", schedule.dtype)
    save_table(schedule, path, steps, dtype=dtype)
    assert path.read_bytes() == npy(schedule, steps, dtype)
    assert_nothing_hidden(path)


def test_flags_are_reported_once_and_survive_an_interruption(path: Path) -> None:
    """The step with the zero denominator lies in the part that is not computed again."""
    schedule = InverseTimeDecay(0.1, 1000, -1.0)
    with pytest.raises(Stop):
        save_table(schedule, path, 6000, progress=stop_after(CHUNKS - 2))
    with pytest.warns(RuntimeWarning, match="divide by zero") as warned:
        save_table(schedule, path, 6000)
    assert len(warned) == 1
    assert np.isinf(np.load(path)[1000])


def test_flags_that_raise_leave_the_old_table(path: Path) -> None:
    """Under errstate(raise) there is no new table; under ignore it needs no computing."""
    path.write_bytes(OLD)
    schedule = InverseTimeDecay(0.1, 1000, -1.0)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        save_table(schedule, path, 6000)
    assert path.read_bytes() == OLD
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        save_table(schedule, path, 6000)
        assert path.read_bytes() == npy(schedule, range(6000))


# ---------------------------------------------------------------- killed


def test_killed(path: Path, record_property: Callable[[str, object], None]) -> None:
    """SIGKILL at random moments."""
    record_property("found", kill_and_resume(path, 10, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [100, 500])
def test_killed_often(path: Path, kills: int) -> None:
    """SIGKILL at more random moments."""
    print(kills, "kills:", kill_and_resume(path, kills, seed=kills))


# ---------------------------------------------------------------- failing system calls


@pytest.mark.parametrize("name", ["open", "posix_fallocate", "pwrite", "fsync", "write", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("resumed", [False, True], ids=["afresh", "resumed"])
def test_kth_call_fails(path: Path, name: str, number: int, lasting: bool, resumed: bool) -> None:
    """For k = 1, 2, 3, ... until it runs through: a clean error, the old table, a clean rerun."""
    new = npy(SCHEDULE, STEPS)
    k = 0
    while True:
        k += 1
        path.write_bytes(OLD)
        if resumed:
            interrupted(path, 6)
        with failing(name, number, k, lasting) as fault:
            error = error_of_save(path)
        assert (error is not None) == fault.struck
        if error is None:
            break
        assert error.errno == number
        assert str(path.parent) in str(error)
        published = path.read_bytes() == new
        # Only the folder's own synchronisation comes after the replacement.
        assert not published or (name in ("open", "fsync") and not hidden(path)[0].exists())
        assert published or path.read_bytes() == OLD
        save(path, STEPS)
        assert path.read_bytes() == new
        assert_nothing_hidden(path)
    assert k > 1
    assert path.read_bytes() == new


def test_order_of_what_must_be_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk before its line, the table before its name, the folder after it."""
    events: list[str] = []

    def recorded(name: str, event: Callable[..., str]) -> None:
        call = getattr(os, name)

        def replacement(*args: Any) -> Any:
            events.append(event(*args))
            return call(*args)

        monkeypatch.setattr(os, name, replacement)

    def synchronised(descriptor: int) -> str:
        return "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync"

    monkeypatch.setattr(storage, "_WRITE", CHUNK)
    recorded("fsync", synchronised)
    recorded("pwrite", lambda *_: "chunk")
    recorded("write", lambda *_: "line")
    recorded("replace", lambda *_: "replace")
    save(path, STEPS)
    start, end = ["line", "chunk"], ["sync", "replace", "folder"]  # the two files' headers first
    assert events == start + ["chunk", "sync", "line"] * CHUNKS + end


def test_error_in_the_writer_thread_keeps_what_is_finished(path: Path) -> None:
    """It surfaces as it is, with the note."""
    with (
        failing("pwrite", errno.EIO, 25, lasting=True),
        pytest.raises(OSError, match=r"lr\.npy") as caught,
    ):
        save(path, STEPS)
    assert "the same call resumes" in caught.value.__notes__[0]
    assert hidden(path)[0].exists()
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_file_system_without_preallocation(path: Path, number: int) -> None:
    """It is done without."""
    with failing("posix_fallocate", number, 1, lasting=True) as fault:
        save(path, STEPS)
    assert fault.struck
    assert path.read_bytes() == npy(SCHEDULE, STEPS)


# ---------------------------------------------------------------- full and read-only disks


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no preallocation here")
def test_disk_too_small(path: Path) -> None:
    """Found before any work is done, with nothing left behind."""
    with mounted(path.parent, "-t tmpfs -o size=32k tmpfs"):
        path.write_bytes(OLD)
        with pytest.raises(OSError, match=r"No space left on device.*lr\.npy") as caught:
            save(path, STEPS, progress=stop_after(1))
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == OLD
        assert_nothing_hidden(path)


def fill_disk_at(path: Path, kibibytes: int, preallocate: bool) -> None:
    """Write the table to a disk that is full at some point; finish it once there is room."""
    size = 4 * max(1, kibibytes // 4)  # in pages
    with mounted(path.parent, f"-t tmpfs -o size={size}k tmpfs") as mount:
        path.write_bytes(b"")
        without = failing("posix_fallocate", errno.EOPNOTSUPP, 1, lasting=True)
        with nullcontext() if preallocate else without:
            error = error_of_save(path)
        if error is not None:
            assert error.errno == errno.ENOSPC
            assert "lr.npy" in str(error)
            assert path.read_bytes() == b""
            mount("-o remount,size=1m")
            save(path, STEPS)
        assert path.read_bytes() == npy(SCHEDULE, STEPS)
        assert_nothing_hidden(path)


@pytest.mark.parametrize("preallocate", [True, False], ids=["allocated", "unallocated"])
def test_disk_full_on_the_way(path: Path, preallocate: bool) -> None:
    """At a few points from the first page to the last."""
    for kibibytes in range(4, 72, 12):
        fill_disk_at(path, kibibytes, preallocate)


@pytest.mark.slow
@pytest.mark.parametrize("preallocate", [True, False], ids=["allocated", "unallocated"])
def test_disk_full_at_100_points(
    path: Path, preallocate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every page of a table of 100 pages."""
    monkeypatch.setitem(globals(), "STEPS", range(50_000))
    for page in range(1, 101):
        fill_disk_at(path, 4 * page, preallocate)


def test_read_only_folder(path: Path) -> None:
    """The error names the table; the old one stays."""
    path.write_bytes(OLD)
    with mounted(path.parent, f"--bind {path.parent}", "-o remount,bind,ro"):
        with pytest.raises(OSError, match=r"lr\.npy") as caught:
            save(path, STEPS)
        assert caught.value.errno == errno.EROFS
        assert path.read_bytes() == OLD
        assert_nothing_hidden(path)


# ---------------------------------------------------------------- others at the same path


def test_second_writer_is_refused(path: Path) -> None:
    """Another call, of this process or another, gets an error; the first goes on unharmed."""
    refused = 0
    program = (
        "import sys, invdecay\n"
        "try:\n"
        "    invdecay.save_table(invdecay.InverseTimeDecay(1, 2, 3), sys.argv[1], 9)\n"
        "except BlockingIOError as error:\n"
        "    sys.exit(7 if error.filename == sys.argv[1] else 8)\n"
    )

    def intrude(done: int, total: int) -> None:
        nonlocal refused
        with pytest.raises(BlockingIOError, match=r"being written by another call.*lr\.npy"):
            save(path, range(9))
        if refused == 0:
            assert subprocess.run([sys.executable, "-c", program, path]).returncode == 7
        refused += 1

    save(path, STEPS, progress=intrude)
    assert refused == CHUNKS
    assert path.read_bytes() == npy(SCHEDULE, STEPS)
    assert_nothing_hidden(path)


def test_lock_won_on_a_file_just_published(path: Path) -> None:
    """A writer that opened the partial file before it became the table leaves the table alone."""
    first_open = os.open
    published = False

    def open_then_lose_the_race(name: Any, *args: Any) -> int:
        nonlocal published
        descriptor = first_open(name, *args)
        if Path(name) == hidden(path)[0] and not published:
            published = True
            save(path, STEPS)
        return descriptor

    with mock.patch.object(os, "open", open_then_lose_the_race):
        save(path, range(9))
    assert published
    assert path.read_bytes() == npy(SCHEDULE, range(9))
    assert_nothing_hidden(path)


def test_link_at_the_path_is_replaced(path: Path) -> None:
    """Not followed, whether it leads to a file, a folder or nowhere."""
    victim = path.with_name("victim")
    for make in (lambda: victim.write_bytes(OLD), victim.mkdir, lambda: None):
        make()
        path.symlink_to(victim)
        save(path, STEPS)
        assert not path.is_symlink()
        assert path.read_bytes() == npy(SCHEDULE, STEPS)
        if victim.is_file():
            assert victim.read_bytes() == OLD
            victim.unlink()
        elif victim.is_dir():
            victim.rmdir()
        path.unlink()


@pytest.mark.parametrize("which", [0, 1], ids=["partial", "manifest"])
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "folder"])
def test_foreign_hidden_files_are_refused(path: Path, which: int, kind: str) -> None:
    """Never written through, never removed."""
    victim, foreign = path.with_name("victim"), hidden(path)[which]
    victim.write_bytes(OLD)
    match kind:
        case "symlink":
            foreign.symlink_to(victim)
        case "hardlink":
            foreign.hardlink_to(victim)
        case "pipe":
            os.mkfifo(foreign)
        case _:
            foreign.mkdir()
    with pytest.raises(OSError, match=r"lr\.npy"):
        save(path, STEPS)
    assert victim.read_bytes() == OLD
    assert sorted(os.listdir(path.parent)) == sorted([foreign.name, "victim"])


# ---------------------------------------------------------------- mutated files


def mutated(random: np.random.Generator, content: bytes) -> bytes:
    """Return `content` with one random fault."""
    lines = content.splitlines(keepends=True)
    at, length = int(random.integers(len(content) + 1)), int(random.integers(1, 200))
    noise = random.integers(256, size=length, dtype=np.uint8).tobytes()
    match random.integers(9):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + noise + content[at:]
        case 2:
            return content[:at] + content[at + length :]
        case 3:
            return content[:at] + noise + content[at + length :]
        case 4:
            flipped = bytes([content[at - 1] ^ 1 << int(random.integers(8))])
            return content[: at - 1] + flipped + content[at:] if at else content
        case 5:
            return content + noise
        case 6:
            return b"".join(lines[i] for i in random.permutation(len(lines)))
        case 7:
            digits = bytes(random.integers(48, 58, size=len(content), dtype=np.uint8))
            number = content[at : at + 1].isdigit()
            return content[:at] + digits[:1] + content[at + 1 :] if number else content[at:]
        case _:
            return b"[" * 100_000


def resume_mutated(path: Path, rounds: int, seed: int) -> None:
    """Mutate the manifest, the partial file or both; the resumed table must be right."""
    random = np.random.default_rng(seed)
    new = npy(SCHEDULE, STEPS)
    files = hidden(path)
    interrupted(path, 9)
    contents = [file.read_bytes() for file in files]
    for _ in range(rounds):
        which = int(random.integers(1, 4))
        for i, (file, content) in enumerate(zip(files, contents, strict=True)):
            file.write_bytes(mutated(random, content) if which >> i & 1 else content)
        save(path, STEPS)
        assert path.read_bytes() == new
        assert_nothing_hidden(path)


def test_mutated_files(path: Path) -> None:
    """A few hundred faults."""
    resume_mutated(path, 300, seed=2)


@pytest.mark.slow
def test_many_mutated_files(path: Path) -> None:
    """Ten thousand."""
    resume_mutated(path, 10_000, seed=3)


def test_lines_of_a_manifest_cannot_be_altered(path: Path, counting: Counting) -> None:
    """Not even such that chunk and checksum agree: the seal binds them to the parameters."""
    interrupted(path, CHUNKS)
    partial, manifest = hidden(path)
    lines = manifest.read_bytes().splitlines(keepends=True)
    wrong = np.full(512, 0.25).tobytes()
    for i, line in enumerate(lines[1:]):
        entry = storage.json.loads(line)
        entry["sha256"] = storage.hashlib.sha256(wrong).hexdigest()
        lines[1 + i] = storage.json.dumps(entry).encode() + b"\n"
    manifest.write_bytes(b"".join(lines))
    partial.write_bytes(partial.read_bytes()[:128] + wrong * CHUNKS)
    save_table(counting, path, STEPS)
    assert path.read_bytes() == npy(SCHEDULE, STEPS)
    assert len(Counting.computed) == CHUNKS


def test_line_cut_off_costs_its_chunk_alone(path: Path, counting: Counting) -> None:
    """The lines of the call that resumes do not join it."""
    interrupted(path, 4)
    manifest = hidden(path)[1]
    manifest.write_bytes(manifest.read_bytes()[:-9])
    interrupted(path, CHUNKS)
    save_table(counting, path, STEPS)
    assert Counting.computed == []


def test_manifest_without_its_file(path: Path) -> None:
    """As a kill between the replacement and the manifest's removal leaves it."""
    interrupted(path, 8)
    hidden(path)[0].unlink()
    save(path, STEPS)
    assert path.read_bytes() == npy(SCHEDULE, STEPS)
    assert_nothing_hidden(path)


# ---------------------------------------------------------------- memory


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's account of the process")
def test_memory_is_bounded(path: Path) -> None:
    """A process that writes 10^8 elements, in chunks of the ordinary size."""
    # Not getrusage, whose maximum a process takes over from the one that started it.
    program = (
        "import re, sys, invdecay\n"
        "schedule = invdecay.InverseTimeDecay(0.1, 1000, 0.5, dtype='float32')\n"
        "invdecay.save_table(schedule, sys.argv[1], 10**8)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert path.stat().st_size == 128 + 4 * 10**8
    path.unlink()
    assert int(printed) < 256 * 1024  # KiB
