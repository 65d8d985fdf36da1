"""Arrays that a Dask cluster writes: their bits, and what goes wrong on the way."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay, _files
from support import arrays
from support.arrays import Stop, chunks, stop_after
from support.faults import mounted
from support.processes import started_python

distributed: Any = pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")

import invdecay.dask  # noqa: E402
import zarr  # noqa: E402
from invdecay import _cluster  # noqa: E402

# The libraries' own warnings, in this process and in those that it starts, are not errors here.
pytestmark = pytest.mark.filterwarnings("ignore")

SCHEDULE = InverseTimeDecay(0.001, 20_000, 1)
STEPS = range(3, 6000)
CHUNK = 512
CHUNKS = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers that are processes, and that a nanny starts again."""
    with started(n_workers=2) as cluster:
        yield cluster


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a scheduler that has no workers."""
    with started(n_workers=0) as cluster:
        yield cluster.scheduler_address


@contextmanager
def started(n_workers: int) -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        processes=True,
        memory_limit="1 GiB",
        dashboard_address=None,
    ) as cluster:
        yield cluster


@contextmanager
def worker(
    address: str, folder: Path, preload: str = "", prefix: tuple[str, ...] = (), nanny: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker in another folder; it runs the text `preload` first."""
    (folder / "preload.py").write_text(preload)
    command = [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", address]
    command += ["--nthreads=1", "--no-dashboard", "--preload=preload.py"]
    command += ["--nanny" if nanny else "--no-nanny"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The client's folder, which is its working directory, and the workers'."""
    for name in "client", "workers":
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "client")
    return tmp_path / "client", tmp_path / "workers"


def to_zarr(path: Any, client: Any, **options: Any) -> Any:
    options = {"chunks": CHUNK, "timeout": 60, "client": client} | options
    return invdecay.dask.to_zarr(SCHEDULE, path, STEPS, **options)


def check(path: Any) -> None:
    """Check every bit of an array, and that nothing is left beside it."""
    arrays.check(path, SCHEDULE, STEPS)


def left_by(path: Path) -> Path:
    """Return the hidden folder of an interrupted call."""
    (left,) = arrays.hidden(path)
    return left


def test_a_cluster_writes_the_bits_of_the_table(cluster: Any, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "lr.zarr"
    calls: list[tuple[int, int]] = []
    address = cluster.scheduler_address
    assert to_zarr("lr.zarr", address, progress=lambda *call: calls.append(call)) == path
    check(path)
    assert calls[-1] == (len(STEPS), len(STEPS))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    with distributed.Client(cluster) as client:
        for given in client, None:
            shutil.rmtree(path)
            to_zarr(path, given, dtype="float32")
            check(path)


def test_a_relative_path_is_the_clients(scheduler: str, folders: tuple[Path, Path]) -> None:
    """The workers run in another folder."""
    with worker(scheduler, folders[1]):
        to_zarr("lr.zarr", scheduler)
    check(folders[0] / "lr.zarr")
    assert "lr.zarr" not in os.listdir(folders[1])


UNSHARED = "unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"'


def unshared(folder: Path) -> tuple[str, ...]:
    """Return a command's prefix that gives it another file system at `folder`."""
    prefix = (*UNSHARED, str(folder))
    if sys.platform != "linux" or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("needs to unshare mounts")
    return prefix


@pytest.mark.parametrize("others", [0, 1])
def test_a_folder_that_is_not_shared_is_an_error(
    scheduler: str, folders: tuple[Path, Path], others: int
) -> None:
    """One worker has another file system at the client's folder."""
    prefix = unshared(folders[0])
    with ExitStack() as stack:
        stack.enter_context(worker(scheduler, folders[1], prefix=prefix))
        for _ in range(others):
            stack.enter_context(worker(scheduler, folders[1]))
        wait_for_workers(scheduler, 1 + others)
        with pytest.raises(FileNotFoundError, match="is not shared with the worker tcp"):
            to_zarr("lr.zarr", scheduler)
    assert os.listdir(folders[0]) == []


def test_a_worker_that_comes_later_and_shares_nothing(
    scheduler: str, folders: tuple[Path, Path]
) -> None:
    with worker(scheduler, folders[1]), ExitStack() as stack:

        def progress(done: int, total: int) -> None:
            if done == 10:
                stack.enter_context(worker(scheduler, folders[1], prefix=unshared(folders[0])))
                wait_for_workers(scheduler, 2)

        with pytest.raises(FileNotFoundError, match="is not shared with the worker"):
            to_zarr("lr.zarr", scheduler, chunks=10, progress=progress)
    assert "lr.zarr" not in os.listdir(folders[0])


def wait_for_workers(address: str, count: int) -> None:
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


WRITE_NOTHING = """
import invdecay._cluster as c
c.store_chunk = lambda *arguments: True
"""
WRITE_ZEROS = """
import invdecay._cluster as c
def zeros(array, call, chunk, values, present, store=c.store_chunk):
    return store(array, call, chunk, 0 * values, present)
if c.store_chunk.__module__ == "invdecay._zarr":  # Dask runs this twice
    c.store_chunk = zeros
"""


@pytest.mark.parametrize(
    ("preload", "message"),
    [
        (WRITE_NOTHING, "chunks that workers have written are not seen here"),
        (WRITE_ZEROS, "does not hold what a worker has written"),
    ],
    ids=["nothing", "zeros"],
)
def test_workers_that_write_something_else(
    scheduler: str,
    folders: tuple[Path, Path],
    preload: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_cluster, "_PATIENCE", 1.0)
    with worker(scheduler, folders[1], preload), pytest.raises(OSError, match=message):
        to_zarr("lr.zarr", scheduler)
    assert not (folders[0] / "lr.zarr").exists()
    with worker(scheduler, folders[1]):
        to_zarr("lr.zarr", scheduler)
    check(folders[0] / "lr.zarr")


def test_stores_in_memory_are_not_shared(cluster: Any) -> None:
    address = cluster.scheduler_address
    with pytest.raises(FileNotFoundError, match="is not shared with the worker"):
        to_zarr("memory://cluster/lr.zarr", address)
    with pytest.raises(ValueError, match="path is a store in memory"):
        to_zarr(zarr.storage.MemoryStore(), address)


def test_a_cluster_writes_a_store_in_place(cluster: Any, tmp_path: Path) -> None:
    store = zarr.storage.FsspecStore.from_url(
        f"file://{tmp_path}/lr.zarr", storage_options={"auto_mkdir": True}
    )
    with pytest.raises(Stop):
        to_zarr(store, cluster.scheduler_address, progress=stop_after(5))
    assert not zarr.open_array(store, mode="r").attrs["invdecay"]["complete"]
    kept = chunks(tmp_path / "lr.zarr")
    to_zarr(store, cluster.scheduler_address)
    assert zarr.open_array(store, mode="r").attrs["invdecay"]["complete"]
    assert kept.items() <= chunks(tmp_path / "lr.zarr").items()
    check(store)


def test_resuming_writes_only_what_is_missing(cluster: Any, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "lr.zarr"
    with pytest.raises(Stop) as caught:
        to_zarr(path, cluster.scheduler_address, progress=stop_after(5))
    assert "the same call resumes" in caught.value.__notes__[0]
    kept = chunks(left_by(path))
    assert len(kept) >= 5
    damaged = next(iter(kept))
    (left_by(path) / damaged).write_bytes(bytes(CHUNK * 8))
    to_zarr(path, cluster.scheduler_address)
    after = chunks(path)
    assert {name for name in kept if after[name] != kept[name]} == {damaged}
    check(path)


CLIENT = """
import sys, invdecay
from invdecay.dask import to_zarr
def progress(done, total):
    print(done, flush=True)
if __name__ == "__main__":
    try:
        to_zarr(
            invdecay.InverseTimeDecay(0.001, 20_000, 1), "lr.zarr", range(3, 6000),
            chunks=int(sys.argv[2]), client=sys.argv[1], progress=progress, timeout=20,
        )
    except (OSError, KeyboardInterrupt) as error:
        print(type(error).__name__, error, *getattr(error, "__notes__", ()))
"""


def client_process(
    address: str, folder: Path, chunks: int
) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that lets a cluster write the array and prints what it raises."""
    return started_python(CLIENT, address, str(chunks), cwd=folder)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c(cluster: Any, folders: tuple[Path, Path]) -> None:
    with client_process(cluster.scheduler_address, folders[0], 10) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in output
    assert "the same call resumes" in output
    assert error == ""
    path = folders[0] / "lr.zarr"
    assert not path.exists()
    kept = chunks(left_by(path))
    to_zarr(path, cluster.scheduler_address, chunks=10)
    assert kept.items() <= chunks(path).items()
    check(path)


def test_a_lost_scheduler_is_one_clean_error(folders: tuple[Path, Path]) -> None:
    file = folders[1] / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host=127.0.0.1"]
    command += ["--port=0", "--no-dashboard", f"--scheduler-file={file}"]
    with subprocess.Popen(command, cwd=folders[1], stderr=subprocess.DEVNULL) as process:
        try:
            while not file.exists() or not file.read_text():
                time.sleep(0.05)
            address = json.loads(file.read_text())["address"]
            with (
                worker(address, folders[1]),
                client_process(address, folders[0], 10) as client,
            ):
                assert client.stdout is not None
                for _ in range(20):
                    client.stdout.readline()
                process.kill()
                output, error = client.communicate(timeout=60)
        finally:
            process.kill()
    assert output.splitlines()[-1].startswith(
        f"ConnectionError the Dask scheduler at {address} is lost"
    )
    assert "the same call resumes" in output
    assert error == ""


@pytest.mark.parametrize(
    "kill", [*range(3), *(pytest.param(k, marks=pytest.mark.slow) for k in range(3, 20))]
)
def test_a_killed_worker(folders: tuple[Path, Path], kill: int) -> None:
    """Its nanny starts another one, and the other worker goes on meanwhile."""
    path = folders[0] / "lr.zarr"
    rng = np.random.default_rng(kill)
    moment = int(rng.integers(1, len(STEPS)))
    killed = []

    def progress(done: int, total: int) -> None:
        if done >= moment and not killed:
            pids = sorted(client.run(os.getpid).values())
            killed.append(pids[kill % len(pids)])
            os.kill(killed[0], signal.SIGKILL)

    with started(n_workers=2) as cluster, distributed.Client(cluster) as client:
        to_zarr(path, client, chunks=20, progress=progress)
    assert killed
    check(path)


def test_the_last_worker_is_killed(scheduler: str, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "lr.zarr"
    with worker(scheduler, folders[1]) as process:

        def progress(done: int, total: int) -> None:
            process.kill()

        with pytest.raises(TimeoutError, match="has had no worker for 2 s") as caught:
            to_zarr(path, scheduler, chunks=10, progress=progress, timeout=2)
    assert "the same call resumes" in caught.value.__notes__[0]
    kept = chunks(left_by(path))
    with worker(scheduler, folders[1]):
        to_zarr(path, scheduler, chunks=10)
    assert kept.items() <= chunks(path).items()
    check(path)


def test_a_result_that_is_lost_with_its_worker(
    scheduler: str, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies between the end of a task and the look at its result."""
    from distributed import Future

    path = folders[0] / "lr.zarr"
    result = Future.result
    with worker(scheduler, folders[1]) as process, ExitStack() as others:
        wait_for_workers(scheduler, 1)

        def lost_at_first(self: Any, timeout: Any = None) -> Any:
            if self.key.startswith("_store") and process.poll() is None:
                process.kill()
                process.wait()
                others.enter_context(worker(scheduler, folders[1]))
                while self.status == "finished":
                    time.sleep(0.1)
            return result(self, timeout)

        monkeypatch.setattr(Future, "result", lost_at_first)
        to_zarr(path, scheduler, chunks=10)
    check(path)


@pytest.mark.slow
def test_workers_that_die_again_and_again(scheduler: str, folders: tuple[Path, Path]) -> None:
    dying = "import os, invdecay._cluster as c; c.store_chunk = lambda *a: os._exit(1)"
    with (
        worker(scheduler, folders[1], dying, nanny=True),
        pytest.raises(ConnectionError, match="die again and again"),
    ):
        to_zarr("lr.zarr", scheduler)
    assert os.listdir(folders[0]) == []


def version_of(module: str, answer: str) -> str:
    """Return what makes a worker answer so when it is asked for a package's version."""
    return f"""
import distributed.versions as v
def version(name, version=v.version):
    return {answer} if name == {module!r} else version(name)
v.version = version
"""


@pytest.mark.parametrize("module", ["invdecay", "zarr"])
def test_workers_without_a_package(scheduler: str, folders: tuple[Path, Path], module: str) -> None:
    with (
        worker(scheduler, folders[1], version_of(module, "1 / 0")),
        pytest.raises(OSError, match=rf"the worker tcp\S+ has no {module}, which must be"),
    ):
        to_zarr("lr.zarr", scheduler)
    assert os.listdir(folders[0]) == []


def test_workers_with_another_version(scheduler: str, folders: tuple[Path, Path]) -> None:
    with worker(scheduler, folders[1], version_of("invdecay", "'0.0.9'")):
        wait_for_workers(scheduler, 1)
        with pytest.warns(RuntimeWarning, match=r"has invdecay 0\.0\.9, .* same bit for bit"):
            to_zarr("lr.zarr", scheduler)
    check(folders[0] / "lr.zarr")


def test_a_task_that_fails_is_one_clean_error(scheduler: str, folders: tuple[Path, Path]) -> None:
    failing = """
import invdecay._cluster as c
def fail(*arguments):
    raise ZeroDivisionError("a bug")
c.store_chunk = fail
"""
    with (
        worker(scheduler, folders[1], failing),
        pytest.raises(OSError, match=r"tcp\S+ failed: ZeroDivisionError\('a bug'\)") as caught,
    ):
        to_zarr("lr.zarr", scheduler)
    assert caught.value.__cause__ is None
    assert os.listdir(folders[0]) == []


def test_nobody_comes(scheduler: str, folders: tuple[Path, Path]) -> None:
    with pytest.raises(TimeoutError, match=f"cluster at {scheduler} has had no worker for 0.5 s"):
        to_zarr("lr.zarr", scheduler, timeout=0.5)
    with pytest.raises(TimeoutError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        to_zarr("lr.zarr", "tcp://127.0.0.1:1", timeout=0.5)
    for timeout in -1, float("nan"), float("inf"), "1 s":
        with pytest.raises((TypeError, ValueError), match="timeout must be"):
            to_zarr("lr.zarr", scheduler, timeout=timeout)
    for address in "nonsense", "foo://bar:1", "127.0.0.1:port":
        with pytest.raises(ValueError, match=f"client must be the address .*, got '{address}'"):
            to_zarr("lr.zarr", address, timeout=0.5)
    assert os.listdir(folders[0]) == []


def test_a_cluster_that_grows_with_its_work(folders: tuple[Path, Path]) -> None:
    """An adaptive cluster has no worker before it has a task."""
    with started(n_workers=0) as cluster:
        cluster.adapt(minimum=0, maximum=1, interval="100 ms")
        to_zarr("lr.zarr", cluster.scheduler_address)
    check(folders[0] / "lr.zarr")


def test_an_asynchronous_client_is_refused() -> None:
    client = SimpleNamespace(asynchronous=True)
    with pytest.raises(TypeError, match="client must be a synchronous Dask client"):
        to_zarr("lr.zarr", client)


def test_a_full_disk(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    path, filler = disk / "lr.zarr", disk / "filler"
    with mounted(disk, "-t tmpfs -o size=100k tmpfs"):
        filler.write_bytes(bytes(70_000))
        with monkeypatch.context() as patched:
            patched.setattr(_files, "free_space", lambda folder: sys.maxsize)
            with pytest.raises(OSError, match="No space left on device") as caught:
                to_zarr(path, cluster.scheduler_address)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(path)
        filler.unlink()
        kept = chunks(left_by(path))
        assert kept
        to_zarr(path, cluster.scheduler_address)
        assert kept.items() <= chunks(path).items()
        check(path)


@pytest.mark.parametrize(
    "steps", [10**8, pytest.param(10**10, marks=pytest.mark.slow)], ids="{:.0e}".format
)
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_cluster_writes_in_bounded_memory(steps: int, cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "lr.zarr"
    with distributed.Client(cluster) as client:
        client.restart()
        before = client.run(resource.getrusage, resource.RUSAGE_SELF)
        invdecay.dask.to_zarr(SCHEDULE, path, steps)
        after = client.run(resource.getrusage, resource.RUSAGE_SELF)
    for address in after:
        assert 1024 * (after[address].ru_maxrss - before[address].ru_maxrss) < 256 * 2**20
    stored: Any = zarr.open_array(path, mode="r")
    assert stored.shape == (steps,)
    for start in (0, steps // 3, steps - 100_000):
        piece = stored[start : start + 100_000]
        assert np.array_equal(piece, SCHEDULE.precompute(range(start, start + 100_000)))
