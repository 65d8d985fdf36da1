"""Times that can be compared: calls interleaved in one run, judged by the median of ratios.

Virtual processors change their speed from second to second. A time by itself says little, and
times taken one after the other say less. So the report compares neighbouring calls alone.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from timeit import Timer
from typing import TypeVar

import numpy as np
import numpy.typing as npt

PAUSE = 5e-3
"""Seconds between peers: a library's threads may spin for a while after its last call."""

_SHORTEST = 2e-3
"""Seconds below which a call is repeated, so that the clock's own cost does not count."""

Times = npt.NDArray[np.float64]
Name = TypeVar("Name", bound=Hashable)


def interleaved(
    calls: Mapping[Name, Callable[[], object]], rounds: int, pause: float = 0.0
) -> dict[Name, Times]:
    """Return the seconds per call of each of `calls` in each round.

    A round times every call once, forwards and backwards by turns, so that none always follows
    the same neighbour. Every call runs untimed before.
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
    while timer.timeit(number) < _SHORTEST:
        number *= 2
    return number


def figure(x: float) -> str:
    """Return `x` in about three digits."""
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"
