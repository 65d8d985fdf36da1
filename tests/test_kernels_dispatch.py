"""The result of a ufunc call depends on its arguments alone, never on the calls before it.

NumPy remembers for each ufunc object which loop it chose for which dtypes. Here one ufunc sees a
random sequence of calls, and a new ufunc, which remembers nothing, repeats each of them.
"""

import random
from typing import Any

import numpy as np
import pytest
from invdecay import _backend

pytestmark = pytest.mark.skipif(
    _backend.backend != "native", reason="the fallback has plain functions, not ufuncs"
)

DTYPES = ["?", "i1", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "F"]
STEPS: list[Any] = [1, 2.5, True, np.float32(7), np.int16(9), np.float64(3)]
HYPERPARAMETERS: list[Any] = [0.5, 10, np.float32(0.25), np.float64(4), np.float16(2)]
CASTINGS = ["no", "equiv", "safe", "same_kind", "unsafe"]

Call = tuple[str, list[Any], dict[str, Any]]


def random_call(rng: random.Random, dtypes: list[str]) -> Call:
    """Return a method's name, its operands of `dtypes` and its keywords."""
    keywords: dict[str, Any] = {}
    kind = rng.randrange(5)
    if kind == 0:
        keywords["signature"] = tuple(rng.choice([None, None, *dtypes]) for _ in range(5))
    elif kind == 1:
        keywords["dtype"] = rng.choice(dtypes)
    elif kind == 2:
        keywords["signature"] = (rng.choice(dtypes), None, None, None, None)
    elif kind == 3:
        keywords["signature"] = (None, None, None, None, rng.choice(["f4", "f8", "f2"]))
    if rng.randrange(4) == 0:
        keywords["casting"] = rng.choice(CASTINGS)
    if rng.randrange(4) == 0:
        asked = [np.dtype(rng.choice(dtypes)) for _ in range(4)]
        return "resolve_dtypes", [(*asked, None)], keywords
    arrays = [np.arange(3).astype(dtype) for dtype in dtypes]
    operands = [rng.choice([rng.choice(STEPS), *arrays])]
    operands += [rng.choice([rng.choice(HYPERPARAMETERS), 0.5, *arrays]) for _ in range(3)]
    if rng.randrange(6) == 0:
        keywords["out"] = np.zeros(3, rng.choice(["f2", "f4", "f8"]))
    return "__call__", operands, keywords


def outcome(ufunc: Any, call: Call) -> object:
    """Return the dtype and the bytes of the result, or the error."""
    method, operands, keywords = call
    keywords = {key: np.copy(v) if key == "out" else v for key, v in keywords.items()}
    try:
        with np.errstate(all="ignore"):
            result = getattr(ufunc, method)(*operands, **keywords)
    except Exception as error:
        return type(error), str(error)
    if method == "resolve_dtypes":
        return result
    return result.dtype, type(result), np.asarray(result).tobytes()


def check_sequence(seed: int, length: int) -> None:
    """Make `length` random calls of one ufunc, and each of them of a new one."""
    rng = random.Random(seed)
    target = rng.choice(_backend.available_targets)
    name = rng.choice(["continuous_decay", "staircase_decay"])
    ufunc = getattr(_backend.module.kernels(target), name)
    dtypes = rng.sample(DTYPES, 2)  # few, so that the same dtypes meet again
    for _ in range(length):
        call = random_call(rng, dtypes)
        expected = outcome(getattr(_backend.module.kernels(target), name), call)
        assert outcome(ufunc, call) == expected, (seed, call)


@pytest.mark.parametrize("seed", range(40))
def test_a_call_does_not_depend_on_earlier_calls(seed: int) -> None:
    check_sequence(seed, 60)


def test_a_fixed_input_does_not_decide_later_calls() -> None:
    ufunc = _backend.module.kernels(_backend.available_targets[0]).continuous_decay
    steps, rates = np.arange(4, dtype="f4"), np.full(4, 0.1)
    fixed = ufunc(steps, rates, 10.0, 0.5, signature=("f4", None, None, None, None))
    assert fixed.dtype == np.float64  # only a fixed output decides the arithmetic
    assert ufunc(steps, rates, 10.0, 0.5).dtype == np.float64


@pytest.mark.slow
def test_no_call_of_ten_thousand_sequences_depends_on_earlier_calls() -> None:
    for seed in range(1000, 11_000):
        check_sequence(seed, 12)
