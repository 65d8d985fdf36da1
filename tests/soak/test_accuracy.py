"""The error against the true value stays within the bound that accuracy.py derives."""

import pytest
from programs import accuracy


@pytest.mark.parametrize("limit", accuracy.LIMITS.values(), ids=accuracy.LIMITS)
@pytest.mark.parametrize("dtype", accuracy.PRECISION)
def test_error_is_within_the_bound(staircase, dtype, limit):
    found = accuracy.errors(limit, dtype, staircase, samples=500)
    assert found.largest <= accuracy.bound(limit, dtype, staircase)
    if limit <= 2 ** accuracy.PRECISION[dtype]:
        assert found.wrong_stairs == 0
