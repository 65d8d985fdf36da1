"""The quotient by a divisor known in advance: every pair of short mantissas.

`cpp/README.md` has the proof. The kernels' own precisions are too long to try all pairs;
`tests/native/division.cc` takes their hard cases.
"""

import numpy as np
import numpy.typing as npt
import pytest

Values = npt.NDArray[np.float64]


def rounded(values: Values, precision: int) -> Values:
    """Round float64 values, exact here, to a shorter mantissa, ties to even."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, precision)), exponent - precision)


@pytest.mark.parametrize("precision", range(2, 12))
def test_one_product_and_two_fused_operations_divide(precision: int) -> None:
    mantissas = np.arange(2.0 ** (precision - 1), 2.0**precision)
    x, d = mantissas[:, None], mantissas[None, :]
    # float64 has more than twice these bits, so that its own rounding goes unnoticed.
    reciprocal, expected = rounded(1 / d, precision), rounded(x / d, precision)
    q = rounded(x * reciprocal, precision)
    remainder = rounded(x - q * d, precision)
    np.testing.assert_array_equal(rounded(q + remainder * reciprocal, precision), expected)
