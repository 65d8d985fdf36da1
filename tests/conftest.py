"""The kernels under test: every SIMD target of this machine and the fallback, in one process."""

import functools
import os
from typing import Any

import pytest
from hypothesis import settings
from invdecay import _backend, _fallback

# In CI the same examples every time: a change is to blame for what fails there.
settings.register_profile("default", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("default")


@functools.cache  # each call of _core.kernels makes new ufuncs
def kernels_of(target: str) -> Any:
    """Return continuous_decay, staircase_decay and fill_range of a SIMD target or the fallback."""
    return _fallback if target == "fallback" else _backend._core.kernels(target)


@pytest.fixture(scope="session", params=["fallback", *_backend.available_targets])
def kernels(request: pytest.FixtureRequest) -> Any:
    """Kernels of each SIMD target and of the fallback."""
    return kernels_of(request.param)


@pytest.fixture(scope="session", params=_backend.available_targets)
def native(request: pytest.FixtureRequest) -> Any:
    """Kernels of each SIMD target, to be compared with the fallback; none where it alone runs."""
    return kernels_of(request.param)


@pytest.fixture(scope="session", params=[False, True], ids=["continuous", "staircase"])
def staircase(request: pytest.FixtureRequest) -> bool:
    """Both forms of the schedule."""
    form: bool = request.param
    return form


@pytest.fixture(scope="session")
def decay(kernels: Any, staircase: bool) -> Any:
    """Each form's ufunc of each kernel."""
    return ufunc(kernels, staircase)


def ufunc(kernels: Any, staircase: bool) -> Any:
    """Return one form's ufunc of `kernels`."""
    return kernels.staircase_decay if staircase else kernels.continuous_decay
