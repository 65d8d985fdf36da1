"""The Keras adapter, on each backend in a separate process."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs the extra invdecay[keras]")

CHECKS = Path(__file__).parent / "programs" / "keras_checks.py"


def run_checks(backend: str, *options: str, floatx: str = "float32") -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}, of the extra invdecay[frameworks]")
    # A backend's own warnings are not this project's to make errors of.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"]
    done = subprocess.run(
        [*command, *options, str(CHECKS)],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "KERAS_FLOATX": floatx,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize("backend", ["numpy", "tensorflow", "jax", "torch"])
def test_on_backend(backend: str) -> None:
    run_checks(backend, "-m", "not slow")


FLOATX = [("torch", "bfloat16"), ("torch", "float64"), ("numpy", "float64")]
SLOWER = [("torch", "float16"), ("numpy", "float16"), ("numpy", "bfloat16")]
SLOWER += [(backend, x) for backend in ("tensorflow", "jax") for x in ("float16", "float64")]


@pytest.mark.parametrize(
    ("backend", "floatx"),
    [*FLOATX, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SLOWER)],
)
def test_the_dtype_under_floatx(backend: str, floatx: str) -> None:
    run_checks(backend, "-k", "dtype_that_keras_computes_in", floatx=floatx)


@pytest.mark.slow
def test_compiled_training_on_torch() -> None:
    run_checks("torch", "-m", "slow")


@pytest.mark.slow
@pytest.mark.parametrize("jit", ["true", "false"])
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_fit_uses_the_table_in_bulk(backend: str, jit: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(CHECKS.with_name("keras_fit.py")), "--jit", jit],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        timeout=3600,
        check=True,
    )
    ours = json.loads(done.stdout)["ours"]
    assert ours == {"rates": 40_000, "continuous": 0, "ulp": 0, "staircase": 0}
