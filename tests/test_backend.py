"""Choosing a backend: the environment variables, and what show_config says."""

import os
import subprocess
import sys

import invdecay
import numpy as np
import pytest
from invdecay import _backend

TARGETS = _backend.available_targets
SHOW = "import invdecay; print(invdecay.backend, invdecay.simd_target, invdecay.get_num_threads())"


def python(script=SHOW, **environment):
    """Run `script` in a fresh interpreter with only these of the package's variables set."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("INVDECAY_")}
    return subprocess.run(
        [sys.executable, "-c", script], env=inherited | environment, capture_output=True, text=True
    )


def test_fallback_can_be_forced():
    done = python(INVDECAY_BACKEND="fallback", INVDECAY_NUM_THREADS="3")
    assert done.stdout.split() == ["fallback", "None", "3"]


@pytest.mark.skipif(not TARGETS, reason="the fallback alone runs here")
@pytest.mark.parametrize("target", TARGETS)
def test_target_can_be_forced(target):
    done = python(INVDECAY_TARGET=target, INVDECAY_BACKEND="native", INVDECAY_NUM_THREADS="1")
    assert done.stdout.split() == ["native", target, "1"]


@pytest.mark.skipif(not TARGETS, reason="the fallback alone runs here")
def test_best_target_is_the_default():
    assert python(INVDECAY_NUM_THREADS="2").stdout.split() == ["native", TARGETS[0], "2"]
    assert python(INVDECAY_TARGET="", INVDECAY_BACKEND="").stdout.split()[0] == "native"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BACKEND", "numpy"), ("BACKEND", "Native")]
    + [("NUM_THREADS", value) for value in ("0", "-1", "two", "1.5", "5000")]
    + ([("TARGET", "MMX")] if TARGETS else []),
)
def test_bad_values_are_named(variable, value):
    done = python(**{f"INVDECAY_{variable}": value})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: INVDECAY_{variable} ")
    assert repr(value) in last


HIDE_CORE = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "invdecay._core" else find(name)
"""
BREAK_CORE = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: name == "invdecay._core" or find(name)
sys.modules["invdecay._core"] = None
"""


def test_an_absent_core_means_fallback():
    assert python(HIDE_CORE + SHOW).stdout.split()[0] == "fallback"
    done = python(HIDE_CORE + SHOW, INVDECAY_BACKEND="native")
    assert "INVDECAY_BACKEND=native, but" in done.stderr


def test_a_broken_core_is_not_hidden():
    done = python(BREAK_CORE + SHOW)
    assert done.returncode != 0
    assert "invdecay._core" in done.stderr


def test_import_loads_no_optional_library():
    script = (
        "import invdecay, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = set(python(script).stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"dask", "keras", "torch", "jax", "pandas", "xarray", "matplotlib", "click"}


def test_show_config(capsys):
    assert invdecay.show_config() is None
    printed = capsys.readouterr().out
    config = invdecay.show_config("dicts")
    assert config["invdecay"] == invdecay.__version__
    assert config["numpy"] == np.__version__
    assert config["backend"] == invdecay.backend
    assert config["simd_target"] == invdecay.simd_target
    assert config["available_targets"] == list(invdecay.available_targets)
    for key, value in config.items():
        assert f"{key}:" in printed
        assert str(value) in printed
    with pytest.raises(ValueError, match=r"mode must be .* got 'html'"):
        invdecay.show_config("html")


def test_public_names():
    for name in invdecay.__all__:
        assert getattr(invdecay, name) is not None or name == "simd_target"
    assert (invdecay.simd_target is None) == (invdecay.backend == "fallback")
