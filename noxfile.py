"""Every check of the project. ``nox -l`` lists them; ``.ci/run`` and the workflows call them."""

import shutil

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["style", "tests"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PRESETS = ["native", "clang", "asan", "tsan", "aarch64"]

# A failed native build is an error here, and so is a compiler's warning.
NATIVE = {"INVDECAY_REQUIRE_NATIVE": "1", "INVDECAY_WERROR": "ON"}
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "INVDECAY_REQUIRE_NATIVE": ""}
PYTEST = ("python", "-m", "pytest", "-q", "-n", "2")

FRAMEWORK_TESTS = [
    f"tests/test_{name}.py"
    for name in (
        "keras",
        "torch",
        "jax",
        "dask",
        "cluster",
        "zarr",
        "plotting",
        "typing",
        "recipes",
    )
]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python found, native, then on the fallback."""
    session.install(".[test]", env=NATIVE)
    session.run(*PYTEST, *session.posargs)
    session.run(*PYTEST, *session.posargs, env={"INVDECAY_BACKEND": "fallback"})


@nox.session
def oldest(session: nox.Session) -> None:
    """Run the tests on the oldest NumPy allowed, whose C API the module is built for."""
    session.install(".[test]", "numpy==2.0.*", env=NATIVE)
    session.run(*PYTEST, *session.posargs)


@nox.session
def fallback(session: nox.Session) -> None:
    """Run the tests on a wheel built where no compiler works."""
    session.install(".[test]", env=NO_COMPILER)
    session.run("python", "-c", "import invdecay; assert invdecay.backend == 'fallback'")
    session.run(*PYTEST, *session.posargs)


@nox.session
def frameworks(session: nox.Session) -> None:
    """Run adapters, recipes and type checkers against the real libraries, then the doctests."""
    # 2.13.0 has a build without CUDA wherever its index offers one; any recent version serves.
    session.install("torch==2.13.0")
    session.install(".[test,frameworks]", env=NATIVE)
    session.run(*PYTEST, *(session.posargs or FRAMEWORK_TESTS))
    session.run("python", "-m", "pytest", "-q", "--doctest-modules", "--pyargs", "invdecay")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site, where a warning is an error, and test it in a browser."""
    session.install(".[test,docs]", env=NATIVE)
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "docs", "build/site")
    session.run(*PYTEST, "tests/test_docs.py", "tests/test_explorer.py")


@nox.session
@nox.parametrize("preset", PRESETS, ids=PRESETS)
def kernels(session: nox.Session, preset: str) -> None:
    """Check the kernels in C++ on every SIMD target: GCC, Clang, sanitizers, AArch64 under qemu."""
    session.install("numpy")
    python = shutil.which("python", path=session.bin)
    session.run("cmake", "--preset", preset, f"-DPython_EXECUTABLE={python}", external=True)
    session.run("cmake", "--build", "--preset", preset, external=True)
    for tested in [preset, "aarch64-sve128"] if preset == "aarch64" else [preset]:
        session.run("ctest", "--preset", tested, "-j", "2", external=True)


@nox.session
def sanitized_module(session: nox.Session) -> None:
    """Run the tests of the kernels on a module built with sanitizers; leaks count."""
    session.install(
        ".",
        "pytest",
        "hypothesis",
        "-Cbuild-dir=build/sanitized",
        "-Ccmake.define.INVDECAY_FEW_TARGETS=ON",
        "-Ccmake.define.INVDECAY_SANITIZE=address,undefined",
        env=NATIVE,
    )
    session.run("sh", "tools/sanitized-tests.sh", external=True)


@nox.session
def style(session: nox.Session) -> None:
    """Check format, lint, spelling, prose and metadata."""
    session.install("ruff", "codespell", "clang-format==14.0.6", "validate-pyproject")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    files = session.run("git", "ls-files", "*.h", "*.cc", "*.c", external=True, silent=True)
    session.run("clang-format", "--dry-run", "--Werror", *str(files).split())
    session.run("codespell")
    session.run("python", "tools/prose.py")
    session.run("validate-pyproject", "pyproject.toml")


@nox.session
def instructions(session: nox.Session) -> None:
    """Count the instructions per element of every loop under valgrind."""
    session.install("click", "numpy")
    session.run("cmake", "-S", "benchmarks", "-B", "build/benchmarks", external=True, silent=True)
    session.run("python", "benchmarks/instructions.py", "--check")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Compare the native kernels with the fallback."""
    session.install(".[test]", "-r", "benchmarks/requirements.txt", env=NATIVE)
    session.run("pytest", "benchmarks", "--benchmark-group-by=group", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests: sweeps, kills, mutations. Their results go into tests/RESULTS.md."""
    session.install(".[test,frameworks]", env=NATIVE)
    session.run("pytest", "-m", "slow", *session.posargs)
