"""The reference itself: Keras's InverseTimeDecay on its NumPy backend.

Keras evaluates in float32, whatever the step's dtype, so float32 results equal its own bit for bit.
"""

import os

import numpy as np
import pytest
from invdecay import InverseTimeDecay, inverse_time_decay
from support.oracle import assert_same_bits

os.environ.setdefault("KERAS_BACKEND", "numpy")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "numpy":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

SCHEDULES = {
    "TensorFlow tutorial": (0.001, 20 * 1000, 1),
    "Keras page": (0.1, 1.0, 0.5),
    "stairs of 1000": (0.1, 1000, 0.5),
    "not representable": (0.01, 333.3, 0.1),
}


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES)
def hyper(request):
    return request.param


@pytest.fixture
def reference(hyper, staircase):
    """Keras's learning rates at an array of steps."""
    schedule = keras.optimizers.schedules.InverseTimeDecay(*hyper, staircase=staircase)

    def rates(steps):
        return np.asarray(keras.ops.convert_to_numpy(schedule(steps)))

    return rates


@pytest.fixture
def schedule(hyper, staircase):
    return InverseTimeDecay(*hyper, staircase, dtype="float32")


def test_reference_is_float32(reference):
    assert reference(np.arange(3)).dtype == np.float32


def test_first_million_steps(reference, schedule):
    assert_same_bits(schedule.precompute(1_000_000), reference(np.arange(1_000_000)))


@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "f8"])
def test_samples_up_to_a_hundred_million(reference, schedule, dtype):
    steps = np.sort(np.random.default_rng(0).integers(0, 10**8, 200_000)).astype(dtype)
    assert_same_bits(schedule(steps), reference(steps))


def test_single_steps_equal_eager_calls(reference, schedule):
    for step in (0, 1, 999, 1000, 20_000, 10**8, 2**24 + 1):
        rate = schedule(step)
        assert type(rate) is float
        assert rate == float(reference(step))


def test_function_on_float32_steps(reference, hyper, staircase):
    steps = np.arange(100_000, dtype="f4")
    assert_same_bits(inverse_time_decay(steps, *hyper, staircase), reference(steps))


def test_configuration_is_keras(hyper, staircase):
    theirs = keras.optimizers.schedules.InverseTimeDecay(*hyper, staircase=staircase).get_config()
    assert InverseTimeDecay(*hyper, staircase).get_config() == theirs
    assert InverseTimeDecay.from_config(theirs) == InverseTimeDecay(*hyper, staircase)


@pytest.mark.slow
def test_all_of_a_hundred_million_steps(reference, schedule):
    table = schedule.precompute(10**8)
    for start in range(0, 10**8, 10**7):
        part = slice(start, start + 10**7)
        assert_same_bits(table[part], reference(np.arange(part.start, part.stop)))
