"""Evaluation of the schedule, shared by the function and the class."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


def kept_arrays(
    narrow: bool, initial_learning_rate: Any, decay_steps: Any, decay_rate: Any
) -> tuple[npt.NDArray[Any], ...] | None:
    """Return checked Python numbers as 0-d arrays of the dtype they take beside such steps.

    `narrow` is for float16 and float32 steps. NumPy takes longer to convert three numbers than to
    evaluate 1,000 steps, so the arrays are kept. None for whatever is not three good Python
    numbers, and for an initial learning rate of zero: 0.0 and -0.0 are one key.
    """
    try:
        return _kept_arrays(narrow, initial_learning_rate, decay_steps, decay_rate)
    except TypeError:  # not hashable: an array or a list
        return None


@lru_cache(maxsize=128, typed=True)
def _kept_arrays(narrow: bool, *numbers: Any) -> tuple[npt.NDArray[Any], ...] | None:
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return None
    if numbers[0] == 0 or numbers[1] <= 0:
        return None
    with np.errstate(over="ignore", under="ignore"):
        arrays = [np.asarray(number, np.float32 if narrow else np.float64) for number in numbers]
    for array in arrays:
        array.flags.writeable = False
    return tuple(arrays)
