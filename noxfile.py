"""Sessions: `nox -l` lists them, `nox -s tests` runs one."""

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "tests"]

NATIVE = {"INVDECAY_REQUIRE_NATIVE": "1", "INVDECAY_WERROR": "ON"}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each Python found, native, then on the fallback."""
    session.install(".[test]", env=NATIVE)
    session.run("pytest", "-n", "2", *session.posargs)
    session.run("pytest", "-n", "2", *session.posargs, env={"INVDECAY_BACKEND": "fallback"})


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """Run the tests on the oldest NumPy allowed."""
    session.install(".[test]", "numpy==2.0.*", env=NATIVE)
    session.run("pytest", "-n", "2", *session.posargs)


@nox.session(python="3.11")
def fallback_wheel(session: nox.Session) -> None:
    """Run the tests on a wheel built where no compiler works."""
    session.install(".[test]", env={"CC": "/bin/false", "CXX": "/bin/false"})
    session.run("python", "-c", "import invdecay; assert invdecay.backend == 'fallback'")
    session.run("pytest", "-n", "2", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run every pre-commit hook on every file."""
    session.install("pre-commit")
    session.run("pre-commit", "run", "--all-files", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Compare the native kernels with the fallback."""
    session.install(".[test]", "-r", "benchmarks/requirements.txt", env=NATIVE)
    session.run("pytest", "benchmarks", "--benchmark-group-by=group", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run the long tests: sweeps, kills, mutations. Results go into tests/RESULTS.md."""
    session.install(".[test]", env=NATIVE)
    session.run("pytest", "-m", "slow", *session.posargs)
