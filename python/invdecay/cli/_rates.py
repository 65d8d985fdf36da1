"""What is worth knowing of a table's rates, from its formula alone: nothing is scanned."""

import bisect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import InverseTimeDecay


class Rates:
    """The rates of a schedule at a range of steps, as a table of some dtype has them.

    The denominator of the formula rises or falls throughout, since every rounded operation is
    monotonic. Where it keeps its sign, the rates rise or fall throughout as well. A few dozen
    of them therefore tell where they change sign, overflow, or are the smallest and largest.
    """

    def __init__(self, schedule: InverseTimeDecay, steps: range, dtype: np.dtype[Any]) -> None:
        self.schedule, self.steps = schedule, steps
        self._one = np.empty(1, dtype.newbyteorder("="))

    def at(self, index: int) -> Any:
        """Return the rate that the table has at an index, as a scalar of its dtype."""
        self.schedule._fill(self._one, self.steps[index : index + 1])
        return self._one[0]

    def _is_finite(self, index: int) -> bool:
        return bool(np.isfinite(self.at(index)))

    def _is_unusual(self, index: int) -> bool:
        rate = self.at(index)
        return not np.isfinite(rate) or rate < 0

    def _parts(self) -> list[tuple[int, int]]:
        """Return where steps and rates have one sign each, and rise or fall throughout."""
        steps, end = self.steps, len(self.steps)
        zero = _first(lambda index: (steps[index] < 0) != (steps[0] < 0), 0, end)
        parts = []
        for low, high in (0, zero), (zero, end):
            if low < high:
                # A rate of NaN, from 0 times an overflow, is the farthest one from step 0.
                middle = _first(partial(self._differs_in_sign, low), low, high)
                parts += [(low, middle), (middle, high)]
        return [(low, high) for low, high in parts if low < high]

    def _differs_in_sign(self, one: int, other: int) -> bool:
        return bool(np.signbit(self.at(one)) != np.signbit(self.at(other)))

    def first_unusual(self) -> int | None:
        """Return the index of the first rate that is negative or not finite, None without one."""
        for low, high in self._parts():
            # Rates that are 0 or finite are on one side of all that are not.
            found = low if self._is_unusual(low) else _first(self._is_unusual, low, high)
            if found < high:
                return found
        return None

    def extremes(self) -> tuple[Any, Any] | None:
        """Return the smallest and the largest finite rate, None without any."""
        finite: list[int] = []
        for low, high in self._parts():
            if self._is_finite(low):
                finite += [low, _first(lambda index: not self._is_finite(index), low, high) - 1]
            elif self._is_finite(high - 1):
                finite += [_first(self._is_finite, low, high), high - 1]
        rates = [self.at(index) for index in finite]
        return (min(rates), max(rates)) if rates else None

    def warning(self) -> str | None:
        """Say where the first negative or non-finite rate is, and why; None without one."""
        index = self.first_unusual()
        if index is None:
            return None
        rate, step, schedule = self.at(index), self.steps[index], self.schedule
        with np.errstate(all="ignore"):
            p = schedule.dtype.type(step) / schedule.dtype.type(schedule.decay_steps)
            if schedule.staircase:
                p = np.floor(p)
            denominator = 1 + schedule.dtype.type(schedule.decay_rate) * p
        if math.isinf(rate):
            value = "infinite"
        elif math.isnan(rate):
            value = "not a number"
        else:
            value = f"negative, {rate}"
        return (
            f"the first rate that is negative or not finite is at step {step}: it is {value},"
            f" since the denominator is {denominator:.6g}"
        )


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first index from which on something holds, `high` if it never does."""
    return low + bisect.bisect_left(range(low, high), True, key=holds)
