"""Lazy tables, arrays that a cluster writes, and the ufuncs on other libraries' objects."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from invdecay import (
    InverseTimeDecay,
    continuous_decay,
    get_num_threads,
    inverse_time_decay,
    staircase_decay,
)

da = pytest.importorskip("dask.array", reason="needs the extra invdecay[dask]")

import invdecay.dask  # noqa: E402

SCHEDULE = InverseTimeDecay(0.001, 20_000, 1)


@pytest.mark.parametrize("bounds", [(1000,), (7, 1000), (5, 1000, 3), (1000, 20, -7), (3, 3), (0,)])
@pytest.mark.parametrize("chunks", ["auto", 100, -1])
def test_blocks_hold_the_bits_of_the_table(bounds: Any, chunks: Any, staircase: bool) -> None:
    for dtype in ("float32", "float64"):
        schedule = InverseTimeDecay(0.1, 7, 0.5, staircase, dtype=dtype)
        lazy = invdecay.dask.precompute(schedule, range(*bounds), chunks=chunks)
        table = schedule.precompute(range(*bounds))
        assert lazy.dtype == table.dtype
        assert lazy.shape == table.shape
        assert lazy._meta.dtype == table.dtype
        assert np.array_equal(lazy.compute(), table)


def test_chunks_may_be_uneven() -> None:
    lazy = invdecay.dask.precompute(SCHEDULE, 10, chunks=((1, 7, 2),))
    assert lazy.chunks == ((1, 7, 2),)
    assert np.array_equal(lazy.compute(), SCHEDULE.precompute(10))


def test_steps_may_start_far_out() -> None:
    start = 10**15
    lazy = invdecay.dask.precompute(SCHEDULE, range(start, start + 10**12))
    few = lazy[-3:].compute()
    assert np.array_equal(few, SCHEDULE.precompute(range(start + 10**12 - 3, start + 10**12)))


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (1.5, TypeError, "steps must be an integer or a range, got 1.5"),
        (True, TypeError, "steps must be an integer or a range, got True"),
        (2**64, OverflowError, "steps must fit int64"),
    ],
)
def test_bad_bounds_are_named(steps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        invdecay.dask.precompute(SCHEDULE, steps)


def test_builds_nothing_but_one_task_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a table was built on the client")

    monkeypatch.setattr(InverseTimeDecay, "precompute", refuse)
    sizes = []
    for blocks in (10, 1000):
        lazy = invdecay.dask.precompute(SCHEDULE, blocks * 10**9, chunks=10**9)
        assert lazy.npartitions == blocks
        sizes.append(len(dict(lazy.__dask_graph__())))
    assert sizes == [10, 1000]


def test_reductions_over_a_million_million_steps() -> None:
    lazy = invdecay.dask.precompute(SCHEDULE, 10**12)
    mean = lazy.mean()
    assert len(mean.__dask_graph__().layers) < 100
    assert lazy.nbytes == 8 * 10**12
    tail = lazy.blocks[-1]
    first = 10**12 - tail.shape[0]
    assert tail.min().compute() == SCHEDULE(10**12 - 1)
    assert tail.max().compute() == SCHEDULE(first)


def test_one_thread_for_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    precompute = InverseTimeDecay.precompute

    def spied(self: InverseTimeDecay, steps: range) -> Any:
        threads.append(get_num_threads())
        return precompute(self, steps)

    monkeypatch.setattr(InverseTimeDecay, "precompute", spied)
    invdecay.dask.precompute(SCHEDULE, 100, chunks=10).compute(scheduler="threads")
    assert threads == [1] * 10


# ---------------------------------------------------------------- arrays that a cluster writes

STEPS = range(3, 6000)
CHUNK = 512
CHUNKS = 12

# The libraries' own warnings, in this process and in those that it starts, are not errors here.
cluster_test = pytest.mark.filterwarnings("ignore")


class Stop(Exception):
    """Raised by a test from within a call."""


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
    distributed = pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")
    pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
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


def check_zarr(path: Any, steps: range = STEPS) -> None:
    """Check every bit of an array, and that nothing is left beside it."""
    from invdecay import _zarr

    found = _zarr.verify(path, SCHEDULE, steps)
    assert found.equal
    assert found.count == len(steps)
    assert _zarr.inspect(path).complete
    if isinstance(path, Path):
        assert os.listdir(path.parent) == [path.name]


def left_by(path: Path) -> Path:
    """Return the hidden folder of an interrupted call."""
    (left,) = (entry for entry in path.parent.iterdir() if entry != path)
    return left


def chunk_files(folder: Path) -> dict[str, int]:
    """Return the inode of each chunk: a chunk that is written anew has another."""
    return {entry.name: entry.stat().st_ino for entry in (folder / "c").iterdir()}


@cluster_test
def test_a_cluster_writes_the_bits_of_the_table(cluster: Any, folders: tuple[Path, Path]) -> None:
    distributed = pytest.importorskip("distributed")
    path = folders[0] / "lr.zarr"
    calls: list[tuple[int, int]] = []
    address = cluster.scheduler_address
    assert to_zarr("lr.zarr", address, progress=lambda *call: calls.append(call)) == path
    check_zarr(path)
    assert calls[-1] == (len(STEPS), len(STEPS))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    with distributed.Client(cluster) as client:
        for given in client, None:
            shutil.rmtree(path)
            to_zarr(path, given, dtype="float32")
            check_zarr(path)


@cluster_test
def test_a_relative_path_is_the_clients(scheduler: str, folders: tuple[Path, Path]) -> None:
    """The workers run in another folder."""
    with worker(scheduler, folders[1]):
        to_zarr("lr.zarr", scheduler)
    check_zarr(folders[0] / "lr.zarr")
    assert "lr.zarr" not in os.listdir(folders[1])


UNSHARED = "unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"'


def unshared(folder: Path) -> tuple[str, ...]:
    """Return a command's prefix that gives it another file system at `folder`."""
    prefix = (*UNSHARED, str(folder))
    if sys.platform != "linux" or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("needs to unshare mounts")
    return prefix


@cluster_test
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


@cluster_test
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
    distributed = pytest.importorskip("distributed")
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


WRITE_NOTHING = """
import invdecay._zarr as z
z.store_chunk = lambda array, plan, call, task: z.Stored(task[0], 0, True)
"""
WRITE_ZEROS = """
import invdecay._zarr as z
def zeros(plan, chunk, rates=z._rates):
    where, values, flags = rates(plan, chunk)
    return where, 0 * values, flags
if z._rates.__module__ == "invdecay._zarr":  # Dask runs this twice
    z._rates = zeros
"""


@cluster_test
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
    from invdecay import _zarr

    monkeypatch.setattr(_zarr, "_PATIENCE", 1.0)
    with worker(scheduler, folders[1], preload), pytest.raises(OSError, match=message):
        to_zarr("lr.zarr", scheduler)
    assert not (folders[0] / "lr.zarr").exists()
    with worker(scheduler, folders[1]):
        to_zarr("lr.zarr", scheduler)
    check_zarr(folders[0] / "lr.zarr")


@cluster_test
def test_stores_in_memory_are_not_shared(cluster: Any) -> None:
    zarr: Any = pytest.importorskip("zarr")
    address = cluster.scheduler_address
    with pytest.raises(FileNotFoundError, match="is not shared with the worker"):
        to_zarr("memory://cluster/lr.zarr", address)
    with pytest.raises(ValueError, match="path is a store in memory"):
        to_zarr(zarr.storage.MemoryStore(), address)


@cluster_test
def test_a_cluster_writes_a_store_in_place(cluster: Any, tmp_path: Path) -> None:
    zarr: Any = pytest.importorskip("zarr")
    store = zarr.storage.FsspecStore.from_url(
        f"file://{tmp_path}/lr.zarr", storage_options={"auto_mkdir": True}
    )
    with pytest.raises(Stop):
        to_zarr(store, cluster.scheduler_address, progress=stop_at(5 * CHUNK))
    assert not zarr.open_array(store, mode="r").attrs["invdecay"]["complete"]
    kept = chunk_files(tmp_path / "lr.zarr")
    to_zarr(store, cluster.scheduler_address)
    assert zarr.open_array(store, mode="r").attrs["invdecay"]["complete"]
    assert kept.items() <= chunk_files(tmp_path / "lr.zarr").items()
    check_zarr(store)


def stop_at(elements: int, error: type[BaseException] = Stop) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= elements:
            raise error

    return progress


@cluster_test
def test_resuming_writes_only_what_is_missing(cluster: Any, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "lr.zarr"
    with pytest.raises(Stop) as caught:
        to_zarr(path, cluster.scheduler_address, progress=stop_at(5 * CHUNK))
    assert "the same call resumes" in caught.value.__notes__[0]
    kept = chunk_files(left_by(path))
    assert len(kept) >= 5
    damaged = next(iter(kept))
    (left_by(path) / "c" / damaged).write_bytes(bytes(CHUNK * 8))
    to_zarr(path, cluster.scheduler_address)
    after = chunk_files(path)
    assert {name for name in kept if after[name] != kept[name]} == {damaged}
    check_zarr(path)


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


@contextmanager
def client_process(address: str, folder: Path, chunks: int) -> Iterator[subprocess.Popen[str]]:
    """Start a process that lets a cluster write the array and prints what it raises."""
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, address, str(chunks)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@cluster_test
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
    kept = chunk_files(left_by(path))
    to_zarr(path, cluster.scheduler_address, chunks=10)
    assert kept.items() <= chunk_files(path).items()
    check_zarr(path)


@cluster_test
def test_a_lost_scheduler_is_one_clean_error(folders: tuple[Path, Path]) -> None:
    pytest.importorskip("distributed")
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


@cluster_test
@pytest.mark.parametrize(
    "kill", [*range(3), *(pytest.param(k, marks=pytest.mark.slow) for k in range(3, 20))]
)
def test_a_killed_worker(folders: tuple[Path, Path], kill: int) -> None:
    """Its nanny starts another one, and the other worker goes on meanwhile."""
    distributed = pytest.importorskip("distributed")
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
    check_zarr(path)


@cluster_test
def test_the_last_worker_is_killed(scheduler: str, folders: tuple[Path, Path]) -> None:
    path = folders[0] / "lr.zarr"
    with worker(scheduler, folders[1]) as process:

        def progress(done: int, total: int) -> None:
            process.kill()

        with pytest.raises(TimeoutError, match="has had no worker for 2 s") as caught:
            to_zarr(path, scheduler, chunks=10, progress=progress, timeout=2)
    assert "the same call resumes" in caught.value.__notes__[0]
    kept = chunk_files(left_by(path))
    with worker(scheduler, folders[1]):
        to_zarr(path, scheduler, chunks=10)
    assert kept.items() <= chunk_files(path).items()
    check_zarr(path)


@cluster_test
@pytest.mark.slow
def test_workers_that_die_again_and_again(scheduler: str, folders: tuple[Path, Path]) -> None:
    dying = "import os, invdecay._zarr as z; z.store_chunk = lambda *a: os._exit(1)"
    with (
        worker(scheduler, folders[1], dying, nanny=True),
        pytest.raises(ConnectionError, match="die again and again"),
    ):
        to_zarr("lr.zarr", scheduler)
    assert os.listdir(folders[0]) == []


@cluster_test
@pytest.mark.parametrize("module", ["invdecay", "zarr"])
def test_workers_without_a_package(scheduler: str, folders: tuple[Path, Path], module: str) -> None:
    with (
        worker(scheduler, folders[1], f"import sys; sys.modules[{module!r}] = None"),
        pytest.raises(OSError, match=rf"the worker tcp\S+ has no {module}, which must be"),
    ):
        to_zarr("lr.zarr", scheduler)
    assert os.listdir(folders[0]) == []


@cluster_test
def test_workers_with_another_version(scheduler: str, folders: tuple[Path, Path]) -> None:
    with worker(scheduler, folders[1], "import invdecay; invdecay.__version__ = '0.0.9'"):
        wait_for_workers(scheduler, 1)
        with pytest.warns(RuntimeWarning, match=r"has invdecay 0\.0\.9, .* same bit for bit"):
            to_zarr("lr.zarr", scheduler)
    check_zarr(folders[0] / "lr.zarr")


@cluster_test
def test_a_task_that_fails_is_one_clean_error(scheduler: str, folders: tuple[Path, Path]) -> None:
    failing = """
import invdecay._zarr as z
def fail(*arguments):
    raise ZeroDivisionError("a bug")
z.store_chunk = fail
"""
    with (
        worker(scheduler, folders[1], failing),
        pytest.raises(OSError, match=r"tcp\S+ failed: ZeroDivisionError\('a bug'\)") as caught,
    ):
        to_zarr("lr.zarr", scheduler)
    assert caught.value.__cause__ is None
    assert os.listdir(folders[0]) == []


@cluster_test
def test_nobody_comes(scheduler: str, folders: tuple[Path, Path]) -> None:
    with pytest.raises(TimeoutError, match=f"cluster at {scheduler} has had no worker for 0.5 s"):
        to_zarr("lr.zarr", scheduler, timeout=0.5)
    with pytest.raises(TimeoutError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 "):
        to_zarr("lr.zarr", "tcp://127.0.0.1:1", timeout=0.5)
    for address in "nonsense", "foo://bar:1", "127.0.0.1:port":
        with pytest.raises(ValueError, match=f"client must be the address .*, got '{address}'"):
            to_zarr("lr.zarr", address, timeout=0.5)
    assert os.listdir(folders[0]) == []


@cluster_test
def test_a_cluster_that_grows_with_its_work(folders: tuple[Path, Path]) -> None:
    """An adaptive cluster has no worker before it has a task."""
    with started(n_workers=0) as cluster:
        cluster.adapt(minimum=0, maximum=1, interval="100 ms")
        to_zarr("lr.zarr", cluster.scheduler_address)
    check_zarr(folders[0] / "lr.zarr")


def test_an_asynchronous_client_is_refused() -> None:
    pytest.importorskip("zarr")
    client = SimpleNamespace(asynchronous=True)
    with pytest.raises(TypeError, match="client must be a synchronous Dask client"):
        to_zarr("lr.zarr", client)


@cluster_test
def test_a_full_disk(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from invdecay import _zarr

    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs to mount a file system")
    path = disk / "lr.zarr"
    try:
        filler = disk / "filler"
        filler.write_bytes(bytes(70_000))
        with monkeypatch.context() as patched:
            patched.setattr(_zarr.Folder, "_check_space", lambda self, plan: None)
            with pytest.raises(OSError, match="No space left on device") as caught:
                to_zarr(path, cluster.scheduler_address)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(path)
        filler.unlink()
        kept = chunk_files(left_by(path))
        assert kept
        to_zarr(path, cluster.scheduler_address)
        assert kept.items() <= chunk_files(path).items()
        check_zarr(path)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize(
    "steps", [10**8, pytest.param(10**10, marks=pytest.mark.slow)], ids="{:.0e}".format
)
@cluster_test
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_cluster_writes_in_bounded_memory(steps: int, cluster: Any, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "lr.zarr"
    with distributed.Client(cluster) as client:
        client.restart()
        before = client.run(resource.getrusage, resource.RUSAGE_SELF)
        invdecay.dask.to_zarr(SCHEDULE, path, steps)
        after = client.run(resource.getrusage, resource.RUSAGE_SELF)
    for address in after:
        assert 1024 * (after[address].ru_maxrss - before[address].ru_maxrss) < 256 * 2**20
    import zarr

    stored: Any = zarr.open_array(path, mode="r")
    assert stored.shape == (steps,)
    for start in (0, steps // 3, steps - 100_000):
        piece = stored[start : start + 100_000]
        assert np.array_equal(piece, SCHEDULE.precompute(range(start, start + 100_000)))


# ---------------------------------------------------------------- the ufuncs on other libraries

CALLS: list[Callable[[Any], Any]] = [
    lambda steps: continuous_decay(steps, 0.1, 1000, 0.5),
    lambda steps: staircase_decay(steps, 0.1, 1000, 0.5),
    lambda steps: inverse_time_decay(steps, 0.1, 1000, 0.5),
    InverseTimeDecay(0.1, 1000, 0.5, dtype="float32"),
]
ARRAY = np.arange(0, 9000, 3)


@pytest.mark.parametrize("call", CALLS)
def test_dask_arrays_stay_lazy(call: Callable[[Any], Any]) -> None:
    lazy = call(da.from_array(ARRAY, chunks=1000))
    assert isinstance(lazy, da.Array)
    assert lazy.chunks == ((1000,) * 3,)
    expected = call(ARRAY)
    assert lazy.dtype == expected.dtype
    result = lazy.compute()
    assert result.dtype == expected.dtype
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("call", CALLS)
def test_xarray_keeps_its_names(call: Callable[[Any], Any]) -> None:
    xarray = pytest.importorskip("xarray", reason="needs xarray, of the extra invdecay[test]")
    steps = xarray.DataArray(ARRAY, dims="step", coords={"step": ARRAY})
    rates = call(steps)
    assert isinstance(rates, xarray.DataArray)
    assert rates.dims == ("step",)
    assert rates.dtype == call(ARRAY).dtype
    assert np.array_equal(rates.values, call(ARRAY))
    assert np.array_equal(rates.coords["step"], ARRAY)


@pytest.mark.parametrize("call", CALLS)
def test_pandas_keeps_its_index(call: Callable[[Any], Any]) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, of the extra invdecay[test]")
    steps = pandas.Series(ARRAY, index=ARRAY * 2, name="step")
    rates = call(steps)
    assert isinstance(rates, pandas.Series)
    assert rates.index.equals(steps.index)
    assert rates.dtype == call(ARRAY).dtype
    assert np.array_equal(rates.to_numpy(), call(ARRAY))
    frame = call(steps.to_frame())
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["step"]


def test_xarray_of_dask_sweeps_lazily() -> None:
    xarray = pytest.importorskip("xarray", reason="needs xarray, of the extra invdecay[test]")
    steps = xarray.DataArray(ARRAY, dims="step").chunk(step=1000)
    rates = xarray.DataArray([0.5, 1.0, 2.0], dims="rate")
    table = continuous_decay(steps, 0.1, 1000, rates)
    table = table.transpose("step", "rate")  # the fallback's operators order them by themselves
    assert table.chunks is not None
    expected = continuous_decay(ARRAY[:, None], 0.1, 1000, rates.values)
    assert np.array_equal(table.compute().values, expected)
