"""Tables on disk: the bytes, and that no fault leaves a partial or wrong table behind."""

import errno
import io
import itertools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from invdecay import InverseTimeDecay, _files, save_table, storage
from support.cases import every
from support.faults import (
    CHUNK,
    OLD,
    SCHEDULE,
    as_another_user,
    hidden,
    kill_and_resume,
    mounted,
    npy,
    save,
)

STEPS = range(3, 6000)
"""47,976 bytes in float64: 12 chunks of 4,096 bytes, the last one short."""
CHUNKS = 12
NEW = npy(SCHEDULE, STEPS)
OTHER = InverseTimeDecay(0.2, 1000, 0.5)
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: Patch) -> None:
    """Make a chunk of 4,096 bytes, synchronise two at a time, and wait for no disk."""
    monkeypatch.setattr(storage, "_CHUNK", CHUNK)
    monkeypatch.setattr(storage, "_SYNC", 2 * CHUNK)
    # The disk's own time is left to the tests that start processes.
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a table will be."""
    return tmp_path / "lr.npy"


class Stop(Exception):
    """Raised by a test from within save_table."""


def after(chunks: int, action: Callable[[], object]) -> Callable[[int, int], object]:
    """Return a progress callback that acts once, after so many chunks."""
    calls = itertools.count(1)
    return lambda done, total: action() if next(calls) == chunks else None


def interrupted(path: Path, chunks: int, error: BaseException | None = None, **other: Any) -> str:
    """Leave behind what an interruption after so many chunks leaves; return its note."""
    error = error or Stop()
    table: dict[str, Any] = {"schedule": SCHEDULE, "steps": STEPS} | other
    with pytest.raises(type(error)):
        save_table(path=path, progress=after(chunks, mock.Mock(side_effect=error)), **table)
    return " ".join(getattr(error, "__notes__", []))


def assert_only_the_table(path: Path, content: bytes = NEW) -> None:
    """The table is whole, and nothing else is left in the folder."""
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


class Idle(InverseTimeDecay):
    """A schedule that nobody may compute."""

    def _fill(self, out: Any, steps: range) -> int:
        raise AssertionError("the work has begun")


def refused(path: Path, error: type[OSError], match: str, **options: Any) -> None:
    """Check that a call is refused by name before any work and leaves nothing behind."""
    before = sorted(os.listdir(path.parent))
    with pytest.raises(error, match=f"{match}.*{path.name}'"):
        save_table(Idle(0.1, 1000, 0.5), path, **{"steps": STEPS} | options)
    assert sorted(os.listdir(path.parent)) == before


# ---------------------------------------------------------------- content and arguments


@every(
    stored=[None, "f2", "f4", "f8", "g", ">f4", ">f8", ">g"],
    arithmetic=["float32", "float64"],
    staircase=[False, True],
    steps=[range(0), range(1), range(513), STEPS, range(900, -900, -1), range(2**62, 2**63, 2**49)],
)
def test_file_is_that_of_numpy_save(
    path: Path, steps: range, arithmetic: str, stored: str | None, staircase: bool
) -> None:
    """Header, data and padding, byte for byte."""
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=arithmetic)
    assert save_table(schedule, path, steps, dtype=stored) == path
    assert_only_the_table(path, npy(schedule, steps, stored))


class Poisoned(InverseTimeDecay):
    """A schedule that finds memory full of ones where it is not initialised."""

    def _fill(self, out: Any, steps: range) -> int:
        del [np.full(size, 255, np.uint8) for size in (CHUNK, 1 << 16, 1 << 18) * 9][:]
        return super()._fill(out, steps)


@pytest.mark.parametrize("stored", ["g", ">g"])
def test_padding_is_zero(path: Path, stored: str) -> None:
    """Never memory that was not initialised."""
    save_table(Poisoned(0.1, 1000, 0.5), path, STEPS, dtype=stored)
    assert_only_the_table(path, npy(SCHEDULE, STEPS, stored))


@pytest.mark.parametrize("chunk", [1, 8, 1000, 1 << 24])
def test_chunk_size(path: Path, chunk: int, monkeypatch: Patch) -> None:
    """From one element a chunk to all in one, the bytes are the same; progress counts elements."""
    monkeypatch.setattr(storage, "_CHUNK", chunk)
    seen: list[tuple[int, int]] = []
    save(path, range(300), progress=lambda *counts: seen.append(counts))
    assert_only_the_table(path, npy(SCHEDULE, range(300)))
    length = max(1, chunk // 8)
    assert seen == [(min(done + length, 300), 300) for done in range(0, 300, length)]


@pytest.mark.parametrize("lack", ["POSIX", "ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_what_platforms_lack(path: Path, lack: str, monkeypatch: Patch) -> None:
    """As on Windows, and where files cannot be locked and folders cannot be synchronised."""

    def unsupported(descriptor: int, *operation: int) -> None:
        if operation or stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(getattr(errno, lack), "unsupported")

    if lack == "POSIX":
        monkeypatch.setattr(os, "supports_dir_fd", set())
        monkeypatch.setattr(_files, "fcntl", None)
        for name in "O_DIRECTORY", "O_NOFOLLOW", "fchown", "fchmod", "posix_fadvise", "geteuid":
            monkeypatch.delattr(os, name)
    else:
        monkeypatch.setattr(_files.fcntl, "flock", unsupported)
        monkeypatch.setattr(os, "fsync", unsupported)
    path.write_bytes(OLD)
    interrupted(path, 5)
    save(path, STEPS)
    assert_only_the_table(path)


def test_short_writes_are_continued(path: Path, monkeypatch: Patch) -> None:
    """A system call may write less than it is given, as on some network file systems."""

    class Short(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[: max(1, len(data) // 3)])

    monkeypatch.setattr(storage.io, "FileIO", Short)
    save(path, STEPS)
    assert_only_the_table(path)


def test_arguments(path: Path) -> None:
    """Each is named, and nothing is written."""
    for dtype in "i8", "bool", "c16", "S3", "O", "M8[s]", "nonsense", [("a", "f4")]:
        with pytest.raises(TypeError, match="dtype must be a real floating dtype, got"):
            save_table(SCHEDULE, path, 5, dtype=dtype)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"schedule must be an InverseTimeDecay, got 0\.1"):
        save_table(0.1, path, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path must be a string or a path, got 7"):
        save_table(SCHEDULE, 7, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"steps must be an integer or a range, got 5\.0"):
        save_table(SCHEDULE, path, 5.0)  # type: ignore[arg-type]
    with pytest.raises(OverflowError, match="steps must fit int64"):
        save_table(SCHEDULE, path, 2**63 + 1)
    for name in "config.json", "lr", "lr.npz", "lr.npy.gz", ".npy", "", ".", "/dev/stdout":
        with pytest.raises(ValueError, match=rf"path must end in .* or \.zarr, got '{name}'"):
            save_table(SCHEDULE, name, 5)
    assert not os.listdir(path.parent)


# ---------------------------------------------------------------- known before the work


@contextmanager
def something(kind: str, at: Path) -> Iterator[None]:
    """Have something at a path."""
    other = at.with_name("other")
    other.write_bytes(OLD)
    match kind:
        case "folder":
            at.mkdir()
        case "pipe":
            os.mkfifo(at)
        case "device":
            try:
                os.mknod(at, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices")
        case "symlink":
            at.symlink_to(other)
        case "dangling symlink":
            at.symlink_to(at.with_name("nowhere"))
        case "hardlink":
            at.hardlink_to(other)
        case "mount point":
            at.write_bytes(OLD)
            with mounted(at, f"--bind {other}"):
                yield
        case "table":
            at.write_bytes(OLD)
    if kind != "mount point":
        yield
    assert other.read_bytes() == OLD
    assert not at.with_name("nowhere").exists()
    other.unlink()


@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "mount point", "table", "nothing"])
def test_only_regular_files_are_replaced(path: Path, kind: str, link: bool) -> None:
    """Whether the path is something else or a link leads there; not even by force."""
    messages = {"folder": "is a folder", "mount point": "is a mount point"}
    at = path.with_name("thing") if link else path
    with something(kind, at):
        if link:
            path.symlink_to(at)
        if kind in ("table", "nothing"):
            save(path, STEPS)
            assert path.read_bytes() == NEW
            assert not path.is_symlink()
            assert not at.exists() or at.read_bytes() in (OLD, NEW)
        else:
            for force in False, True:
                refused(path, OSError, messages.get(kind, "is not a regular file"), force=force)


def test_only_tables_of_the_format_are_replaced(path: Path) -> None:
    """Unless by force; an empty file holds nothing to lose."""
    path.write_bytes(b"{}")
    refused(path, FileExistsError, "is not a .npy file")
    assert path.read_bytes() == b"{}"
    save(path, STEPS, force=True)
    assert_only_the_table(path)
    path.write_bytes(b"")
    save(path, STEPS)
    assert_only_the_table(path)


def test_missing_permissions(path: Path) -> None:
    """A folder that is missing, not to be read, written or cleared; a file not to be read."""
    with pytest.raises(FileNotFoundError, match="missing'"):
        save_table(SCHEDULE, path.parent / "missing" / "lr.npy", 5)
    path.write_bytes(OLD)
    with pytest.raises(NotADirectoryError, match=r"lr\.npy'"):
        save_table(SCHEDULE, path / "lr.npy", 5)
    with mounted(path.parent, f"--bind {path.parent}", "-o remount,bind,ro"):
        refused(path, OSError, "Read-only file system")
    for folder, file in (0o333, 0o644), (0o555, 0o644), (0o777, 0o600):
        path.parent.chmod(folder)
        path.chmod(file)
        with as_another_user(path.parent), pytest.raises(PermissionError):
            save_table(Idle(1, 2, 3), "lr.npy", STEPS)
        assert_only_the_table(path, OLD)
    with as_another_user(path.parent):
        save(Path("lr.npy"), STEPS, force=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_only_the_table(path)


def test_free_space(path: Path) -> None:
    """Both figures are named; what the hidden file holds already counts."""
    assert not Path("/proc").is_dir() or _files.free_space("/proc") == sys.maxsize  # unknown
    needs = {10**13: "80.0 TB", 10**17: "800.0 PB", 2**63 - 1: "73.8 EB"}
    for steps, needed in needs.items():
        refused(path, OSError, rf"Errno 28\] needs {needed}, .*B are free", steps=steps)
    with mounted(path.parent, "-t tmpfs -o size=64k tmpfs"):
        interrupted(path, 8)
        refused(path, OSError, r"needs 1\d\d.. kB, [23]\d.. kB are free", steps=20_000)
        save(path, STEPS)
        assert_only_the_table(path)


# ---------------------------------------------------------------- interruption


class ShortWrites(io.FileIO):
    """A file that takes at most 1,000 bytes at once, and counts them."""

    written = 0

    def write(self, data: Any) -> int:
        taken = super().write(data[:1000])
        ShortWrites.written += taken
        return taken


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, OSError])
def test_resume_at_every_chunk(path: Path, error: type[BaseException], monkeypatch: Patch) -> None:
    """The old table stays, the note says what is kept, and what is there is not written again."""
    monkeypatch.setattr(io, "FileIO", ShortWrites)
    for chunks in range(1, CHUNKS + 1):
        path.write_bytes(OLD)
        note = interrupted(path, chunks, error())
        assert path.read_bytes() == OLD
        kept = hidden(path).stat().st_size
        assert kept >= 128 + min(chunks * CHUNK, 8 * len(STEPS))
        size = f"{kept / 1000:.1f} kB are kept in {hidden(path)}"
        assert note == f"{size}: the same call resumes, and removing that file discards them."
        monkeypatch.setattr(ShortWrites, "written", 0)
        save(path, STEPS)
        assert ShortWrites.written == len(NEW) - kept
        assert_only_the_table(path)


def test_interruption_before_the_first_chunk(path: Path) -> None:
    """Nothing worth keeping is kept, and what was kept before survives."""
    for kept in 0, 1:
        interrupted(path, kept * 5) if kept else None
        broken = mock.patch.object(InverseTimeDecay, "_fill", side_effect=KeyboardInterrupt)
        with broken, pytest.raises(KeyboardInterrupt) as caught:
            save(path, STEPS)
        assert hasattr(caught.value, "__notes__") == hidden(path).exists() == kept


def mutated(random: np.random.Generator, content: bytes) -> bytes:
    """Return `content` with one random fault."""
    at, length = int(random.integers(len(content) + 1)), int(random.integers(1, 200))
    noise = random.integers(256, size=length, dtype=np.uint8).tobytes()
    rest = [content[at:], content[at + 1 :], content[at + length :], b""]
    return content[:at] + noise * int(random.integers(2)) + rest[random.integers(4)]


@pytest.mark.parametrize("rounds", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_whatever_the_hidden_file_holds(path: Path, rounds: int) -> None:
    """The table is right: after a call for another table, and after random faults."""
    tables = (
        OTHER,
        InverseTimeDecay(0.1, 1000, 0.5, True),
        InverseTimeDecay(0.1, 1000, 0.5, dtype="f4"),
    )
    others: list[dict[str, Any]] = [
        *({"schedule": schedule} for schedule in tables),
        *({"steps": steps} for steps in (range(4, 6001), range(3, 12000), range(3, 3000))),
        *({"dtype": dtype} for dtype in (">f8", "f4")),
    ]
    for other in others:
        for first, second in ({}, other), (other, {}):
            interrupted(path, 5, **first)
            table: dict[str, Any] = {"schedule": SCHEDULE, "steps": STEPS, "dtype": None} | second
            save_table(**table, path=path)
            assert_only_the_table(path, npy(*table.values()))
    random = np.random.default_rng(2)
    interrupted(path, 9)
    content = hidden(path).read_bytes()
    for i in range(rounds):
        hidden(path).write_bytes(mutated(random, content) if i else NEW + b"more")
        save(path, STEPS)
        assert_only_the_table(path)


def test_ctrl_c_at_any_moment(path: Path) -> None:
    """Wherever Python looks for signals: the table is absent, old or complete; nothing leaks."""
    steps, descriptors = range(1100), len(os.listdir("/proc/self/fd"))
    moment, struck, events = 0, True, 0

    def strike(frame: Any, event: str, argument: Any) -> None:
        nonlocal struck, events
        # After these two, and before a loop's next round, the interpreter looks for signals.
        events += event in ("call", "c_return")
        if events == moment and not struck:
            struck = True
            raise KeyboardInterrupt

    while struck:
        moment, struck, events = moment + 1, False, 0
        old = OLD if moment % 2 else None
        path.write_bytes(OLD) if old else path.unlink(missing_ok=True)
        note = ""
        try:
            sys.setprofile(strike)
            save(path, steps)
        except KeyboardInterrupt as error:
            note = " ".join(getattr(error, "__notes__", []))
        finally:
            sys.setprofile(None)
        assert ("resumes" in note) == hidden(path).exists()
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert (path.read_bytes() if path.exists() else None) in (old, npy(SCHEDULE, steps))
        save(path, steps)
        assert_only_the_table(path, npy(SCHEDULE, steps))
    assert moment > 50


def test_flags(path: Path) -> None:
    """Reported once, also for a part that was written before; an error keeps the old table."""
    schedule = InverseTimeDecay(0.1, 1000, -1.0)
    path.write_bytes(OLD)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        save_table(schedule, path, 6000)
    assert path.read_bytes() == OLD
    with pytest.warns(RuntimeWarning, match="divide by zero") as warned:
        save_table(schedule, path, 6000)
    assert len(warned) == 1
    with np.errstate(divide="ignore"):
        assert_only_the_table(path, npy(schedule, range(6000)))


@pytest.mark.parametrize("kills", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_killed(path: Path, kills: int) -> None:
    """SIGKILL at random moments."""
    print(kills, "kills:", kill_and_resume(path, kills, seed=kills))


# ---------------------------------------------------------------- failing disks


@pytest.mark.parametrize(
    "pages", [range(1, 13, 3), pytest.param(range(1, 101), marks=pytest.mark.slow)], ids=len
)
def test_disk_full_on_the_way(path: Path, pages: range, monkeypatch: Patch) -> None:
    """Something else fills the disk meanwhile: the old table stays, and the same call finishes."""
    steps = range(512 * pages[-1])
    for page in pages:
        with mounted(path.parent, f"-t tmpfs -o size={4 * page}k tmpfs") as mount:
            path.write_bytes(b"")
            with monkeypatch.context() as patch:
                patch.setattr(_files, "free_space", lambda folder: sys.maxsize)
                with pytest.raises(OSError, match=r"No space left on device.*lr\.npy'"):
                    save(path, steps)
            assert path.read_bytes() == b""
            mount("-o remount,size=1m")
            save(path, steps)
            assert_only_the_table(path, npy(SCHEDULE, steps))


def test_what_is_on_disk_when(path: Path, monkeypatch: Patch) -> None:
    """The table before its name, the folder after it; where that fails, nothing else is kept.

    After a failed synchronisation the kernel shows bytes that the disk may lack.
    """
    events: list[Any] = []
    replace, failing = os.replace, 0

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if len(events) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        events.append("folder" if stat.S_ISDIR(found.st_mode) else found.st_size)

    monkeypatch.setattr(os, "replace", lambda *a, **k: (events.append("name"), replace(*a, **k)))
    monkeypatch.setattr(os, "fsync", fsync)
    sizes = [128 + 2 * CHUNK * pair for pair in range(1, 6)]
    for failing in range(6):
        events.clear()
        with pytest.raises(OSError, match=r"lr\.npy"):
            save(path, STEPS)
        assert events == sizes[:failing]
        assert [file.stat().st_size for file in path.parent.iterdir()] == sizes[:failing][-1:]
        hidden(path).unlink(missing_ok=True)
    failing = -1
    events.clear()
    save(path, STEPS)
    assert events == [*sizes, len(NEW), "name", "folder"]


# ---------------------------------------------------------------- others at the same path


def test_second_writer_is_refused(path: Path) -> None:
    """Another call, of this process or another, gets an error; the first goes on unharmed."""
    program = (
        "import sys, invdecay\n"
        "try:\n"
        "    invdecay.save_table(invdecay.InverseTimeDecay(1, 2, 3), sys.argv[1], 9)\n"
        "except BlockingIOError as error:\n"
        "    sys.exit(7 if error.filename == sys.argv[1] else 8)\n"
    )

    def intrude(done: int, total: int) -> None:
        refused(path, BlockingIOError, "being written by another call")
        if done == total:
            assert subprocess.run([sys.executable, "-c", program, path]).returncode == 7

    save(path, STEPS, progress=intrude)
    assert_only_the_table(path)


def test_lock_won_on_a_file_just_published(path: Path, monkeypatch: Patch) -> None:
    """A writer that opened the hidden file before it became the table leaves the table alone."""
    flock = _files.fcntl.flock

    def lose_the_race(*args: Any) -> None:
        monkeypatch.setattr(_files.fcntl, "flock", flock)
        save(path, STEPS)
        flock(*args)

    monkeypatch.setattr(_files.fcntl, "flock", lose_the_race)
    save(path, range(9))
    assert_only_the_table(path, npy(SCHEDULE, range(9)))


@pytest.mark.parametrize(
    "kind", ["symlink", "dangling symlink", "hardlink", "pipe", "folder", "mount point"]
)
def test_foreign_hidden_files_are_refused(path: Path, kind: str) -> None:
    """Never written through, never removed."""
    with something(kind, hidden(path)):
        refused(path, OSError, "")


def second_call(path: Path, finished: bool) -> None:
    """Remove the hidden file and make another table at the same path, to the end or not."""
    hidden(path).unlink()
    if finished:
        save_table(OTHER, path, STEPS)
    else:
        interrupted(path, 3, schedule=OTHER)


CHANGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: hidden(path).unlink(),
    "replaced": lambda path: (hidden(path).unlink(), hidden(path).write_bytes(NEW)),
    "linked": lambda path: (hidden(path).unlink(), hidden(path).symlink_to(__file__)),
    "shortened": lambda path: os.truncate(hidden(path), 10),
    "lengthened": lambda path: os.truncate(hidden(path), 10**6),
    "second call": lambda path: second_call(path, finished=False),
    "second table": lambda path: second_call(path, finished=True),
    "folder removed": lambda path: shutil.rmtree(path.parent),
    "folder at the path": lambda path: (path.unlink(), path.mkdir()),
    "text at the path": lambda path: path.write_bytes(b"text"),
    "folder replaced": lambda path: (path.parent.rename("../moved"), path.parent.mkdir()),
    "working folder": lambda path: os.chdir("../elsewhere"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_this_call_wrote_is_published(
    path: Path, change: str, monkeypatch: Patch
) -> None:
    """Whatever happens to the files at any point of the write: the right table or an error."""
    right = {"working folder": "here", "folder replaced": "moved"}.get(change)
    left = {"second table": npy(OTHER, STEPS), "text at the path": b"text"}.get(change, OLD)
    for chunk in range(1, CHUNKS + 1):
        top = path.with_name(str(chunk))
        here, elsewhere = top / "here" / "lr.npy", top / "elsewhere" / "lr.npy"
        for place in here, elsewhere:
            place.parent.mkdir(parents=True)
            place.write_bytes(OLD)
        monkeypatch.chdir(here.parent)
        action = after(chunk, lambda here=here: CHANGES[change](here))  # type: ignore[misc]
        if right:
            save(Path("lr.npy"), STEPS, progress=action)
            assert_only_the_table(top / right / "lr.npy")
            assert right == "here" or not os.listdir(here.parent)
        else:
            with pytest.raises(OSError, match=r"lr\.npy'"):
                save(Path("lr.npy"), STEPS, progress=action)
            assert not here.is_file() or here.read_bytes() == left
        assert_only_the_table(elsewhere, OLD)


# ---------------------------------------------------------------- mode, threads and memory


def test_mode_and_owner(path: Path) -> None:
    """Those of the replaced file; nobody reads more meanwhile; a new file goes by the umask."""
    umask = os.umask(0o027)
    save(path, STEPS)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for mode in 0o600, 0o444, 0o666, 0o604:
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, 12345, 54321)
        old = path.stat()
        interrupted(path, 3)
        assert stat.S_IMODE(hidden(path).stat().st_mode) == mode | 0o600
        save(path, STEPS)
        new = path.stat()
        assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)


@pytest.mark.parametrize(
    "where",
    [
        "threading.Thread(target=lambda: (threading.main_thread().join(), save())).start()",
        "atexit.register(save)",
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); os.setuid(65534); save()",
    ],
    ids=["main thread ended", "exiting", "no more threads"],
)
def test_threads(path: Path, where: str) -> None:
    """After the main thread has ended, while Python exits, and where no thread can be started."""
    path.parent.chmod(0o777)
    program = (
        "import atexit, os, resource, threading, invdecay, invdecay.storage\n"
        "schedule = invdecay.InverseTimeDecay(0.1, 1000, 0.5)\n"
        f"def save():\n    invdecay.save_table(schedule, 'lr.npy', range(3, 6000))\n{where}"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert_only_the_table(path)


AT_EXIT = """
import sys, threading, time
from invdecay import InverseTimeDecay, save_table
def loop():
    while True:
        save_table(InverseTimeDecay(0.1, 1000, 0.5), sys.argv[1], range(3, 6000))
threading.Thread(target=loop, daemon=True).start()
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("exits", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_daemon_thread_at_exit(path: Path, exits: int) -> None:
    """Python ends in silence, and the table is absent or complete."""
    for delay in np.random.default_rng(exits).uniform(0.05, 0.25, exits):
        command = [sys.executable, "-W", "error", "-c", AT_EXIT, path, str(delay)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert not path.exists() or path.read_bytes() == NEW


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's account of the process")
@pytest.mark.parametrize(("dtype", "n"), [("f4", 10**8), (">g", 10**7)])
def test_memory_is_bounded(path: Path, dtype: str, n: int) -> None:
    """A process that writes, verifies and inspects a table, in chunks of the ordinary size."""
    # Not getrusage, whose maximum a process takes over from the one that started it.
    program = (
        "import re, sys\nfrom invdecay import InverseTimeDecay, storage\n"
        "path, dtype, n = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
        "schedule = InverseTimeDecay(0.1, 1000, 0.5, dtype='float32')\n"
        "storage.save_table(schedule, path, n, dtype=dtype)\n"
        "assert storage.verify_table(path, schedule).equal\n"
        "assert storage.inspect_table(path).length == n\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", program, str(path), dtype, str(n)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.unlink()
    assert int(printed) < 256 * 1024  # KiB
