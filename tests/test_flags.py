"""Floating-point flags and modes: the native kernels report and round as NumPy's own ufuncs do."""

import ctypes
import ctypes.util
import functools
import math
import platform
import warnings
from contextlib import contextmanager

import invdecay
import numpy as np
import pytest
from invdecay import InverseTimeDecay, _backend, _fallback, inverse_time_decay
from support.cases import every
from support.kernels import ufunc
from support.oracle import assert_same_bits, bits

KINDS = "divide", "over", "under", "invalid"
STARTS = {
    "divide by zero": "divide",
    "overflow": "over",
    "underflow": "under",
    "invalid value": "invalid",
}

ORDINARY = {"step": 3.0, "lr": 0.1, "decay_steps": 1000.0, "rate": 0.5}
# One unusual element among ordinary ones; what it raises depends on the dtype.
CASES = {
    "nothing": {},
    "NaN step": {"step": np.nan},
    "infinite step": {"step": np.inf},
    "negative infinite step": {"step": -np.inf},
    "subnormal step": {"step": 1e-310, "f4": {"step": 1e-40}},
    "huge step": {"step": 1e308, "f4": {"step": 1e38}},
    "zero decay_steps": {"decay_steps": 0.0},
    "zero over zero": {"step": 0.0, "decay_steps": 0.0},
    "tiny decay_steps": {
        "step": 1e300,
        "decay_steps": 1e-300,
        "f4": {"step": 1e30, "decay_steps": 1e-30},
    },
    "huge decay_steps": {
        "decay_steps": 1e308,
        "step": 1e-10,
        "f4": {"decay_steps": 1e38, "step": 1e-10},
    },
    "NaN decay_steps": {"decay_steps": np.nan},
    "infinity over infinity": {"step": np.inf, "decay_steps": np.inf},
    "zero denominator": {"step": 1000.0, "rate": -1.0},
    "zero over zero denominator": {"step": 1000.0, "rate": -1.0, "lr": 0.0},
    "zero times infinity": {"step": np.inf, "rate": 0.0},
    "huge rate": {"step": 1e6, "rate": 1e308, "f4": {"step": 1e6, "rate": 3e38}},
    "tiny rate": {"step": 1.0, "rate": 1e-307, "f4": {"step": 1.0, "rate": 1e-37}},
    "tiny lr": {"lr": 3e-308, "step": 9000.0, "f4": {"lr": 1.5e-38, "step": 9000.0}},
    "subnormal lr": {"lr": 5e-324, "f4": {"lr": 1e-45}},
    "overflowing quotient": {
        "lr": 1e308,
        "step": 1000.0,
        "rate": -0.999999,
        "f4": {"lr": 3e38, "step": 1000.0, "rate": -0.999},
    },
    "NaN lr": {"lr": np.nan},
}


def operands_with(case, dtype, size, place):
    """Ordinary operands, one element replaced."""
    values = {**case, **case.get(dtype, {})}
    operands = [np.full(size, ordinary, dtype) for ordinary in ORDINARY.values()]
    for operand, name in zip(operands, ORDINARY, strict=True):
        operand[place] = values.get(name, ORDINARY[name])
    return operands


def words(message):
    """The kind of error that a message of NumPy's names."""
    return next(kind for start, kind in STARTS.items() if str(message).startswith(start))


def reported(how, function, *args, **kwargs):
    """The kinds of floating-point error that a call reports under `np.errstate(all=how)`."""
    if how == "raise":
        found = set()
        for kind in KINDS:
            try:
                with np.errstate(all="ignore", **{kind: "raise"}):
                    function(*args, **kwargs)
            except FloatingPointError as error:
                found.add(words(error))
        return found
    if how == "call":
        found = set()
        with np.errstate(all="call", call=lambda kind, flags: found.add(STARTS[kind])):
            function(*args, **kwargs)
        return found
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn"):
        warnings.simplefilter("always")
        function(*args, **kwargs)
    assert all(warning.category is RuntimeWarning for warning in caught)
    return {words(warning.message) for warning in caught}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every(case=CASES, how=["warn", "raise", "call"])
def test_one_element_reports_the_same_kinds(native, staircase, case, dtype, how):
    for size in (1, 7, 64):
        operands = operands_with(case, dtype, size, -1)
        expected = reported(how, ufunc(_fallback, staircase), *operands)
        assert reported(how, ufunc(native, staircase), *operands) == expected


@pytest.mark.slow
def test_a_million_arrays_report_the_same_kinds(staircase):
    """Every length from 1 to 257, a few odd elements or none, the target in use."""
    random = np.random.default_rng(0)
    native = ufunc(_backend, staircase)
    assert invdecay.backend == "native"
    for i in range(500_000):
        dtype, size = np.dtype("f4" if i % 2 else "f8"), 1 + i % 257
        operands = [np.full(size, ordinary, dtype) for ordinary in ORDINARY.values()]
        for _ in range(random.integers(4)):
            odd = random.bytes(dtype.itemsize)
            operands[random.integers(4)][random.integers(size)] = np.frombuffer(odd, dtype)[0]
        operands[1:] = [x if random.integers(2) else x[0] for x in operands[1:]]
        expected = reported("call", ufunc(_fallback, staircase), *operands)
        assert reported("call", native, *operands) == expected, operands


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every(case=CASES)
def test_every_length_reports_the_same_kinds(native, staircase, case, dtype):
    """Tails and padding add no flags, and lose none; contiguous and constant hyperparameters."""
    for size in range(1, 258):
        place = (0, size // 2, size - 1)[size % 3]
        operands = operands_with(case, dtype, size, place)
        constant = [operands[0], *(operand[place] for operand in operands[1:])]
        for given in (operands, constant):
            expected = reported("call", ufunc(_fallback, staircase), *given)
            assert reported("call", ufunc(native, staircase), *given) == expected, size


INTEGER_CASES = {
    "nothing": (3, 0.1, 1000.0, 0.5),
    "zero decay_steps": (3, 0.1, 0.0, 0.5),
    "zero over zero": (0, 0.1, 0.0, 0.5),
    "infinite rate": (3, 0.1, 1000.0, np.inf),
    "zero times infinity": (0, 0.1, 1000.0, np.inf),
    "zero denominator": (1000, 0.1, 1000.0, -1.0),
    "underflow": (1, 0.1, 1e38, 1e-37),
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every(case=INTEGER_CASES, steps=["i4", "u4", "i8", "u8"])
def test_conversion_of_integers_adds_no_flags(native, staircase, case, steps, dtype):
    step, *hyper = case
    for size in (1, 2, 3, 7, 8, 16, 33, 257):
        at = np.full(size, step, steps)
        expected = reported("call", ufunc(_fallback, staircase), at, *hyper, dtype=dtype)
        actual = reported("call", ufunc(native, staircase), at, *hyper, dtype=dtype)
        assert actual == expected, size


LARGE = 1_500_001


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("place", [0, LARGE // 2, LARGE - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_threads_lose_and_add_no_flags(native, dtype, place, threads):
    for name in ("nothing", "zero denominator", "tiny lr", "zero times infinity", "NaN step"):
        operands = operands_with(CASES[name], dtype, LARGE, place)
        constant = [operands[0], *(operand[place] for operand in operands[1:])]
        for given in (operands, constant):
            small = [x if x.ndim == 0 else x[[place, place - 1]] for x in given]
            expected = reported("call", _fallback.continuous_decay, *small)
            with invdecay.num_threads(threads):
                actual = reported("call", native.continuous_decay, *given)
            assert actual == expected, name


def test_quiet_nan_steps_are_valid(kernels, staircase):
    with np.errstate(all="raise"):
        for dtype in ("f4", "f8"):
            result = ufunc(kernels, staircase)(np.full(37, np.nan, dtype), 0.1, 1000, 0.5)
            assert np.isnan(result).all()


@pytest.mark.parametrize(
    ("arithmetic", "stored"), [("float32", "f4"), ("float64", "f4"), ("float64", "f8")]
)
@every(
    hyper=[
        (0.1, 1000.0, 0.5),
        (0.1, 1000.0, -1.0),
        (0.0, 1000.0, -1.0),
        (2e-38, 7.0, 3.0),
        (0.1, 1e-30, 1e30),
        (1e38, 1e3, -0.9999),
        (0.1, 1e36, 1e-36),
    ],
    start=[0, -1500, 999, 2**40],
)
def test_ranges_return_the_same_flags(native, staircase, hyper, start, stored, arithmetic):
    for size in (1, 2, 5, 63, 64, 257, 3001):
        args = start, 1, *hyper, staircase, arithmetic
        out, expected = np.empty(size, stored), np.empty(size, stored)
        assert native.fill_range(out, *args) == _fallback.fill_range(expected, *args), size
        assert_same_bits(out, expected)


def test_precompute_reports_flags():
    schedule = invdecay.InverseTimeDecay(0.1, 1000, -1.0)
    with pytest.raises(FloatingPointError), np.errstate(divide="raise"):
        schedule.precompute(2000)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        schedule.precompute(2000)
    with np.errstate(all="raise"):
        schedule.precompute(1000)


# ---------------------------------------------------------------- rounding modes, FTZ, DAZ

libm = ctypes.CDLL(ctypes.util.find_library("m"))
ROUNDING = {"nearest": 0, "down": 0x2000, "up": 0x4000, "toward zero": 0x6000}  # MXCSR bits
FLUSH = {"subnormals": 0, "FTZ": 0x8000, "DAZ": 0x0040, "FTZ and DAZ": 0x8040}
x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="MXCSR is x86's")


@contextmanager
def control_bits(mode):
    """Run the body with rounding and flush bits set in MXCSR, the last word of x86's fenv_t."""
    before, changed = (ctypes.c_uint32 * 8)(), (ctypes.c_uint32 * 8)()
    libm.fegetenv(before)
    changed[:] = before[:]
    changed[7] |= mode
    libm.fesetenv(changed)
    try:
        yield
    finally:
        libm.fesetenv(before)


@x86
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@every(flush=FLUSH, rounding=ROUNDING)
def test_modes_of_the_caller_hold(native, staircase, dtype, rounding, flush, threads):
    size = 40_001 if threads == 1 else 1_500_001
    tiny = np.finfo(dtype).tiny
    steps = np.linspace(-50, 9000, size).astype(dtype)
    steps[::3] *= tiny
    for hyper in ((tiny * 40, 7.0, 0.3), (0.1, 1 / 3, 0.7)):
        hyper = [np.dtype(dtype).type(x) for x in hyper]
        with (
            np.errstate(all="ignore"),
            invdecay.num_threads(threads),
            control_bits(rounding | flush),
        ):
            actual = ufunc(native, staircase)(steps, *hyper)
            expected = ufunc(_fallback, staircase)(steps, *hyper)
        assert_same_bits(actual, expected)


@x86
def test_the_modes_do_change_results():
    """Else the comparison above would compare nothing."""
    steps = np.linspace(0, 9000, 1001)
    seen = set()
    for rounding in ROUNDING.values():
        with control_bits(rounding):
            result = _fallback.continuous_decay(steps, 0.1, 7.0, 0.3)
        seen.add(bits(result).tobytes())
    assert len(seen) >= 3
    with np.errstate(all="ignore"), control_bits(FLUSH["FTZ"]):
        flushed = _fallback.continuous_decay(steps, 3e-308, 7.0, 0.3)
    assert not flushed[-1]


# ---------------------------------------------------------------- every entrance

EXTREMES = [0.0, 5e-324, 1e-310, 1e-300, 1e-45, 1e-38, 1e-20, 1.0, 7.0, 1e20, 1e38, 1e300]
EDGES = [0, 1, 2**53, 2**60, 0.5, 1e-30, 1e-310, 1e30, 1e300, math.inf, -math.inf, math.nan, -1.0]


def seen_flags(call):
    """Return the flags that NumPy hands to an error handler during the call."""
    seen = set()
    with np.errstate(all="call", call=lambda kind, flag: seen.add(kind)):
        call()
    return seen


def expression(step, lr, decay_steps, rate, staircase, dtype):
    """Evaluate the formula as people write it, in arrays of one element."""
    with np.errstate(all="ignore"):
        at, lr, decay_steps, rate = (
            np.array([x]).astype(dtype) for x in (step, lr, decay_steps, rate)
        )
    p = at / decay_steps
    return lr / (1 + rate * (np.floor(p) if staircase else p))


def entrances(schedule, step):
    """Return every way to evaluate `schedule` at one step, by name."""
    with np.errstate(all="ignore"):
        at = schedule.dtype.type(step)
    calls = {"scalar": lambda: schedule(at), "array": lambda: schedule(np.full(3, at))}
    wide = schedule.dtype == np.float64
    if wide:
        hyper = schedule.initial_learning_rate, schedule.decay_steps, schedule.decay_rate
        calls["function of an array"] = lambda: inverse_time_decay(
            np.full(3, at), *hyper, schedule.staircase
        )
        calls["function of a scalar"] = lambda: inverse_time_decay(at, *hyper, schedule.staircase)
    if wide or abs(step) < 1e38 or not math.isfinite(step):  # else the step itself overflows
        calls["number"] = lambda: schedule(step)
    if isinstance(step, int):
        calls["range"] = lambda: schedule(range(step, step + 1))
        calls["table"] = lambda: schedule.precompute(range(step, step + 1))
    return calls


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_entrance_reports_what_the_expression_reports(staircase, dtype):
    rng = np.random.default_rng(5)
    for _ in range(400):
        lr, rate = rng.choice(EXTREMES, 2) * rng.choice([1, -1], 2)
        decay_steps = rng.choice(EXTREMES[1:])
        try:
            schedule = InverseTimeDecay(lr, decay_steps, rate, staircase, dtype=dtype)
        except ValueError:
            continue  # not finite, or not positive, in float32
        for step in EDGES:
            operands = step, lr, decay_steps, rate, staircase, dtype
            expected = seen_flags(functools.partial(expression, *operands))
            for name, call in entrances(schedule, step).items():
                assert seen_flags(call) == expected, (name, operands)


def test_a_hyperparameter_that_overflows_is_reported_in_every_call():
    steps = np.arange(3, dtype="f4")
    for _ in range(2):
        with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
            inverse_time_decay(steps, 1e39, 10, 1.0)
        with np.errstate(all="ignore"):
            assert np.isinf(inverse_time_decay(steps, 1e39, 10, 1.0)).all()


def test_step_at_reports_nothing_of_its_search():
    with np.errstate(all="raise"):
        assert InverseTimeDecay(1e-300, 1e-300, 1e300).step_at(1e-300) == 0
        with pytest.raises(ValueError, match="never reached"):
            InverseTimeDecay(0.1, 1e300, 1e-300).step_at(0.05)
        assert InverseTimeDecay(0.1, 1e-10, 1e300).step_at(0.0) > 0
