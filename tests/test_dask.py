"""Lazy tables, and the ufuncs on other libraries' objects."""

from collections.abc import Callable
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
