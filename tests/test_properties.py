"""Random calls: each target does what the fallback does: bits, dtype, shape, errors, warnings."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invdecay import _backend, _fallback
from support.kernels import kernels_of, ufunc
from support.oracle import bits, random_numbers

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
    """Draw how `size` elements lie in memory: dtype, offset and stride in bytes, seed."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    gap = draw(st.sampled_from([0, 0, 0, 1, dtype.itemsize, 3 * dtype.itemsize]))
    stride = (dtype.itemsize + gap) * draw(st.sampled_from([1, 1, -1]))
    return dtype, draw(st.integers(0, 63)), stride, draw(st.integers(0, 2**16))


def laid_out(layout, size):
    """Return an array of random bit patterns of that layout, in a new buffer."""
    dtype, offset, stride, seed = layout
    extent = abs(stride) * max(size, 1)
    start = offset + (extent - abs(stride) if stride < 0 else 0)
    array = np.ndarray(size, dtype, np.zeros(offset + extent + 64, "u1"), start, (stride,))
    array[...] = random_numbers(dtype, size, seed)
    if dtype.kind == "f":
        array[::2] = np.random.default_rng(seed).integers(0, 9999, size)[::2]
    return array


NUMBERS = st.sampled_from(
    [0.1, 1000.0, 0.5, 1, -3, np.float32(7), np.float64(0.3), np.inf, 0.0, 1e300]
)


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
        "errors": draw(st.sampled_from(["ignore", "warn", "raise"])),
    }


def outcome(decay, case):
    """What a call does: its result's dtype, shape and bits, what it warns of; or its error.

    The last item is False where numbers are past the range of an integer result: whether NumPy's
    cast then raises a flag depends on which of its loops runs.
    """
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
    copies = [x.copy() if isinstance(x, np.ndarray) else x for x in operands]
    kwargs = {"casting": case["casting"], "dtype": case["dtype"], "out": out}
    mask = np.full(np.shape(out), True)
    if case["where"] and out is not None:
        mask[1::3] = False
        kwargs["where"] = mask
    with np.errstate(all=case["errors"]), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = decay(*operands, **kwargs)
        except (TypeError, ValueError, FloatingPointError) as error:
            return next(
                kind
                for kind in (TypeError, ValueError, FloatingPointError)
                if isinstance(error, kind)
            )
    # Where a flag was raised, in a cast or in the loop, is not compared; nor are the casts that
    # NumPy sets up where there is nothing to cast.
    warned = {(w.category, str(w.message).split(" encountered in ")[0]) for w in caught}
    if result.size == 0:
        warned.clear()
    assert out is None or result is out
    defined = True
    if isinstance(case["out"], int) and out is not None:
        out[~mask] = 0  # where operands overlap, NumPy writes back its casts of what is left out
    if result.dtype.kind == "c" or result.dtype == np.longdouble:
        with np.errstate(all="ignore"):  # untouched elements hold anything
            comparable = bits(result.astype("c16").view("f8"))
    elif result.dtype.kind in "iu":  # C leaves open what a number past their range becomes
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            exact = np.trunc(decay(*copies, casting="unsafe", dtype=case["dtype"]))
        info = np.iinfo(result.dtype)
        held = (exact >= float(info.min)) & (exact < float(info.max) + 1) | ~mask
        comparable = np.where(held, result, result.dtype.type(0))
        defined = bool(held.all())
    else:
        comparable = bits(result) if result.dtype.kind == "f" else result
    return result.dtype, result.shape, comparable.tobytes(), warned, defined


def check(target, staircase, case):
    # First without errors: a call to be refused may meet a flag of NumPy's own casts before that.
    for errors in sorted({"ignore", case["errors"]}):
        expected = outcome(ufunc(_fallback, staircase), {**case, "errors": errors})
        assert outcome(ufunc(kernels_of(target), staircase), {**case, "errors": errors}) == expected
        if isinstance(expected, type) or not expected[-1]:
            break


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
