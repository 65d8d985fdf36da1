"""Native kernels against the fallback: same bits first, then the time of each.

``pytest benchmarks --benchmark-group-by=group`` reads as a comparison.
"""

from typing import Any

import invdecay
import pytest
from invdecay import _fallback
from paths import PATHS, Path
from pytest_benchmark.fixture import BenchmarkFixture

_BACKENDS: dict[str, Any] = {"fallback": _fallback}
if invdecay.simd_target is not None:
    from invdecay import _core

    _BACKENDS["native"] = _core.kernels(invdecay.simd_target)


@pytest.mark.parametrize("backend", _BACKENDS)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
@pytest.mark.parametrize("n", [10**3, 10**4, 10**5, 10**6], ids="{:.0e}".format)
def test_backend(benchmark: BenchmarkFixture, n: int, path: Path, backend: str) -> None:
    kernels = _BACKENDS[backend]
    steps, out = path.operands(n)
    path.evaluate(kernels, steps, out)
    path.check(steps, out)
    benchmark.group = f"{path.name}, n = {n:.0e}"
    benchmark(path.evaluate, kernels, steps, out)
