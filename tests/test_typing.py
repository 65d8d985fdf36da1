"""Type checkers on the package and on typed use of it."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
USE = PROJECT / "tests" / "programs" / "typed_use.py"

for _module in ("matplotlib", "torch", "dask"):
    if importlib.util.find_spec(_module) is None:
        pytest.skip(f"typed_use.py needs {_module}", allow_module_level=True)


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip(module, reason=f"needs {module}, of the extra invdecay[frameworks]")
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def run_pyright(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    config = {
        "include": [str(file)],
        "pythonVersion": "3.11",
        "extraPaths": [str(PROJECT / "python")],  # an editable install is beyond pyright
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    return run("pyright", "--project", str(folder), "--pythonpath", sys.executable)


def test_mypy_strict() -> None:
    done = run("mypy", "--strict", str(USE))
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright(tmp_path: Path) -> None:
    done = run_pyright(USE, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


MISTAKES = """\
import invdecay
schedule = invdecay.InverseTimeDecay(0.1, 1000, 1)
schedule.step_at("")
schedule.decay_rate = 3.0
invdecay.InverseTimeDecay("0.1", 1000, 1)
invdecay.InverseTimeDecay(0.1, None, 1)
schedule.precompute(0, 10)
schedule.precompute(1.5)
rate: str = schedule(5)
"""


def test_the_checkers_see_mistakes(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(MISTAKES)
    for done in run("mypy", "--strict", str(wrong)), run_pyright(wrong, tmp_path):
        lines = {int(line) for line in re.findall(r"wrong\.py:(\d+)", done.stdout)}
        assert lines == set(range(3, 10)), done.stdout
