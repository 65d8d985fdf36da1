"""Times that can be compared: calls interleaved in one run, judged by the median of pairs.

Virtual processors change their speed from second to second, so that a time by itself says
little, and times taken one after the other less. All figures of the report are ratios of
neighbouring calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from timeit import Timer
from typing import Any

import numpy as np
import numpy.typing as npt

PAIRS = 9
"""Pairs that a ratio is the median of, unless told otherwise."""

_SHORTEST = 2e-3
"""Seconds below which a call is repeated, so that the clock's own cost does not count."""


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int = PAIRS
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the seconds per call of each of `calls` in each round.

    A round times every call once, forwards and backwards by turns, so that none always follows
    the same neighbour. Every call runs once untimed before.
    """
    timers = {name: Timer(call) for name, call in calls.items()}
    numbers = {name: _repetitions(timer) for name, timer in timers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(rounds):
        for name in list(calls)[:: -1 if k % 2 else 1]:
            seconds[name].append(timers[name].timeit(numbers[name]) / numbers[name])
    return {name: np.array(values) for name, values in seconds.items()}


def _repetitions(timer: Timer) -> int:
    """How many calls take `_SHORTEST`."""
    timer.timeit(1)
    number = 1
    while (taken := timer.timeit(number)) < _SHORTEST:
        number = max(2 * number, int(number * _SHORTEST / max(taken, 1e-7)))
    return number


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one call is as another, over all pairs of neighbouring calls."""

    median: float
    low: float
    high: float
    seconds: float
    """Median time of the first call."""
    other_seconds: float
    """Median time of the second call."""

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)} to {figure(self.high)})"


def figure(x: float) -> str:
    """Return `x` in three digits or so."""
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def speed_ratio(first: Callable[[], Any], second: Callable[[], Any], pairs: int = PAIRS) -> Ratio:
    """Return how many times as fast `first` is as `second`: the time of `second` over `first`'s."""
    times = interleaved({"first": first, "second": second}, pairs)
    ratios = times["second"] / times["first"]
    return Ratio(
        float(np.median(ratios)),
        float(ratios.min()),
        float(ratios.max()),
        float(np.median(times["first"])),
        float(np.median(times["second"])),
    )
