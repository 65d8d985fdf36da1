"""The formula in Python: the fallback, single numbers and other array libraries all use it."""

import math
from collections.abc import Callable
from typing import Any


def formula(
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    floor: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the learning rate in the arithmetic of the operands, each operation rounded once.

    The order of operations is Keras's and is part of the numeric contract. `floor` is the floor
    function of the operands' library for the staircase form, None for the continuous one. Where
    a compiler rewrites the library's arithmetic, the operands are `_exact.Exact`.
    """
    return initial_learning_rate / denominator(step, decay_steps, decay_rate, floor)


def denominator(
    step: Any, decay_steps: Any, decay_rate: Any, floor: Callable[[Any], Any] | None = None
) -> Any:
    """Return by how much the formula divides the initial learning rate at `step`."""
    p = step / decay_steps
    if floor is not None:
        p = floor(p)
    return 1 + decay_rate * p


def float_step(step: float, narrow: bool) -> float:
    """Return a Python number as a float, infinite beyond float64's range.

    Where `narrow`, the float rounds to float32 as the exact `step` does. Past 2**53 an integer
    would be rounded twice on its way there: all but its leading bits are folded into one sticky
    bit, which float64 holds exactly.
    """
    try:
        if narrow and isinstance(step, int) and not -(2**53) <= step <= 2**53:
            shift = step.bit_length() - 50
            step = (step >> shift | (step & ((1 << shift) - 1) != 0)) << shift
        return float(step)
    except OverflowError:
        return math.inf if step > 0 else -math.inf
