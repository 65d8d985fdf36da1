"""Arrays of other libraries, by the array API: same kind, same values, on array-api-strict."""

import array_api_strict as xp
import numpy as np
import pytest
from invdecay import InverseTimeDecay, inverse_time_decay
from support.oracle import assert_same_bits, numpy_decay

HYPER = 0.1, 1000, 0.5
DEVICES = [None, xp.Device("device1")]
STEPS = ["bool", "int8", "uint16", "int32", "int64", "float32", "float64"]


def numpy_of(array):
    """The values of a strict array, wherever it lives."""
    return np.asarray(array.to_device(xp.Device("CPU_DEVICE")))


def steps_of(dtype, device=None):
    return xp.astype(xp.reshape(xp.arange(120, device=device), (5, 24)), getattr(xp, dtype))


@pytest.mark.parametrize("device", DEVICES, ids=["default device", "device1"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", STEPS)
def test_schedule_gives_that_librarys_array(staircase, steps, dtype, device):
    at = steps_of(steps, device)
    result = InverseTimeDecay(*HYPER, staircase, dtype=dtype)(at)
    assert type(result) is type(at)
    assert result.device == at.device
    expected = numpy_decay(numpy_of(at), *HYPER, staircase, dtype)
    assert_same_bits(numpy_of(result), expected)


@pytest.mark.parametrize("steps", STEPS)
def test_function_gives_that_librarys_array(staircase, steps):
    at = steps_of(steps)
    result = inverse_time_decay(at, *HYPER, staircase)
    assert type(result) is type(at)
    dtype = "float32" if steps == "float32" else "float64"
    assert_same_bits(numpy_of(result), numpy_decay(numpy_of(at), *HYPER, staircase, dtype))


def test_function_takes_that_librarys_hyperparameters(staircase):
    at = steps_of("float64")
    rate = xp.asarray([[0.5]], dtype=xp.float64)
    result = inverse_time_decay(at, 0.1, 1000, rate, staircase)
    assert_same_bits(numpy_of(result), numpy_decay(numpy_of(at), *HYPER, staircase, "f8"))


def test_zero_dimensional(staircase):
    result = InverseTimeDecay(*HYPER, staircase)(xp.asarray(1500))
    assert result.shape == ()
    assert float(result) == InverseTimeDecay(*HYPER, staircase)(1500)


@pytest.mark.parametrize(
    "call", [InverseTimeDecay(*HYPER), lambda at: inverse_time_decay(at, *HYPER)]
)
def test_complex_steps_are_refused(call):
    with pytest.raises(TypeError, match="step must"):
        call(xp.asarray([1j]))


def test_ufunc_keywords_need_numpy_steps():
    with pytest.raises(TypeError, match="NumPy"):
        inverse_time_decay(steps_of("float32"), *HYPER, out=np.zeros((5, 24)))
    with pytest.raises(TypeError, match="NumPy"):
        inverse_time_decay(steps_of("float32"), *HYPER, where=True)


# ---------------------------------------------------------------- operands of several kinds


OTHER_STEPS = [range(0, 3000, 7), np.arange(0, 3000, 7), list(range(9)), 700, 700.5, np.int32(7)]


@pytest.mark.parametrize("steps", OTHER_STEPS, ids=lambda steps: type(steps).__name__)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_hyperparameter_decides_whose_call_it_is(staircase, steps, place):
    hyper = [0.1, 49.0, 0.37]
    array = xp.asarray(hyper[place], device=DEVICES[1], dtype=xp.float64)
    operands = [array if i == place else number for i, number in enumerate(hyper)]
    result = inverse_time_decay(steps, *operands, staircase)
    assert type(result) is type(array)
    assert result.device == DEVICES[1]
    assert_same_bits(numpy_of(result), numpy_decay(np.asarray(steps), *hyper, staircase, "f8"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_hyperparameters_beside_that_librarys_steps(staircase, dtype):
    rates = np.array([[0.5], [0.37]], dtype)
    result = inverse_time_decay(xp.arange(120), 0.1, 49, rates, staircase)
    expected = numpy_decay(np.arange(120), 0.1, 49, rates, staircase, dtype)
    assert_same_bits(numpy_of(result), expected)
    rates = [[0.5], [0.37]]
    result = inverse_time_decay(xp.arange(120), 0.1, 49, rates, staircase)
    expected = numpy_decay(np.arange(120), 0.1, 49, rates, staircase, "f8")
    assert_same_bits(numpy_of(result), expected)


def test_the_widest_floating_array_gives_the_dtype():
    wide, narrow = xp.asarray([0.5], dtype=xp.float64), xp.asarray([0.5], dtype=xp.float32)
    integers = xp.asarray([10])
    assert inverse_time_decay(narrow, 0.1, integers, narrow).dtype == xp.float32
    assert inverse_time_decay(narrow, 0.1, integers, wide).dtype == xp.float64
    assert inverse_time_decay(wide, 0.1, integers, narrow).dtype == xp.float64
    assert inverse_time_decay(integers, 0.1, 10, narrow).dtype == xp.float32
    assert inverse_time_decay(integers, np.float64(0.1), 10, narrow).dtype == xp.float32
    assert inverse_time_decay(integers, np.array([0.1]), 10, narrow).dtype == xp.float64


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ((xp.arange(3), xp.asarray([1j]), 10, 1.0), "initial_learning_rate must hold real numbers"),
        ((xp.arange(3), 0.1, xp.asarray([True]), 1.0), "decay_steps must hold real numbers"),
        ((xp.arange(3), 0.1, 10, np.array(["1"])), "decay_rate must hold real numbers"),
        ((xp.arange(3), 0.1, 10, "1"), "decay_rate must be a real number"),
        ((["1"], xp.asarray(0.1), 10, 1.0), "step must hold real numbers"),
        ((np.array([1j]), xp.asarray(0.1), 10, 1.0), "step must hold real numbers"),
        ((np.array(["2026"], "M8[Y]"), xp.asarray(0.1), 10, 1.0), "step must hold real numbers"),
        ((None, xp.asarray(0.1), 10, 1.0), "step must hold real numbers"),
    ],
)
def test_what_is_not_real_is_refused_by_name(operands, message):
    with pytest.raises(TypeError, match=message):
        inverse_time_decay(*operands)


def test_overriding_arrays_beside_another_librarys_are_refused():
    dask = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="decay_rate must be a number or an array of"):
        inverse_time_decay(xp.arange(3), 0.1, 10, dask.ones(3))
    with pytest.raises(TypeError, match="step must be a number or an array of"):
        inverse_time_decay(dask.ones(3), 0.1, 10, xp.ones(3))


def test_keywords_are_refused_where_a_hyperparameter_is_another_librarys():
    for keywords in {"out": np.zeros(3)}, {"where": True}, {"dtype": "f2"}, {"casting": "safe"}:
        with pytest.raises(TypeError, match=r"NumPy operands|dtype must be float32"):
            inverse_time_decay(np.arange(3), 0.1, 10, xp.asarray(1.0), **keywords)


def test_a_range_may_reach_over_all_of_int64():
    steps = range(-(2**63), 2**63, 2**64 - 1)
    result = inverse_time_decay(steps, xp.asarray(0.1), 1e30, 0.5)
    expected = numpy_decay(np.array(list(steps)), 0.1, 1e30, 0.5, False, "f8")
    assert_same_bits(numpy_of(result), expected)
    assert inverse_time_decay(range(0), xp.asarray(0.1), 1e30, 0.5).shape == (0,)
    with pytest.raises(OverflowError, match="steps must fit int64"):
        inverse_time_decay(range(2**63, 2**63 + 3), xp.asarray(0.1), 10, 0.5)


@pytest.mark.parametrize("step", [2**53 + 1, 2**62 + 2**38 + 1, -(2**70), 10**400, -(10**400)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integers_beyond_the_dtype_are_rounded_once(step, dtype):
    rate = xp.asarray(0.5, dtype=getattr(xp, dtype))
    result = inverse_time_decay(step, 0.1, 1e30, rate)
    assert float(result) == InverseTimeDecay(0.1, 1e30, 0.5, dtype=dtype)(step)


# ---------------------------------------------------------------- bfloat16 of ml_dtypes


def test_small_floats_of_ml_dtypes_are_promoted_to_float32(staircase):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.float16:
        steps = np.arange(0, 200, 4).astype(dtype)
        rates = np.array([0.5]).astype(dtype)
        for evaluate in (
            lambda at: inverse_time_decay(at, 0.1, 9, 0.5, staircase),
            lambda at: inverse_time_decay(at, 0.1, 9, rates, staircase),  # noqa: B023
            InverseTimeDecay(0.1, 9, 0.5, staircase, dtype="float32"),
        ):
            expected = numpy_decay(steps.astype("f4"), 0.1, 9, 0.5, staircase, "f4")
            assert_same_bits(evaluate(steps), expected)
        result = inverse_time_decay(steps, 0.1, 9, xp.asarray(0.5, dtype=xp.float32), staircase)
        assert_same_bits(numpy_of(result), expected)


# ---------------------------------------------------------------- PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs the extra invdecay[torch]")


@pytest.mark.parametrize("steps", ["int32", "float16", "bfloat16", "float32", "float64"])
def test_the_default_device_does_not_move_results(torch, staircase, steps):
    """Results are where the steps are, and not where new tensors are made."""
    at = torch.arange(0, 120, device="cpu").to(getattr(torch, steps))
    schedule = InverseTimeDecay(0.1, 9, 0.5, staircase, dtype="float32")
    expected = numpy_decay(at.float().numpy(), 0.1, 9, 0.5, staircase, "f4")
    rate = torch.tensor(0.5)
    with torch.device("meta"):
        results = [schedule(at), inverse_time_decay(at.float(), 0.1, 9, rate, staircase)]
        results += [inverse_time_decay(at.int().tolist(), 0.1, 9, rate, staircase)]
        unallocated = schedule(at.to("meta"))
    for result in results:
        assert result.device.type == "cpu"
        assert_same_bits(result.numpy(), expected)
    assert unallocated.device.type == "meta"
    assert unallocated.dtype == torch.float32


@pytest.mark.parametrize("steps", ["float16", "bfloat16", "float8_e4m3fn"])
def test_small_float_tensors_are_promoted_to_float32(torch, staircase, steps):
    at = torch.arange(0, 240, 4).to(getattr(torch, steps))
    expected = numpy_decay(at.float().numpy(), 0.1, 9, 0.5, staircase, "f4")
    schedule = InverseTimeDecay(0.1, 9, 0.5, staircase, dtype="float32")
    assert_same_bits(schedule(at).numpy(), expected)
    assert_same_bits(inverse_time_decay(at, 0.1, 9, 0.5, staircase).numpy(), expected)
    assert_same_bits(inverse_time_decay(at, 0.1, 9, torch.tensor(0.5), staircase).numpy(), expected)


def test_a_16_bit_default_dtype_is_not_computed_in(torch):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        result = inverse_time_decay(torch.arange(300), 0.1, 9, 0.5)
    finally:
        torch.set_default_dtype(before)
    assert_same_bits(result.numpy(), numpy_decay(np.arange(300), 0.1, 9, 0.5, False, "f4"))


def test_gradients_by_a_tensor_hyperparameter_beside_other_steps(torch):
    for steps in 5, 5.0, np.float64(5), range(5, 6), np.array([5]), [5]:
        rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        inverse_time_decay(steps, 0.1, 10, rate).sum().backward()
        assert float(rate.grad) == pytest.approx(-0.1 * 0.5 / 1.25**2, rel=1e-12)


def test_compiling_a_call_warns_of_nothing_and_keeps_the_bits(torch, staircase):
    torch.compiler.reset()
    schedule = InverseTimeDecay(0.1, 49, 0.37, staircase, dtype="float32")
    steps = torch.arange(10_000)
    compiled = torch.compile(lambda at: schedule(at), backend="aot_eager", fullgraph=True)
    expected = numpy_decay(np.arange(10_000), 0.1, 49, 0.37, staircase, "f4")
    assert_same_bits(compiled(steps).numpy(), expected)


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_traced_operations_depend_on_their_input(torch, staircase, mode):
    """A mode records operations on plain tensors: a result made outside would be a constant."""
    from torch.fx.experimental.proxy_tensor import make_fx

    schedule = InverseTimeDecay(0.1, 49, 0.37, staircase, dtype="float32")
    traced = make_fx(schedule, tracing_mode=mode)(torch.arange(100))
    steps = torch.arange(100, 200)
    assert_same_bits(traced(steps).numpy(), schedule(steps.numpy()))


def test_tensors_report_no_flags_whatever_they_need(torch):
    schedule = InverseTimeDecay(0.1, 1, -1.0, dtype="float32")
    for needs_gradient in True, False:
        steps = torch.arange(3.0, requires_grad=needs_gradient)
        with np.errstate(all="raise"):
            assert schedule(steps).isinf().tolist() == [False, True, False]


def test_jax_keys_are_refused_by_name():
    jax = pytest.importorskip("jax", reason="needs the extra invdecay[frameworks]")
    with pytest.raises(TypeError, match="step must hold real numbers, got an array of key"):
        inverse_time_decay(jax.random.key(0), *HYPER)
    with pytest.raises(TypeError, match="decay_rate must hold real numbers, got an array of key"):
        inverse_time_decay(jax.numpy.arange(3), 0.1, 10, jax.random.key(0))


def test_arrays_of_two_libraries_are_refused(torch):
    with pytest.raises(TypeError, match="Multiple namespaces"):
        inverse_time_decay(torch.arange(3), 0.1, 10, xp.ones(3))
