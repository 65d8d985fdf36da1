"""The option that limits how large the arrays of a benchmark run are."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--size-max``."""
    parser.addoption(
        "--size-max",
        type=float,
        default=1e6,
        help="largest number of elements to benchmark (default: 1e6; all: 1e8)",
    )


@pytest.fixture(scope="session")
def size_max(request: pytest.FixtureRequest) -> float:
    """Return the largest number of elements to benchmark."""
    return float(request.config.getoption("--size-max"))
