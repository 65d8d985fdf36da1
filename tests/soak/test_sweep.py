"""Every float32 step there is, both forms: each target has the fallback's bits.

`tests/native/sweep.cc` does the same against a reference in C++, in CI for two of its sets.
"""

import numpy as np
import pytest
from invdecay import _backend, _fallback
from support.kernels import kernels_of, ufunc
from support.oracle import bits

SETS = {
    "ordinary": (0.1, 1000, 0.5),
    "one step": (0.1, 1, 0.5),
    "thirds": (0.1, 1 / 3, 1 / 3),
    "powers of two": (0.5, 1024, 0.25),
    "quotient laid open": (1, 2147483520, -1),
    "decay_steps not representable": (0.1, 16777217, 0.1),
    "negative rate": (0.1, 1000, -0.5),
    "denominator through zero": (0.1, 1, -1),
    "zero over zero": (0, 3, -1),
    "negative learning rate": (-0.1, 999.999, 0.5),
    "no decay": (0.1, 1000, 0),
    "subnormal results": (3e-38, 7, 0.5),
    "tiny": (1e-30, 1e-30, 1e-30),
    "huge": (1e30, 1e30, 1e30),
    "decay_steps subnormal": (0.1, 3e-39, 1e-30),
    "overflow": (0.1, 1e-30, 1e30),
}
CHUNK = 1 << 16


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_float32_step(name, staircase):
    hyper = [np.float32(x) for x in SETS[name]]
    natives = [ufunc(kernels_of(target), staircase) for target in _backend.available_targets]
    assert natives
    expected, actual = np.empty(CHUNK, "f4"), np.empty(CHUNK, "f4")
    with np.errstate(all="ignore"):
        for start in range(0, 1 << 32, CHUNK):
            steps = np.arange(start, start + CHUNK, dtype="u4").view("f4")
            ufunc(_fallback, staircase)(steps, *hyper, expected)
            for native in natives:
                native(steps, *hyper, actual)
                # NaN of any payload and sign are one; everything else by its bits.
                if not np.array_equal(actual.view("u4"), expected.view("u4")):
                    np.testing.assert_array_equal(bits(actual), bits(expected), f"from {start}")
