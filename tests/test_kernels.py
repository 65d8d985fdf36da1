"""The numeric contract: every target gives the bits of the exact and of the NumPy formula."""

import functools
import itertools

import numpy as np
import pytest
from support.cases import every
from support.oracle import (
    FORMATS,
    assert_same_bits,
    exact_decay,
    numpy_decay,
    random_numbers,
    rounded,
)

ARITHMETIC = "float32", "float64"
STEPS = "int32", "uint32", "int64", "uint64", "float32", "float64"

NEAR = range(-3, 4)
POWERS = (0, 2**23, 2**24, 2**25, 2**31, 2**32, 2**52, 2**53, 2**54, 2**63, 2**64)
# Halfway between two float32, one off it, and one off by less than float64 can see: rounded
# first to float64, the last becomes halfway and goes to the wrong even neighbour.
HALFWAY = [
    ((2**24 + odd) << shift) + d for odd in (1, 3) for shift in (1, 16, 36) for d in (-1, 0, 1)
]
INTEGERS = sorted(
    {sign * power + k for sign in (1, -1) for power in POWERS for k in NEAR} | {*HALFWAY}
)
FLOATS = [0.0, -0.0, 1e-320, 1e-45, -1e-39, 1e-308, 0.3, 0.5, 1.0, 999.5, 1e20, -3.4e38, 1e300]
FLOATS += [np.inf, -np.inf, np.nan, float(np.nextafter(1000, 0)), float(np.nextafter(1000, 2000))]

HYPERPARAMETERS = {
    "Keras page": (0.1, 1.0, 0.5),
    "TensorFlow tutorial": (0.001, 20000.0, 1.0),
    "thirds": (0.1, 1 / 3, 1 / 3),
    "powers of two": (0.5, 1024.0, 0.25),
    "decay_steps past float32": (0.1, 2.0**24 + 1, 0.5),
    "decay_steps subnormal": (0.1, 3e-39, 1e-30),
    "subnormal results": (3e-38, 7.0, 0.5),
    "subnormal results, float64": (5e-308, 7.0, 0.5),
    "overflow": (0.1, 1e-30, 1e30),
    "underflow": (1e-30, 1e-10, 1e30),
    "denominator through zero": (0.1, 1.0, -1.0),
    "zero over zero": (0.0, 1.0, -1.0),
    "negative rate": (0.1, 1000.0, -0.5),
    "negative learning rate": (-0.1, 1000.0, 0.5),
    "no decay": (0.1, 1000.0, 0.0),
    "zero decay_steps": (0.1, 0.0, 0.5),
    "infinite decay_steps": (0.1, np.inf, 0.5),
    "NaN rate": (0.1, 1000.0, np.nan),
}


def edge_steps(dtype):
    """Edge cases that `dtype` holds, as an array of it."""
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            return np.array([*FLOATS, *map(float, INTEGERS)]).astype(dtype)
    info = np.iinfo(dtype)
    return np.array([i for i in INTEGERS if info.min <= i <= info.max], dtype)


@functools.cache
def exact_table(steps, hyper, staircase, dtype):
    """Exact learning rates at all edge steps of one dtype."""
    exact = [exact_decay(step, *hyper, staircase, dtype) for step in edge_steps(steps).tolist()]
    return np.array(exact, dtype)


@pytest.mark.parametrize("dtype", ARITHMETIC)
@every(hyper=HYPERPARAMETERS, steps=STEPS)
def test_edges_equal_exact_rationals(decay, staircase, steps, dtype, hyper):
    with np.errstate(all="ignore"):
        actual = decay(edge_steps(steps), *hyper, dtype=dtype)
    assert_same_bits(actual, exact_table(steps, hyper, staircase, dtype))


def random_operands(dtype, size, seed):
    """Random bit patterns, and plausible numbers in every other place, for all four operands."""
    operands = [random_numbers(dtype, size, seed + k) for k in range(4)]
    plausible = np.random.default_rng(seed).integers(0, 1 << 20, (4, size))
    for operand, values, scale in zip(operands, plausible, (1, 1e-6, 1, 1e-6), strict=True):
        operand[::2] = (values * scale)[::2]
    return operands


def check_random_operands_against_exact(decay, staircase, dtype, size):
    operands = random_operands(dtype, size, seed=1)
    with np.errstate(all="ignore"):
        actual = decay(*operands)
    cases = zip(*(operand.tolist() for operand in operands), strict=True)
    expected = [exact_decay(*case, staircase, dtype) for case in cases]
    assert_same_bits(actual, np.array(expected, dtype))


@pytest.mark.parametrize("dtype", ARITHMETIC)
def test_random_operands_equal_exact_rationals(decay, staircase, dtype):
    check_random_operands_against_exact(decay, staircase, dtype, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ARITHMETIC)
def test_a_million_random_operands_equal_exact_rationals(decay, staircase, dtype):
    check_random_operands_against_exact(decay, staircase, dtype, 1_000_000)


@pytest.mark.parametrize("dtype", ARITHMETIC)
@every(hyper=HYPERPARAMETERS, steps=STEPS)
def test_random_steps_equal_numpy_expression(decay, staircase, steps, dtype, hyper):
    at = random_numbers(steps, 50_021)
    with np.errstate(all="ignore"):
        actual = decay(at, *hyper, dtype=dtype)
    assert_same_bits(actual, numpy_decay(at, *hyper, staircase, dtype))


@pytest.mark.parametrize("dtype", ARITHMETIC)
def test_random_hyperparameter_arrays_equal_numpy_expression(decay, staircase, dtype):
    operands = random_operands(dtype, 300_007, seed=2)
    with np.errstate(all="ignore"):
        actual = decay(*operands)
    assert_same_bits(actual, numpy_decay(*operands, staircase, dtype))


@pytest.mark.parametrize("varying", range(1, 4))
@pytest.mark.parametrize("dtype", ARITHMETIC)
def test_one_hyperparameter_varies(decay, staircase, varying, dtype):
    operands = list(HYPERPARAMETERS["thirds"])
    operands[varying - 1] = random_numbers(dtype, 10_007)
    steps = np.arange(10_007, dtype=dtype)
    with np.errstate(all="ignore"):
        actual = decay(steps, *operands)
    assert_same_bits(actual, numpy_decay(steps, *operands, staircase, dtype))


# ---------------------------------------------------------------- the oracles themselves


def test_the_oracles_agree(staircase):
    """Two ways written apart: a fault in one shows here, not in the code under test."""
    for steps, dtype in itertools.product(STEPS, ARITHMETIC):
        for hyper in HYPERPARAMETERS.values():
            expected = numpy_decay(edge_steps(steps), *hyper, staircase, dtype)
            assert_same_bits(exact_table(steps, hyper, staircase, dtype), expected)


def test_some_halfway_integers_show_a_second_rounding():
    """Else the edge cases above would not tell one rounding from two."""
    twice = [np.float32(np.float64(step)) for step in HALFWAY]
    assert any(
        float(t) != rounded(step, FORMATS["float32"])
        for t, step in zip(twice, HALFWAY, strict=True)
    )


def test_float32_loses_stairs_past_2_24_and_float64_does_not(decay, staircase):
    """The one promise that differs between the dtypes, where users choose one."""
    if not staircase:
        pytest.skip("stairs only")
    steps = np.arange(10**9 - 500_000, 10**9 + 500_000)
    true = 1.0 / (1.0 + steps // 1000)
    assert_same_bits(decay(steps, 1.0, 1000.0, 1.0), true)
    lost = decay(steps, 1.0, 1000.0, 1.0, dtype="float32") != true.astype("float32")
    assert 0.02 < lost.mean() < 0.04
