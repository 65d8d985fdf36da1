"""Sweeps over broadcast arrays: the ufunc's bits and flags, for every layout and target."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invdecay import num_threads
from support.kernels import ufunc
from support.oracle import assert_same_bits, numpy_decay, random_numbers

STEPS = "i4", "u4", "i8", "u8", "f4", "f8"
QUIET = {"step": 750.0, "initial_learning_rate": 0.1, "decay_steps": 1000.0, "decay_rate": 0.5}


def numbers(name, dtype, shape, seed, one_in):
    """Numbers that raise nothing, and one in `one_in` with any bits."""
    size = int(np.prod(shape))
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        array = np.full(size, QUIET[name], dtype)
    else:
        array = random.integers(0, 1 << 20, size).astype(dtype)
    any_bits = random.integers(0, one_in, size) == 0
    array[any_bits] = random_numbers(dtype, size, seed)[any_bits]
    return array.reshape(shape)


def laid_out(array, order, steps, offset):
    """The same array with its axes in memory in that order, and gaps or reversed axes."""
    transposed = array.transpose(order)
    shape = [n * abs(step) for n, step in zip(transposed.shape, steps, strict=True)]
    memory = np.zeros(int(np.prod(shape)) * array.itemsize + offset, "u1")[offset:]
    spread = memory.view(array.dtype).reshape(shape)
    strided = spread[(*(slice(None, None, step) for step in steps), ...)]
    strided[...] = transposed
    return strided.transpose(np.argsort(order))


@st.composite
def layouts(draw, axes):
    order = draw(st.permutations(range(axes)) | st.just(tuple(range(axes))))
    steps = [draw(st.sampled_from([1, 1, 1, -1, 2, -3])) for _ in range(axes)]
    return order, steps, 8 * draw(st.integers(0, 15))


@st.composite
def sweeps(draw):
    """The arguments of `evaluate`."""
    lengths = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 129, 300])
    shape = []
    for _ in range(draw(st.integers(0, 4))):
        length = draw(lengths)
        shape.append(length if length * int(np.prod(shape)) <= 10_000 else 1)
    arithmetic = draw(st.sampled_from(["float32", "float64"]))
    step = draw(st.sampled_from(STEPS[: 5 if arithmetic == "float32" else 6]))
    one_in = draw(st.sampled_from([2, 100, 10_000]))
    arguments = {}
    for name in QUIET:
        broadcast = [n if draw(st.booleans()) else 1 for n in shape]
        leading = draw(st.integers(0, len(shape))) if set(broadcast) <= {1} else 0
        broadcast = broadcast[leading:]
        dtype = step if name == "step" else arithmetic
        array = numbers(name, dtype, broadcast, draw(st.integers(0, 1 << 16)), one_in)
        arguments[name] = laid_out(array, *draw(layouts(len(broadcast))))
    if shape and draw(st.integers(0, 3)) == 0:
        arguments["step"] = draw(st.integers(-(2**62), 2**62)), draw(st.integers(-(2**53), 2**53))
    narrower = ["f2", "f4"] if arithmetic == "float32" else ["f2", "f4", "f8"]
    out = np.zeros(shape, draw(st.sampled_from(narrower)))
    arguments["out"] = laid_out(out, *draw(layouts(len(shape))))
    arguments["staircase"] = draw(st.booleans())
    arguments["arithmetic"] = arithmetic
    return arguments


def expected_of(kernels, arguments):
    """What the ufunc gives, rounded to the dtype of out, and the flags of both."""
    step, out = arguments["step"], arguments["out"]
    if isinstance(step, tuple):
        start, distance = step
        step = start + distance * np.arange(out.shape[-1], dtype="i8")
    hyperparameters = [arguments[name] for name in QUIET if name != "step"]
    flags = 0

    def note(_, flag):
        nonlocal flags
        flags |= flag

    decay = ufunc(kernels, arguments["staircase"])
    with np.errstate(all="call", call=note):
        rates = decay(step, *hyperparameters, dtype=arguments["arithmetic"])
        rates = np.broadcast_to(rates, out.shape).astype(out.dtype)
    expression = numpy_decay(
        step, *hyperparameters, arguments["staircase"], arguments["arithmetic"]
    )
    with np.errstate(all="ignore"):
        assert_same_bits(rates, np.broadcast_to(expression, out.shape).astype(out.dtype))
    return rates, flags


def check(kernels, arguments):
    expected, flags = expected_of(kernels, arguments)
    assert kernels.evaluate(**arguments) == flags
    assert_same_bits(np.array(arguments["out"]), expected)


@settings(max_examples=400, deadline=None)
@given(arguments=sweeps())
def test_any_sweep_equals_the_ufunc(native, arguments):
    check(native, arguments)


LARGE = {"rates along rows": (0, 1), "rates along columns": (1, 0)}


@pytest.mark.parametrize("columns", [10, 63, 129, 1024, 100_003])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", LARGE.values(), ids=LARGE)
def test_large_sweeps_with_several_threads(native, staircase, dtype, columns, axes):
    """Large enough for threads, and one number that raises a flag among all of them."""
    rows = 5_000_000 // columns
    shape = rows, columns
    rates = np.linspace(0.1, 0.9, shape[axes[0]], dtype=dtype)
    rates[len(rates) // 3] = np.finfo(dtype).max
    arguments = {
        "out": np.zeros(shape, dtype),
        "step": np.expand_dims(np.arange(shape[axes[1]], dtype="i8"), axes[0]),
        "initial_learning_rate": np.array(0.1, dtype),
        "decay_steps": np.array(0.7, dtype),
        "decay_rate": np.expand_dims(rates, axes[1]),
        "staircase": staircase,
        "arithmetic": dtype,
    }
    with num_threads(3):
        check(native, arguments)


@pytest.fixture
def arguments():
    """A good call, to be spoilt."""
    return {
        "out": np.zeros((4, 5)),
        "step": np.arange(5),
        "initial_learning_rate": np.array(0.1),
        "decay_steps": np.array(10.0),
        "decay_rate": np.linspace(0, 1, 4)[:, None],
        "staircase": False,
        "arithmetic": "float64",
    }


READ_ONLY = np.zeros((4, 5))
READ_ONLY.flags.writeable = False

LEFT_TO_NUMPY = {
    "out is not an array": ("out", [0.0]),
    "out of integers": ("out", np.zeros((4, 5), "i8")),
    "out of long doubles": ("out", np.zeros((4, 5), "g")),
    "out swapped": ("out", np.zeros((4, 5), ">f8")),
    "out read-only": ("out", READ_ONLY),
    "out overlaps itself": ("out", np.lib.stride_tricks.as_strided(np.zeros(9), (4, 5), (8, 8))),
    "steps of 16 bits": ("step", np.arange(5, dtype="i2")),
    "steps of float16": ("step", np.arange(5, dtype="f2")),
    "steps do not fit": ("step", np.arange(6)),
    "too many axes": ("step", np.zeros((1, 1, 5))),
    "range past int64": ("step", (0, 2**62)),
    "range down past int64": ("step", (-1, -(2**62))),
    "rates of float32": ("decay_rate", np.zeros(5, "f4")),
}


@pytest.mark.parametrize(("name", "value"), LEFT_TO_NUMPY.values(), ids=LEFT_TO_NUMPY)
def test_left_to_numpy(native, arguments, name, value):
    before = np.array(arguments["out"])
    assert native.evaluate(**(arguments | {name: value})) is None
    np.testing.assert_array_equal(arguments["out"], before)


def test_refuses_another_arithmetic(native, arguments):
    with pytest.raises(ValueError, match=r"arithmetic must be.*'float16'"):
        native.evaluate(**(arguments | {"arithmetic": "float16"}))


@pytest.mark.parametrize("name", ["step", "initial_learning_rate", "decay_steps", "decay_rate"])
def test_an_output_that_overlaps_an_input_is_left_to_numpy(native, arguments, name):
    memory = np.zeros((4, 6))
    arguments["out"] = memory[:, 1:]
    assert native.evaluate(**(arguments | {name: memory[:, :1]})) is None


def test_what_float32_arithmetic_would_round_twice_is_left_to_numpy(native, arguments):
    for name in ("initial_learning_rate", "decay_steps", "decay_rate"):
        arguments[name] = arguments[name].astype("f4")
    arguments["arithmetic"] = "float32"
    assert native.evaluate(**arguments) is None
    arguments["out"] = np.zeros((4, 5), "f4")
    assert native.evaluate(**(arguments | {"step": np.arange(5.0)})) is None


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 2)])
def test_an_empty_result_raises_nothing(native, arguments, shape):
    arguments["out"] = np.zeros(shape)
    arguments["step"] = np.full(shape, np.inf)
    arguments["decay_rate"] = np.array(np.nan)
    arguments["decay_steps"] = np.array(0.0)
    assert native.evaluate(**arguments) == 0


def test_ends_of_int64(native, arguments):
    top = 2**63 - 1
    for start, distance in itertools.product((top - 4, -(2**63)), (1, 0)):
        arguments["step"] = start, distance
        check(native, arguments)
    for step in ((top, -(2**61)), (-(2**63), 2**61 + 1), (top, -1)):
        arguments["step"] = step
        check(native, arguments)
