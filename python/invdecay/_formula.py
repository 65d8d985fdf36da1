"""The formula in Python: the fallback, single numbers and other array libraries all use it."""

from collections.abc import Callable
from typing import Any


def formula(
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    floor: Callable[[Any], Any] | None,
) -> Any:
    """Inverse time decay of `step` in the arithmetic of its operands, each operation rounded once.

    The order of operations is Keras's and is part of the numeric contract. `floor` is the floor
    function of the operands' library for the staircase form, None for the continuous one.
    """
    p = step / decay_steps
    if floor is not None:
        p = floor(p)
    return initial_learning_rate / (1 + decay_rate * p)
