"""Times that can be compared: calls interleaved in one run, judged by the median of ratios.

Virtual processors change their speed from second to second. A time by itself says little, and
times taken one after the other say less. All figures of the report compare neighbouring calls.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from timeit import Timer
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

ROUNDS = 7
"""Rounds that a ratio is the median of, unless told otherwise."""

PAUSE = 5e-3
"""Seconds between peers: a library's threads may spin for a while after its last call."""

_SHORTEST = 2e-3
"""Seconds below which a call is repeated, so that the clock's own cost does not count."""

Times = npt.NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


def interleaved(
    calls: Mapping[Name, Callable[[], object]], rounds: int = ROUNDS, pause: float = 0.0
) -> dict[Name, Times]:
    """Return the seconds per call of each of `calls` in each round.

    A round times every call once, forwards and backwards by turns, so that none always follows
    the same neighbour. Every call runs once untimed before.
    """
    timers = {name: Timer(call) for name, call in calls.items()}
    numbers = {name: _repetitions(timer) for name, timer in timers.items()}
    seconds: dict[Name, list[float]] = {name: [] for name in calls}
    for k in range(rounds):
        for name in list(calls)[:: -1 if k % 2 else 1]:
            time.sleep(pause)
            seconds[name].append(timers[name].timeit(numbers[name]) / numbers[name])
    return {name: np.array(values) for name, values in seconds.items()}


def _repetitions(timer: Timer) -> int:
    """Return how many calls take `_SHORTEST`."""
    timer.timeit(1)
    number = 1
    while (taken := timer.timeit(number)) < _SHORTEST:
        number = max(2 * number, int(number * _SHORTEST / max(taken, 1e-7)))
    return number


@dataclass(frozen=True)
class Ratio:
    """A quotient of two calls' times in the same rounds: median, lowest and highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)} to {figure(self.high)})"


def ratio(dividend: Times, divisor: Times) -> Ratio:
    """Return the quotient of two calls' times."""
    quotients = dividend / divisor
    return Ratio(float(np.median(quotients)), float(quotients.min()), float(quotients.max()))


def figure(x: Any) -> str:
    """Return `x` in about three digits."""
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"
