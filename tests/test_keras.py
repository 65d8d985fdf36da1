"""The Keras adapter, on each backend in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs the extra invdecay[keras]")

CHECKS = Path(__file__).parent / "programs" / "keras_checks.py"


def run_checks(backend: str, marked: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}, of the extra invdecay[frameworks]")
    # A backend's own warnings are not this project's to make errors of.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"]
    done = subprocess.run(
        [*command, "-m", marked, str(CHECKS)],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.mark.parametrize("backend", ["numpy", "tensorflow", "jax", "torch"])
def test_on_backend(backend: str) -> None:
    run_checks(backend, "not slow")


@pytest.mark.slow
def test_compiled_training_on_torch() -> None:
    run_checks("torch", "slow")
