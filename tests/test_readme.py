"""The README: its example runs anywhere, and its links work outside the repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

if not README.exists():
    pytest.skip("needs the repository", allow_module_level=True)

TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_the_example_runs_anywhere(tmp_path: Path) -> None:
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["lr.npy"]
    assert (tmp_path / "lr.npy").stat().st_size < 10**9


def test_there_are_two_commands() -> None:
    """`.ci/run` runs them word for word."""
    first, second = blocks("sh")
    assert "invdecay precompute" in first
    assert "pytest" in second


def test_links_are_absolute() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", TEXT) + re.findall(r'(?:src|srcset)="([^"]+)"', TEXT)
    assert targets
    own = "https://github.com/invdecay/invdecay/"
    raw = "https://raw.githubusercontent.com/invdecay/invdecay/main/"
    for target in targets:
        assert target.startswith("https://"), target
        path = target.removeprefix(raw)
        if target.startswith(own):
            path = re.sub(r"^(blob|tree)/main/", "", target.removeprefix(own))
        if path != target:
            assert (ROOT / path).exists(), target
