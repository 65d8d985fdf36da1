"""Processes that tests start, and libraries that are loaded into them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def started_python(
    program: str, *arguments: str, cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start Python with its output in pipes; it is killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shared_library(name: str, folder: Path) -> Path:
    """Compile a C file of this folder into a library to preload."""
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library, source]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler here")
    return library
