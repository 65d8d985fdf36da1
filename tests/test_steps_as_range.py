"""A Python range is accepted wherever steps are, and no array of steps is made."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invdecay import InverseTimeDecay, inverse_time_decay
from support.oracle import assert_same_bits, numpy_decay

HYPER = 0.1, 1000.3, 0.7  # no denominator is zero at the steps of this module
RANGES = [range(0), range(1), range(5000), range(-50, 50, 7), range(10**6, -(10**6), -999)]
RANGES += [range(-(2**63), 2**63, 2**64 - 1), range(-(2**63), 2**63, 2**63)]
RANGES += [
    range(2**63 - 1, -(2**63) - 1, -(2**63)),
    range(2**63 - 5, 2**63),
    range(-(2**63), 2**63 - 1, 2**62),
    range(0, 1, 10**30),
]


def as_array(steps):
    return np.array(list(steps), np.int64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", RANGES, ids=str)
def test_class(staircase, steps, dtype):
    schedule = InverseTimeDecay(*HYPER, staircase, dtype=dtype)
    assert_same_bits(schedule(steps), schedule(as_array(steps)))
    assert_same_bits(schedule(steps), schedule.precompute(steps))


@pytest.mark.parametrize("steps", RANGES, ids=str)
def test_function(staircase, steps):
    expected = inverse_time_decay(as_array(steps), *HYPER, staircase)
    assert_same_bits(inverse_time_decay(steps, *HYPER, staircase), expected)
    for stored in "f8", "f4", "f2", "g", ">f8":
        out = np.full(len(steps), -7, stored)
        assert inverse_time_decay(steps, *HYPER, staircase, out=out) is out
        np.testing.assert_array_equal(out, expected.astype(stored))


@pytest.mark.parametrize(
    "keywords", [{"where": np.array([True, False])}, {"order": "F"}, {"dtype": "f4"}]
)
def test_ufunc_keywords(staircase, keywords):
    result = inverse_time_decay(range(2), *HYPER, staircase, out=np.zeros(2, "f4"), **keywords)
    expected = np.zeros(2, "f4")
    inverse_time_decay(np.arange(2), *HYPER, staircase, out=expected, **keywords)
    assert_same_bits(result, expected)


SWEEPS = {
    "rates": ((0.1, 1000), (30, 1)),
    "float32 rates": ((np.float32(0.1), np.float32(1000)), (30, 1)),
    "rates of two axes": ((0.1, 1000), (3, 5, 1)),
    "a rate for each step": ((0.1, 1000), (2000,)),
}


@pytest.mark.parametrize("length", [1, 7, 2000])
@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps(staircase, name, length):
    (lr, decay_steps), shape = SWEEPS[name]
    rates = np.linspace(0.01, 1, int(np.prod(shape))).reshape(shape)
    if isinstance(lr, np.float32):
        rates = rates.astype("f4")
    if length != 1 and shape[-1] not in (1, length):
        with pytest.raises(ValueError, match="broadcast"):
            inverse_time_decay(range(length), lr, decay_steps, rates, staircase)
        return
    steps = range(3, 3 + length)
    expected = inverse_time_decay(as_array(steps), lr, decay_steps, rates, staircase)
    assert_same_bits(inverse_time_decay(steps, lr, decay_steps, rates, staircase), expected)
    out = np.empty(expected.shape[::-1], expected.dtype).T
    assert inverse_time_decay(steps, lr, decay_steps, rates, staircase, out=out) is out
    assert_same_bits(out, expected)


@given(
    start=st.integers(-(2**63), 2**63 - 1),
    distance=st.integers(-(2**66), 2**66).filter(bool),
    count=st.integers(0, 50),
)
def test_any_range(start, distance, count):
    steps = range(start, start + count * distance, distance)
    schedule = InverseTimeDecay(*HYPER, True)
    if any(not -(2**63) <= step < 2**63 for step in steps):
        with pytest.raises(OverflowError, match="steps must fit int64"):
            schedule(steps)
        return
    with np.errstate(all="ignore"):
        actual = schedule(steps)
    assert_same_bits(actual, numpy_decay(as_array(steps), *HYPER, True, "f8"))


@pytest.mark.parametrize(
    "call",
    [
        lambda n: InverseTimeDecay(*HYPER)(range(n)),
        lambda n: inverse_time_decay(range(n), *HYPER),
        lambda n: inverse_time_decay(range(n // 4), 0.1, 1000, np.ones((4, 1))),
        lambda n: InverseTimeDecay(*HYPER).precompute(n),
        lambda n: InverseTimeDecay(*HYPER).precompute(n, out=np.empty(n, "f2")),
    ],
    ids=["class", "function", "sweep", "table", "float16"],
)
def test_memory_is_the_table_and_little_else(call):
    tracemalloc.start()
    try:
        table = call(8_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < table.nbytes + 16 * 2**20
