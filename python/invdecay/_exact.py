"""Arithmetic that XLA compiles as it is written.

XLA and LLVM change the bits of a compiled formula in three ways: a division by a number that is
the same for all elements becomes a product with its reciprocal, ``(a / b) / c`` becomes
``a / (b * c)``, also across the borders of this package, and ``1 + a * b`` becomes one fused
operation. Each rewriting needs to know that a value is what the line before it computed.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np


class Exact:
    """An operand of `formula` in a library that compiles by XLA.

    Parameters
    ----------
    value : array or tensor
        A floating value.
    guard : callable
        ``guard(x, value)`` returns `value`, in the shape of both, but ``-x`` where `x` is a NaN.
        The result of an operation on `x` and `value` stays the same, and the compiler can no
        longer tell which operation it is a part of. The test for NaN must compare integers, because
        the compiler knows that ``x == x`` holds where `x` comes from an integer.
    """

    __slots__ = ("_guard", "value")

    def __init__(self, value: Any, guard: Callable[[Any, Any], Any]) -> None:
        self.value = value
        self._guard = guard

    @property
    def sealed(self) -> Any:
        """The value, cut off from the operation that computed it."""
        return self._guard(self.value, self.value)

    def __truediv__(self, divisor: Self) -> "Exact":
        dividend = self.sealed
        # A guard of the divisor alone would leave it the same for all elements.
        return Exact(dividend / self._guard(dividend, divisor.value), self._guard)

    def __mul__(self, factor: Self) -> "Exact":
        return Exact(self.value * factor.value, self._guard)

    def __radd__(self, number: int) -> "Exact":
        return Exact(number + self.sealed, self._guard)

    def map(self, function: Callable[[Any], Any]) -> "Exact":
        """Apply a function of the library to the value."""
        return Exact(function(self.value), self._guard)


def infinity_bits(dtype: Any) -> int:
    """Return infinity's bits as an integer: a magnitude whose bits are more is a NaN."""
    infinity = np.array(np.inf, dtype)
    return int(infinity.view(f"i{infinity.itemsize}"))
