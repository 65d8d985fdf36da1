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
