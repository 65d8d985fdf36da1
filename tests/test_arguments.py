"""One check for one argument: every entrance refuses and accepts the same, by the same words."""

import array
import collections
import contextlib
import datetime
import decimal
import fractions
import functools
import math
from typing import Any

import numpy as np
import pytest
from invdecay import (
    InverseTimeDecay,
    backend,
    continuous_decay,
    inverse_time_decay,
)
from invdecay._arguments import floating_dtype, step_range
from support.oracle import assert_same_bits, bits, exact_decay, numpy_decay

HYPER = 0.1, 1000, 0.5
NAMES = "initial_learning_rate", "decay_steps", "decay_rate"


def function(step: Any) -> Any:
    return inverse_time_decay(step, *HYPER)


def in_float32(step: Any) -> Any:
    return InverseTimeDecay(*HYPER, dtype="float32")(step)


ENTRANCES = {"function": function, "class": InverseTimeDecay(*HYPER), "float32": in_float32}


@pytest.fixture(params=ENTRANCES.values(), ids=ENTRANCES)
def entrance(request):
    return request.param


# ---------------------------------------------------------------- steps that are not real numbers


def numpy_steps() -> dict[str, Any]:
    return {
        "text": np.array(["10", "20"]),
        "bytes": np.array([b"10"]),
        "complex": np.array([1j]),
        "dates": np.array(["2026-01-01"], "M8[D]"),
        "durations": np.array([5], "m8[s]"),
        "objects": np.array([fractions.Fraction(1, 2)], object),
        "records": np.zeros(3, [("a", "f8")]),
        "a list of text": ["10", "20"],
        "one text": "10",
        "None": None,
        "a complex number": 1j,
        "a date": datetime.date(2026, 1, 1),
        "a duration": datetime.timedelta(seconds=5),
        "a text scalar": np.str_("10"),
        "a date scalar": np.datetime64("2026-01-01"),
        "a duration scalar": np.timedelta64(5, "s"),
        "a set": {1, 2},
        "a dictionary": {1: 2},
        "bytes that change": bytearray(b"10"),
        "text of a class of its own": collections.UserString("10"),
        "a signalling NaN": decimal.Decimal("sNaN"),
    }


@pytest.mark.parametrize("name", numpy_steps())
def test_steps_that_are_not_real_numbers_are_refused(entrance, name):
    with pytest.raises(TypeError):
        entrance(numpy_steps()[name])


class Uncertain:
    """A number that has no one value, as a symbol of SymPy."""

    def __float__(self) -> float:
        raise TypeError("cannot convert expression to float")

    def __repr__(self) -> str:
        return "<x>"


def test_a_number_that_is_not_real_is_named(entrance):
    with pytest.raises(TypeError, match="step must be a real number, got <x>"):
        entrance(Uncertain())


def test_arrow_scalars(entrance):
    arrow = pytest.importorskip("pyarrow")
    for value in "10", b"10", True, None, datetime.date(2026, 1, 1):
        with pytest.raises(TypeError, match="step must hold real numbers, got <pyarrow"):
            entrance(arrow.scalar(value))
        with pytest.raises(TypeError, match="decay_rate must be a real number, got <pyarrow"):
            InverseTimeDecay(0.1, 10, arrow.scalar(value))
    for value in 7, 7.0:
        assert float(entrance(arrow.scalar(value))) == float(entrance(value))
        assert InverseTimeDecay(0.1, 10, arrow.scalar(value)).decay_rate == 7


def pandas_steps(pandas: Any) -> dict[str, Any]:
    steps = {
        "text": pandas.Series(["10", "20"]),
        "text as objects": pandas.Series(["10", "20"], dtype=object),
        "numbers as objects": pandas.Series([1, 2], dtype=object),
        "nullable text": pandas.Series(["10", None], dtype="string"),
        "dates": pandas.Series(pandas.to_datetime(["2026-01-01"])),
        "zoned dates": pandas.Series(pandas.to_datetime(["2026-01-01"], utc=True)),
        "durations": pandas.Series(pandas.to_timedelta([5], unit="s")),
        "periods": pandas.Series(pandas.period_range("2026", periods=2)),
        "categories": pandas.Series([1, 2], dtype="category"),
        "complex": pandas.Series([1j]),
        "an index of text": pandas.Index(["10"]),
        "an index of dates": pandas.to_datetime(["2026-01-01"]),
        "a frame with text": pandas.DataFrame({"a": [1, 2], "b": ["1", "2"]}),
        "a frame of dates": pandas.DataFrame({"a": pandas.to_datetime(["2026-01-01"])}),
        "a timestamp": pandas.Timestamp("2026-01-01"),
        "a timedelta": pandas.Timedelta(5, "s"),
    }
    if pandas.__version__ >= "2":
        try:
            import pyarrow  # type: ignore[import-untyped]
        except ImportError:
            return steps
        arrow = pandas.ArrowDtype
        steps["Arrow text"] = pandas.Series(["1"], dtype=arrow(pyarrow.string()))
        steps["Arrow dates"] = pandas.Series(
            pandas.to_datetime(["2026-01-01"]), dtype=arrow(pyarrow.timestamp("s"))
        )
        steps["Arrow durations"] = pandas.Series(
            pandas.to_timedelta([5], unit="s"), dtype=arrow(pyarrow.duration("s"))
        )
    return steps


def test_pandas_steps_that_are_not_real_numbers_are_refused(entrance):
    pandas = pytest.importorskip("pandas")
    for name, steps in pandas_steps(pandas).items():
        try:
            rates = entrance(steps)
        except TypeError:
            continue
        pytest.fail(f"{name} gave {rates!r}")


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", "U3", "S3", "c16", "O"])
def test_lazy_and_labelled_steps_are_refused_without_computing(entrance, dtype):
    dask = pytest.importorskip("dask.array")

    def computed(block):
        raise AssertionError("a block was computed")

    lazy = dask.map_blocks(
        computed, dask.zeros(3), dtype=dtype, meta=np.empty(0, dtype), chunks=((3,),)
    )
    with pytest.raises(TypeError, match="step must hold real numbers"):
        entrance(lazy)
    xarray = pytest.importorskip("xarray")
    for steps in xarray.DataArray(lazy), xarray.Dataset({"a": ("x", lazy)}):
        with pytest.raises(TypeError, match="step must hold real numbers"):
            entrance(steps)


def test_polars_steps(entrance):
    polars = pytest.importorskip("polars")
    for values, dtype in ((["1"], polars.String), ([None], polars.Date), ([True], polars.Object)):
        with pytest.raises(TypeError):
            entrance(polars.Series(values, dtype=dtype))
    with pytest.raises(TypeError, match="step must hold real numbers, got an array of Int128"):
        entrance(polars.Series([1], dtype=polars.Int128))
    integers = polars.Int64, polars.UInt8, polars.Int16, polars.Boolean
    for dtype in *integers, polars.Float64, polars.Float32, polars.Float16:
        steps = polars.Series([1, 0, None], dtype=polars.Int64).cast(dtype)
        wide = dtype in integers or dtype == polars.Float64  # NumPy's promotion
        arithmetic = "f4" if entrance is in_float32 or (entrance is function and not wide) else "f8"
        if arithmetic == "f4" and backend == "fallback":
            with pytest.raises(TypeError, match="does not compute in float32"):
                entrance(steps)
            continue
        result = entrance(steps)
        assert isinstance(result, polars.Series)
        assert result.is_null().to_list() == [False, False, True]
        expected = numpy_decay([1, 0], *HYPER, False, arithmetic)
        assert_same_bits(result[:2].to_numpy(), expected)


def test_polars_hyperparameters():
    polars = pytest.importorskip("polars")
    rates = polars.Series([0.5, 1.0])
    expected = numpy_decay([3, 4], 0.1, 10, [0.5, 1.0], False, "f8")
    assert_same_bits(inverse_time_decay(np.arange(3, 5), 0.1, 10, rates).to_numpy(), expected)
    assert_same_bits(inverse_time_decay(range(3, 5), 0.1, 10, rates).to_numpy(), expected)
    for bad in polars.Series(["1", "2"]), polars.Series([True, False]):
        with pytest.raises(TypeError, match="decay_rate must hold real numbers"):
            inverse_time_decay(np.arange(2), 0.1, 10, bad)
    with pytest.raises(TypeError, match="decay_rate must hold real numbers"):
        inverse_time_decay(np.arange(2), 0.1, 10, polars.DataFrame({"a": ["1"]}))


def test_arrow_booleans_of_pandas_count_as_integers(entrance):
    pandas = pytest.importorskip("pandas", minversion="2")
    pytest.importorskip("pyarrow")
    result = entrance(pandas.Series([True, False, None], dtype="bool[pyarrow]"))
    assert result.isna().tolist() == [False, False, True]
    arithmetic = "f4" if entrance is in_float32 else "f8"
    expected = numpy_decay([1, 0], *HYPER, False, arithmetic)
    assert_same_bits(result[:2].to_numpy(arithmetic), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lazy_steps_that_numpy_does_not_promote_are_converted(dtype):
    dask = pytest.importorskip("dask.array")
    steps = dask.ones(4, dtype=np.longdouble, chunks=2)
    rates = InverseTimeDecay(*HYPER, dtype=dtype)(steps)
    assert_same_bits(rates.compute(), numpy_decay(np.ones(4), *HYPER, False, dtype))


@pytest.mark.skipif(backend == "fallback", reason="polars computes float32 there in float64")
def test_polars_float32_is_promoted_as_numpy_does():
    polars = pytest.importorskip("polars")
    steps = polars.Series([0, 7, 3000], dtype=polars.Float32)
    for result, arithmetic in (
        (inverse_time_decay(steps, *HYPER), "f4"),
        (continuous_decay(steps, *HYPER), "f4"),
        (InverseTimeDecay(*HYPER, dtype="f4")(steps), "f4"),
        (InverseTimeDecay(*HYPER)(steps), "f8"),
    ):
        assert_same_bits(
            result.to_numpy(), numpy_decay(steps.to_numpy(), *HYPER, False, arithmetic)
        )


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("Int64", "Float64"), ("int64", "float64"), ("Float64", "Float64"), ("boolean", "Float64")],
)
def test_pandas_series_keep_their_missing_values(dtype, result):
    pandas = pytest.importorskip("pandas")
    values = [True, False] if dtype == "boolean" else [1, 2000]
    steps = pandas.Series(values, dtype=dtype)
    if dtype[0].isupper():
        steps = pandas.concat([steps, pandas.Series([None], dtype=dtype)], ignore_index=True)
    for call in function, InverseTimeDecay(*HYPER):
        rates = call(steps)
        assert str(rates.dtype) == result
        assert rates.isna().tolist() == steps.isna().tolist()
        expected = numpy_decay(values, *HYPER, False, "f8")
        assert_same_bits(rates[:2].to_numpy("f8"), expected)


def test_a_data_frame_and_a_series_do_not_go_together():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2]})
    with pytest.raises((TypeError, NotImplementedError)):
        inverse_time_decay(frame, 0.1, 10, pandas.Series([1.0, 2.0]))


def test_data_frames_keep_their_missing_values():
    pandas = pytest.importorskip("pandas")
    columns = {"a": pandas.array([1, None], dtype="Int64"), "b": [1.5, 2.5], "c": [True, False]}
    frame = pandas.DataFrame(columns)
    for entrance in function, InverseTimeDecay(*HYPER):
        rates = entrance(frame)
        assert rates.isna().to_numpy().tolist() == [[False, False, False], [True, False, False]]
        assert str(rates["a"].dtype) == "Float64"
        for name in "bc":
            expected = numpy_decay(frame[name], *HYPER, False, "f8")
            assert_same_bits(rates[name].to_numpy(), expected)


# ---------------------------------------------------------------- hyperparameters

CALLS = {
    "class": InverseTimeDecay,
    "function": functools.partial(inverse_time_decay, np.arange(3)),
    "one step": functools.partial(inverse_time_decay, 5),
    "range": functools.partial(inverse_time_decay, range(3)),
}


@pytest.fixture(params=CALLS.values(), ids=CALLS)
def call(request):
    """Each call that takes hyperparameters."""
    return request.param


def hyperparameters(name, value):
    return dict(zip(NAMES, HYPER, strict=True)) | {name: value}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        (math.inf, ValueError),
        (-math.inf, ValueError),
        (np.float32(np.nan), ValueError),
        (np.float64(-np.inf), ValueError),
        (10**400, ValueError),
        (True, TypeError),
        (np.False_, TypeError),
        (1j, TypeError),
        (np.complex64(1), TypeError),
        ("0.1", TypeError),
        (b"1", TypeError),
        (None, TypeError),
        (np.array("1"), TypeError),
        (np.array(1j), TypeError),
        (range(1), TypeError),
    ],
    ids=lambda x: None if isinstance(x, type) else repr(x)[:24],
)
def test_bad_hyperparameters_are_named(call, name, value, error):
    with pytest.raises(error, match=name) as caught:
        call(**hyperparameters(name, value))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [[1.0], np.ones(2)], ids=repr)
def test_a_schedule_has_no_array_of_hyperparameters(name, value):
    with pytest.raises(TypeError, match=name):
        InverseTimeDecay(**hyperparameters(name, value))


@pytest.mark.parametrize(
    "value", [0, 0.0, -0.0, -1, -1e-300, np.float32(-3), np.int64(0), np.array(-3)], ids=repr
)
def test_decay_steps_must_be_positive(call, value):
    with pytest.raises(ValueError, match="decay_steps must be positive") as caught:
        call(0.1, value, 0.5)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, fractions.Fraction(10**400), fractions.Fraction(10**5000)],
    ids=range(5),
)
def test_huge_hyperparameters_are_value_errors(call, name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        call(**hyperparameters(name, value))


def test_a_fraction_too_small_to_print_is_named():
    for value in fractions.Fraction(1, 10**5000), fractions.Fraction(-1, 10**5000):
        with pytest.raises(ValueError, match="decay_steps must be positive, got a Fraction of"):
            InverseTimeDecay(0.1, value, 0.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [bytearray(b"10"), memoryview(b"10"), array.array("B", b"10"), collections.UserString("10")],
    ids=lambda value: type(value).__name__,
)
def test_text_in_other_clothes_is_not_a_hyperparameter(name, value):
    """Python's float() reads it."""
    arguments = dict(zip(NAMES, HYPER, strict=True)) | {name: value}
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        InverseTimeDecay(**arguments)


def test_tensors_that_are_not_one_real_number_are_not_hyperparameters():
    torch = pytest.importorskip("torch")
    for value in (
        torch.tensor(True),
        torch.tensor(1j),
        torch.ones(1),
        torch.ones((), device="meta"),
    ):
        with pytest.raises(TypeError, match="decay_rate must be a real number, got tensor"):
            InverseTimeDecay(0.1, 10, value)
    assert InverseTimeDecay(0.1, 10, torch.tensor(0.5)).decay_rate == 0.5


def test_small_floats_of_ml_dtypes_are_hyperparameters():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    number = ml_dtypes.bfloat16(0.5)
    assert InverseTimeDecay(0.1, 10, number).decay_rate == 0.5
    assert_same_bits(
        inverse_time_decay(np.arange(3.0), 0.1, 10, number),
        numpy_decay(np.arange(3), 0.1, 10, 0.5, False, "f8"),
    )
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got bfloat16"):
        InverseTimeDecay(number, 10, 0.5)


@pytest.mark.parametrize("value", [fractions.Fraction(1, 3), decimal.Decimal("0.3"), np.int8(3)])
def test_every_kind_of_real_number_is_a_hyperparameter(value):
    expected = numpy_decay(np.arange(3), float(value), float(value), float(value), False, "f8")
    assert_same_bits(inverse_time_decay(np.arange(3), value, value, value), expected)
    assert_same_bits(InverseTimeDecay(value, value, value)(np.arange(3)), expected)


@pytest.mark.parametrize("value", ["no", "", 0, 1, None, 1.0, np.int64(1), [True], np.array(["a"])])
def test_staircase_must_be_a_boolean(call, value):
    with pytest.raises(TypeError, match="staircase must be a boolean"):
        call(*HYPER, value)


@pytest.mark.parametrize("value", [True, np.True_])
def test_both_kinds_of_boolean_are_accepted(value):
    expected = numpy_decay(np.arange(2000), *HYPER, True, "f8")
    assert_same_bits(inverse_time_decay(np.arange(2000), *HYPER, value), expected)
    assert InverseTimeDecay(*HYPER, value).staircase is True


def test_from_endpoints_names_its_own_arguments():
    with pytest.raises(ValueError, match="initial / final must be finite, got 1e\\+300 / 1e-300"):
        InverseTimeDecay.from_endpoints(1e300, 1e-300, 10)
    with pytest.raises(ValueError, match="initial / final must be finite"):
        InverseTimeDecay.from_endpoints(1e30, 1e-30, 10, dtype="float32")
    for name, arguments in (
        ("initial", (0, 1, 1)),
        ("final", (1, -1, 1)),
        ("steps", (1, 1, 0)),
        ("steps", (1, 1, math.inf)),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            InverseTimeDecay.from_endpoints(*arguments)
    with pytest.raises(TypeError, match="staircase"):
        InverseTimeDecay.from_endpoints(1, 0.1, 10, staircase=True)


# ---------------------------------------------------------------- huge and unusual single steps


@pytest.mark.parametrize("step", [2**63, 2**64, 10**30, -(2**63) - 1, -(10**30), 2**53 + 1, 2**70])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_integer_steps_are_rounded_once(staircase, step, dtype):
    expected = exact_decay(step, *HYPER, staircase, dtype)
    assert bits(InverseTimeDecay(*HYPER, staircase, dtype=dtype)(step)) == bits(expected)
    hyper = map(np.dtype(dtype).type, HYPER)
    result = inverse_time_decay(step, *hyper, staircase)
    assert result.dtype == dtype
    assert float(result) == expected


def test_integers_past_float64_are_infinite(staircase):
    for step in 10**400, -(10**400):
        assert InverseTimeDecay(*HYPER, staircase)(step) == 0.0
        assert inverse_time_decay(step, *HYPER, staircase) == 0.0


class Index:
    """An integer of another library."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class FloatIndex(Index):
    def __float__(self) -> float:
        return float(self.value)


@pytest.mark.parametrize("kind", [Index, FloatIndex, fractions.Fraction])
def test_other_libraries_huge_integers_are_python_s(entrance, kind):
    for step in 2**62 + 2**38 + 1, -(2**70), 10**400, -(10**400), 10**5000:
        if kind is fractions.Fraction and abs(step) < 2**100:
            continue  # a fraction is rounded to a float first
        assert bits(float(entrance(kind(step)))) == bits(float(entrance(step)))


@pytest.mark.parametrize("step", [fractions.Fraction(7, 2), decimal.Decimal("3.5"), np.array(3.5)])
def test_unusual_numbers_are_steps(entrance, step):
    assert float(entrance(step)) == float(entrance(3.5))


def test_a_boolean_step_counts_as_an_integer(entrance):
    assert float(entrance(True)) == float(entrance(1))
    assert float(entrance(np.True_)) == float(entrance(1))


# ---------------------------------------------------------------- ranges and counts


def test_step_range():
    assert step_range(5) == range(5)
    assert step_range(np.int16(5)) == range(5)
    assert step_range(-3) == range(0)
    assert step_range(range(2**70, 2**70)) == range(0)
    assert step_range(range(0, 1, 10**30)) == range(1)
    assert step_range(range(2**63 - 1, -(2**63) - 1, -(2**63))).step == -(2**63)


@pytest.mark.parametrize("value", ["i4", "no such dtype", "c8", "O", 7, [("a", "f4")]])
def test_stored_dtypes(value):
    with pytest.raises(TypeError, match="dtype must be a real floating dtype, got"):
        floating_dtype("dtype", value)


def test_overrides_never_see_shared_arrays():
    """An override could unlock and change the arrays that later calls use."""

    class Unlocks:
        def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
            for operand in (*inputs, *out):
                if isinstance(operand, np.ndarray):
                    operand.flags.writeable = True
                    operand[...] = 7
            return 0.0

    class UnlockingNumber(np.float64):
        __array_ufunc__ = Unlocks.__array_ufunc__

    class WrappingNumber(np.float64):
        def __array_wrap__(self, result, context=None, return_scalar=False):
            Unlocks().__array_ufunc__(context[0], "__call__", *context[1])
            return 0.0

    steps, expected = np.arange(3.0), numpy_decay(np.arange(3.0), *HYPER, False, "f8")
    schedule = InverseTimeDecay(*HYPER)
    for _ in range(2):
        assert_same_bits(inverse_time_decay(steps, *HYPER), expected)
        assert_same_bits(schedule(steps), expected)
        assert_same_bits(continuous_decay(steps, *HYPER), expected)
        for call in (
            lambda: inverse_time_decay(Unlocks(), *HYPER),
            lambda: schedule(Unlocks()),
            lambda: schedule(UnlockingNumber(3)),
            lambda: schedule(WrappingNumber(3)),
            lambda: inverse_time_decay(UnlockingNumber(3), *HYPER),
            lambda: inverse_time_decay(steps.copy(), 0.1, 1000, UnlockingNumber(0.5)),
            lambda: inverse_time_decay(steps.copy(), *HYPER, out=Unlocks()),
        ):
            with contextlib.suppress(TypeError):  # the fallback's operators refuse such objects
                call()


def test_hyperparameter_arrays_beside_another_kind_of_steps():
    pandas = pytest.importorskip("pandas")
    rates = np.array([0.1, 0.2, 0.3])
    expected = numpy_decay(np.arange(3), 0.1, 1000, rates, False, "f8")
    assert_same_bits(inverse_time_decay([0, 1, 2], 0.1, 1000, rates), expected)
    assert_same_bits(inverse_time_decay(range(3), 0.1, 1000, list(rates)), expected)
    series = inverse_time_decay(np.arange(3), 0.1, 1000, pandas.Series(rates))
    assert_same_bits(np.asarray(series), expected)
    for bad in ["a", "b", "c"], [True, False, True], [1j, 1, 1], [None, 1, 2]:
        with pytest.raises(TypeError, match="decay_rate must hold real numbers"):
            inverse_time_decay(np.arange(3), 0.1, 1000, bad)
    for bad in pandas.Series(["1", "2", "3"]), pandas.Series([True, False, True]):
        with pytest.raises(TypeError, match="decay_rate must hold real numbers"):
            inverse_time_decay(np.arange(3), 0.1, 1000, bad)
