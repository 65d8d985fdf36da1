"""The schedule under JAX's transformations and as an optax schedule: the table's bits, always."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

jax = pytest.importorskip("jax", reason="needs the extra invdecay[frameworks]")
optax = pytest.importorskip("optax", reason="needs the extra invdecay[frameworks]")

import jax.numpy as jnp  # noqa: E402
from invdecay import InverseTimeDecay, inverse_time_decay  # noqa: E402
from support.oracle import assert_same_bits, numpy_decay  # noqa: E402

SMALL = 5_000, 2
"""How many random steps and how many schedules the quick tests compare."""
LARGE = 10**6, 50

# Where XLA divides by reciprocals, multiples of 123 and 49 are on the wrong stair.
NAMED = [(0.1, 123.0, 0.37), (0.003, 49.0, 1.7), (0.001, 20_000.0, 1.0), (3.0, 0.7, 1e-3)]


@pytest.fixture
def restored() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=[False, True], ids=["x32", "x64"])
def x64(request: pytest.FixtureRequest, restored: None) -> bool:
    jax.config.update("jax_enable_x64", request.param)
    enabled: bool = request.param
    return enabled


@pytest.fixture(params=["float32-x32", "float32-x64", "float64-x64"])
def dtype(request: pytest.FixtureRequest, restored: None) -> str:
    """Every dtype that JAX has without x64, and with it."""
    name: str
    name, mode = request.param.split("-")
    jax.config.update("jax_enable_x64", mode == "x64")
    return name


class Case(NamedTuple):
    """Steps, hyperparameters one row a schedule, and the tables that they give."""

    steps: npt.NDArray[Any]
    hyper: npt.NDArray[Any]
    staircase: bool
    dtype: str

    @property
    def columns(self) -> list[npt.NDArray[Any]]:
        return list(self.hyper.T.astype(self.dtype))

    @property
    def tables(self) -> npt.NDArray[Any]:
        lr, steps, rate = (column[:, None] for column in self.columns)
        result: npt.NDArray[Any] = numpy_decay(
            self.steps, lr, steps, rate, self.staircase, self.dtype
        )
        return result

    def schedules(self) -> list[InverseTimeDecay]:
        return [InverseTimeDecay(*h, self.staircase, dtype=self.dtype) for h in self.hyper.tolist()]

    def function(self, steps: Any, *hyper: Any) -> Any:
        """Evaluate by the function, with steps of the case's dtype or integers."""
        return inverse_time_decay(steps, *hyper, self.staircase)


def case(size: tuple[int, int], staircase: bool, dtype: str) -> Case:
    length, schedules = size
    rng = np.random.default_rng(15)
    last = 2**53 if dtype == "float64" else 2**31 - 1
    steps = (rng.random(length) * 10.0 ** rng.integers(1, 17, length)).astype(np.int64) % last
    hyper = 10.0 ** rng.uniform((-5, -1, -3), (0, 5, 2), (schedules, 3))
    hyper[: len(NAMED)] = NAMED[:schedules]
    integer = jax.dtypes.canonicalize_dtype(np.int64)
    return Case(steps.astype(integer), hyper, staircase, dtype)


# ---------------------------------------------------------------- the bits of compiled code


def by_constants(case: Case) -> Any:
    return np.stack([jax.jit(schedule)(case.steps) for schedule in case.schedules()])


def by_vmap_over_steps(case: Case) -> Any:
    return np.stack([jax.jit(jax.vmap(schedule))(case.steps) for schedule in case.schedules()])


def by_scan(case: Case) -> Any:
    def body(carry: Any, step: Any, schedule: Any) -> Any:
        return carry, schedule(step)

    def scanned(schedule: Any) -> Any:
        return jax.lax.scan(lambda carry, step: body(carry, step, schedule), 0, case.steps)[1]

    return np.stack([scanned(schedule) for schedule in case.schedules()])


def by_constant_steps(case: Case) -> Any:
    steps = case.steps.astype(case.dtype)
    compiled = jax.jit(lambda *hyper: case.function(steps, *hyper))
    return np.stack([compiled(*row) for row in zip(*case.columns, strict=True)])


def by_traced_numbers(case: Case) -> Any:
    compiled = jax.jit(case.function)
    steps = case.steps.astype(case.dtype)
    return np.stack([compiled(steps, *row) for row in zip(*case.columns, strict=True)])


def by_vmap_over_hyperparameters(case: Case) -> Any:
    compiled = jax.jit(jax.vmap(case.function, (None, 0, 0, 0)))
    return compiled(case.steps.astype(case.dtype), *case.columns)


def by_vmap_over_one_hyperparameter(case: Case) -> Any:
    rows = []
    for i, row in enumerate(zip(*case.columns, strict=True)):
        axes = [None, None, None, None]
        axes[1 + i % 3] = 0
        row = list(row)
        row[i % 3] = np.stack([row[i % 3]] * 2)
        compiled = jax.jit(jax.vmap(case.function, axes))
        rows.append(compiled(case.steps.astype(case.dtype), *row)[1])
    return np.stack(rows)


def by_vmap_over_both(case: Case) -> Any:
    over_steps = jax.vmap(case.function, (0, None, None, None))
    compiled = jax.jit(jax.vmap(over_steps, (None, 0, 0, 0)))
    return compiled(case.steps.astype(case.dtype), *case.columns)


def by_vmap_over_initial_rates_alone(case: Case) -> Any:
    """One step and one denominator for many initial rates: the last division has one divisor."""
    lr, steps, rate = case.columns
    compiled = jax.jit(
        jax.vmap(lambda *a: jax.vmap(case.function, (None, 0, None, None))(*a), (0, 0, None, None))
    )
    rows = []
    for i in range(len(lr)):
        rates = np.broadcast_to(lr[i], (len(case.steps), 1))
        at = case.steps.astype(case.dtype)
        rows.append(compiled(at, rates, steps[i], rate[i])[:, 0])
    return np.stack(rows)


def by_broadcasting(case: Case) -> Any:
    columns = [column[:, None] for column in case.columns]
    return jax.jit(case.function)(case.steps.astype(case.dtype), *columns)


def eagerly(case: Case) -> Any:
    return np.stack([schedule(jnp.asarray(case.steps)) for schedule in case.schedules()])


WAYS = [
    eagerly,
    by_constants,
    by_vmap_over_steps,
    by_scan,
    by_constant_steps,
    by_traced_numbers,
    by_vmap_over_hyperparameters,
    by_vmap_over_one_hyperparameter,
    by_vmap_over_both,
    by_vmap_over_initial_rates_alone,
    by_broadcasting,
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@ways
def test_compiled_rates_have_the_tables_bits(
    way: Callable[[Case], Any], staircase: bool, dtype: str
) -> None:
    these = case(SMALL, staircase, dtype)
    assert_same_bits(np.asarray(way(these)), these.tables)


@pytest.mark.slow
@ways
def test_compiled_rates_have_the_tables_bits_in_bulk(
    way: Callable[[Case], Any], staircase: bool, dtype: str
) -> None:
    these = case(LARGE, staircase, dtype)
    for first in range(0, len(these.hyper), 10):
        part = these._replace(hyper=these.hyper[first : first + 10])
        assert_same_bits(np.asarray(way(part)), part.tables)


def test_one_compiled_step_has_the_tables_bits(x64: bool) -> None:
    schedule = InverseTimeDecay(0.1, 123, 0.5, True, dtype="float32")
    compiled = jax.jit(schedule)
    steps = [*range(0, 1000, 41), 123, 246, 369]
    rates = np.array([compiled(step) for step in steps])
    assert_same_bits(rates, numpy_decay(steps, 0.1, 123, 0.5, True, "float32"))


def test_code_around_the_schedule_does_not_change_its_bits(staircase: bool, dtype: str) -> None:
    """XLA turns (a / b) / c into a / (b * c), and c / (a / b) into c * b / a."""
    rng = np.random.default_rng(1)
    steps, a, b, c = (rng.uniform(1, 1000, 10_000).astype(dtype) for _ in range(4))

    @jax.jit
    def surrounded(steps: Any, a: Any, b: Any, c: Any) -> Any:
        rate = inverse_time_decay(steps / a, c / b, 7.0, 0.37, staircase)
        return rate / c, c / rate

    rate = numpy_decay(steps / a, c / b, 7.0, 0.37, staircase, dtype)
    for actual, expected in zip(surrounded(steps, a, b, c), (rate / c, c / rate), strict=True):
        assert_same_bits(np.asarray(actual), expected)


def test_special_steps_follow_ieee(staircase: bool, dtype: str) -> None:
    steps = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, -20.0, -1e30, 1e30], dtype)
    for hyper in (0.1, 10.0, 0.5), (-0.0, 10.0, -0.5), (0.1, 10.0, 0.0):
        with np.errstate(all="ignore"):
            expected = numpy_decay(steps, *hyper, staircase, dtype)
        schedule = InverseTimeDecay(*hyper, staircase, dtype=dtype)
        assert_same_bits(np.asarray(jax.jit(schedule)(steps)), expected)


# ---------------------------------------------------------------- dtypes and operands


@pytest.mark.parametrize("count", ["bool", "int8", "uint8", "int32", "uint32", "float32"])
def test_steps_of_every_dtype(x64: bool, count: str, staircase: bool) -> None:
    steps = jnp.asarray(np.arange(0, 400, 7) % 128).astype(count)
    schedule = InverseTimeDecay(0.1, 9, 0.5, staircase, dtype="float32")
    expected = numpy_decay(np.asarray(steps), 0.1, 9, 0.5, staircase, "float32")
    assert_same_bits(np.asarray(schedule(steps)), expected)
    assert_same_bits(np.asarray(jax.jit(schedule)(steps)), expected)


@pytest.mark.parametrize("count", ["bfloat16", "float16"])
def test_16_bit_steps_are_promoted_to_float32(count: str, staircase: bool) -> None:
    steps = jnp.arange(0, 2000, 16).astype(count)
    at = np.asarray(steps.astype("float32"))
    expected = numpy_decay(at, 0.1, 9, 0.5, staircase, "float32")
    for evaluate in (
        InverseTimeDecay(0.1, 9, 0.5, staircase, dtype="float32"),
        lambda steps: inverse_time_decay(steps, 0.1, 9, 0.5, staircase),
        lambda steps: inverse_time_decay(steps, jnp.asarray(0.1, "float32"), 9, 0.5, staircase),
    ):
        assert_same_bits(np.asarray(evaluate(steps)), expected)
        assert_same_bits(np.asarray(jax.jit(evaluate)(steps)), expected)


def test_integers_give_the_default_float(x64: bool) -> None:
    expected = np.float64 if x64 else np.float32
    assert inverse_time_decay(jnp.arange(3), 0.1, 10, 0.5).dtype == expected
    assert inverse_time_decay(jnp.arange(3.0, dtype="float32"), 0.1, 10, 0.5).dtype == np.float32


def test_float64_schedules_use_float32_without_x64() -> None:
    assert not jax.config.jax_enable_x64
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule = InverseTimeDecay(0.1, 49, 0.5, True)
        expected = numpy_decay(np.arange(300), 0.1, 49, 0.5, True, "float32")
        assert_same_bits(np.asarray(schedule(jnp.arange(300))), expected)
        assert_same_bits(np.asarray(jax.jit(schedule)(jnp.arange(300))), expected)


OTHER_STEPS = [range(0, 3000, 7), np.arange(0, 3000, 7), list(range(0, 3000, 7)), 700, 700.5]


@pytest.mark.parametrize("steps", OTHER_STEPS, ids=lambda steps: type(steps).__name__)
def test_traced_hyperparameters_beside_other_steps(steps: Any) -> None:
    hyper = {"initial_learning_rate": 0.1, "decay_steps": 49.0, "decay_rate": 0.37}
    expected = numpy_decay(np.asarray(steps), *hyper.values(), True, "float32")
    for name, value in hyper.items():

        def rate(traced: Any, name: str = name) -> Any:
            return inverse_time_decay(steps, **{**hyper, name: traced}, staircase=True)

        assert_same_bits(np.asarray(jax.jit(rate)(np.float32(value))), expected)
        assert_same_bits(np.asarray(rate(jnp.float32(value))), expected)
        assert jax.grad(lambda traced: rate(traced).sum())(jnp.float32(value)).shape == ()


def test_numpy_steps_are_rounded_once_and_never_wrap(x64: bool) -> None:
    steps = np.array([2**24 + 1, 2**53 + 1, 2**62 + 2**38 + 1, -(2**40)])
    rates = inverse_time_decay(steps, jnp.float32(0.1), 1e9, 0.5)
    assert_same_bits(np.asarray(rates), numpy_decay(steps, 0.1, 1e9, 0.5, False, "float32"))
    for step in [*steps.tolist(), 2**70 + 2**46 + 1]:
        rate = inverse_time_decay(step, jnp.float32(0.1), 1e9, 0.5)
        table = InverseTimeDecay(0.1, 1e9, 0.5, dtype="float32")
        assert float(rate) == table(step)


def test_a_range_may_reach_over_all_of_int64() -> None:
    steps = range(-(2**63), 2**63, 2**64 - 1)
    rates = inverse_time_decay(steps, jnp.float32(0.1), 1e30, 0.5)
    expected = numpy_decay(np.array(list(steps)), 0.1, 1e30, 0.5, False, "float32")
    assert_same_bits(np.asarray(rates), expected)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((jnp.array([1j]), 0.1, 10, 1.0), "step"),
        ((["1"], jnp.array([0.1]), 10, 1.0), "step"),
        ((np.array(["2026"], "M8[Y]"), jnp.array([0.1]), 10, 1.0), "step"),
        ((np.array([1j]), jnp.array([0.1]), 10, 1.0), "step"),
        ((jnp.arange(3), jnp.array([1j]), 10, 1.0), "initial_learning_rate"),
        ((jnp.arange(3), 0.1, jnp.array([True]), 1.0), "decay_steps"),
        ((jnp.arange(3), 0.1, 10, np.array(["1"])), "decay_rate"),
        ((jnp.arange(3), 0.1, 10, ["1"]), "decay_rate"),
    ],
)
def test_what_is_not_real_is_refused_by_name(arguments: tuple[Any, ...], name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must hold real numbers"):
        inverse_time_decay(*arguments)


def test_results_are_where_the_steps_are() -> None:
    (device,) = jax.devices()[:1]
    steps = jax.device_put(jnp.arange(3), device)
    assert InverseTimeDecay(0.1, 10, 1.0)(steps).devices() == {device}


# ---------------------------------------------------------------- compiling and differentiating


def test_compiles_once_and_calls_nothing_back() -> None:
    traces = 0
    schedule = InverseTimeDecay(0.1, 1000, 0.5)

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


def analytic_gradient(x: float, lr: float, steps: float, rate: float) -> list[float]:
    """The derivatives of the continuous form by the step and by each hyperparameter."""
    denominator = 1 + rate * x / steps
    slope = -lr / denominator**2
    return [slope * rate / steps, 1 / denominator, -slope * rate * x / steps**2, slope * x / steps]


def test_derivatives_are_the_formulas(x64: bool) -> None:
    arguments = x, lr, steps, rate = 700.0, 0.3, 49.0, 2.0
    everything = tuple(range(4))
    curvature = 2 * lr * (rate / steps) ** 2 / (1 + rate * x / steps) ** 3

    @jax.jit
    def derivatives(*points: Any) -> dict[str, Any]:
        tangents = [jnp.ones_like(points[0]), *map(jnp.zeros_like, points[1:])]
        gradient = jax.grad(inverse_time_decay, everything)
        return {
            "grad": gradient(*points),
            "jacfwd": jax.jacfwd(inverse_time_decay, everything)(*points),
            "jacrev": jax.jacrev(inverse_time_decay, everything)(*points),
            "jvp": jax.jvp(inverse_time_decay, list(points), tangents)[1],
            "hessian": jax.hessian(inverse_time_decay)(*points),
            "vmap": jax.vmap(gradient, (0, None, None, None))(points[0][None], *points[1:]),
        }

    found = derivatives(*(jnp.asarray(value, float) for value in arguments))
    relative = 1e-12 if x64 else 1e-5
    expected = analytic_gradient(*arguments)
    for name in "grad", "jacfwd", "jacrev", "vmap":
        assert list(map(float, map(np.squeeze, found[name]))) == pytest.approx(expected, relative)
    assert float(found["jvp"]) == pytest.approx(expected[0], relative)
    assert float(found["hessian"]) == pytest.approx(curvature, 10 * relative)


def test_gradients_of_a_staircase() -> None:
    def rate(step: Any, lr: Any) -> Any:
        return inverse_time_decay(step, lr, 10.0, 0.5, staircase=True)

    by_step, by_lr = jax.grad(rate, (0, 1))(25.0, 0.1)
    assert float(by_step) == 0.0
    assert float(by_lr) == 0.5


def test_gradients_by_a_hyperparameter_beside_other_steps() -> None:
    for steps in (np.arange(4), range(4), [0, 1, 2, 3]):
        total = jax.grad(lambda rate: inverse_time_decay(steps, 0.1, 10.0, rate).sum())  # noqa: B023
        expected = sum(analytic_gradient(x, 0.1, 10.0, 0.5)[3] for x in range(4))
        assert float(total(0.5)) == pytest.approx(expected, rel=1e-6)


# ---------------------------------------------------------------- optax


def rates_of_updates(optimizer: Any, count: int, dtype: Any) -> npt.NDArray[Any]:
    """The rates that a jitted optimizer applied to a slope of 1, step after step."""

    one, zero = jnp.ones((), dtype), jnp.zeros((), dtype)

    def step(state: Any, _: Any) -> Any:
        updates, state = optimizer.update(one, state, zero)
        return state, -updates

    return np.asarray(
        jax.jit(lambda state: jax.lax.scan(step, state, None, count)[1])(optimizer.init(zero))
    )


def optax_case(staircase: bool, dtype: str, size: tuple[int, int]) -> Iterator[InverseTimeDecay]:
    yield from case((1, size[1]), staircase, dtype).schedules()


def assert_optax_uses_the_table(schedule: InverseTimeDecay, count: int) -> None:
    hyper = schedule.initial_learning_rate, schedule.decay_steps, schedule.decay_rate
    table = numpy_decay(np.arange(count), *hyper, schedule.staircase, schedule.dtype)
    assert_same_bits(rates_of_updates(optax.sgd(schedule), count, schedule.dtype), table)
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)
    assert_same_bits(rates_of_updates(injected, count, schedule.dtype), table)


def test_optax_updates_use_the_table(staircase: bool, dtype: str) -> None:
    for schedule in optax_case(staircase, dtype, SMALL):
        assert_optax_uses_the_table(schedule, 1000)


@pytest.mark.slow
def test_optax_updates_use_the_table_in_bulk(staircase: bool, dtype: str) -> None:
    for schedule in optax_case(staircase, dtype, LARGE):
        assert_optax_uses_the_table(schedule, 10**6)


def test_a_training_step_uses_the_table(staircase: bool, dtype: str) -> None:
    """One jitted call a step, as training loops do it."""
    schedule = InverseTimeDecay(0.1, 7, 0.37, staircase, dtype=dtype)
    optimizer = optax.sgd(schedule)

    @jax.jit
    def step(parameters: Any, state: Any, gradient: Any) -> Any:
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    gradients = np.eye(100, dtype=dtype)  # each step moves its own parameter, by exactly the rate
    parameters = jnp.zeros(100, dtype)
    state = optimizer.init(parameters)
    for gradient in gradients:
        parameters, state = step(parameters, state, gradient)
    assert_same_bits(-np.asarray(parameters), schedule.precompute(100))


def test_inject_hyperparams_shows_the_rate(x64: bool) -> None:
    schedule = InverseTimeDecay(0.1, 7, 0.5, dtype="float64" if x64 else "float32")
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)
    parameters = jnp.zeros(3)
    state = optimizer.init(parameters)
    update = jax.jit(optimizer.update)
    for step in range(5):
        _, state = update(parameters, state)
        rate = np.asarray(state.hyperparams["learning_rate"])
        assert_same_bits(rate, np.asarray(schedule(step), schedule.dtype))
    assert update._cache_size() == 1


def test_join_schedules_after_a_warm_up(x64: bool) -> None:
    schedule = InverseTimeDecay(0.1, 7, 0.5, dtype="float64" if x64 else "float32")
    warmup = optax.linear_schedule(0.0, 0.1, transition_steps=5)
    joined = jax.jit(optax.join_schedules([warmup, schedule], boundaries=[5]))
    rates = np.array([joined(jnp.int32(step)) for step in range(30)])
    assert rates[:5] == pytest.approx(0.02 * np.arange(5), rel=1e-6)
    assert_same_bits(rates[5:], schedule.precompute(25))
