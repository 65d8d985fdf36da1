"""Tables on disk: the bytes, and that no fault leaves a partial or wrong table behind."""

import errno
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay, save_table, storage
from invdecay.storage import inspect_table, verify_table
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


@pytest.fixture(autouse=True)
def small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
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


def after(chunks: int, action: Callable[[], object]) -> Callable[[int, int], None]:
    """Return a progress callback that acts once, after so many chunks."""
    calls = iter(range(1, CHUNKS + 1))
    return lambda done, total: action() if next(calls, None) == chunks else None  # type: ignore[func-returns-value]


def interrupted(path: Path, chunks: int, error: type[BaseException] = Stop, **kwargs: Any) -> str:
    """Leave behind what an interruption after so many chunks leaves; return its note."""

    def stop() -> None:
        raise error

    with pytest.raises(error) as caught:
        save_table(
            **{"schedule": SCHEDULE, "steps": STEPS} | kwargs,
            path=path,
            progress=after(chunks, stop),
        )
    return " ".join(getattr(caught.value, "__notes__", []))


def assert_only_the_table(path: Path, content: bytes = NEW) -> None:
    """The table is whole, and nothing else is left in the folder."""
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


class Idle(InverseTimeDecay):
    """A schedule that nobody may compute."""

    def _fill(self, out: Any, steps: range) -> int:
        raise AssertionError("the work has begun")


def refusal(path: Path, steps: int | range = STEPS, **kwargs: Any) -> OSError:
    """Return the error of a call that is refused before any work and leaves nothing behind."""
    before = sorted(os.listdir(path.parent))
    with pytest.raises(OSError, match=path.name) as caught:
        save_table(Idle.from_config(SCHEDULE.get_config()), path, steps, **kwargs)
    assert sorted(os.listdir(path.parent)) == before
    return caught.value


# ---------------------------------------------------------------- content and arguments


@pytest.mark.parametrize("stored", [None, "f2", "f4", "f8", "g", ">f4", ">f8", ">g"])
@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
@pytest.mark.parametrize(
    "steps",
    [range(0), range(1), range(513), STEPS, range(900, -900, -1), range(2**62, 2**63, 2**49)],
    ids=str,
)
def test_file_is_that_of_numpy_save(
    path: Path, steps: range, arithmetic: str, stored: str | None, staircase: bool
) -> None:
    """Header, data and padding, byte for byte; and the table agrees with its schedule."""
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=arithmetic)
    assert save_table(schedule, path, steps, dtype=stored) == path
    assert_only_the_table(path, npy(schedule, steps, stored))
    assert verify_table(path, schedule, steps) == storage.Verification(len(steps))


@pytest.mark.parametrize("chunk", [1, 8, 1000, 1 << 24])
def test_chunk_size_leaves_the_bytes_alone(
    path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one element a chunk to all in one; progress counts elements."""
    monkeypatch.setattr(storage, "_CHUNK", chunk)
    seen: list[tuple[int, int]] = []
    save(path, range(300), progress=lambda *counts: seen.append(counts))
    assert_only_the_table(path, npy(SCHEDULE, range(300)))
    length = max(1, chunk // 8)
    assert seen == [(min(done + length, 300), 300) for done in range(0, 300, length)]


def test_platform_without_posix(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where files are neither locked, nor opened in a folder, nor of an owner."""
    monkeypatch.setattr(os, "supports_dir_fd", set())
    monkeypatch.setattr(storage, "fcntl", None)
    for name in "O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "fchown", "fchmod", "geteuid":
        monkeypatch.delattr(os, name, raising=False)
    path.write_bytes(OLD)
    interrupted(path, 5)
    save(path, STEPS)
    assert_only_the_table(path)


def test_short_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may take fewer bytes than it was given."""

    class Short(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:1000])

    monkeypatch.setattr(io, "FileIO", Short)
    interrupted(path, 5)
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
        with pytest.raises(ValueError, match=f"path must end in .npy or .zarr, got '{name}'"):
            save_table(SCHEDULE, name, 5)
    assert not os.listdir(path.parent)


# ---------------------------------------------------------------- known before the work


@contextmanager
def something(kind: str, at: Path) -> Iterator[None]:
    """Have at a path what is not a file to be replaced."""
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
        case "mount point":
            other = at.with_name("other")
            for file in at, other:
                file.write_bytes(OLD)
            with mounted(at, f"--bind {other}"):
                yield
            return
    yield


@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "mount point"])
def test_only_regular_files_are_replaced(path: Path, kind: str, link: bool) -> None:
    """Whether the path is something else or a link leads there; not even by force."""
    at = path.with_name("thing") if link else path
    with something(kind, at):
        if link:
            path.symlink_to(at)
        for force in False, True:
            message = str(refusal(path, force=force))
            assert {"device": "regular", "pipe": "regular"}.get(kind, kind) in message


def test_only_tables_of_the_format_are_replaced(path: Path) -> None:
    """Unless by force; an empty file holds nothing to lose."""
    path.write_bytes(b"{}")
    error = refusal(path)
    assert isinstance(error, FileExistsError)
    assert "is not a .npy file" in str(error)
    assert path.read_bytes() == b"{}"
    save(path, STEPS, force=True)
    assert_only_the_table(path)
    path.write_bytes(b"")
    save(path, STEPS)
    assert_only_the_table(path)


def test_link_is_replaced(path: Path) -> None:
    """Not followed, where it leads to a file or to nothing."""
    victim = path.with_name("victim")
    for content in OLD, None:
        victim.unlink() if content is None else victim.write_bytes(content)
        path.unlink(missing_ok=True)
        path.symlink_to(victim)
        save(path, STEPS)
        assert not path.is_symlink()
        assert path.read_bytes() == NEW
        assert content is None or victim.read_bytes() == content


def test_missing_folder(path: Path) -> None:
    """Named, and so is a file in its place."""
    with pytest.raises(FileNotFoundError, match="missing'"):
        save_table(SCHEDULE, path.parent / "missing" / "lr.npy", 5)
    path.write_bytes(OLD)
    with pytest.raises(NotADirectoryError, match=r"lr\.npy'"):
        save_table(SCHEDULE, path / "lr.npy", 5)


def test_missing_permissions(path: Path) -> None:
    """A folder not to be read, written or cleared of other people's files; a file not to be read."""
    path.write_bytes(OLD)
    path.chmod(0o644)
    with as_another_user(path.parent):
        for mode in 0o333, 0o555, 0o1777:
            os.seteuid(0)
            path.parent.chmod(mode)
            os.seteuid(65534)
            with pytest.raises(PermissionError, match=r"lr\.npy|'\.'"):
                save_table(Idle(1, 2, 3), "lr.npy", STEPS)
        os.seteuid(0)
        path.parent.chmod(0o777)
        path.chmod(0o600)
        os.seteuid(65534)
        with pytest.raises(PermissionError, match=r"lr\.npy"):
            save_table(Idle(1, 2, 3), "lr.npy", STEPS)
        save(Path("lr.npy"), STEPS, force=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_only_the_table(path)


def test_read_only_folder(path: Path) -> None:
    """The old table stays."""
    path.write_bytes(OLD)
    with mounted(path.parent, f"--bind {path.parent}", "-o remount,bind,ro"):
        assert refusal(path).errno == errno.EROFS
        assert_only_the_table(path, OLD)


@pytest.mark.parametrize("steps", [10**13, 10**17, 2**63 - 1])
def test_too_large_for_the_disk(path: Path, steps: int) -> None:
    """Both figures are named."""
    error = refusal(path, steps)
    assert error.errno == errno.ENOSPC
    needs = {10**13: r"80.0 TB", 10**17: r"800.0 PB", 2**63 - 1: "73.8 EB"}[steps]
    assert f"needs {needs}, " in str(error)
    assert "B are free" in str(error)


def test_space_that_the_hidden_file_holds_counts(path: Path) -> None:
    """On a disk with room for one table, the rest of a table fits once the first part is there."""
    with mounted(path.parent, "-t tmpfs -o size=64k tmpfs"):
        interrupted(path, 8)
        with pytest.raises(OSError, match=r"needs \d.* kB, \d.* are free"):
            save(path, range(20_000))
        save(path, STEPS)
        assert_only_the_table(path)


@pytest.mark.parametrize("length", [6, 245, 246, 250, 254, 255])
def test_long_names(path: Path, length: int) -> None:
    """Every name that the file system takes, of one or more bytes a letter."""
    for letter in "a", "é":
        name = (letter * 255).encode()[: length - 4].decode(errors="ignore") + ".npy"
        interrupted(path.with_name(name), 5)
        save(path.with_name(name), STEPS)
        assert_only_the_table(path.with_name(name))
        path.with_name(name).unlink()


# ---------------------------------------------------------------- interruption


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, OSError])
def test_resume_at_every_chunk(
    path: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old table stays, the note says what is kept, and what is there is not written again."""
    written: list[int] = []

    class Counting(io.FileIO):
        def write(self, data: Any) -> int:
            written.append(len(data))
            return super().write(data)

    monkeypatch.setattr(io, "FileIO", Counting)
    for chunks in range(1, CHUNKS + 1):
        path.write_bytes(OLD)
        note = interrupted(path, chunks, error)
        assert path.read_bytes() == OLD
        kept = hidden(path).stat().st_size
        assert kept >= 128 + min(chunks * CHUNK, 8 * len(STEPS))
        size = f"{kept / 1000:.1f} kB are kept in {hidden(path)}"
        assert note == f"{size}: the same call resumes, and removing that file discards them."
        written.clear()
        save(path, STEPS)
        assert sum(written) == len(NEW) - kept
        assert_only_the_table(path)


def test_interruption_before_the_first_chunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing worth keeping is kept, and what was kept before survives."""
    for kept in False, True:
        if kept:
            interrupted(path, 5)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
            patch.setattr(InverseTimeDecay, "_fill", lambda *_: signal.raise_signal(signal.SIGINT))
            save(path, STEPS)
        assert hasattr(caught.value, "__notes__") == hidden(path).exists() == kept


@pytest.mark.parametrize(
    "other",
    [
        {"schedule": OTHER},
        {"schedule": InverseTimeDecay(0.1, 1000, 0.5, staircase=True)},
        {"schedule": InverseTimeDecay(0.1, 1000, 0.5, dtype="float32")},
        {"steps": range(4, 6001)},
        {"steps": range(3, 12000)},
        {"steps": range(3, 3000)},
        {"steps": range(3, 11997, 2)},
        {"dtype": ">f8"},
        {"dtype": "f4"},
    ],
    ids=str,
)
def test_other_parameters(path: Path, other: dict[str, Any]) -> None:
    """What an interrupted call for another table left is not taken for this one's."""
    for first, second in ({}, other), (other, {}):
        interrupted(path, 5, **first)
        arguments: dict[str, Any] = {"schedule": SCHEDULE, "steps": STEPS, "dtype": None} | second
        save_table(**arguments, path=path)
        assert_only_the_table(path, npy(*arguments.values()))
        path.unlink()


def test_ctrl_c_at_any_moment(path: Path) -> None:
    """Wherever Python looks for signals: a table that is absent, old or complete; nothing leaks."""
    steps, descriptors = range(1100), len(os.listdir("/proc/self/fd"))
    complete = npy(SCHEDULE, steps)
    moment, struck = 0, True
    while struck:
        moment, struck = moment + 1, False
        events = iter(range(1, moment + 1))

        def strike(frame: Any, event: str, argument: Any, events: Any = events) -> None:
            nonlocal struck
            # After these two alone, and after jumps backwards, the interpreter looks for signals.
            if event in ("call", "c_return") and next(events, None) == moment:
                struck = True
                raise KeyboardInterrupt

        path.unlink(missing_ok=True)
        if moment % 2:
            path.write_bytes(OLD)
        try:
            sys.setprofile(strike)
            save(path, steps)
        except KeyboardInterrupt as error:
            sys.setprofile(None)
            kept = getattr(error, "__notes__", [""])[0]
            assert ("resumes" in kept) == hidden(path).exists()
        finally:
            sys.setprofile(None)
        content = path.read_bytes() if path.exists() else None
        assert content in (OLD if moment % 2 else None, complete)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        save(path, steps)
        assert_only_the_table(path, complete)
    print(moment, "moments")
    assert moment > 50


def test_flags(path: Path) -> None:
    """Reported once, also for a part that was written before; an error keeps the old table."""
    schedule = InverseTimeDecay(0.1, 1000, -1.0)
    path.write_bytes(OLD)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="save_table"):
        save_table(schedule, path, 6000)
    assert path.read_bytes() == OLD
    with pytest.warns(RuntimeWarning, match="divide by zero") as warned:
        save_table(schedule, path, 6000)
    assert len(warned) == 1
    with np.errstate(divide="ignore"):
        assert_only_the_table(path, npy(schedule, range(6000)))
    assert verify_table(path, schedule).equal


@pytest.mark.parametrize("limit", ["1 chunk", pytest.param("all", marks=pytest.mark.slow)])
def test_killed(path: Path, limit: str, record_property: Callable[[str, object], None]) -> None:
    """SIGKILL at 10 and at 500 random moments."""
    kills = 10 if limit == "1 chunk" else 500
    found = kill_and_resume(path, kills, seed=kills)
    record_property("found", found)
    print(kills, "kills:", found)


# ---------------------------------------------------------------- failing disks


@pytest.mark.parametrize(
    "pages", [range(1, 13, 3), pytest.param(range(1, 101), marks=pytest.mark.slow)], ids=len
)
def test_disk_full_on_the_way(path: Path, pages: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else fills the disk meanwhile: the old table stays, and what is there is kept."""
    steps = range(512 * pages[-1])
    for page in pages:
        with mounted(path.parent, f"-t tmpfs -o size={4 * page}k tmpfs") as mount:
            path.write_bytes(b"")
            with monkeypatch.context() as patch, pytest.raises(OSError, match=r"lr\.npy") as caught:
                patch.setattr(storage, "free_space", lambda folder: sys.maxsize)
                save(path, steps)
            assert caught.value.errno == errno.ENOSPC
            assert path.read_bytes() == b""
            mount("-o remount,size=1m")
            save(path, steps)
            assert_only_the_table(path, npy(SCHEDULE, steps))


def test_bytes_that_did_not_reach_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed synchronisation leaves nothing that the kernel shows and the disk may lack."""
    for failing in range(1, 7):
        synchronised: list[int] = []

        def fsync(descriptor: int, failing: int = failing, done: list[int] = synchronised) -> None:
            if len(done) == failing - 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done.append(os.fstat(descriptor).st_size)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"lr\.npy"):
            save(path, STEPS)
        sizes = [file.stat().st_size for file in path.parent.iterdir()]
        assert sizes == synchronised[-1:]
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        with suppress(FileNotFoundError):
            hidden(path).unlink()


def test_order_of_what_must_be_on_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table before its name, the folder after it."""
    events: list[str] = []
    replace = os.replace

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        events.append("folder" if stat.S_ISDIR(found.st_mode) else f"{found.st_size}")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *a, **k: (events.append("name"), replace(*a, **k)))
    save(path, STEPS)
    pairs = [str(128 + min(2 * CHUNK * n, 8 * len(STEPS))) for n in range(1, 7)]
    assert events == [*pairs[:5], *pairs[5:], "name", "folder"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_file_system_without_locks(
    path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done without; nor need the folder be synchronised."""

    def unsupported(descriptor: int, *_: Any) -> None:
        if _ or stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.fcntl, "flock", unsupported)
    monkeypatch.setattr(os, "fsync", unsupported)
    interrupted(path, 5)
    save(path, STEPS)
    assert_only_the_table(path)


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
        with pytest.raises(BlockingIOError, match=r"being written by another call.*lr\.npy"):
            save(path, range(9))
        if done == total:
            assert subprocess.run([sys.executable, "-c", program, path]).returncode == 7

    save(path, STEPS, progress=intrude)
    assert_only_the_table(path)


def test_lock_won_on_a_file_just_published(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that opened the hidden file before it became the table leaves the table alone."""
    flock, published = storage.fcntl.flock, []

    def lose_the_race(*args: Any) -> None:
        if not published:
            published.append(True)
            save(path, STEPS)
        flock(*args)

    monkeypatch.setattr(storage.fcntl, "flock", lose_the_race)
    save(path, range(9))
    assert_only_the_table(path, npy(SCHEDULE, range(9)))


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "folder", "mount point"])
def test_foreign_hidden_files_are_refused(path: Path, kind: str) -> None:
    """Never written through, never removed."""
    victim, foreign = path.with_name("victim"), hidden(path)
    victim.write_bytes(OLD)
    with something(kind, foreign):
        if kind == "symlink":
            foreign.symlink_to(victim)
        elif kind == "hardlink":
            foreign.hardlink_to(victim)
        refusal(path)
    assert victim.read_bytes() == OLD


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
    path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to the files at any point of the write: the right table or an error."""
    for chunk in range(1, CHUNKS + 1):
        top = path.with_name(str(chunk))
        folder, elsewhere, moved = top / "here", top / "elsewhere", top / "moved"
        for place in folder, elsewhere:
            place.mkdir(parents=True)
            (place / "lr.npy").write_bytes(OLD)
        monkeypatch.chdir(folder)
        action = after(chunk, lambda folder=folder: CHANGES[change](folder / "lr.npy"))
        error = None
        try:
            save(Path("lr.npy"), STEPS, progress=action)
        except OSError as caught:
            error = caught
        assert (elsewhere / "lr.npy").read_bytes() == OLD
        assert os.listdir(elsewhere) == ["lr.npy"]
        match change:
            case "working folder":
                assert_only_the_table(folder / "lr.npy")
            case "folder replaced":
                assert_only_the_table(moved / "lr.npy")
                assert not os.listdir(folder)
            case _:
                assert error is not None
                assert "lr.npy" in str(error)
                left = {"second table": npy(OTHER, STEPS), "text at the path": b"text"}
                if folder.exists() and change != "folder at the path":
                    assert (folder / "lr.npy").read_bytes() == left.get(change, OLD)


def mutated(random: np.random.Generator, content: bytes) -> bytes:
    """Return `content` with one random fault."""
    at, length = int(random.integers(len(content) + 1)), int(random.integers(1, 200))
    noise = random.integers(256, size=length, dtype=np.uint8).tobytes()
    ends = [content[at:], content[at + length :], noise + content[at:], content[at + 1 :], b""]
    return content[:at] + bytes(random.integers(2) * noise) + ends[random.integers(5)]


@pytest.mark.parametrize("rounds", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_hidden_files(path: Path, rounds: int) -> None:
    """Whatever the hidden file holds, the table is right."""
    random = np.random.default_rng(2)
    interrupted(path, 9)
    content = hidden(path).read_bytes()
    for _ in range(rounds):
        hidden(path).write_bytes(mutated(random, content))
        save(path, STEPS)
        assert_only_the_table(path)


# ---------------------------------------------------------------- mode, threads and memory


def test_mode_and_owner(path: Path) -> None:
    """Those of the replaced file; nobody reads more meanwhile; a new file goes by the umask."""
    umask = os.umask(0o027)
    try:
        save(path, STEPS)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    root = os.geteuid() == 0
    for mode in 0o600, 0o444, 0o666, 0o604:
        path.chmod(mode)
        if root:
            os.chown(path, 12345, 54321)
        old = path.stat()
        interrupted(path, 3)
        assert stat.S_IMODE(hidden(path).stat().st_mode) == mode | 0o600
        save(path, STEPS)
        new = path.stat()
        assert (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)


@pytest.mark.parametrize("where", ["thread", "atexit", "limit"])
def test_without_the_main_thread(path: Path, where: str) -> None:
    """After the main thread has ended, while Python exits, and where no thread can be started."""
    start = {
        "thread": "threading.Thread(target=lambda: (threading.main_thread().join(), save())).start()",
        "atexit": "import atexit; atexit.register(save)",
        "limit": "import resource; os.setuid(65534); resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); save()",
    }[where]
    if where == "limit":
        if os.geteuid():
            pytest.skip("the processes of this user are not counted alone")
        path.parent.chmod(0o777)
    program = (
        "import os, threading, invdecay\nfrom invdecay import storage\n"
        "schedule = invdecay.InverseTimeDecay(0.1, 1000, 0.5)\n"
        "def save():\n    storage.save_table(schedule, 'lr.npy', range(3, 6000))\n" + start
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert_only_the_table(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's account of the process")
@pytest.mark.parametrize("dtype", ["float32", "float16", ">g"])
def test_memory_is_bounded(path: Path, dtype: str) -> None:
    """A process that writes, verifies and inspects 10^8 elements, in ordinary chunks."""
    # Not getrusage, whose maximum a process takes over from the one that started it.
    program = (
        "import re, sys, invdecay\nfrom invdecay import storage\n"
        "path, n = sys.argv[1], 10**8\n"
        "schedule = invdecay.InverseTimeDecay(0.1, 1000, 0.5, dtype='float32')\n"
        "storage.save_table(schedule, path, n, dtype=sys.argv[2])\n"
        "assert storage.verify_table(path, schedule).equal\n"
        "assert storage.inspect_table(path).length == n\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", program, str(path), dtype]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.unlink()
    assert int(printed) < 256 * 1024  # KiB


# ---------------------------------------------------------------- verify and inspect


@pytest.mark.parametrize("stored", ["f2", "f4", ">f8", ">g"])
def test_verify_finds_every_bit(path: Path, stored: str) -> None:
    """How many elements differ, which step is the first, and what is there."""
    save(path, STEPS, dtype=stored)
    content, dtype = path.read_bytes(), np.dtype(stored)
    random = np.random.default_rng(4)
    for count in 1, 2, 5, 600:
        places = random.choice(np.arange(128, len(content)), count, replace=False)
        damaged = bytearray(content)
        for place in places:
            damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        elements = sorted({int(place - 128) // dtype.itemsize for place in places})
        first = elements[0]
        with np.errstate(invalid="ignore"):
            found = verify_table(path, SCHEDULE, STEPS)
            stored_there = float(np.load(path)[first])
        assert not found.equal
        assert (found.count, found.differing) == (len(STEPS), len(elements))
        assert found.first_step == STEPS[first]
        np.testing.assert_equal(found.stored, stored_there)
        expected = np.array(SCHEDULE(STEPS[first])).astype(dtype)
        assert found.expected == float(expected)


def test_verify_refuses_other_files(path: Path) -> None:
    """It says what the file has and what was expected."""

    def refused(error: type[Exception], match: str, **options: Any) -> None:
        with pytest.raises(error, match=match):
            verify_table(path, **{"schedule": SCHEDULE} | options)

    refused(FileNotFoundError, "lr.npy")
    save(path, 100)
    refused(ValueError, "lr.npy has 100 elements, expected 99", steps=99)
    refused(TypeError, "schedule must be an InverseTimeDecay, got None", schedule=None)
    refused(TypeError, "steps must be an integer or a range, got 1.0", steps=1.0)
    content = path.read_bytes()
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
    with pytest.raises(ValueError, match="path must end in .npy or .zarr, got 'lr.txt'"):
        verify_table("lr.txt", SCHEDULE)
    with pytest.raises(ValueError, match="path must end in .npy or .zarr, got 'lr.txt'"):
        inspect_table("lr.txt")


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "g"])
def test_inspect(path: Path, dtype: str) -> None:
    """Extremes of the finite elements, and how many are not."""
    random = np.random.default_rng(5)
    for length in 0, 1, 5000:
        table = random.normal(size=length).astype(dtype)
        for special in np.nan, np.inf, -np.inf:
            table[random.random(length) < 0.1] = special
        np.save(path, table)
        seen: list[tuple[int, int]] = []
        found = inspect_table(path, progress=lambda *counts, seen=seen: seen.append(counts))
        finite = table[np.isfinite(table)]
        assert (found.format, found.dtype, found.length) == ("npy", table.dtype, length)
        assert (found.size, found.complete) == (path.stat().st_size, True)
        np.testing.assert_equal([found.first, found.last], [*table[:1], *table[-1:]] or [None] * 2)
        extremes = (finite.min(), finite.max()) if len(finite) else (None, None)
        assert (found.smallest, found.largest) == extremes
        assert found.nan == np.isnan(table).sum()
        assert found.infinite == np.isinf(table).sum()
        assert (seen[-1:] or [(0, 0)]) == [(length, length)]
    os.truncate(path, 128 + 1001 * table.itemsize - 1)
    found = inspect_table(path)
    assert not found.complete
    np.testing.assert_equal(found.last, float(table[999]))
