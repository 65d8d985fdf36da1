"""The golden hashes on every target that runs here, and on the fallback."""

import importlib.util
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("golden", Path(__file__).with_name("golden.py"))
assert _spec is not None
assert _spec.loader is not None
golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)


def test_results_have_the_golden_hashes(kernels: Any) -> None:
    assert golden.golden_hashes(golden.by_python(kernels)) == golden.known_hashes()
