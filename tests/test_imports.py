"""The modules of the package import one another in one direction, and by public names."""

import ast
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import invdecay
import pytest

FOLDER = Path(invdecay.__file__).parent
MODULES = {
    ".".join(["invdecay", *file.relative_to(FOLDER).with_suffix("").parts]): file
    for file in FOLDER.rglob("*.py*")
    if file.suffix in (".py", ".pyi")
}


def _imported(module: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import of an object of this package."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names if alias.name in MODULES)
    if isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), module.rpartition(".")[0])
        for alias in node.names:
            if f"{base}.{alias.name}" in MODULES:
                yield f"{base}.{alias.name}", ""
            elif base.split(".")[0] == "invdecay":
                yield base if base in MODULES else f"{base}.__init__", alias.name


def _run_by_import(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that an import of the module runs."""
    for node in nodes:
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if deferred or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            continue
        yield node
        yield from _run_by_import(ast.iter_child_nodes(node))


def test_the_imports_have_no_circle() -> None:
    graph = {
        module: {
            target
            for node in _run_by_import(ast.parse(file.read_text()).body)
            for target, _ in _imported(module, node)
        }
        for module, file in MODULES.items()
    }
    assert "invdecay._formula" in graph["invdecay.schedule"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_private_names_come_from_private_modules_alone(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        for source, name in _imported(module, node):
            private = name.startswith("_") and not name.endswith("__")
            assert not private or "._" in source.removesuffix(".__init__"), (source, name)
