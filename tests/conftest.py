"""The kernels under test: every SIMD target of this machine and the fallback, in one process."""

import os
from typing import Any

import pytest
from hypothesis import settings
from invdecay import _backend
from support.kernels import kernels_of, ufunc

# In CI the same examples every time: a change is to blame for what fails there.
settings.register_profile("default", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("default")


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


@pytest.fixture(scope="session")
def native_decay(native: Any, staircase: bool) -> Any:
    """Each form's ufunc of each SIMD target: what the fallback's plain functions do not have."""
    return ufunc(native, staircase)
