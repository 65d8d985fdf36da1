"""Builds a target of benchmarks/CMakeLists.txt and says where it is."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "benchmarks"


def built(target: str, file_name: str) -> Path:
    """Build `target`, or bring it up to date, and return the path of the file it makes."""
    here, build = str(HERE), str(BUILD)
    for arguments in ["-S", here, "-B", build], ["--build", build, "--target", target]:
        done = subprocess.run(["cmake", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{done.args} failed:\n{done.stdout}{done.stderr}")
    return BUILD / file_name
