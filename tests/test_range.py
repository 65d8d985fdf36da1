"""Ranges: tables made without an array of steps have the bits of those made from one."""

from pathlib import Path

import invdecay
import numpy as np
import pytest
from invdecay import InverseTimeDecay
from support.cases import every
from support.kernels import ufunc
from support.oracle import assert_same_bits, bits, numpy_decay

STORED = [("float32", "f4"), ("float64", "f4"), ("float64", "f8")]
INT64 = np.iinfo("i8")
RANGES = {
    "from zero": range(10_000),
    "empty": range(0),
    "one": range(5, 6),
    "negative": range(-5000, 5000),
    "downwards": range(5000, -5000, -1),
    "sparse": range(0, 10**9, 99_991),
    "sparse downwards": range(10**9, -(10**9), -199_999),
    "around 2^24": range(2**24 - 3000, 2**24 + 3000),
    "around -2^24": range(-(2**24) - 3000, -(2**24) + 3000),
    "around 2^31": range(2**31 - 3000, 2**31 + 3000),
    "around -2^31": range(-(2**31) + 3000, -(2**31) - 3000, -1),
    "around 2^53": range(2**53 - 3000, 2**53 + 3000),
    "halfway in float32": range(2**60 + 2**36 - 1500, 2**60 + 2**36 + 1500),
    "up to int64's end": range(2**63 - 3000, 2**63),
    "down to int64's end": range(-(2**63) + 3000, -(2**63) - 1, -1),
    "all of int64": range(-(2**63), 2**63 - 1, 2**53 + 1),
    "all of int64 downwards": range(2**63 - 1, -(2**63), -(2**54) + 1),
    "one huge stride": range(-(2**63), 2**63 - 1, 2**63 - 1),
}
DECAY_STEPS = [0.5, 1.0, 7.0, 999.5, 1000.0, 1 / 3 * 1e5, 2.0**24 + 1, 1e9, 1e-30, 1e35]


def from_array(steps, *hyper, staircase, arithmetic, stored):
    at = np.arange(len(steps)) * steps.step + (steps[0] if steps else 0)
    with np.errstate(all="ignore"):
        return numpy_decay(at, *hyper, staircase, arithmetic).astype(stored)


@pytest.mark.parametrize(("arithmetic", "stored"), STORED)
@every(steps=RANGES, decay_steps=DECAY_STEPS)
def test_fill_range_equals_an_array(kernels, staircase, steps, decay_steps, arithmetic, stored):
    hyper = 0.1, decay_steps, 0.5
    out = np.full(len(steps) + 2, -7, stored)
    start = steps.start if steps else 0
    kernels.fill_range(out[1:-1], start, steps.step, *hyper, staircase, arithmetic)
    expected = from_array(steps, *hyper, staircase=staircase, arithmetic=arithmetic, stored=stored)
    assert_same_bits(out[1:-1], expected)
    assert (out[[0, -1]] == -7).all()


def random_case(rng):
    """A random range of int64 and random hyperparameters, stairs narrow and wide."""
    size = int(rng.integers(1, 6000))
    scale = int(rng.integers(0, 63))
    step = int(rng.integers(-(2 ** min(scale, 40)), 2 ** min(scale, 40), endpoint=True)) or 1
    start = int(rng.integers(-(2**scale), 2**scale, endpoint=scale < 63))
    last = start + (size - 1) * step
    if not INT64.min <= last <= INT64.max:
        step = 1 if start < 0 else -1
    decay_steps = (
        float(10 ** rng.uniform(-0.3, 9)) if rng.random() < 0.5 else float(rng.integers(1, 10**6))
    )
    return range(start, start + size * step, step), (0.1, decay_steps, float(rng.uniform(-2, 2)))


@pytest.mark.parametrize(("arithmetic", "stored"), STORED)
@every(seed=range(60))
def test_random_ranges(kernels, staircase, seed, arithmetic, stored):
    steps, hyper = random_case(np.random.default_rng(seed))
    out = np.empty(len(steps), stored)
    kernels.fill_range(out, steps.start, steps.step, *hyper, staircase, arithmetic)
    expected = from_array(steps, *hyper, staircase=staircase, arithmetic=arithmetic, stored=stored)
    assert_same_bits(out, expected)


@pytest.mark.parametrize(("arithmetic", "stored"), STORED)
def test_fill_range_of_every_length_and_alignment(kernels, staircase, arithmetic, stored):
    whole = np.empty(400, stored)
    hyper = 0.1, 40.0, 0.5
    expected = from_array(
        range(300), *hyper, staircase=staircase, arithmetic=arithmetic, stored=stored
    )
    for length in range(301):
        begin = length % 17
        whole.fill(-7)
        kernels.fill_range(whole[begin : begin + length], 0, 1, *hyper, staircase, arithmetic)
        assert (whole[:begin] == -7).all()
        assert (whole[begin + length :] == -7).all()
        np.testing.assert_array_equal(whole[begin : begin + length], expected[:length])


@pytest.mark.parametrize(("arithmetic", "stored"), STORED)
@every(start=[0, 2**24 - 10**6, -(2**31) - 10**6, 2**53 - 10**6], decay_steps=[3.0, 999.5, 20000.0])
def test_large_ranges_equal_the_ufunc(kernels, staircase, start, decay_steps, arithmetic, stored):
    """Past one thread, one chunk and, with the last size, the cache."""
    hyper = 0.1, decay_steps, 0.5
    out = np.empty(3_000_003, stored)
    with invdecay.num_threads(3):
        kernels.fill_range(out, start, 1, *hyper, staircase, arithmetic)
    steps = np.arange(start, start + len(out))
    expected = ufunc(kernels, staircase)(steps, *hyper, dtype=arithmetic).astype(stored)
    assert_same_bits(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("arithmetic", "stored"), STORED)
def test_tables_past_the_cache(kernels, staircase, arithmetic, stored):
    """Stores that bypass the cache write the table and nothing beside it."""
    level3 = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    kib = int(level3.read_text().rstrip("K\n")) if level3.exists() else 2**15
    size = kib * 2**10 // np.dtype(stored).itemsize + 4099
    hyper = 0.1, 1000.0, 0.5
    out = np.full(size + 2, -7, stored)
    kernels.fill_range(out[1:-1], 0, 1, *hyper, staircase, arithmetic)
    assert (out[[0, -1]] == -7).all()
    piece = 2**22
    for start in range(0, size, piece):
        steps = range(start, min(start + piece, size))
        expected = from_array(
            steps, *hyper, staircase=staircase, arithmetic=arithmetic, stored=stored
        )
        assert_same_bits(out[1:-1][start : start + piece], expected)


@pytest.mark.parametrize("dtype", [">f2", "i8"])
def test_fill_range_refuses_other_arrays(native, dtype):
    with pytest.raises(TypeError, match="out"):
        native.fill_range(np.empty(4, dtype), 0, 1, 0.1, 10.0, 0.5, False, "float64")


# ---------------------------------------------------------------- precompute

OUTS = {
    "strided": lambda dtype, n, folder: np.zeros(3 * n, dtype)[::3],
    "reversed": lambda dtype, n, folder: np.zeros(n, dtype)[::-1],
    "column": lambda dtype, n, folder: np.zeros((n, 2), dtype)[:, 1],
    "unaligned": lambda dtype, n, folder: np.zeros(n * np.dtype(dtype).itemsize + 1, "u1")[1:].view(
        dtype
    ),
    "memmap": lambda dtype, n, folder: np.memmap(folder / "table", dtype, "w+", shape=(n,)),
    "contiguous": lambda dtype, n, folder: np.zeros(n, dtype),
}


@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", ">f4", ">f8"])
@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS)
def test_precompute_into_any_array(staircase, make, dtype, arithmetic, tmp_path):
    """Computed in the schedule's dtype, rounded once on store."""
    n = 70_001
    out = make(dtype, n, tmp_path)
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase, dtype=arithmetic)
    assert schedule.precompute(n, out=out) is out
    expected = numpy_decay(np.arange(n), 0.1, 1000, 0.5, staircase, arithmetic)
    np.testing.assert_array_equal(out, expected.astype(dtype))


@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
@pytest.mark.parametrize(
    "bounds", [(1000,), (5, 1000), (1000, 5, -7), (-5, 5, 2), (5, 5), (5, -5), (0,), (-3,)], ids=str
)
def test_precompute_takes_every_range(staircase, bounds, arithmetic):
    schedule = InverseTimeDecay(0.1, 100, 0.5, staircase, dtype=arithmetic)
    assert_same_bits(schedule.precompute(range(*bounds)), schedule(np.arange(*bounds)))


def test_precompute_takes_any_integer():
    schedule = InverseTimeDecay(0.1, 100, 0.5)
    expected = schedule.precompute(5)
    for n in np.int8(5), np.uint64(5), np.array(5):
        assert_same_bits(schedule.precompute(n), expected)


@pytest.mark.parametrize(
    "steps", [range(0, 1, 10**30), range(5, 2, -(10**30)), range(2**62, 2**63, 2**70)]
)
def test_a_single_step_may_have_any_distance(staircase, steps):
    schedule = InverseTimeDecay(0.1, 100, 0.5, staircase)
    assert_same_bits(schedule.precompute(steps), schedule(np.array([steps[0]])))


def test_precompute_equals_itself_in_pieces():
    schedule = InverseTimeDecay(0.1, 100, 0.5, dtype="float32")
    whole = schedule.precompute(100_000)
    pieces = [
        schedule.precompute(range(i, min(i + 7777, 100_000))) for i in range(0, 100_000, 7777)
    ]
    assert_same_bits(np.concatenate(pieces), whole)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("steps", "out", "error", "words"),
    [
        (2.0, None, TypeError, r"steps must be an integer or a range, got 2\.0"),
        ("9", None, TypeError, "steps must be an integer or a range, got '9'"),
        (None, None, TypeError, "steps must be an integer or a range, got None"),
        (True, None, TypeError, "steps must be an integer or a range, got True"),
        (np.True_, None, TypeError, "steps must be an integer or a range"),
        (slice(5), None, TypeError, "steps must be an integer or a range"),
        (range(2**63, 2**63 + 5), None, OverflowError, "9223372036854775808"),
        (range(2**63 - 2, 2**63 + 5), None, OverflowError, "int64"),
        (range(-(2**63), -(2**63) - 5, -1), None, OverflowError, "int64"),
        (range(-(2**63), 2**63), None, OverflowError, r"fewer than 2\*\*63"),
        (5, [0.0] * 5, TypeError, "out must be a NumPy array"),
        (5, np.ma.zeros(5), TypeError, "out must be an array without a mask"),
        (5, np.empty(5, "c16"), TypeError, "out must be .*complex128"),
        (5, np.empty(5, "i8"), TypeError, "out must be .*int64"),
        (5, np.empty(5, "?"), TypeError, "out must be .*bool"),
        (5, np.empty(5, "O"), TypeError, "out must be .*object"),
        (5, np.empty(4), ValueError, r"out must have shape \(5,\), got \(4,\)"),
        (5, np.empty((5, 1)), ValueError, r"out must have shape \(5,\), got \(5, 1\)"),
        (5, np.empty(()), ValueError, r"out must have shape \(5,\)"),
        (5, read_only(np.empty(5)), ValueError, "out is read-only"),
    ],
    ids=lambda x: None if isinstance(x, (np.ndarray, type)) else str(x)[:40],
)
def test_precompute_refuses(steps, out, error, words):
    with pytest.raises(error, match=words):
        InverseTimeDecay(0.1, 10, 0.5).precompute(steps, out=out)


def test_ends_of_int64_are_no_error():
    schedule = InverseTimeDecay(0.1, 10, 0.5)
    steps = np.array([2**63 - 2, 2**63 - 1])
    assert_same_bits(schedule.precompute(range(2**63 - 2, 2**63)), schedule(steps))
    assert schedule.precompute(range(2**70, 2**70)).shape == (0,)


def test_bits_tell_zeros_apart():
    """The comparison of this suite is by bits, but for the payload of NaN."""
    assert bits(np.array(-0.0)) != bits(np.array(0.0))
    assert bits(np.array(np.nan)) == bits(-np.array(np.nan))
