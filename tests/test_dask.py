"""Lazy tables on Dask, and the ufuncs on Dask's, xarray's and pandas' own objects."""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
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


def write_on_a_cluster(steps: int, path: Path) -> list[int]:
    """Write a table by a cluster of two processes; return the bytes it took each of them."""
    distributed = pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")
    pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            memory_limit="1 GiB",
            dashboard_address=None,
            local_directory=str(path.parent),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        before = client.run(resource.getrusage, resource.RUSAGE_SELF)
        table = invdecay.dask.precompute(SCHEDULE, steps, chunks=2**22)
        da.to_zarr(table, str(path), compute=True)
        after = client.run(resource.getrusage, resource.RUSAGE_SELF)
    return [1024 * (after[worker].ru_maxrss - before[worker].ru_maxrss) for worker in after]


def check_zarr(steps: int, path: Path) -> None:
    import zarr

    stored: Any = zarr.open_array(str(path), mode="r")
    assert stored.shape == (steps,)
    for start in (0, steps // 3, steps - 100_000):
        piece = stored[start : start + 100_000]
        assert np.array_equal(piece, SCHEDULE.precompute(range(start, start + 100_000)))


@pytest.mark.parametrize(
    "steps", [10**8, pytest.param(10**10, marks=pytest.mark.slow)], ids="{:.0e}".format
)
@pytest.mark.filterwarnings("ignore")  # the libraries' own, in this process and those it starts
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_cluster_writes_zarr_in_bounded_memory(steps: int, tmp_path: Path) -> None:
    grown = write_on_a_cluster(steps, tmp_path / "table.zarr")
    assert max(grown) < 512 * 2**20
    check_zarr(steps, tmp_path / "table.zarr")


@pytest.mark.filterwarnings("ignore")  # as above
def test_the_command_lets_a_cluster_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")
    zarr: Any = pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    path = tmp_path / "out.zarr"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        command = ["precompute", "--initial-learning-rate", "0.001", "--decay-steps", "20000"]
        command += ["--decay-rate", "1", "--steps", "1e5", "--store-dtype", "float32"]
        command += ["--scheduler", cluster.scheduler_address, str(path)]
        assert cli.main(command) == 0
        stored = zarr.open_array(str(path), mode="r")
        assert np.array_equal(stored[:], SCHEDULE.precompute(10**5).astype(np.float32))
        assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "exists" in error
    assert error.count("\n") == 1


# ---------------------------------------------------------------- the ufuncs on other libraries

CALLS: list[Callable[[Any], Any]] = [
    lambda steps: continuous_decay(steps, 0.1, 1000, 0.5),
    lambda steps: staircase_decay(steps, 0.1, 1000, 0.5),
    lambda steps: inverse_time_decay(steps, 0.1, 1000, 0.5),
    InverseTimeDecay(0.1, 1000, 0.5, dtype="float32"),
]
STEPS = np.arange(0, 9000, 3)


@pytest.mark.parametrize("call", CALLS)
def test_dask_arrays_stay_lazy(call: Callable[[Any], Any]) -> None:
    lazy = call(da.from_array(STEPS, chunks=1000))
    assert isinstance(lazy, da.Array)
    assert lazy.chunks == ((1000,) * 3,)
    expected = call(STEPS)
    assert lazy.dtype == expected.dtype
    result = lazy.compute()
    assert result.dtype == expected.dtype
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("call", CALLS)
def test_xarray_keeps_its_names(call: Callable[[Any], Any]) -> None:
    xarray = pytest.importorskip("xarray", reason="needs xarray, of the extra invdecay[test]")
    steps = xarray.DataArray(STEPS, dims="step", coords={"step": STEPS})
    rates = call(steps)
    assert isinstance(rates, xarray.DataArray)
    assert rates.dims == ("step",)
    assert rates.dtype == call(STEPS).dtype
    assert np.array_equal(rates.values, call(STEPS))
    assert np.array_equal(rates.coords["step"], STEPS)


@pytest.mark.parametrize("call", CALLS)
def test_pandas_keeps_its_index(call: Callable[[Any], Any]) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, of the extra invdecay[test]")
    steps = pandas.Series(STEPS, index=STEPS * 2, name="step")
    rates = call(steps)
    assert isinstance(rates, pandas.Series)
    assert rates.index.equals(steps.index)
    assert rates.dtype == call(STEPS).dtype
    assert np.array_equal(rates.to_numpy(), call(STEPS))
    frame = call(steps.to_frame())
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["step"]


def test_xarray_of_dask_sweeps_lazily() -> None:
    xarray = pytest.importorskip("xarray", reason="needs xarray, of the extra invdecay[test]")
    steps = xarray.DataArray(STEPS, dims="step").chunk(step=1000)
    rates = xarray.DataArray([0.5, 1.0, 2.0], dims="rate")
    table = continuous_decay(steps, 0.1, 1000, rates)
    assert table.dims == ("step", "rate")
    assert table.chunks is not None
    expected = continuous_decay(STEPS[:, None], 0.1, 1000, rates.values)
    assert np.array_equal(table.compute().values, expected)
