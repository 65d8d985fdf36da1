"""Arrays past 2^31 elements: 8 GiB, in place."""

import numpy as np
import pytest
from invdecay import InverseTimeDecay, staircase_decay
from support.oracle import assert_same_bits

BLOCK = 1 << 22
LENGTH = 2**31 + BLOCK + 12_345
HYPER = 0.1, 1000.0, 0.5


def blocks_to_check():
    """Both ends, both sides of 2^31, and some between."""
    return [0, 5 * 10**8, 2**30 - BLOCK // 2, 2**31 - BLOCK // 2, LENGTH - BLOCK]


@pytest.mark.slow
def test_past_2_31_elements_in_place():
    table = np.empty(LENGTH, np.float32)
    for i in range(0, LENGTH, BLOCK):
        table[i : i + BLOCK] = np.arange(i, min(i + BLOCK, LENGTH))
    assert staircase_decay(table, *HYPER, out=table) is table
    for i in blocks_to_check():
        steps = np.arange(i, i + BLOCK).astype(np.float32)
        assert_same_bits(table[i : i + BLOCK], staircase_decay(steps, *HYPER))
    schedule = InverseTimeDecay(*HYPER, dtype="float32")
    schedule.precompute(LENGTH, out=table)
    for i in blocks_to_check():
        assert_same_bits(table[i : i + BLOCK], schedule(np.arange(i, i + BLOCK)))
