"""What the learning rate must be, computed twice over without the package.

`exact_decay` computes in exact rationals and rounds after each operation; `numpy_decay` is the
formula as people write it in NumPy. Both stand apart from the code under test on purpose.
"""

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Format(NamedTuple):
    """A binary floating-point format of IEEE 754."""

    precision: int
    min_exponent: int
    max_exponent: int


FORMATS = {"float32": Format(24, -126, 127), "float64": Format(53, -1022, 1023)}


def rounded(x: Fraction | int | float, form: Format) -> float:
    """`x` rounded to nearest, ties to even, as the float64 that holds the result exactly."""
    if isinstance(x, float) and (x == 0 or not math.isfinite(x)):
        return x
    x = Fraction(x)
    magnitude = abs(x)
    if magnitude == 0:
        return 0.0
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    quantum = Fraction(2) ** (max(exponent, form.min_exponent) - form.precision + 1)
    result = round(magnitude / quantum) * quantum  # Fraction rounds ties to even
    overflows = result >= Fraction(2) ** (form.max_exponent + 1)
    return (1 if x > 0 else -1) * (math.inf if overflows else float(result))


def divided(a: float, b: float, form: Format) -> float:
    """a / b."""
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    if math.isnan(a) or math.isnan(b) or (a == 0 == b) or (math.isinf(a) and math.isinf(b)):
        return math.nan
    if math.isinf(a) or b == 0:
        return sign * math.inf
    if math.isinf(b) or a == 0:
        return sign * 0.0
    return rounded(Fraction(a) / Fraction(b), form)


def multiplied(a: float, b: float, form: Format) -> float:
    """a * b."""
    sign = math.copysign(1.0, a) * math.copysign(1.0, b)
    if math.isnan(a) or math.isnan(b) or (math.isinf(a) and b == 0) or (a == 0 and math.isinf(b)):
        return math.nan
    if math.isinf(a) or math.isinf(b):
        return sign * math.inf
    if a == 0 or b == 0:
        return sign * 0.0
    return rounded(Fraction(a) * Fraction(b), form)


def increased(a: float, form: Format) -> float:
    """1 + a."""
    return rounded(1 + Fraction(a), form) if math.isfinite(a) else a


def floored(a: float) -> float:
    """The largest integer not above a."""
    if a == 0 or not math.isfinite(a):
        return a
    return float(math.floor(Fraction(a)))


def exact_decay(
    step: int | float,
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool,
    dtype: str,
) -> float:
    """Learning rate at `step` in the arithmetic of `dtype`."""
    form = FORMATS[dtype]
    operands = step, initial_learning_rate, decay_steps, decay_rate
    at, lr, steps, rate = (rounded(x, form) for x in operands)
    p = divided(at, steps, form)
    if staircase:
        p = floored(p)
    return divided(lr, increased(multiplied(rate, p, form), form), form)


def numpy_decay(
    step: npt.ArrayLike,
    initial_learning_rate: npt.ArrayLike,
    decay_steps: npt.ArrayLike,
    decay_rate: npt.ArrayLike,
    staircase: bool,
    dtype: npt.DTypeLike,
) -> Any:
    """Learning rates as the NumPy expression gives them, floating-point flags unreported."""
    with np.errstate(all="ignore"):
        operands = step, initial_learning_rate, decay_steps, decay_rate
        at, lr, steps, rate = (np.asarray(x).astype(dtype) for x in operands)
        p = at / steps
        return lr / (1 + rate * (np.floor(p) if staircase else p))


def bits(x: Any) -> npt.NDArray[Any]:
    """The bit patterns of floating-point numbers, one pattern for all NaN."""
    x = np.array(x, order="C")
    native = x.astype(x.dtype.newbyteorder("="), copy=False)
    patterns = native.view(f"u{native.itemsize}")
    patterns[np.isnan(native)] = np.iinfo(patterns.dtype).max
    return patterns


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Check dtype, shape and every bit; NaN equals NaN whatever its payload."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    differ = np.argwhere(bits(actual) != bits(expected))
    assert not len(differ), (
        f"{len(differ)} differ, first at {tuple(differ[0])}:"
        f" {actual[tuple(differ[0])]!r} instead of {expected[tuple(differ[0])]!r}"
    )


def random_numbers(dtype: npt.DTypeLike, size: int, seed: int = 0) -> npt.NDArray[Any]:
    """Random bit patterns read as `dtype`: every exponent, sign and special value."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(seed).bytes(size * dtype.itemsize)
    if dtype.kind == "b":
        return np.frombuffer(raw, "u1") % 2 == 1
    return np.frombuffer(raw, dtype).copy()
