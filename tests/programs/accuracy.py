"""Error of the learning rate against its true value, in exact rationals.

Run as a program it prints the table of tests/RESULTS.md; test_accuracy.py holds the bound.

The bound, for a positive rate and results in the normal range, with u = 2^-24 or 2^-53, half an
ulp of 1, and hyperparameters as the arithmetic holds them. With m = rate * p the denominator is
1 + m; its relative error is that of m times m / (1 + m) < 1, and the u of the addition. m carries
one u of each of its roundings: of the step (none up to 2^24 or 2^53), of the quotient, of the
product. The last division adds half an ulp of the result, and a relative error of u is at most one
ulp. So the error stays below

    continuous: 0.5 + 3 ulp, and 1 more where steps are rounded;
    staircase:  0.5 + 2 ulp, as the floor leaves an exact integer, against the stair it leaves.

The stair is right for integer steps up to 2^24 or 2^53 and integer decay_steps: below a stair's
edge d k, the quotient is short of k by 1 / d at least, more than the half ulp that could lift it.
"""

import math
import platform
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from invdecay import inverse_time_decay

PRECISION = {"float32": 24, "float64": 53}
HYPERPARAMETERS = [
    (0.1, 1000.0, 0.5),
    (0.001, 20000.0, 1.0),
    (0.1, 1.0, 0.5),
    (0.3, 7.0, 0.01),
    (1.5, 999.0, 3.0),
]
LIMITS = {"10^3": 10**3, "10^6": 10**6, "2^24": 2**24, "10^9": 10**9, "10^12": 10**12}


class Errors(NamedTuple):
    """Largest and mean error in ulp, and the share of steps held on a stair that is not theirs."""

    largest: float
    mean: float
    wrong_stairs: float


def ulp(x: Fraction, dtype: str) -> Fraction:
    """Distance of neighbouring numbers of `dtype` at x, in the normal range."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    exponent -= x < Fraction(2) ** exponent
    return Fraction(2) ** (exponent + 1 - PRECISION[dtype])


def errors(limit: int, dtype: str, staircase: bool, samples: int) -> Errors:
    """Errors at random integer steps up to `limit`, in arithmetic of `dtype`.

    Where rounding puts a step on another stair, the error is that against the other stair's value.
    """
    random = np.random.default_rng(limit)
    found: list[float] = []
    wrong = 0
    for numbers in HYPERPARAMETERS:
        hyper = [np.dtype(dtype).type(x) for x in numbers]
        lr, decay_steps, rate = (Fraction(float(x)) for x in hyper)
        steps: npt.NDArray[Any] = random.integers(0, limit, samples, endpoint=True)
        # Half of them on both sides of a stair's edge.
        steps[::2] -= steps[::2] % int(numbers[1]) + random.integers(0, 2, len(steps[::2]))
        steps = np.abs(steps)
        quotients = steps.astype(dtype) / hyper[1]
        actual = inverse_time_decay(steps, *hyper, staircase, dtype=dtype)
        for step, quotient, value in zip(
            steps.tolist(), quotients.tolist(), actual.tolist(), strict=True
        ):
            p = step / decay_steps
            if staircase:
                wrong += math.floor(quotient) != math.floor(p)
                p = Fraction(math.floor(quotient))
            true = lr / (1 + rate * p)
            found.append(float(abs(Fraction(value) - true) / ulp(true, dtype)))
    return Errors(max(found), sum(found) / len(found), wrong / len(found))


def bound(limit: int, dtype: str, staircase: bool) -> float:
    """Return the bound in ulp that the module's docstring derives."""
    if staircase:
        return 2.5
    return 3.5 if limit <= 2 ** PRECISION[dtype] else 4.5


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, {len(HYPERPARAMETERS)} sets x 20,000 steps a row\n")
    print("| dtype | form | steps to | bound | largest | mean | steps on a wrong stair |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dtype in PRECISION:
        for staircase in (False, True):
            for name, limit in LIMITS.items():
                row = errors(limit, dtype, staircase, 20_000)
                form = "staircase" if staircase else "continuous"
                wrong = f"{row.wrong_stairs:.2%}" if staircase else "-"
                print(
                    f"| {dtype} | {form} | {name} | {bound(limit, dtype, staircase)}"
                    f" | {row.largest:.2f} | {row.mean:.2f} | {wrong} |"
                )


if __name__ == "__main__":
    main()
