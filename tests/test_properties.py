"""Random calls: each target does what the fallback does, in bits, dtype, shape and errors."""

import numpy as np
import pytest
from conftest import kernels_of, ufunc
from hypothesis import given, settings
from hypothesis import strategies as st
from invdecay import _backend, _fallback
from oracle import bits, random_numbers

TARGETS = _backend.available_targets

DTYPES = [
    "?",
    "i1",
    "u2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">i4",
    ">i8",
    ">u8",
    ">f4",
    ">f8",
    "g",
    "c8",
]
CASTINGS = ["no", "equiv", "safe", "same_kind", "unsafe"]


@st.composite
def layouts(draw, size, dtypes=DTYPES):
    """How to lay `size` elements out in memory: dtype, offset and stride in bytes, seed."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    gap = draw(st.sampled_from([0, 0, 0, 1, dtype.itemsize, 3 * dtype.itemsize]))
    stride = (dtype.itemsize + gap) * draw(st.sampled_from([1, 1, -1]))
    return dtype, draw(st.integers(0, 63)), stride, draw(st.integers(0, 2**16))


def laid_out(layout, size):
    """An array of random bit patterns of that layout, in a buffer of its own."""
    dtype, offset, stride, seed = layout
    extent = abs(stride) * max(size, 1)
    start = offset + (extent - abs(stride) if stride < 0 else 0)
    array = np.ndarray(size, dtype, np.zeros(offset + extent + 64, "u1"), start, (stride,))
    array[...] = random_numbers(dtype, size, seed)
    if dtype.kind == "f":
        array[::2] = np.random.default_rng(seed).integers(0, 9999, size)[::2]
    return array


NUMBERS = st.sampled_from([0.1, 1000.0, 0.5, 1, -3, np.float32(7), np.float64(0.3), np.inf, 0.0])


@st.composite
def calls(draw):
    """A call of a decay ufunc: everything but the ufunc, by recipes that can be made twice."""
    size = draw(st.integers(0, 300) | st.sampled_from([8191, 8192, 20_000]))
    operands = [draw(layouts(size))]
    operands += [draw(NUMBERS | layouts(size)) for _ in range(3)]
    return {
        "size": size,
        "operands": operands,
        "out": draw(st.none() | layouts(size) | st.integers(0, 3)),
        "shift": draw(st.integers(-9, 9)),
        "where": draw(st.booleans()),
        "casting": draw(st.sampled_from(["same_kind", *CASTINGS])),
        "dtype": draw(st.sampled_from([None, None, "f4", "f8", "f2"])),
    }


def outcome(decay, case):
    """What a call does: its result's dtype, shape and bits, or its kind of error."""
    size = case["size"]
    operands = [laid_out(x, size) if isinstance(x, tuple) else x for x in case["operands"]]
    out = case["out"]
    if isinstance(out, tuple):
        out = laid_out(out, size)
    elif out is not None:  # one of the operands, shifted by some elements
        base, shift = operands[out], case["shift"]
        if not isinstance(base, np.ndarray) or abs(shift) >= size:
            out = None
        else:
            operands = [
                x[: size - abs(shift)] if isinstance(x, np.ndarray) else x for x in operands
            ]
            operands[out] = base[max(0, -shift) :][: size - abs(shift)]
            out = base[max(0, shift) :][: size - abs(shift)]
    kwargs = {"casting": case["casting"], "dtype": case["dtype"], "out": out}
    if case["where"] and out is not None:
        kwargs["where"] = np.arange(len(out)) % 3 != 1
    try:
        with np.errstate(all="ignore"):
            result = decay(*operands, **kwargs)
    except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
        return next(kind for kind in (TypeError, ValueError, Warning) if isinstance(error, kind))
    assert out is None or result is out
    if result.dtype.kind == "c" or result.dtype == np.longdouble:
        with np.errstate(all="ignore"):  # untouched elements hold anything
            comparable = bits(result.astype("c16").view("f8"))
    else:
        comparable = bits(result) if result.dtype.kind == "f" else result
    return result.dtype, result.shape, comparable.tobytes()


def check(target, staircase, case):
    expected = outcome(ufunc(_fallback, staircase), case)
    assert outcome(ufunc(kernels_of(target), staircase), case) == expected


pytestmark = pytest.mark.skipif(not TARGETS, reason="the fallback alone runs here")
random_calls = given(st.sampled_from(TARGETS or ["none"]), st.booleans(), calls())


@settings(max_examples=400)
@random_calls
def test_random_calls(target, staircase, case):
    check(target, staircase, case)


@pytest.mark.slow
@settings(max_examples=100_000)
@random_calls
def test_a_hundred_thousand_random_calls(target, staircase, case):
    check(target, staircase, case)
