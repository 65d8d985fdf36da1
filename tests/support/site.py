"""Builds the documentation site for the tests."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
NEEDED = (
    "click",
    "matplotlib",
    "myst_parser",
    "numpydoc",
    "pydata_sphinx_theme",
    "rich",
    "sphinx",
    "sphinx_click",
    "sphinx_copybutton",
)


def run_sphinx(sources: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as CI does; skip the test where what it needs is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not DOCS.exists():
        pytest.skip("not in a source tree")
    options = ["-W", "--keep-going", "-q", "-d", str(folder / "doctrees")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(sources), str(folder / "site")],
        capture_output=True,
        text=True,
        timeout=300,
    )


def build(folder: Path, sources: Path = DOCS) -> Path:
    """Return the folder of the finished site."""
    run = run_sphinx(sources, folder)
    assert run.returncode == 0, run.stderr
    return folder / "site"
