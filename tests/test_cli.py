"""The command: what it prints, what it returns, how it stops."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import invdecay
import numpy as np
import pytest
from hypothesis import example, given
from invdecay import InverseTimeDecay, _files, save_table, storage
from support.faults import hidden, npy

pytest.importorskip("click", reason="needs the extra invdecay[cli]")
pytest.importorskip("rich", reason="needs the extra invdecay[cli]")

from invdecay.cli import main
from invdecay.cli._rates import Rates

SCHEDULE = ["--lr=0.1", "--decay-steps=1000", "--decay-rate=0.5"]
S = shlex.join(SCHEDULE)
POLE = "--lr=1 --decay-steps=1 --decay-rate=-1"
EXPECTED = InverseTimeDecay(0.1, 1000, 0.5)
RUN = [sys.executable, "-m", "invdecay"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "PYTHONWARNINGS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[str, str]]:
    """What was printed since the last call."""
    return lambda: tuple(capsys.readouterr())  # type: ignore[return-value]


def written(path: str | Path = "lr.npy", schedule: InverseTimeDecay = EXPECTED) -> bool:
    """Whether a table of 10,000 steps is there, and nothing else."""
    path = Path(path)
    whole = path.read_bytes() == npy(schedule, range(10_000))
    return whole and not any(name.startswith(".") for name in os.listdir(path.parent))


# ---------------------------------------------------------------- streams and environments

SUMMARY = (
    r"lr\.npy: 10,000 elements, float64, 80\.1 kB, \d+\.\d\d s\n"
    r"rates: first 0\.1, last 0\.016668055671305942, smallest 0\.016668055671305942, largest 0\.1\n"
)
WARNING = (
    "invdecay: warning: the first rate that is negative or not finite is at step 1: it is"
    " infinite, since the denominator is 0\n"
)
FULL = "invdecay: error: the result cannot be printed: No space left on device\n"
CLOSED = "invdecay: error: the result cannot be printed: Bad file descriptor\n"
TABLE = f"precompute {S} --steps 1e4 lr.npy"
BAD = f"precompute {POLE} --steps 1e4 lr.npy"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "streams", "status", "out", "err"),
    [
        (TABLE, "", 0, SUMMARY, ""),
        (TABLE, ">/dev/full", 3, "", FULL),
        (TABLE, ">&-", 3, "", CLOSED),
        (TABLE, "2>&-", 0, SUMMARY, ""),
        (TABLE, "2>/dev/full", 0, SUMMARY, ""),
        (TABLE, "<&- >&- 2>&-", 3, "", ""),
        (TABLE, ">/dev/full 2>/dev/full", 3, "", ""),
        (f"{TABLE} -q", ">&- 2>&-", 0, "", ""),
        (BAD, "2>/dev/full", 0, "lr.npy: .*\nrates: .*\n", ""),
        (BAD, "", 0, "lr.npy: .*\nrates: .*\n", re.escape(WARNING)),
        (f"{BAD} --quiet", "", 0, "", ""),
        (f"precompute {S} --steps 1.5 lr.npy", "2>&-", 2, "", ""),
        (f"precompute {S} --steps 1.5 lr.npy", "2>/dev/full", 2, "", ""),
        ("", ">/dev/full", 3, "", FULL),
        ("--help", ">/dev/full", 3, "", FULL),
        ("--version", ">/dev/full", 3, "", FULL),
        ("--version", ">&-", 3, "", CLOSED),
        ("info", ">/dev/full", 3, "", FULL),
        ("info --json", ">&-", 3, "", CLOSED),
        (f"plot {S} --steps 9", ">/dev/full", 3, "", FULL),
        (f"verify {S} old.npy", ">/dev/full", 3, "", FULL),
        ("inspect old.npy", ">&-", 3, "", CLOSED),
        # A difference is worth more than a line that was not printed.
        (f"verify {POLE} old.npy", ">/dev/full", 1, "", "invdecay: error: old.npy: 11 of 11 .*\n"),
    ],
)
@pytest.mark.parametrize("filters", ["", "error"])
def test_streams(
    arguments: str, streams: str, status: int, out: str, err: str, filters: str
) -> None:
    """A table is complete whatever becomes of the messages; at most a line, never a traceback."""
    save_table(EXPECTED, "old.npy", 11)
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m invdecay {arguments} {streams}', sys.executable],
        env={**os.environ, "PYTHONWARNINGS": filters},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == status, ended.stderr
    assert re.fullmatch(out, ended.stdout)
    assert re.fullmatch(err, ended.stderr)
    assert os.path.exists("lr.npy") == ("1e4" in arguments)
    if arguments.startswith(TABLE):
        assert written()


@pytest.mark.parametrize("arguments", ["--help", "info", TABLE, f"plot {S} --steps 9"])
def test_a_pipe_whose_reader_has_gone(arguments: str) -> None:
    """Silence, and the code that shells give to a process ended by SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*RUN, *arguments.split()], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")
    assert arguments != TABLE or written()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_names_that_the_encoding_lacks(encoding: str) -> None:
    """They are printed by their numbers."""
    for arguments, status in (["4"], 0), (["x"], 2):
        ended = subprocess.run(
            [*RUN, "precompute", *SCHEDULE, "--steps", *arguments, "学習率.npy"],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert ended.returncode == status
        name = "学習率".encode(encoding, "backslashreplace")
        assert ended.stdout.startswith(name) == (status == 0)
        assert ended.stderr.count(b"\n") == (status != 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    ("environment", "options", "drawn", "left_out"),
    [
        ({}, [], [b"lr.npy", b"100%", b"8.0/8.0 MB", b"\x1b[3"], []),
        ({"COLUMNS": "40"}, [], [b"100%"], [b"MB", b"lr.npy"]),
        ({"COLUMNS": "99999999"}, [], [b"lr.npy", b"100%"], []),
        ({"NO_COLOR": "1"}, [], [b"100%"], [b"\x1b[3", b"\x1b[9"]),
        ({"PYTHONIOENCODING": "cp1252"}, [], [b"100%", b"8.0/8.0 MB", b"---"], []),
        ({"TERM": "dumb"}, [], [], [b""]),
        ({}, ["--quiet"], [], [b""]),
    ],
)
@pytest.mark.parametrize("command", ["precompute", "verify", "inspect"])
def test_progress_bar(
    command: str,
    environment: dict[str, str],
    options: list[str],
    drawn: list[bytes],
    left_out: list[bytes],
) -> None:
    """Drawn on standard error if that is a terminal, as that terminal is; at the end it is gone."""
    import pty

    if command == "inspect" and options:
        pytest.skip("has nothing but a result")
    ours, theirs = pty.openpty()
    if command != "precompute":
        save_table(EXPECTED, "lr.npy", 10**6)
    arguments = [*(SCHEDULE if command != "inspect" else []), *options]
    arguments += ["--steps=1e6"] if command == "precompute" else []
    with subprocess.Popen(
        [*RUN, command, *arguments, "lr.npy"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    ) as process:
        os.close(theirs)
        bar = b""
        with suppress(OSError):  # when the command has ended
            # At once, since a terminal that nobody reads holds up what writes to it.
            while part := os.read(ours, 1 << 16):
                bar += part
        assert process.stdout is not None
        shown = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert [part for part in drawn if part not in bar] == []
    assert [part for part in left_out if (part in bar if part else bar)] == []
    assert not bar or bar.endswith(b"\x1b[2K")
    assert b"\x1b" not in shown
    assert bool(shown) is not bool(options)


# ---------------------------------------------------------------- help, versions, imports


def test_the_bare_command_shows_its_help(printed: Callable[[], tuple[str, str]]) -> None:
    assert main([]) == 0
    bare = printed()
    assert main(["--help"]) == 0
    assert printed() == bare
    assert "Exit codes: 0 done; 1 the work failed" in bare[0]
    assert bare[1] == ""


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", ["", "precompute", "verify", "inspect", "plot", "info"])
def test_help_fits_the_terminal(
    command: str,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    printed: Callable[[], tuple[str, str]],
) -> None:
    """But for the examples, whose lines must not be broken."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command.split(), "-h"]) == 0
    text, _, examples = printed()[0].partition("\n    invdecay ")
    assert max(map(len, text.splitlines())) <= columns
    assert "..." not in text.split("\n\n", 1)[1]
    assert max(map(len, examples.splitlines()), default=0) < 80


def test_the_examples_of_the_help_work(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[[], tuple[str, str]]
) -> None:
    Path("lr.json").write_text(json.dumps(EXPECTED.get_config()))
    for command in ("precompute", "verify"):
        assert main([command, "--help"]) == 0
        text = printed()[0].replace("\\\n", "").replace("1e8", "1e4").replace("--dry-run", "")
        examples = re.findall(r"^    invdecay (.+)$", text, re.MULTILINE)
        assert len(examples) == 2
        for arguments in examples:
            if "zarr" in arguments:
                pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
            assert main(shlex.split(arguments)) == 0, arguments


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str, printed: Callable[[], tuple[str, str]]) -> None:
    assert main([option]) == 0
    assert printed() == (f"invdecay {invdecay.__version__}\n", "")


def test_info(printed: Callable[[], tuple[str, str]]) -> None:
    """As show_config has it, for people and for programs."""
    assert main(["info", "--json"]) == 0
    assert json.loads(printed()[0]) == invdecay.show_config("dicts")
    assert main(["info"]) == 0
    shown = printed()
    invdecay.show_config()
    assert shown == printed()


HINT = "invdecay: error: the command needs click and rich: python -m pip install click rich\n"


@pytest.mark.parametrize(
    ("missing", "arguments", "status", "out", "err"),
    [
        ("click", "--version", 0, f"invdecay {re.escape(invdecay.__version__)}\n", ""),
        ("rich", "-V", 0, "invdecay .*\n", ""),
        ("click", "info", 0, r"(?s)invdecay: .*backend: .*", ""),
        ("rich", "info --json", 0, r'(?s)\{\n  "invdecay": .*\}\n', ""),
        ("click", "", 1, "", HINT),
        ("rich", "--help", 1, "", HINT),
        ("click", TABLE, 1, "", HINT),
        (
            "zarr",
            f"precompute {S} --steps 3 lr.zarr",
            1,
            "",
            "invdecay: error: zarr is not installed: python -m pip install zarr\n",
        ),
        (
            "dask",
            f"precompute {S} --steps 3 --scheduler tcp://localhost:1 lr.zarr",
            1,
            "",
            re.escape(
                "invdecay: error: dask is not installed:"
                " python -m pip install 'dask[array,distributed]' zarr\n"
            ),
        ),
    ],
)
def test_without_an_extra(missing: str, arguments: str, status: int, out: str, err: str) -> None:
    """One line says what to install; it names no extra, since the package is on no index."""
    program = f"import sys; sys.modules[{missing!r}] = None; from invdecay.cli import main; "
    ended = subprocess.run(
        [sys.executable, "-c", program + "sys.exit(main())", *arguments.split()],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == status
    assert re.fullmatch(out, ended.stdout)
    assert re.fullmatch(err, ended.stderr)


def test_the_command_starts_without_large_packages() -> None:
    program = "import sys; from invdecay.cli import main; main(['info']); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    large = {"matplotlib", "dask", "distributed", "zarr", "keras", "torch", "jax", "rich.progress"}
    assert not large & set(ended.stdout.split())


def test_shells_are_told_the_completions() -> None:
    environment = {"_INVDECAY_COMPLETE": "bash_complete", "COMP_WORDS": "invdecay ver"}
    ended = subprocess.run(
        RUN, env={**os.environ, **environment, "COMP_CWORD": "1"}, capture_output=True, text=True
    )
    assert (ended.stdout, ended.stderr) == ("plain,verify\n", "")


# ---------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("--nonsense", "No such option '--nonsense'"),
        ("precompute", "Missing argument 'PATH'"),
        ("precompute --nonsense lr.npy", "No such option '--nonsense'"),
        ("precompute --steps 3 lr.npy", "Missing option --initial-learning-rate, --decay-steps,"),
        ("precompute --lr 1 --steps 3 lr.npy", "Missing option --decay-steps, --decay-rate (or"),
        (f"precompute {S} lr.npy", "Missing option '--steps'"),
        (f"precompute {S} --steps=1.5 lr.npy", "1.5 is not an integer"),
        (f"precompute {S} --steps=1e-1 lr.npy", "1e-1 is not an integer"),
        (f"precompute {S} --steps=nan lr.npy", "nan is not an integer"),
        (f"precompute {S} --steps=inf lr.npy", "inf is not an integer"),
        (f"precompute {S} --steps=1e19 lr.npy", "1e19 is not an integer of 64 bits"),
        (f"precompute {S} --steps=1e999999999 lr.npy", "is not an integer of 64 bits"),
        (f"precompute {S} --steps=many lr.npy", "'many' is not a number"),
        (f"precompute {S} --steps=-3 lr.npy", "-3 is negative"),
        (f"precompute {S} --steps=3 --step=0 lr.npy", "'--step': 0 is not a distance"),
        (f"precompute {S} --steps=1e18 --step=100 lr.npy", "steps must fit int64"),
        (f"precompute {S} --steps=3 --lr=x lr.npy", "'x' is not a valid float"),
        (f"precompute {S} --steps=3 --lr=nan lr.npy", "initial_learning_rate must be finite"),
        (f"precompute {S} --steps=3 --decay-steps=-1 lr.npy", "decay_steps must be positive, got"),
        (f"precompute {S} --steps=3 --dtype=float16 lr.npy", "'float16'"),
        (f"precompute {S} --steps=3 --store-dtype=int8 lr.npy", "'int8' is not a real floating"),
        (f"precompute {S} --steps=3 --store-dtype=no lr.npy", "'no' is not a real floating dtype"),
        (f"precompute {S} --steps=3 s3://b/lr.zarr", "path must be a path, not a URL, got 's3://b"),
        (f"precompute {S} --steps=3 ''", "'PATH': it is empty, and a table needs a name"),
        (f"precompute {S} --steps=3 config.json", "must end in .npy or .zarr, got 'config.json'"),
        (f"precompute {S} --steps=3 -", "must end in .npy or .zarr, got '-'"),
        (f"precompute {S} --steps=3 --timeout=1 lr.zarr", "--timeout needs --scheduler"),
        (f"precompute {S} --steps=3 --scheduler=x:1 lr.npy", "--scheduler writes .zarr arrays"),
        (
            "precompute --from-config c.json --lr=1 --staircase --steps=3 lr.npy",
            "got --initial-learning-rate and --staircase as well",
        ),
        ("precompute --from-config text.json --steps=3 lr.npy", "initial_learning_rate must be a"),
        ("verify lr.npy", "a .npy file does not know its schedule"),
        ("verify ''", "'PATH': it is empty"),
        ("inspect lr.csv", "must end in .npy or .zarr, got 'lr.csv'"),
    ],
)
def test_wrong_usage(
    arguments: str, message: str, printed: Callable[[], tuple[str, str]], folder: Path
) -> None:
    """One line, which points to the help; nothing is written."""
    config = EXPECTED.get_config()
    Path("c.json").write_text(json.dumps(config))
    Path("text.json").write_text(json.dumps(config | {"initial_learning_rate": "0.1"}))
    assert main(shlex.split(arguments)) == 2
    out, err = printed()
    assert out == ""
    assert err.startswith("invdecay: error: ")
    assert message in err
    command = arguments.split()[0] if arguments[0] in "pvi" else ""
    assert err.endswith(f"; see '{f'invdecay {command}'.strip()} --help'\n")
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == ["c.json", "text.json"]


# ---------------------------------------------------------------- precompute


@pytest.mark.parametrize("steps", ["1e4", "10000", "10_000", "1.0E+4", "10000.0"])
@pytest.mark.parametrize("lr", ["--lr", "--initial-learning-rate"])
def test_a_table(steps: str, lr: str, printed: Callable[[], tuple[str, str]]) -> None:
    """Steps are written as people write them; the summary says what there is now."""
    options = [lr, "0.1", "--decay-steps=1000", "--decay-rate=0.5", "--steps", steps]
    assert main(["precompute", *options, "lr.npy"]) == 0
    assert written()
    out, err = printed()
    assert re.fullmatch(SUMMARY, out)
    assert err == ""


def test_all_options(printed: Callable[[], tuple[str, str]]) -> None:
    """--steps counts the elements, whatever --start and --step are."""
    options = ["--dtype=float32", "--store-dtype=float16", "--staircase", "-q"]
    places = ["--start", "-500", "--step", "1e2", "--steps", "300"]
    assert main(["precompute", *SCHEDULE, *options, *places, "lr.npy"]) == 0
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase=True, dtype="float32")
    assert Path("lr.npy").read_bytes() == npy(schedule, range(-500, 29_500, 100), "f2")
    assert printed() == ("", "")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_schedule_from_its_configuration(
    dtype: str, monkeypatch: pytest.MonkeyPatch, printed: Callable[[], tuple[str, str]]
) -> None:
    """From a file or from standard input."""
    schedule = InverseTimeDecay(0.1, 1000, 0.5, True, "mine", dtype=dtype)
    # With the mark that some editors put first.
    Path("c.json").write_text(json.dumps(schedule.get_config()), "utf-8-sig")
    assert main(["precompute", "--from-config=c.json", "--steps=1e4", "lr.npy"]) == 0
    assert written(schedule=schedule)
    with open("c.json", encoding="utf-8-sig") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["verify", "--from-config=-", "lr.npy"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "c.json: No such file or directory"),
        ("{", "c.json is not a JSON file: "),
        ("\xff", "c.json is not a JSON file: "),
        ("[" * 100_000, "c.json is not a JSON file: "),
        ("[1, 2, 3]", "c.json must hold an object with initial_learning_rate, "),
        ('{"decay_rate": 1, "decay_steps": 3}', "c.json lacks initial_learning_rate"),
        (json.dumps(EXPECTED.get_config() | {"rate": 1}), "c.json has rate, which a schedule has"),
    ],
)
def test_a_file_that_is_not_a_configuration(
    content: str | None, message: str, printed: Callable[[], tuple[str, str]]
) -> None:
    if content is not None:
        Path("c.json").write_text(content, "latin-1")
    assert main(["precompute", "--from-config=c.json", "--steps=3", "lr.npy"]) == 1
    out, err = printed()
    assert err.startswith(f"invdecay: error: {message}")
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_too_large_for_the_disk(
    suffix: str, dry: list[str], printed: Callable[[], tuple[str, str]]
) -> None:
    """It is known at once, with both figures."""
    if suffix == ".zarr":
        pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    for steps, needs in ("1e13", "80.0 TB"), ("1e17", "800.0 PB"):
        assert main(["precompute", *SCHEDULE, *dry, "--steps", steps, f"lr{suffix}"]) == 1
        message = rf"invdecay: error: \S*lr{suffix}: needs {needs}, [\d.]+ \w+ are free\n"
        assert re.fullmatch(message, printed()[1])
    assert os.listdir() == []


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_a_dry_run_writes_nothing(suffix: str, printed: Callable[[], tuple[str, str]]) -> None:
    """It refuses what the run itself would refuse."""
    if suffix == ".zarr":
        pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    path = Path(f"lr{suffix}")
    arguments = ["precompute", *SCHEDULE, "--dry-run", "--steps", "1e4", str(path)]
    assert main(arguments) == 0
    summary = rf"{path}: 10,000 elements, float64, 80\.\d kB, not written; [\d.]+ \w+ are free\n"
    assert re.fullmatch(summary + SUMMARY.partition(r"\n")[2], printed()[0])
    assert os.listdir() == []
    path.write_text("a letter")
    for force, status in ([], 1), (["--force"], 0):
        assert main([*arguments, *force]) == status
        assert ("force" in printed()[1]) == (status == 1)
    assert path.read_text() == "a letter"
    assert main([*arguments[:-1], f"missing/lr{suffix}"]) == 1
    assert "missing: " in printed()[1]


def test_force(printed: Callable[[], tuple[str, str]]) -> None:
    """What is not a table is replaced by force alone, which the message names."""
    Path("lr.npy").write_text("a letter")
    command = ["precompute", *SCHEDULE, "--steps=1e4", "lr.npy"]
    assert main(command) == 1
    assert printed()[1].endswith("exists and is not a .npy file; --force replaces it\n")
    assert main([*command, "--force"]) == 0
    assert written()


def test_errors_of_the_path(folder: Path, printed: Callable[[], tuple[str, str]]) -> None:
    """They name the path, and are not the usage's."""
    Path("lr.npy").mkdir()
    assert main(["precompute", *SCHEDULE, "--steps=3", "lr.npy"]) == 1
    assert printed()[1] == f"invdecay: error: {folder / 'lr.npy'}: is a folder\n"
    assert main(["precompute", *SCHEDULE, "--steps=3", "missing/lr.npy"]) == 1
    assert printed()[1] == "invdecay: error: missing: No such file or directory\n"


def test_an_error_after_some_chunks_says_how_to_resume(
    folder: Path, printed: Callable[[], tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same line."""
    monkeypatch.setattr(storage, "_CHUNK", 4096)
    fill, path = InverseTimeDecay._fill, folder / "lr.npy"

    def fill_five(self: InverseTimeDecay, out: Any, steps: range) -> int:
        if steps.start == 5 * 512:
            raise OSError(5, "Input/output error", str(path))
        return fill(self, out, steps)

    monkeypatch.setattr(InverseTimeDecay, "_fill", fill_five)
    assert main(["precompute", *SCHEDULE, "--steps=1e4", "lr.npy"]) == 1
    assert printed()[1] == (
        f"invdecay: error: {path}: Input/output error. 20.6 kB are kept in {hidden(path)}:"
        " the same command resumes, and removing that file discards them\n"
    )


@pytest.mark.parametrize("filters", ["default", "error"])
@pytest.mark.parametrize("quiet", [False, True])
def test_warnings_of_other_packages(
    filters: Any,
    quiet: bool,
    printed: Callable[[], tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those for the user are one line, unless --quiet; those for programmers are left out."""

    def save(*args: Any, **kwargs: Any) -> None:
        for category in DeprecationWarning, FutureWarning, ResourceWarning, UserWarning:
            warnings.warn(f"a {category.__name__}\nof two lines", category, stacklevel=1)

    monkeypatch.setattr(invdecay, "save_table", save)
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        assert main([*TABLE.split(), *(["--quiet"] if quiet else [])]) == 0
    warned = "" if quiet else "invdecay: warning: a UserWarning of two lines\n"
    assert printed()[1] == warned


# ---------------------------------------------------------------- what a summary and a warning say

numbers = st.floats(-4, 4) | st.sampled_from([0.0, -0.0, 1e-300, 1e300, -1e300, 5e-324, 70000.0])
positive = st.floats(0.01, 50) | st.sampled_from([1e-300, 5e-324, 1e300])


@given(
    numbers,
    positive,
    numbers,
    st.booleans(),
    st.integers(-60, 60),
    st.integers(0, 120),
    st.sampled_from([1, -1, 3, -7, 2**40]),
    st.sampled_from([("float64", "f8"), ("float64", "f4"), ("float32", "f4"), ("float32", "f2")]),
)
@example(1.0, 1.0, -1.0, False, 0, 3, 1, ("float64", "f8"))
@example(0.0, 5e-324, 0.0, False, 1, 4, -1, ("float64", "f8"))
@example(0.0, 1.0, -0.5, False, 0, 9, 1, ("float64", "f8"))
def test_what_is_known_without_a_scan(
    lr: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool,
    start: int,
    count: int,
    step: int,
    dtypes: tuple[str, str],
) -> None:
    """The first unusual rate and the extremes are those that a scan of the table finds."""
    arithmetic, stored = map(np.dtype, dtypes)
    try:
        schedule = InverseTimeDecay(lr, decay_steps, decay_rate, staircase, dtype=arithmetic)
    except ValueError:  # not finite or not positive in float32
        return
    steps = range(start, start + count * step, step)
    rates = Rates(schedule, steps, stored)
    with np.errstate(all="ignore"):
        table = schedule.precompute(steps, out=np.empty(count, stored))
        unusual = np.flatnonzero(~np.isfinite(table) | (table < 0))
        finite = table[np.isfinite(table)]
    assert rates.first_unusual() == (unusual[0] if len(unusual) else None)
    extremes = (finite.min(), finite.max()) if len(finite) else None
    assert rates.extremes() == extremes
    assert (rates.warning() is None) == (len(unusual) == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (POLE, "at step 1: it is infinite, since the denominator is 0"),
        ("--lr 1 --decay-steps 2 --decay-rate -3", "at step 1: it is negative, -2.0, since the de"),
        ("--lr 0 --decay-steps 1 --decay-rate -1", "at step 1: it is not a number, since the"),
        ("--lr -1 --decay-steps 1 --decay-rate 1", "at step 0: it is negative, -1.0, since the"),
        (f"{POLE} --staircase --decay-steps 1e12", "at step 1000000000000: it is infinite, since"),
        ("--lr 1e5 --decay-steps 9 --decay-rate 0 --store-dtype f2", "at step 0: it is infinite"),
        (f"{S} --decay-rate -1 --steps 1000", None),
    ],
)
def test_a_warning_names_the_first_unusual_step(
    options: str, message: str | None, printed: Callable[[], tuple[str, str]]
) -> None:
    """Of a table that no disk holds too, at once, and before the work."""
    steps = [] if "--steps" in options else ["--steps=1e13"]
    main(["precompute", "--dry-run", *steps, *options.split(), "lr.npy"])
    warned = [line for line in printed()[1].splitlines() if "warning" in line]
    assert len(warned) == (message is not None)
    assert message is None or message in warned[0]


# ---------------------------------------------------------------- verify and inspect


@pytest.fixture(params=[".npy", ".zarr"])
def table(request: pytest.FixtureRequest) -> str:
    """A table with 300 elements."""
    if request.param == ".zarr":
        pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    path = f"lr{request.param}"
    save_table(EXPECTED, path, range(100, 3100, 10))
    return path


def change(path: str, index: int, rate: float) -> None:
    """Store another rate in a table."""
    if path.endswith(".npy"):
        np.load(path, mmap_mode="r+")[index] = rate
    else:
        import zarr

        array: Any = zarr.open_array(path, mode="r+")
        array[index] = rate


def test_verify(table: str, printed: Callable[[], tuple[str, str]]) -> None:
    """The first difference, what is there and what should be, and how many there are."""
    arguments = ["verify", *SCHEDULE, "--start=100", "--step=10", table]
    arguments = ["verify", table] if table.endswith(".zarr") else arguments
    assert main(arguments) == 0
    line = f"{table}: all 300 elements are the schedule's, bit for bit\n"
    assert printed() == (line, "")
    assert main([*arguments, "--quiet"]) == 0
    assert printed() == ("", "")
    change(table, 7, 0.5)
    change(table, 200, -0.0)
    for quiet in [], ["-q"]:
        assert main([*arguments, *quiet]) == 1
        error = (
            f"invdecay: error: {table}: 2 of 300 elements differ; the first is at step 170, where"
            f" the file has 0.5 and the schedule has {EXPECTED(170)}\n"
        )
        assert printed() == ("", error)


def test_verify_against_other_steps(table: str, printed: Callable[[], tuple[str, str]]) -> None:
    """What is given goes before what a .zarr array says of itself."""
    assert main(["verify", *SCHEDULE, "--start=0", "--step=10", table]) == 1
    assert "300 of 300 elements differ; the first is at step 0, where" in printed()[1]
    given = ["--start=100"] if table.endswith(".zarr") else [*SCHEDULE, "--start=100", "--step=10"]
    assert main(["verify", *given, table]) == 0
    printed()
    assert main(["verify", *SCHEDULE, "--steps=299", table]) == 1
    assert printed() == ("", f"invdecay: error: {table} has 300 elements, expected 299\n")


@pytest.mark.parametrize("command", [["verify", *SCHEDULE], ["inspect"]])
@pytest.mark.parametrize("path", ["no.npy", "no.zarr", "text.npy", "two.npy", "folder.npy"])
def test_what_is_not_a_table(
    command: list[str], path: str, printed: Callable[[], tuple[str, str]]
) -> None:
    if path == "no.zarr":
        pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    Path("text.npy").write_text("a letter")
    Path("folder.npy").mkdir()
    np.save("two.npy", np.zeros((2, 2)))
    assert main([*command, path]) == 1
    out, err = printed()
    assert err.startswith(f"invdecay: error: {path}")
    assert (out, err.count("\n")) == ("", 1)


def test_inspect(table: str, printed: Callable[[], tuple[str, str]]) -> None:
    """For people and for programs."""
    change(table, 0, np.nan)
    change(table, 5, np.inf)
    assert main(["inspect", table]) == 0
    size = _files.format_bytes(storage.inspect_table(table).size)
    expected = {
        "path": table,
        "format": table[3:],
        "dtype": "float64",
        "length": "300",
        "size": size,
        "complete": "yes",
        "first": "nan",
        "last": str(EXPECTED(3090)),
        "smallest": str(EXPECTED(3090)),
        "largest": str(EXPECTED(110)),
        "nan": "1",
        "infinite": "1",
    }
    if table.endswith(".zarr"):
        expected |= {"schedule": repr(EXPECTED), "steps": "range(100, 3100, 10)"}
    lines = printed()[0].splitlines()
    assert dict(re.split(r": +", line, maxsplit=1) for line in lines) == expected
    assert main(["inspect", "--json", table]) == 0
    found = json.loads(printed()[0], parse_constant=pytest.fail)
    assert (found["length"], found["complete"], found["first"]) == (300, True, "nan")
    assert (found["last"], found["nan"], found["infinite"]) == (EXPECTED(3090), 1, 1)
    if table.endswith(".zarr"):
        assert found["steps"] == {"start": 100, "stop": 3100, "step": 10}
        assert InverseTimeDecay.from_config(found["schedule"]) == EXPECTED
    else:
        assert found["steps"] is found["schedule"] is None


def test_inspect_a_table_that_was_cut(printed: Callable[[], tuple[str, str]]) -> None:
    save_table(EXPECTED, "lr.npy", 300)
    os.truncate("lr.npy", 128 + 80)
    assert main(["inspect", "lr.npy"]) == 0
    assert "\ncomplete: no\n" in printed()[0]


# ---------------------------------------------------------------- Ctrl-C

SLOW = """
import os, signal, sys, time
from invdecay import cli, storage
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
fsync = os.fsync
storage._CHUNK = storage._SYNC = 4096
os.fsync = lambda descriptor: (time.sleep(0.001), fsync(descriptor))
sys.exit(cli.main())
"""


def test_interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says what is kept; the same command finishes the table."""
    path = folder / "lr.npy"
    command = ["precompute", *SCHEDULE, "--steps=1e6", str(path)]
    program = [sys.executable, "-c", SLOW, *command]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not hidden(path).exists() or hidden(path).stat().st_size < 50_000:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, b"")
    size = _files.format_bytes(hidden(path).stat().st_size)
    assert errors.decode() == (
        f"invdecay: interrupted. {size} are kept in {hidden(path)}: the same command resumes,"
        " and removing that file discards them\n"
    )
    assert not path.exists()
    monkeypatch.setattr(storage, "_CHUNK", 4096)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert main(command) == 0
    assert path.read_bytes() == npy(EXPECTED, range(10**6))


AT_AN_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
from invdecay.cli import main

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.exit(main())
"""


@pytest.mark.parametrize("module", ["click", "rich", "invdecay.cli._tables", "invdecay.storage"])
def test_interrupt_while_modules_are_imported(module: str) -> None:
    """One line, from the command's first own import on."""
    program = AT_AN_IMPORT.replace("sys.argv[1]", repr(module))
    ended = subprocess.run(
        [sys.executable, "-c", program, *TABLE.split()], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (130, "", 1)
    assert ended.stderr.startswith("invdecay: interrupted")
    assert os.listdir() == []


# ---------------------------------------------------------------- clusters


@pytest.fixture
def cluster(folder: Path) -> Iterator[Any]:
    """A scheduler without a worker."""
    distributed = pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")
    pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, protocol="tcp://", processes=False,
        dashboard_address=None, local_directory=str(folder / "dask"),
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.mark.filterwarnings("ignore")  # the libraries' own
def test_a_cluster(cluster: Any, folder: Path, printed: Callable[[], tuple[str, str]]) -> None:
    """A relative path is the command's own; without a worker, one line."""
    command = ["precompute", *SCHEDULE, "--steps=1e4", "--scheduler", cluster.scheduler_address]
    assert main([*command, "--timeout=0.5", "lr.zarr"]) == 1
    error = printed()[1]
    assert error.endswith("has had no worker for 0.5 s\n")
    assert error.count("\n") == 1
    cluster.scale(1)
    for _ in range(2):  # the second one replaces the first
        assert main([*command, "lr.zarr"]) == 0
        summary = printed()[0].splitlines()
        assert summary[0].startswith("lr.zarr: 10,000 elements, float64, 80.0 kB, ")
        assert main(["verify", "lr.zarr"]) == 0
        assert printed()[0].startswith("lr.zarr: all 10,000 elements are")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1 within 0.5 s"),
        ("nonsense://x", "--scheduler must be the address of a scheduler, got 'nonsense://x'"),
        ("localhost", "--scheduler must be the address of a scheduler, got 'localhost'"),
        ("inproc://1.2.3.4/5/6", "--scheduler must be the address of a scheduler, got 'inproc"),
        ("inproc://", "--scheduler must be the address of a scheduler, got 'inproc://'"),
        ("tls://127.0.0.1:1", "--scheduler must be the address of a scheduler, got 'tls"),
        ("ucx://127.0.0.1:1", "--scheduler must be the address of a scheduler, got 'ucx"),
        ("", "--scheduler must be the address of a scheduler, got ''"),
        ("SILENT", "no Dask scheduler answers at tcp://127.0.0.1:"),
    ],
)
def test_an_address_without_a_scheduler(address: str, message: str) -> None:
    """At most a line, also of Dask's own at exit."""
    pytest.importorskip("distributed", reason="needs the extra invdecay[dask]")
    pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    listener = socket.create_server(("127.0.0.1", 0))  # it takes connections and says nothing
    address = address.replace("SILENT", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    options = ["--steps=9", "--timeout=0.5", "--scheduler", address]
    ended = subprocess.run(
        [*RUN, "precompute", *SCHEDULE, *options, "lr.zarr"], capture_output=True, text=True
    )
    listener.close()
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"invdecay: error: {message}")
    assert ended.stderr.count("\n") == 1
    assert os.listdir() == []
