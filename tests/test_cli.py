"""The command: what it prints, what it returns, how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import invdecay
import numpy as np
import pytest
from invdecay import InverseTimeDecay, storage
from invdecay.cli import main
from support.faults import hidden, npy

SCHEDULE = ["--initial-learning-rate=0.1", "--decay-steps=1000", "--decay-rate=0.5"]
RUN = [sys.executable, "-m", "invdecay"]
SMALL_SLOW_CHUNKS = """
import os, signal, sys, time
from invdecay import cli, storage
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
fsync = os.fsync
storage._CHUNK = storage._SYNC = 4096
os.fsync = lambda descriptor: (time.sleep(0.001), fsync(descriptor))
sys.exit(cli.main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a table will be."""
    return tmp_path / "lr.npy"


@pytest.mark.parametrize("steps", ["1e4", "10000", "10_000", "1.0E+4", "10000.0"])
def test_steps_as_people_write_them(
    path: Path, steps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line at the end, with path, elements, dtype, size and seconds."""
    assert main(["precompute", *SCHEDULE, "--steps", steps, str(path)]) == 0
    assert path.read_bytes() == npy(InverseTimeDecay(0.1, 1000, 0.5), range(10_000))
    printed, errors = capsys.readouterr()
    assert re.fullmatch(
        rf"{re.escape(str(path))}: 10,000 elements, float64, 80\.1 kB, \d+\.\d\d s\n", printed
    )
    assert errors == ""


def test_all_options(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--steps counts the elements, whatever --start and --step are."""
    options = ["--dtype=float32", "--store-dtype=float16", "--staircase", "--quiet"]
    places = ["--start", "-500", "--step", "1e2", "--steps", "300"]
    assert main(["precompute", *SCHEDULE, *options, *places, str(path)]) == 0
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase=True, dtype="float32")
    assert path.read_bytes() == npy(schedule, range(-500, 29_500, 100), "f2")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--steps=1.5"], 2, "'1.5' is not an integer"),
        (["--steps=1e-1"], 2, "'1e-1' is not an integer"),
        (["--steps=nan"], 2, "'nan' is not an integer"),
        (["--steps=1e19"], 2, "'1e19' is not an integer of 64 bits"),
        (["--steps=1e999999999"], 2, "is not an integer of 64 bits"),
        (["--steps=many"], 2, "'many' is not a number"),
        (["--steps=-3"], 2, "-3 is negative"),
        ([], 2, "'--steps'"),
        (["--steps=3", "--step=0"], 2, "range() arg 3 must not be zero"),
        (["--steps=3", "--decay-steps=-1"], 2, "decay_steps must be positive, got -1.0"),
        (["--steps=3", "--dtype=float16"], 2, "'float16'"),
        (["--steps=3", "--store-dtype=int8"], 2, "'int8' is not a real floating dtype"),
        (["--steps=3", "--store-dtype=nonsense"], 2, "'nonsense' is not a real floating dtype"),
        (["--steps=3", "--nonsense"], 2, "--nonsense"),
        (["--steps=1e18", "--step=100"], 1, "steps must fit int64"),
    ],
)
def test_errors_in_one_line(
    path: Path, args: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback, and nothing is written."""
    assert main(["precompute", *SCHEDULE, *args, str(path)]) == status
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("invdecay: error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not os.listdir(path.parent)


def test_path_errors(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They name the path, and are the work's, not the usage's."""
    path.mkdir()
    assert main(["precompute", *SCHEDULE, "--steps=3", str(path)]) == 1
    assert capsys.readouterr().err == f"invdecay: error: {path}: is a folder\n"
    missing = path / "missing"
    assert main(["precompute", *SCHEDULE, "--steps=3", str(missing / "lr.npy")]) == 1
    assert capsys.readouterr().err == f"invdecay: error: {missing}: No such file or directory\n"


def test_error_after_some_chunks_says_how_to_resume(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same line."""
    monkeypatch.setattr(storage, "_CHUNK", 4096)
    fill, calls = InverseTimeDecay._fill, iter(range(100))

    def fill_five(*args: object) -> int:
        if next(calls) == 5:
            raise OSError(5, "Input/output error", str(path))
        return fill(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(InverseTimeDecay, "_fill", fill_five)
    assert main(["precompute", *SCHEDULE, "--steps=1e4", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        f"invdecay: error: {path}: Input/output error. 20.6 kB are kept in {hidden(path)}: "
    )
    assert error.count("\n") == 1


def test_warning_in_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table holds an infinity, and the user hears of it."""
    schedule = ["--initial-learning-rate=1", "--decay-steps=1", "--decay-rate=-1"]
    program = [*RUN, "precompute", *schedule, "--steps=3", str(path)]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"invdecay: warning: divide by zero encountered in \w+\n", ended.stderr)
    np.testing.assert_array_equal(np.load(path), [1, np.inf, -1])


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    """As show_config has it, for people and for programs."""
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == invdecay.show_config("dicts")
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    invdecay.show_config()
    assert printed == capsys.readouterr().out


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command has examples, and they work."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"invdecay {invdecay.__version__}\n"
    assert main(["--help"]) == 0
    assert "precompute" in capsys.readouterr().out
    assert main(["precompute", "--help"]) == 0
    example = re.search(r"invdecay (precompute .*)\\\n(.*) lr.npy", capsys.readouterr().out)
    assert example is not None
    assert example[1].split()[:3] == ["precompute", "--initial-learning-rate", "0.1"]
    assert example[2].split()[:2] == ["--decay-rate", "0.5"]


def test_no_command_and_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, in one line."""
    assert main([]) == 2
    assert capsys.readouterr().err == "invdecay: error: Missing command.\n"
    assert main(["nonsense"]) == 2
    assert capsys.readouterr().err.startswith("invdecay: error: No such command 'nonsense'")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra(missing: str) -> None:
    """One line says what to install."""
    program = f"import sys; sys.modules[{missing!r}] = None; import invdecay.cli"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"invdecay: error: the command needs {missing}; pip install 'invdecay[cli]'\n"
    )


def test_interrupt(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it with status 130 and one line; the same command finishes the table."""
    command = ["precompute", *SCHEDULE, "--steps=1e6", str(path)]
    program = [sys.executable, "-c", SMALL_SLOW_CHUNKS, *command]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not hidden(path).exists() or hidden(path).stat().st_size < 50_000:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        printed, errors = process.communicate(timeout=5)
        print(f"stopped {time.perf_counter() - sent:.3f} s after SIGINT")
    assert process.returncode == 130
    assert printed == b""
    assert errors.decode() == f"invdecay: interrupted; the same command finishes {path}\n"
    assert not path.exists()
    assert hidden(path).stat().st_size >= 50_000
    monkeypatch.setattr(storage, "_CHUNK", 4096)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert main(command) == 0
    assert path.read_bytes() == npy(InverseTimeDecay(0.1, 1000, 0.5), range(10**6))


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_on_a_terminal(path: Path, quiet: bool) -> None:
    """Drawn on standard error if that is a terminal, and only there."""
    import pty

    ours, theirs = pty.openpty()
    options = ["--steps=1e6", *(["--quiet"] if quiet else [])]
    ended = subprocess.run(
        [*RUN, "precompute", *SCHEDULE, *options, str(path)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        check=True,
    )
    os.set_blocking(ours, False)
    try:
        drawn = os.read(ours, 1 << 20)
    except BlockingIOError:
        drawn = b""
    finally:
        os.close(ours)
        os.close(theirs)
    assert (b"100%" in drawn and b"8.0/8.0 MB" in drawn) is not quiet
    assert b"\x1b" not in ended.stdout
    assert bool(ended.stdout) is not quiet
