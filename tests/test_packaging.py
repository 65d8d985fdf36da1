"""What is installed: the fallback wheel, equal bytes, a module that does not load."""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("CMakeLists.txt", "LICENSE", "README.md", "cmake", "cpp", "pyproject.toml", "python")
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "INVDECAY_REQUIRE_NATIVE": ""}

has_cmake = shutil.which("cmake") or importlib.util.find_spec("cmake")
has_backend = has_cmake and importlib.util.find_spec("scikit_build_core")
builds = pytest.mark.skipif(not has_backend, reason="needs scikit-build-core and CMake")


def copy_of_sources(folder: Path) -> Path:
    folder.mkdir(parents=True)
    junk = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=junk)
        else:
            shutil.copy(source, folder)
    return folder


def build(kind: str, sources: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"import scikit_build_core.build as b; b.build_{kind}('dist')"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=sources,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


# ---------------------------------------------------------------- wheels and sdists


@builds
def test_without_a_compiler_the_wheel_is_pure_python_and_says_so(tmp_path):
    sources = copy_of_sources(tmp_path / "invdecay")
    run = build("wheel", sources, **NO_COMPILER)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WITHOUT its native kernels" in run.stdout
    (wheel,) = (sources / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (tags,) = (name for name in names if name.endswith("/WHEEL"))
        assert "Root-Is-Purelib: true" in archive.read(tags).decode()
    assert "invdecay/_fallback.py" in names
    assert not any("_core." in name and not name.endswith(".pyi") for name in names)


@builds
@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_a_failed_native_build_is_an_error_where_native_is_required(tmp_path, value):
    sources = copy_of_sources(tmp_path / "invdecay")
    run = build("wheel", sources, **{**NO_COMPILER, "INVDECAY_REQUIRE_NATIVE": value})
    assert run.returncode != 0
    assert "CMake configuration failed" in run.stderr
    assert not (sources / "dist").exists() or not list((sources / "dist").iterdir())


@builds
@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_the_same_sources_give_the_same_bytes_in_any_folder(tmp_path, kind):
    archives = []
    for folder in ("a", "another/deeper"):
        sources = copy_of_sources(tmp_path / folder / "invdecay")
        assert build(kind, sources, **NO_COMPILER).returncode == 0
        archives += (sources / "dist").iterdir()
    first, second = archives
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


# ---------------------------------------------------------------- a module that does not load


def import_copy(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # Finders of an editable installation are instances; they would go before the path.
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)];"
        f"sys.path.insert(0, {str(folder)!r}); import invdecay; print(invdecay.backend)"
    )
    environment = {"INVDECAY_BACKEND": "", **environment}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copied_package(tmp_path):
    package = Path(importlib.util.find_spec("invdecay.schedule").origin).parent
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(package, tmp_path / "invdecay", ignore=ignore)
    return tmp_path


def test_a_missing_module_means_the_fallback(copied_package):
    run = import_copy(copied_package)
    assert run.stdout == "fallback\n", run.stderr


def test_a_broken_module_raises_rather_than_falling_back(copied_package):
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (copied_package / "invdecay" / f"_core{suffix}").write_bytes(b"no module")
    run = import_copy(copied_package)
    assert run.returncode != 0
    assert "ImportError" in run.stderr
    assert import_copy(copied_package, INVDECAY_BACKEND="fallback").stdout == "fallback\n"


# ---------------------------------------------------------------- what builds them


def test_every_action_is_pinned_by_its_commit():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    if not workflows:
        pytest.skip("no workflows in an sdist")
    for workflow in workflows:
        used = re.findall(r"uses: (.*)", workflow.read_text())
        assert used
        for action in used:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[\d.]+", action), action


def test_highway_is_fetched_by_its_hash_only():
    recipe = ROOT / "cmake" / "highway.cmake"
    if not recipe.exists():
        pytest.skip("not in a source tree")
    text = recipe.read_text()
    assert len(re.findall(r"^ +URL ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"URL_HASH SHA256=[0-9a-f]{64}\)", text)) == 1
