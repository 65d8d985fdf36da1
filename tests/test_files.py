"""What both formats promise wherever a table is written: odd places, other users, limits."""

import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from invdecay import _files, save_table, storage
from support.faults import CHUNK, SCHEDULE, as_another_user, mounted, save

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes, links and processes")

STEPS = range(3, 6000)


class Stop(Exception):
    """Raised by a test from within save_table."""


@pytest.fixture(params=[".npy", ".zarr"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a table of 12 chunks will be."""
    monkeypatch.setattr(storage, "_CHUNK", CHUNK)
    if request.param == ".zarr":
        pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
        from invdecay import _zarr

        monkeypatch.setattr(_zarr, "CHUNK_BYTES", CHUNK)
    return tmp_path / f"lr{request.param}"


def stop(done: int, total: int) -> None:
    """Interrupt a call after half of the table."""
    if done > total / 2:
        raise Stop


def never(done: int, total: int) -> None:
    raise AssertionError("the work has begun")


def interrupted(path: Path) -> list[Path]:
    """Leave behind what an interruption leaves; return its file, or its folder and files."""
    with pytest.raises(Stop) as caught:
        save(path, STEPS, progress=stop)
    assert "the same call resumes" in caught.value.__notes__[0]
    (hidden,) = [entry for entry in path.parent.iterdir() if entry.name.startswith(".invdecay")]
    return [hidden, *hidden.rglob("*")]


def check(path: Path) -> None:
    """The table is right, and nothing else is left in the folder."""
    assert storage.verify_table(path, SCHEDULE, STEPS) == storage.Verification(len(STEPS))
    assert os.listdir(path.parent) == [path.name]


def let_others_in(path: Path) -> None:
    """Let another user work beside a path, in a folder with a sticky bit."""
    path.parent.chmod(0o1777)
    for folder in path.parent.parents:
        if not stat.S_IMODE(folder.stat().st_mode) & 1:
            folder.chmod(0o711)


@pytest.mark.parametrize("name", ["l\nr \\é", os.fsdecode(b"\xff\xfe"), "-r", "~", "%s{0}"])
def test_odd_names(path: Path, name: str) -> None:
    path = path.with_stem(name)
    interrupted(path)
    save(path, STEPS)
    check(path)


@pytest.mark.parametrize("letter", ["a", "é"])
@pytest.mark.parametrize("length", [1, 246, 250, 255])
def test_long_names(path: Path, length: int, letter: str) -> None:
    """Every name that the file system takes, of one or more bytes a letter."""
    room = max(len(letter.encode()), length - len(path.suffix))
    test_odd_names(path, (letter * 255).encode()[:room].decode(errors="ignore"))


@pytest.mark.parametrize("name", ["s3://bucket/lr", "file:///lr", "l\0r"])
def test_names_that_no_file_has(path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"path must (be a path, not a URL|not hold a null char)"):
        save_table(SCHEDULE, name + path.suffix, STEPS)


def test_chains_of_links(path: Path) -> None:
    """The first link is replaced; a chain that ends in a device or in itself is refused."""
    one, two = path.with_name("one"), path.with_name("two")
    path.symlink_to(one)
    one.symlink_to(two)
    for end in "/dev/null", path:
        two.symlink_to(end)
        with pytest.raises(OSError, match=f"{path.name}'"):
            save(path, STEPS, progress=never)
        two.unlink()
    save(path, STEPS)
    one.unlink()
    check(path)


@pytest.mark.parametrize("kind", ["table", "link to nothing"])
def test_folders_with_a_sticky_bit(path: Path, kind: str) -> None:
    """What belongs to another user is not replaced there, which is known before the work."""
    save(path, STEPS) if kind == "table" else path.symlink_to("nothing")
    let_others_in(path)
    with as_another_user(path.parent), pytest.raises(PermissionError, match=r"sticky bit.*lr"):
        save(Path(path.name), STEPS, progress=never)


def test_what_another_user_has_left_is_made_anew(path: Path) -> None:
    """Its owner could change the published table; where it cannot be removed, it is refused."""
    for entry in interrupted(path):
        os.chown(entry, 12345, 12345)
    save(path, STEPS)
    assert {entry.stat().st_uid for entry in (path, *path.rglob("*"))} == {0}
    check(path)
    for entry in interrupted(path):
        entry.chmod(0o777)
    let_others_in(path)
    os.chown(path, 65534, 65534)
    with as_another_user(path.parent), pytest.raises(PermissionError, match=r"another user.*lr"):
        save(Path(path.name), STEPS, progress=never)


def test_a_process_forked_meanwhile_does_not_keep_the_lock(path: Path) -> None:
    children = []

    def fork(done: int, total: int) -> None:
        if not children:
            children.append(os.fork())
            if not children[0]:
                signal.pause()
        stop(done, total)

    try:
        with pytest.raises(Stop):
            save(path, STEPS, progress=fork)
        save(path, STEPS)
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)
    check(path)


def test_a_limit_on_the_size_of_files(path: Path) -> None:
    """The error names the table; without the limit the same call finishes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large.*{path.name}'"):
            save(path, STEPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    save(path, STEPS)
    check(path)


def test_a_file_system_without_room_for_more_files(path: Path) -> None:
    with mounted(path.parent, "-t tmpfs -o nr_inodes=2,size=1m tmpfs") as mount:
        path.with_name("other").touch()
        with pytest.raises(OSError, match=f"No space left on device.*{path.name}'"):
            save(path, STEPS)
        path.with_name("other").unlink()
        mount("-o remount,nr_inodes=100")
        save(path, STEPS)
        check(path)


def test_nobody_reads_more_than_the_old_table(path: Path) -> None:
    save(path, range(5))
    path.chmod(0o700)
    modes = set()

    def look(done: int, total: int) -> None:
        modes.update(stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir())

    save(path, STEPS, progress=look)
    assert modes == {0o700}
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    check(path)


def test_file_systems_with_one_mode_for_all_files(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They refuse to change it, and nothing has to be changed."""

    def refuse(*args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    save(path, range(5))
    monkeypatch.setattr(os, "fchmod", refuse)
    save(path, STEPS)
    check(path)


def test_a_working_folder_that_was_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = path.with_name("folder")
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        save(Path(path.name), STEPS)
    save(path, STEPS)
    check(path)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (8 * 10**13, "80.0 TB")],
)
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert _files.format_bytes(count) == text
