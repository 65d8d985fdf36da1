"""The drop-in function: which ufunc it calls, what it hands on, what it refuses."""

import numpy as np
import pytest
from invdecay import (
    _evaluate,
    continuous_decay,
    functions,
    inverse_time_decay,
    staircase_decay,
)
from support.oracle import assert_same_bits, numpy_decay

ARGUMENTS = {"initial_learning_rate": 0.1, "decay_steps": 1000, "decay_rate": 0.5}
HYPER = tuple(ARGUMENTS.values())


@pytest.mark.parametrize("steps", ["i4", "i8", "f2", "f4", "f8"])
def test_values_and_promotion(staircase, steps):
    at = np.arange(5000).astype(steps)
    expected = {"f2": "f4", "f4": "f4"}.get(steps, "f8")
    actual = inverse_time_decay(at, *HYPER, staircase)
    assert_same_bits(actual, numpy_decay(at, *HYPER, staircase, expected))


def test_keywords_are_keras_names():
    assert inverse_time_decay(step=1000, **ARGUMENTS, staircase=True) == 0.1 / 1.5


@pytest.mark.parametrize(
    "step", [7, 7.5, [1, 2, 3], (1.0, 2.0), np.float32(3), np.array(3), range(3)]
)
def test_kinds_of_steps(staircase, step):
    actual = inverse_time_decay(step, *HYPER, staircase)
    dtype = np.float32 if isinstance(step, np.float32) else np.float64
    assert_same_bits(actual, numpy_decay(step, *HYPER, staircase, dtype)[()])


def test_ufunc_keywords_pass_through(staircase):
    steps, out = np.arange(6), np.full((6, 1), -1, "f4")
    mask = np.array([True, False] * 3)
    result = inverse_time_decay(
        steps[:, None],
        *HYPER,
        staircase,
        out=out,
        where=mask[:, None],
        dtype="f4",
        casting="unsafe",
    )
    assert result is out
    expected = numpy_decay(steps, *HYPER, staircase, "f4")
    assert_same_bits(out[:, 0], np.where(mask, expected, np.float32(-1)))
    assert inverse_time_decay(np.ones((3, 4)), *HYPER, order="F").flags.f_contiguous
    with pytest.raises(TypeError):
        inverse_time_decay(steps, *HYPER, steps=3)
    with pytest.raises(TypeError):
        inverse_time_decay(steps, *HYPER, True, np.empty(6))


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("dtype", ["?", "c16", "U3", "O", "M8[s]"])
def test_arrays_of_no_real_numbers_are_refused(name, dtype):
    with pytest.raises(TypeError, match=name):
        inverse_time_decay(np.arange(3), **{**ARGUMENTS, name: np.zeros(3, dtype)})


def test_hyperparameter_arrays_follow_ieee(staircase):
    decay_steps = np.array([-1000.0, 0.0, np.nan, np.inf, 1000.0])
    with np.errstate(all="ignore"):
        actual = inverse_time_decay(np.float64(500), 0.1, decay_steps, 0.5, staircase)
    assert_same_bits(actual, numpy_decay(500.0, 0.1, decay_steps, 0.5, staircase, "f8"))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        inverse_time_decay(500, 0.1, decay_steps, 0.5, staircase)
    with pytest.raises(FloatingPointError), np.errstate(divide="raise"):
        inverse_time_decay(500, 0.1, decay_steps, 0.5, staircase)


@pytest.mark.parametrize("rates", [[0.1, 0.2], (0.1, 0.2), np.array([0.1, 0.2], "f4")], ids=repr)
def test_sweeps(staircase, rates):
    steps = np.arange(1000.0)[:, None]
    actual = inverse_time_decay(steps, rates, 1000, rates, staircase)
    assert_same_bits(actual, numpy_decay(steps, rates, 1000, rates, staircase, "f8"))


@pytest.mark.parametrize("step", ["7", None, 1j, np.array(["a"]), np.array([1j])], ids=repr)
def test_steps_of_no_real_numbers_are_refused(step):
    with pytest.raises(TypeError):
        inverse_time_decay(step, *HYPER)


# ---------------------------------------------------------------- the package's own iteration


@pytest.fixture
def own_iteration(monkeypatch):
    """Let small results take the way of large ones."""
    monkeypatch.setattr(_evaluate, "LARGE", 1)
    monkeypatch.setattr(functions, "LARGE", 1)


SHAPES = {
    "rates down": ((97,), (), (), (13, 1)),
    "rates along": ((13, 1), (), (), (97,)),
    "decay_steps too": ((97,), (), (13, 1), (13, 1)),
    "all vary": ((13, 97), (97,), (13, 1), (13, 97)),
    "three dimensions": ((5, 1, 97), (7, 1), (), (5, 7, 1)),
    "short rows": ((3,), (), (), (301, 1)),
    "rows of one": ((301, 1), (1,), (), (301, 1)),
    "empty": ((0,), (), (), (13, 1)),
    "initial rates": ((97,), (13, 1), (), ()),
}
OUTPUTS = [None, "f8", "f4", "f2", ">f8", "g"]


@pytest.mark.parametrize(
    "steps", ["i1", "u2", "i4", "u4", "i8", "q", "u8", "f2", "f4", "f8", ">f4"]
)
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_sweeps_equal_the_ufunc(own_iteration, staircase, shapes, steps):
    rng = np.random.default_rng(3)
    ufunc = staircase_decay if staircase else continuous_decay
    for stored in OUTPUTS:
        for hyper in "f4", "f8":
            at = rng.integers(0, 120, shapes[0]).astype(steps)
            rest = [rng.uniform(0.1, 9, shape).astype(hyper) for shape in shapes[1:]]
            expected = ufunc(at, *rest)
            out = None if stored is None else np.full(expected.shape[::-1], -7, stored).T
            if stored is not None and not np.can_cast(expected.dtype, out.dtype, "same_kind"):
                continue
            actual = inverse_time_decay(at, *rest, staircase, out=out)
            assert out is None or actual is out
            if out is None:
                assert_same_bits(actual, expected)
                assert np.asarray(actual).strides == np.asarray(expected).strides
            else:
                np.testing.assert_array_equal(actual, expected.astype(stored))


def test_sweeps_in_place_and_views(own_iteration, staircase):
    whole = np.linspace(0, 5000, 60_000).reshape(200, 300)
    rates = np.linspace(0.1, 1, 200)[:, None]
    for view in np.s_[:, ::2], np.s_[::-1, ::-3], np.s_[5:150, 7:]:
        steps = whole.copy()[view]
        these = rates[: len(steps)]
        expected = numpy_decay(steps, 0.1, 1000.0, these, staircase, "f8")
        assert_same_bits(inverse_time_decay(steps, 0.1, 1000.0, these, staircase), expected)
        result = inverse_time_decay(steps, 0.1, 1000.0, these, staircase, out=steps)
        assert result is steps
        assert_same_bits(steps, expected)


def test_sweeps_refuse_what_the_ufunc_refuses(own_iteration):
    steps, rates = np.arange(50.0), np.ones((4, 1))
    read_only = np.empty((4, 50))
    read_only.flags.writeable = False
    for out, error in (
        (read_only, ValueError),
        (np.empty((4, 49)), ValueError),
        (np.empty((4, 50), "i8"), TypeError),
        ([[0.0]], TypeError),
    ):
        with pytest.raises(error):
            inverse_time_decay(steps, 0.1, 1000, rates, out=out)
    with pytest.raises(ValueError, match="broadcast"):
        inverse_time_decay(steps, 0.1, np.ones(7), rates)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        inverse_time_decay(steps, 0.1, 1.0, -rates / 7)
