"""The documentation's Python blocks, run page by page as scripts against the real libraries."""

import ast
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [DOCS / "index.md", *sorted((DOCS / "recipes").glob("*.md"))]
KERAS_BACKENDS = ("tensorflow", "torch", "jax")


def script_of(page: Path) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)


def imported_modules(script: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def environment_for(modules: set[str]) -> dict[str, str]:
    environment = dict(os.environ)
    if "keras" in modules:
        backend = next(filter(importlib.util.find_spec, KERAS_BACKENDS), None)
        if backend is None:
            pytest.skip("keras has no backend here that trains")
        environment["KERAS_BACKEND"] = backend
    return environment


def test_pages_are_found():
    recipes = {"dask", "huggingface", "jax", "keras", "lightning", "pytorch", "resume"}
    assert {page.stem for page in PAGES} >= {"index", *recipes}
    assert all("assert" in script_of(page) for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_recipe_runs(page, tmp_path):
    script = script_of(page)
    modules = imported_modules(script)
    missing = sorted(module for module in modules if importlib.util.find_spec(module) is None)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    (tmp_path / "recipe.py").write_text(script)
    run = subprocess.run(
        [sys.executable, "recipe.py"],
        cwd=tmp_path,
        env=environment_for(modules),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


def test_contract_page_holds_the_measured_table():
    table = runpy.run_path(str(DOCS.parent / "tools" / "contract_table.py"))["table"]()
    assert table in (DOCS / "contract.md").read_text()
