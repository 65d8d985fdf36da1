"""The schedule class: its constructor, single steps, arrays, configuration and identity."""

import copy
import fractions
import json
import math
import pickle

import invdecay
import numpy as np
import pytest
from invdecay import InverseTimeDecay
from support.oracle import assert_same_bits, bits, exact_decay, numpy_decay

ARGUMENTS = {"initial_learning_rate": 0.1, "decay_steps": 1000, "decay_rate": 0.5}
HYPER = tuple(ARGUMENTS.values())
DTYPES = ["float32", "float64"]


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


# ---------------------------------------------------------------- constructor


@pytest.mark.parametrize("value", [1e-50, 5e-324, 1e39, 1e300])
def test_decay_steps_must_stay_positive_and_finite_in_float32(value):
    with pytest.raises(ValueError, match=r"decay_steps must be (positive|finite) in float32"):
        InverseTimeDecay(0.1, value, 0.5, dtype="float32")
    assert InverseTimeDecay(0.1, value, 0.5).decay_steps == value


@pytest.mark.parametrize("name", ["initial_learning_rate", "decay_rate"])
def test_others_must_stay_finite_in_float32(name):
    with pytest.raises(ValueError, match=f"{name} must be finite in float32"):
        InverseTimeDecay(**{**ARGUMENTS, name: 1e39}, dtype="float32")


@pytest.mark.parametrize("name", ["initial_learning_rate", "decay_rate"])
@pytest.mark.parametrize("value", [0, -0.5, 5, np.int8(3), fractions.Fraction(1, 3), np.float16(2)])
def test_good_hyperparameters_become_floats(name, value):
    schedule = InverseTimeDecay(**{**ARGUMENTS, name: value}, dtype="float64")
    assert type(getattr(schedule, name)) is float
    assert getattr(schedule, name) == float(value)


@pytest.mark.parametrize(
    ("initial_learning_rate", "asked", "expected"),
    [
        (0.1, None, "float64"),
        (1, None, "float64"),
        (np.float32(0.1), None, "float32"),
        (np.float64(0.1), None, "float64"),
        (np.array(0.1, ">f4"), None, "float32"),
        (np.int32(1), None, "float64"),
        (0.1, "float32", "float32"),
        (np.float32(0.1), np.float64, "float64"),
        (0.1, np.dtype(">f4"), "float32"),
        (0.1, float, "float64"),
    ],
)
def test_dtype(initial_learning_rate, asked, expected):
    schedule = InverseTimeDecay(initial_learning_rate, 1000, 0.5, dtype=asked)
    assert schedule.dtype == expected
    assert schedule.dtype.isnative
    assert schedule(np.arange(3)).dtype == expected
    assert schedule.precompute(3).dtype == expected


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "complex64", int, "U3", "no such", 3.5])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        InverseTimeDecay(0.1, 1000, 0.5, dtype=dtype)


def test_narrow_learning_rates_are_refused_by_name():
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got float16"):
        InverseTimeDecay(np.float16(0.1), 1000, 0.5)


def test_a_name_must_be_a_string():
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        InverseTimeDecay(*HYPER, name=3)


# ---------------------------------------------------------------- one step

STEPS = [0, 1, 999, 1000, 2**24 + 1, 2**31, 2**53 + 1, 2**60 + 2**36 + 1, 2**63, 2**64 + 1, 10**30]
STEPS += [-step for step in STEPS[1:]] + [0.0, -0.0, 0.5, 1e-320, 999.9999999, 1e300, -7.25]
SCHEDULES = [HYPER, (0.1, 1.0, 0.5), (0.001, 20000, 1), (0.1, 1 / 3, 1 / 3), (0.1, 1.0, -1.0)]
SCHEDULES += [(0.0, 1.0, -1.0), (-0.1, 7, 1e-30), (1e-37, 999.5, 0.75)]


@pytest.mark.parametrize("hyper", SCHEDULES, ids=str)
def test_numbers_equal_exact_rationals(staircase, dtype, hyper):
    schedule = InverseTimeDecay(*hyper, staircase, dtype=dtype)
    for step in STEPS:
        with np.errstate(all="ignore"):
            actual = schedule(step)
        assert type(actual) is float
        expected = exact_decay(step, *hyper, staircase, dtype)
        assert bits(actual) == bits(expected), step


EXTREME = ["infinity", "-infinity", "NaN", "10**400", "-10**400"]


@pytest.mark.parametrize("hyper", SCHEDULES, ids=str)
@pytest.mark.parametrize("step", [math.inf, -math.inf, math.nan, 10**400, -(10**400)], ids=EXTREME)
def test_extreme_numbers_follow_ieee(staircase, dtype, hyper, step):
    schedule = InverseTimeDecay(*hyper, staircase, dtype=dtype)
    with np.errstate(all="ignore"):
        actual = schedule(step)
    assert type(actual) is float
    assert bits(actual) == bits(exact_decay(step, *hyper, staircase, dtype))


@pytest.mark.parametrize("hyper", SCHEDULES, ids=str)
def test_numbers_equal_the_array_path(staircase, dtype, hyper):
    schedule = InverseTimeDecay(*hyper, staircase, dtype=dtype)
    steps = np.concatenate([np.arange(-100, 3000), np.arange(2**53 - 9, 2**53 + 9)])
    with np.errstate(all="ignore"):
        singles = np.array([schedule(step) for step in steps.tolist()], dtype)
        assert_same_bits(singles, schedule(steps))


def test_numbers_report_floating_point_errors():
    schedule = InverseTimeDecay(0.1, 1, -1)
    with pytest.raises(FloatingPointError), np.errstate(divide="raise"):
        schedule(1)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert schedule(1) == math.inf


@pytest.mark.parametrize("step", [True, fractions.Fraction(1, 2)])
def test_other_real_numbers(step):
    assert InverseTimeDecay(*HYPER)(step) == InverseTimeDecay(*HYPER)(float(step))


# ---------------------------------------------------------------- arrays of steps


@pytest.mark.parametrize("steps", ["?", "u1", "i4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8"])
def test_arrays_keep_shape_and_have_the_schedules_dtype(staircase, dtype, steps):
    at = np.arange(24).reshape(2, 3, 4).astype(steps)
    actual = InverseTimeDecay(*HYPER, staircase, dtype=dtype)(at)
    assert_same_bits(actual, numpy_decay(at, *HYPER, staircase, dtype))


@pytest.mark.parametrize(
    "step", [np.int64(7), np.float32(7), np.uint8(7), np.array(7), np.array(7.5)]
)
def test_numpy_scalars_and_0d(staircase, dtype, step):
    actual = InverseTimeDecay(*HYPER, staircase, dtype=dtype)(step)
    assert isinstance(actual, np.dtype(dtype).type)
    assert_same_bits(actual, numpy_decay(step, *HYPER, staircase, dtype))


@pytest.mark.parametrize("step", [[0, 1, 2000], (0.5, 1e9), [[1], [2]], [], range(5)], ids=str)
def test_array_likes(staircase, dtype, step):
    actual = InverseTimeDecay(*HYPER, staircase, dtype=dtype)(step)
    assert_same_bits(actual, np.asarray(numpy_decay(step, *HYPER, staircase, dtype)))


@pytest.mark.parametrize(
    "step",
    ["7", None, 1j, [1j], ["a"], np.array("7"), np.array([None]), np.array(0, "M8[s]")],
    ids=repr,
)
def test_other_steps_are_refused(step):
    with pytest.raises(TypeError, match="step must"):
        InverseTimeDecay(*HYPER)(step)


def test_lazy_and_labelled_steps_keep_their_kind(staircase, dtype):
    schedule = InverseTimeDecay(*HYPER, staircase, dtype=dtype)
    expected = numpy_decay(np.arange(100), *HYPER, staircase, dtype)
    dask = pytest.importorskip("dask.array")
    pandas = pytest.importorskip("pandas")
    xarray = pytest.importorskip("xarray")
    lazy = schedule(dask.arange(100, chunks=30))
    assert isinstance(lazy, dask.Array)
    assert lazy.dtype == dtype
    assert_same_bits(lazy.compute(scheduler="synchronous"), expected)
    series = schedule(pandas.Series(np.arange(100)))
    assert isinstance(series, pandas.Series)
    assert_same_bits(series.to_numpy(), expected)
    labelled = schedule(xarray.DataArray(np.arange(100), dims="step"))
    assert isinstance(labelled, xarray.DataArray)
    assert_same_bits(labelled.values, expected)


# ---------------------------------------------------------------- configuration and identity

VARIANTS = {
    "default": InverseTimeDecay(*HYPER),
    "staircase": InverseTimeDecay(*HYPER, staircase=True),
    "named": InverseTimeDecay(*HYPER, name="warm"),
    "float32": InverseTimeDecay(*HYPER, dtype="float32"),
    "float32 by value": InverseTimeDecay(np.float32(0.1), np.int64(1000), np.float32(0.5), True),
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def schedule(request):
    return request.param


def test_config_goes_through_json(schedule):
    config = json.loads(json.dumps(schedule.get_config()))
    keys = {*ARGUMENTS, "staircase", "name"}
    assert set(config) == keys | ({"dtype"} if schedule.dtype == "float32" else set())
    assert InverseTimeDecay.from_config(config) == schedule
    assert InverseTimeDecay.from_config(config).dtype == schedule.dtype


def test_repr_is_the_constructor_call(schedule):
    assert eval(repr(schedule), {"InverseTimeDecay": InverseTimeDecay}) == schedule


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda s, p=p: pickle.loads(pickle.dumps(s, p)) for p in range(6)),
    ],
    ids=["copy", "deepcopy", *(f"pickle {p}" for p in range(6))],
)
def test_copies_are_equal(schedule, duplicate):
    other = duplicate(schedule)
    assert type(other) is InverseTimeDecay
    assert other == schedule
    assert hash(other) == hash(schedule)
    assert_same_bits(other.precompute(50), schedule.precompute(50))


def test_different_schedules_differ():
    assert len(set(VARIANTS.values())) == len(VARIANTS)
    assert InverseTimeDecay(*HYPER) == InverseTimeDecay(0.1, 1000.0, 0.5)
    assert InverseTimeDecay(*HYPER) != HYPER
    assert InverseTimeDecay(*HYPER) != type("Other", (InverseTimeDecay,), {})(*HYPER)


def test_immutable(schedule):
    with pytest.raises(AttributeError):
        schedule.decay_rate = 2.0
    with pytest.raises(AttributeError):
        schedule.new = 1  # a slot of no name
    with pytest.raises(AttributeError):
        del schedule.decay_rate


def test_a_changed_dict_changes_nothing(schedule):
    """LambdaLR.load_state_dict updates the __dict__ of a callable."""
    same = copy.deepcopy(schedule)
    vars(schedule).update(decay_rate=7.0, _plain=False, other=1)
    assert schedule == same
    assert schedule.decay_rate == same.decay_rate
    assert bits(schedule(1234.5)) == bits(same(1234.5))


def test_bits_do_not_depend_on_when_it_is_made():
    first, second = (InverseTimeDecay(*HYPER, dtype="float32")(12345) for _ in range(2))
    assert first == second == float(invdecay.continuous_decay(np.float32(12345), *HYPER))
