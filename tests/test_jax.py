"""The schedule under JAX's transformations and as an optax schedule, with and without x64."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

jax = pytest.importorskip("jax", reason="needs the extra invdecay[frameworks]")
optax = pytest.importorskip("optax", reason="needs the extra invdecay[frameworks]")

import jax.numpy as jnp  # noqa: E402
from invdecay import InverseTimeDecay, inverse_time_decay  # noqa: E402

ULP = 4
"""XLA divides by a constant through its reciprocal: the bound that `invdecay.keras` states."""

STEPS = np.arange(0, 50_000, 7, dtype=np.int32)


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def x64(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=["float32", "float64"])
def schedule(request: pytest.FixtureRequest) -> InverseTimeDecay:
    return InverseTimeDecay(0.1, 1000, 0.5, dtype=request.param)


def result_dtype(schedule: InverseTimeDecay, x64: bool) -> np.dtype[Any]:
    return schedule.dtype if x64 else np.dtype(np.float32)


def assert_close(rates: Any, schedule: InverseTimeDecay, steps: Any, x64: bool) -> None:
    dtype = result_dtype(schedule, x64)
    assert rates.dtype == dtype
    expected = InverseTimeDecay(**{**schedule.get_config(), "dtype": dtype})(np.asarray(steps))
    assert rates.shape == expected.shape
    bound = ULP * np.spacing(expected)
    assert np.all(np.abs(np.asarray(rates) - expected) <= bound)


def scanned(schedule: InverseTimeDecay) -> Callable[[Any], Any]:
    def body(carry: Any, step: Any) -> Any:
        return carry, schedule(step)

    return lambda steps: jax.lax.scan(body, 0, steps)[1]


@pytest.mark.parametrize("count", ["int32", "uint8", "int64", "float32"])
def test_eager_and_transformed(schedule: InverseTimeDecay, x64: bool, count: str) -> None:
    if count == "int64" and not x64:
        pytest.skip("JAX has no int64 without x64")
    steps = jnp.asarray(STEPS % 251 if count == "uint8" else STEPS).astype(count)
    for evaluate in (schedule, jax.jit(schedule), jax.vmap(schedule), scanned(schedule)):
        assert_close(evaluate(steps), schedule, steps, x64)


def test_stairs_hold_their_rate(x64: bool) -> None:
    schedule = InverseTimeDecay(0.1, 1024, 1.0, staircase=True)  # a power of two: exact in XLA
    rates = np.asarray(jax.jit(schedule)(jnp.asarray(STEPS)))
    assert len(np.unique(rates)) == len(np.unique(STEPS // 1024))
    assert_close(jnp.asarray(rates), schedule, STEPS, x64)


def test_compiles_once_and_calls_nothing_back(schedule: InverseTimeDecay) -> None:
    traces = 0

    @jax.jit
    def rate(count: Any) -> Any:
        nonlocal traces
        traces += 1
        return schedule(count)

    for step in range(5):
        rate(jnp.int32(step))
    assert traces == 1
    jaxpr = str(jax.make_jaxpr(schedule)(jnp.int32(0)))
    assert "callback" not in jaxpr
    assert "i32[]" in jaxpr


def test_float64_schedules_do_not_warn_without_x64() -> None:
    assert not jax.config.jax_enable_x64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule = InverseTimeDecay(0.1, 1000, 0.5, dtype="float64")
        assert schedule(jnp.int32(3)).dtype == np.float32
        assert jax.jit(schedule)(jnp.arange(3)).dtype == np.float32


def test_gradient_of_the_step(x64: bool) -> None:
    schedule = InverseTimeDecay(0.1, 10, 0.5)
    slope = jax.grad(schedule)(jnp.asarray(5.0))
    assert float(slope) == pytest.approx(-0.1 * 0.05 / 1.25**2)


def test_hyperparameters_may_be_traced(x64: bool) -> None:
    def of_rate(rate: Any) -> Any:
        return inverse_time_decay(jnp.arange(3.0), 0.1, 10, rate)

    rates = jnp.asarray([0.5, 1.0])
    expected = inverse_time_decay(np.arange(3.0), 0.1, 10, np.array([[0.5], [1.0]]))
    compiled = np.asarray(jax.jit(jax.vmap(of_rate))(rates))
    np.testing.assert_array_max_ulp(compiled, expected.astype(compiled.dtype), maxulp=4)


# ---------------------------------------------------------------- optax


def trained(optimizer: Any, steps: int) -> npt.NDArray[Any]:
    """Parameters after each step of gradient descent on a constant slope of 1."""

    @jax.jit
    def step(parameters: Any, state: Any) -> Any:
        updates, state = optimizer.update(jnp.ones_like(parameters), state)
        return optax.apply_updates(parameters, updates), state

    parameters, seen = jnp.zeros(()), []
    state = optimizer.init(parameters)
    for _ in range(steps):
        parameters, state = step(parameters, state)
        seen.append(float(parameters))
    return np.array(seen)


def test_is_an_optax_schedule(schedule: InverseTimeDecay, x64: bool) -> None:
    rates = -np.diff(trained(optax.sgd(schedule), 30), prepend=0.0)
    np.testing.assert_allclose(rates, schedule.precompute(30), rtol=2e-5)


def test_inject_hyperparams_shows_the_rate(schedule: InverseTimeDecay, x64: bool) -> None:
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)
    parameters = jnp.zeros(3)
    state = optimizer.init(parameters)
    update = jax.jit(optimizer.update)
    for step in range(5):
        _, state = update(parameters, state)
        assert state.hyperparams["learning_rate"].dtype == result_dtype(schedule, x64)
        rate = np.asarray(state.hyperparams["learning_rate"])
        np.testing.assert_array_max_ulp(rate, rate.dtype.type(schedule(step)), maxulp=4)
    assert update._cache_size() == 1


def test_join_schedules_after_a_warm_up(schedule: InverseTimeDecay, x64: bool) -> None:
    warmup = optax.linear_schedule(0.0, 0.1, transition_steps=5)
    joined = jax.jit(optax.join_schedules([warmup, schedule], boundaries=[5]))
    rates = [float(joined(jnp.int32(step))) for step in range(30)]
    np.testing.assert_allclose(rates[:5], 0.02 * np.arange(5), rtol=1e-6)
    dtype = result_dtype(schedule, x64)
    table = schedule.precompute(25).astype(dtype)
    np.testing.assert_array_max_ulp(np.array(rates[5:], dtype), table, maxulp=4)
