"""Calling conventions: dtypes, layouts, overlap, masks and overrides as NumPy has them."""

import copy
import functools
import gc
import pickle
import sys

import invdecay
import numpy as np
import pytest
from invdecay import _fallback
from numpy.lib.stride_tricks import as_strided
from support.cases import every
from support.oracle import assert_same_bits, numpy_decay, random_numbers

LR, DECAY_STEPS, RATE = HYPER = 0.1, 1000.0, 0.5
STEP_DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
STEP_DTYPES += [">i2", ">i4", ">i8", ">u8", ">f2", ">f4", ">f8"]
HYPERPARAMETERS = {
    "float": HYPER,
    "int": (1, 1000, 2),
    "float32": tuple(map(np.float32, HYPER)),
    "float64": tuple(map(np.float64, HYPER)),
    "float32 array": tuple(np.full(50, x, "f4") for x in HYPER),
    "float64 array": (LR, np.full(50, DECAY_STEPS), RATE),
    "swapped float64 array": (LR, np.full(50, DECAY_STEPS, ">f8"), RATE),
    "int16 array": (LR, np.full(50, 1000, "i2"), RATE),
    "int64 array": (LR, np.full(50, 1000), RATE),
}


@pytest.fixture(autouse=True)
def flags_aside():
    """Ignore floating-point flags, which other tests check."""
    with np.errstate(all="ignore"):
        yield


def promoted(*operands):
    """The result's dtype: NumPy's promotion, integers to float64 and float16 to float32."""
    weak = [
        x if isinstance(x, (int, float)) and not isinstance(x, np.generic) else x.dtype
        for x in operands
    ]
    dtype = np.result_type(*weak)
    if dtype.kind in "biu":
        return np.dtype("f8")
    return np.dtype("f4") if dtype == "f2" else dtype.newbyteorder("=")


def sample_steps(dtype, size=50):
    if np.dtype(dtype).kind == "f":
        return np.linspace(-3000, 60000, size).astype(dtype)
    return random_numbers(dtype, size)


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [None, "f4", "f8"])
@every(hyper=HYPERPARAMETERS, steps=STEP_DTYPES)
def test_result_dtype_and_values(decay, staircase, steps, hyper, dtype):
    at = sample_steps(steps)
    actual = decay(at, *hyper, dtype=dtype)
    expected = numpy_decay(at, *hyper, staircase, dtype or promoted(at, *hyper))
    assert_same_bits(actual, expected)


@pytest.mark.parametrize("step", [7, 2**40, 1.5, True, np.int64(7), np.float32(7), np.float16(7)])
def test_single_numbers_give_scalars(decay, staircase, step):
    actual = decay(step, *HYPER)
    assert isinstance(actual, np.float64 if type(step) in (int, float, bool) else np.floating)
    assert_same_bits(actual, numpy_decay(step, *HYPER, staircase, actual.dtype)[()])


@every(position=range(4), dtype=["g", "F", "D", "S3", "U3", "O", "M8[s]", "m8[s]"])
def test_other_dtypes_are_refused(decay, position, dtype):
    operands = [np.ones(3), *HYPER]
    operands[position] = np.ones(3).astype(dtype) if dtype != "M8[s]" else np.zeros(3, dtype)
    with pytest.raises(TypeError):
        decay(*operands)


@every(dtype=["f2", "g", "i8", "D", "O"])
def test_other_arithmetic_is_refused(decay, dtype):
    with pytest.raises(TypeError):
        decay(np.arange(3), *HYPER, dtype=dtype)


@pytest.mark.parametrize(
    ("casting", "out", "fails"),
    [
        ("no", "f8", False),
        ("safe", "f8", False),
        ("safe", "f4", True),
        ("same_kind", "f4", False),
        ("same_kind", "f2", False),
        ("same_kind", "i4", True),
        ("unsafe", "i4", False),
        ("same_kind", "g", False),
        ("same_kind", "D", False),
        ("no", "f4", True),
        ("no", ">f8", True),
        ("equiv", ">f8", False),
    ],
)
def test_casting_of_out(decay, staircase, casting, out, fails):
    steps, result = np.arange(100.0), np.zeros(100, out)
    call = functools.partial(decay, steps, *map(np.float64, HYPER), out=result, casting=casting)
    if fails:
        with pytest.raises(TypeError):
            call()
        assert not result.any()
        return
    assert call() is result
    np.testing.assert_array_equal(result, numpy_decay(steps, *HYPER, staircase, "f8").astype(out))


@every(
    number=[int, float, None],
    steps=["i2", "i4", "i8", "u8", "f4", "f8", ">f8"],
    dtype=["f4", "f8"],
    casting=["no", "equiv", "safe", "same_kind", "unsafe"],
)
def test_casting_of_steps_is_the_same_everywhere(native, staircase, steps, dtype, casting, number):
    """Which casts are refused follows from the loops there are: native and fallback agree."""

    def outcome(kernels):
        hyper = [(number or np.dtype(dtype).type)(x) for x in (1, 1000.0, 2)]
        ufunc = kernels.staircase_decay if staircase else kernels.continuous_decay
        try:
            return ufunc(sample_steps(steps), *hyper, dtype=dtype, casting=casting).tobytes()
        except TypeError:
            return TypeError

    assert outcome(native) == outcome(_fallback)


def test_bad_casting_and_order(decay):
    with pytest.raises(ValueError, match="casting"):
        decay(np.arange(3), *HYPER, casting="loose")
    with pytest.raises(ValueError, match="order"):
        decay(np.arange(3), *HYPER, order="Z")


SIGNATURES = ["lddd->d", "lfff->f", "dddd->d", "fddd->d", "iddd->d"]
SIGNATURES += [(None,) * 4 + ("f4",), ("f4",) + (None,) * 4]


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_signature_fixes_the_loop(native_decay, staircase, signature):
    steps = np.arange(0, 10**6, 1001)
    actual = native_decay(steps, *HYPER, signature=signature)
    dtype = np.dtype(signature[-1] or "f4")
    assert_same_bits(actual, numpy_decay(steps, *HYPER, staircase, dtype))


@pytest.mark.parametrize("signature", ["d", ("d",), "dddd->f", "hddd->d", "gggg->g", "dfff->f"])
def test_signature_without_a_loop(native_decay, signature):
    with pytest.raises((TypeError, DeprecationWarning)):  # NumPy 2.0 still warns of "d"
        native_decay(np.arange(3), *HYPER, signature=signature)


def test_signature_of_the_wrong_length(native_decay):
    with pytest.raises(ValueError, match=r"type-string|5 dtypes"):
        native_decay(np.arange(3), *HYPER, signature="dd->d")


# ---------------------------------------------------------------- layouts

LAYOUTS = {
    "float32": ("f4", "f4"),
    "float64": ("f8", "f8"),
    "int32 to float64": ("i4", "f8"),
    "int64 to float32": ("i8", "f4"),
    "uint64 to float64": ("u8", "f8"),
}


@pytest.mark.parametrize(("steps", "dtype"), LAYOUTS.values(), ids=LAYOUTS)
def test_every_length_at_every_offset(decay, staircase, steps, dtype):
    """Nothing but the result is written, wherever operands begin and end."""
    most, room = 300, 64
    sample = random_numbers(steps, most)
    expected = numpy_decay(sample, *HYPER, staircase, dtype)
    expected[np.isnan(expected)] = np.nan  # its payload is not promised
    source = np.empty(sample.nbytes + room, "u1")
    blank = np.full(expected.nbytes + 2 * room, 0xA5, "u1")
    target, wanted = blank.copy(), blank.copy()
    for offset in range(room):
        at = np.ndarray(most, steps, source, offset)
        at[...] = sample
        to = (5 * offset + 3) % room  # every pair of residues modulo the itemsizes comes up
        for length in range(most + 1):
            target[:] = wanted[:] = blank
            wanted[to : to + length * expected.itemsize] = expected[:length].view("u1")
            out = np.ndarray(length, dtype, target, to)
            decay(at[:length], *HYPER, out=out, dtype=dtype)
            out[np.isnan(out)] = np.nan
            assert (target == wanted).all()


@functools.cache
def grid():
    return np.arange(-120_000, 120_000, dtype="i8").reshape(400, 600)


VIEWS = {
    "every other": np.s_[:, ::2],
    "reversed": np.s_[::-1, ::-1],
    "column": np.s_[:, 7],
    "stride -3": np.s_[5, ::-3],
    "new axis": np.s_[:, None, ::50],
    "empty": np.s_[:, 3:3],
    "one": np.s_[3:4, 3:4],
}


@every(view=VIEWS, dtype=["i4", "i8", "f4", "f8", ">f4", ">i8"], order=["K", "C", "F", "A"])
def test_strided_steps(decay, staircase, view, dtype, order):
    steps = grid().astype(dtype)
    for at in (steps[view], steps[view].T):
        actual = decay(at, *HYPER, order=order)
        assert_same_bits(actual, numpy_decay(at, *HYPER, staircase, promoted(at, LR)))
        if at.size > 1:
            layout = np.positive(at, order=order).strides
            assert [s // actual.itemsize for s in actual.strides] == [
                s // at.itemsize for s in layout
            ]


@every(view=VIEWS, dtype=["f2", "f4", "f8", ">f4", ">f8"])
def test_strided_out(decay, staircase, view, dtype):
    steps, whole = grid(), np.zeros(grid().shape, dtype)
    expected = whole.copy()
    expected[view] = numpy_decay(steps[view], *HYPER, staircase, "f8").astype(dtype)
    out = whole[view]
    assert decay(steps[view], *HYPER, out=out) is out
    np.testing.assert_array_equal(whole, expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_unaligned_operands(decay, staircase, dtype):
    steps = np.linspace(0, 1e6, 10_007).astype(dtype)
    unaligned = np.zeros(steps.nbytes + 1, "u1")[1:].view(dtype)
    unaligned[...] = steps
    assert not unaligned.flags.aligned
    expected = numpy_decay(steps, *HYPER, staircase, dtype)
    assert_same_bits(decay(unaligned, *HYPER), expected)
    decay(unaligned, *HYPER, out=unaligned)
    assert_same_bits(unaligned, expected)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "shapes",
    [((1, 1007), (9, 1)), ((1007, 1), (1, 9)), ((), (9, 33)), ((33,), (2, 9, 1)), ((0,), (9, 1))],
    ids=str,
)
def test_hyperparameter_sweeps_broadcast(decay, staircase, shapes, dtype):
    step_shape, hyper_shape = shapes
    steps = np.arange(np.prod(step_shape), dtype=dtype).reshape(step_shape) * 7
    sweep = np.linspace(0.5, 2, int(np.prod(hyper_shape)), dtype=dtype).reshape(hyper_shape)
    for hyper in ((sweep, DECAY_STEPS, RATE), (LR, 100 * sweep, RATE), (LR, DECAY_STEPS, sweep)):
        actual = decay(steps, *hyper)
        assert_same_bits(actual, numpy_decay(steps, *hyper, staircase, dtype))


# ---------------------------------------------------------------- out


def test_out_by_position_keyword_and_tuple(decay):
    steps, expected = np.arange(50), decay(np.arange(50), *HYPER)
    for pass_out in (
        lambda out: decay(steps, *HYPER, out),
        lambda out: decay(steps, *HYPER, out=out),
        lambda out: decay(steps, *HYPER, out=(out,)),
    ):
        out = np.zeros(50)
        assert pass_out(out) is out
        assert_same_bits(out, expected)
    assert_same_bits(decay(steps, *HYPER, out=None), expected)
    assert_same_bits(decay(steps, *HYPER, None), expected)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (read_only(np.zeros(50)), ValueError),
        (np.zeros(49), ValueError),
        (np.zeros(()), ValueError),
        (np.zeros((50, 2)), ValueError),
        ([0.0] * 50, TypeError),
        (3, TypeError),
        ((np.zeros(50), np.zeros(50)), ValueError),
        ((), ValueError),
    ],
    ids=["read-only", "short", "0-d", "2-D", "list", "number", "two", "none"],
)
def test_bad_out(decay, out, error):
    with pytest.raises(error):
        decay(np.arange(50), *HYPER, out=out)


@pytest.mark.parametrize(
    "call",
    [
        lambda decay: decay(),
        lambda decay: decay(1, 2, 3),
        lambda decay: decay(1, 2, 3, 4, None, 6),
        lambda decay: decay(1, 2, 3, 4, np.zeros(()), out=np.zeros(())),
        lambda decay: decay(1, 2, 3, 4, step=1),
        lambda decay: decay(1, 2, 3, 4, dtype="f4", signature="dddd->d"),
    ],
    ids=["no operands", "three", "six", "out twice", "unknown keyword", "dtype and signature"],
)
def test_bad_calls(decay, call):
    with pytest.raises(TypeError):
        call(decay)


def test_out_may_add_dimensions(decay):
    out = np.zeros((3, 50))
    decay(np.arange(50), *HYPER, out=out)
    assert_same_bits(out, np.tile(decay(np.arange(50), *HYPER), (3, 1)))


# ---------------------------------------------------------------- overlap


@every(operand=range(4), dtype=["f4", "f8"], size=[5, 1000, 40_000])
def test_out_is_an_operand(decay, staircase, operand, dtype, size):
    operands = [np.linspace(1, 2000, size).astype(dtype) for _ in range(4)]
    expected = numpy_decay(*operands, staircase, dtype)
    decay(*operands, out=operands[operand])
    assert_same_bits(operands[operand], expected)


SHIFTS = [-9, -8, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 31]


@every(operand=range(4), shift=SHIFTS, dtype=["f4", "f8"])
def test_out_overlaps_an_operand_shifted(decay, staircase, operand, shift, dtype):
    buffer = np.linspace(1, 50_000, 5000).astype(dtype)
    size = 4900
    operands = [*np.broadcast_arrays(buffer[40 : 40 + size], *HYPER)]
    operands = [np.array(x, dtype) for x in operands]
    operands[operand] = buffer[40 : 40 + size]
    out = buffer[40 + shift : 40 + shift + size]
    expected = numpy_decay(*operands, staircase, dtype)
    decay(*operands, out=out)
    assert_same_bits(out, expected)


@pytest.mark.parametrize("shift", [-4, 0, 3, 4, 8])
def test_out_overlaps_steps_of_another_itemsize(decay, staircase, shift):
    raw = np.zeros(80_000, "u1")
    steps = np.ndarray(4000, "i4", raw, 400)
    steps[...] = np.arange(4000)
    expected = numpy_decay(steps, *HYPER, staircase, "f8")
    out = np.ndarray(4000, "f8", raw, 400 + shift)
    decay(steps, *HYPER, out=out)
    assert_same_bits(out, expected)


def test_reversed_in_place(decay, staircase):
    steps = np.arange(5000.0)
    expected = numpy_decay(steps, *HYPER, staircase, "f8")
    decay(steps, *HYPER, out=steps[::-1])
    assert_same_bits(steps, expected[::-1])


@pytest.mark.parametrize("size", [7, 5000, 3_000_000])
def test_zero_stride_out_keeps_the_last(decay, size):
    """As every NumPy ufunc does; never split over threads, never buffered out of order."""
    steps = np.arange(size, dtype="f4")
    cell = np.zeros(1, "f4")
    decay(steps, *HYPER, out=as_strided(cell, (size,), (0,)))
    assert_same_bits(cell, decay(steps[-1:], *HYPER))


# ---------------------------------------------------------------- where


@every(size=[0, 1, 50, 20_000], share=[0.0, 0.1, 0.9, 1.0], dtype=["f4", "f8"])
def test_where_leaves_the_rest_of_out(decay, staircase, size, share, dtype):
    steps = np.arange(size).astype(dtype)
    mask = np.random.default_rng(0).random(size) < share
    out = np.full(size, -7, dtype)
    decay(steps, *HYPER, out=out, where=mask)
    assert_same_bits(
        out, np.where(mask, numpy_decay(steps, *HYPER, staircase, dtype), out.dtype.type(-7))
    )


def test_where_does_not_round_the_rest_of_a_wider_out(decay):
    out = np.full(3, 1 / 3)
    decay(np.ones(3, "f4"), *HYPER, out=out, where=[True, False, True])
    assert out[1] == 1 / 3


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")
def test_where_without_out(decay, staircase):
    mask = np.arange(50) % 3 == 0
    actual = decay(np.arange(50), *HYPER, where=mask)[mask]
    assert_same_bits(actual, numpy_decay(np.arange(50), *HYPER, staircase, "f8")[mask])


@pytest.mark.parametrize("where", [False, np.False_, [True], np.array([[True], [False]])], ids=repr)
def test_where_broadcasts(decay, where):
    expected = np.where(where, decay(np.arange(6.0), *HYPER), np.full((2, 6), -1.0))
    out = np.full((2, 6), -1.0)
    decay(np.arange(6.0), *HYPER, out=out, where=where)
    assert_same_bits(out, expected)


def test_where_must_be_boolean(decay):
    with pytest.raises(TypeError):
        decay(np.arange(3.0), *HYPER, where=np.array([1, 0, 1]), out=np.zeros(3))


def test_masked_elements_raise_no_flags(decay):
    steps = np.array([0.0, np.inf, 2.0])
    rate = np.array([1.0, 0.0, 1.0])
    with np.errstate(all="raise"):
        decay(steps, LR, DECAY_STEPS, rate, out=np.zeros(3), where=[True, False, True])


# ---------------------------------------------------------------- identity, subclasses, overrides


@pytest.mark.parametrize("name", ["continuous_decay", "staircase_decay"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_and_copied_by_public_name(name, protocol):
    ufunc = getattr(invdecay, name)
    data = pickle.dumps(ufunc, protocol)
    assert b"invdecay" in data
    assert b"_core" not in data
    assert b"_fallback" not in data
    assert pickle.loads(data) is ufunc
    assert copy.copy(ufunc) is ufunc
    assert copy.deepcopy(ufunc) is ufunc


def test_described_as_a_ufunc(native_decay, staircase):
    name = "staircase_decay" if staircase else "continuous_decay"
    assert (native_decay.nin, native_decay.nout, native_decay.nargs) == (4, 1, 5)
    assert native_decay.__name__ == name
    assert name in repr(native_decay)
    assert "decay" in native_decay.__doc__


class Labelled(np.ndarray):
    """A subclass that keeps its kind through `__array_wrap__`."""


def test_subclasses_come_back(decay):
    steps = np.arange(3.0).view(Labelled)
    assert type(decay(steps, *HYPER)) is Labelled
    assert type(decay(1.0, LR, steps + 1, RATE)) is Labelled
    assert type(decay(steps, *HYPER, subok=False)) is np.ndarray
    out = np.zeros(3)
    assert decay(steps, *HYPER, out=out) is out


@every(place=range(4), dtype=["i8", "f4", "f8"])
def test_masked_arrays_stay_masked(decay, place, dtype):
    operands = [np.array([3, 5, 7], "f8")] * 4
    operands[0] = operands[0].astype(dtype)
    plain = decay(*operands)
    operands[place] = np.ma.array(operands[place], mask=[False, True, False])
    result = decay(*operands)
    assert result.mask.tolist() == [False, True, False]
    assert_same_bits(result.data, plain)
    assert decay(*[x[1] for x in operands]) is np.ma.masked
    out = np.ma.array(np.zeros(3), mask=[True, False, False])
    assert decay(*operands, out=out) is out
    assert out.mask.tolist() == [False, True, False]


class Recorder:
    """An override that returns the arguments of each ufunc call."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return ufunc, method, inputs, kwargs


class Declines:
    """Declines every ufunc call."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return NotImplemented


class OptsOut:
    """Takes part in no ufunc call."""

    __array_ufunc__ = None


def test_overrides_receive_the_call(native_decay):
    recorder = Recorder()
    assert native_decay(recorder, *HYPER) == (native_decay, "__call__", (recorder, *HYPER), {})
    assert native_decay(1.0, LR, recorder, RATE)[2] == (1.0, LR, recorder, RATE)
    assert native_decay(1.0, *HYPER, out=recorder)[3] == {"out": (recorder,)}
    assert native_decay(1.0, *HYPER, recorder)[3] == {"out": (recorder,)}
    assert native_decay(Declines(), LR, recorder, RATE)[0] is native_decay
    assert native_decay(recorder, *HYPER, dtype="f4")[3] == {"dtype": "f4"}


@pytest.mark.parametrize("kind", [Declines, OptsOut])
def test_overrides_may_decline(decay, kind):
    with pytest.raises(TypeError):
        decay(kind(), *HYPER)


# ---------------------------------------------------------------- memory


def test_calls_leave_nothing_behind(decay, kernels):
    steps, out = np.arange(100), np.zeros(100)

    def calls():
        decay(steps, *HYPER)
        decay(steps[::-3], *HYPER, dtype="f4")
        decay(out, *HYPER, out=out)
        decay(5, *HYPER, where=False, out=out)
        kernels.fill_range(out, 0, 1, *HYPER, False, "float64")
        if kernels is not _fallback:
            decay(Recorder(), *HYPER)
        for bad in [(1j, *HYPER), (steps, *HYPER, out[:3]), (steps, LR), (Declines(), *HYPER)]:
            with pytest.raises((TypeError, ValueError)):
                decay(*bad)

    def blocks_after(rounds):
        for _ in range(rounds):
            calls()
        gc.collect()
        return sys.getallocatedblocks()

    before = blocks_after(100)  # with what caches keep
    assert blocks_after(1000) - before < 500  # one object a round would be 1000


# ---------------------------------------------------------------- other kinds of arrays


def test_pandas_comes_back(decay, staircase):
    pandas = pytest.importorskip("pandas")
    index = list("abc")
    expected = numpy_decay([0, 1000, 2500], *HYPER, staircase, "f8")
    series = pandas.Series([0, 1000, 2500], index=index, name="step")
    frame = series.to_frame()
    pandas.testing.assert_series_equal(
        decay(series, *HYPER), pandas.Series(expected, index=index, name="step")
    )
    pandas.testing.assert_frame_equal(
        decay(frame, *HYPER), pandas.DataFrame({"step": expected}, index=index)
    )


def test_xarray_comes_back(decay, staircase):
    xarray = pytest.importorskip("xarray")
    steps = xarray.DataArray([0, 1000, 2500], dims="step", coords={"step": [0, 1000, 2500]})
    result = decay(steps, *HYPER)
    expected = xarray.DataArray(
        numpy_decay(steps.values, *HYPER, staircase, "f8"), dims="step", coords=steps.coords
    )
    xarray.testing.assert_identical(result, expected)


@pytest.mark.parametrize("dtype", ["i8", "f4", "f8"])
def test_dask_stays_lazy(decay, staircase, dtype):
    array = pytest.importorskip("dask.array")
    steps = array.arange(10_000, chunks=3000, dtype=dtype)
    result = decay(steps, *HYPER)
    assert isinstance(result, array.Array)
    assert result.chunks == steps.chunks
    expected = numpy_decay(np.arange(10_000, dtype=dtype), *HYPER, staircase, result.dtype)
    assert_same_bits(result.compute(scheduler="synchronous"), expected)
