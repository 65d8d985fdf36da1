"""Pictures: what is drawn where, and the inverse that reads a step off a rate."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invdecay import InverseTimeDecay, plotting

SMOOTH = InverseTimeDecay(0.1, 1000, 1.0)
STAIRS = InverseTimeDecay(0.1, 1000, 1.0, staircase=True)


@pytest.fixture
def pyplot() -> Iterator[Any]:
    matplotlib = pytest.importorskip("matplotlib", reason="needs the extra invdecay[plot]")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_line_is_the_schedule(pyplot: Any) -> None:
    ax = SMOOTH.plot(5000)
    steps, rates = ax.lines[0].get_data()
    assert (steps[0], steps[-1]) == (0, 5000)
    assert np.array_equal(rates, SMOOTH(steps))
    assert ax.get_xlabel() == "step"
    assert ax.get_ylabel() == "learning rate"


def test_stairs_are_drawn_where_they_begin(pyplot: Any) -> None:
    line = STAIRS.plot(5000).lines[0]
    assert line.get_drawstyle() == "steps-post"
    assert line.get_xdata().tolist() == [0, 1000, 2000, 3000, 4000, 5000]


def test_stairs_of_a_fraction_begin_at_the_next_step() -> None:
    schedule = InverseTimeDecay(0.1, 2.5, 1.0, staircase=True)
    steps = plotting.sampled_steps(schedule, 0, 10, "linear")
    assert steps.tolist() == [0, 3, 5, 8, 10]
    table = schedule.precompute(11)
    assert (np.flatnonzero(np.diff(table)) + 1).tolist() == steps[1:].tolist()


def test_decay_steps_is_marked_at_half_the_rate(pyplot: Any) -> None:
    ax = SMOOTH.plot(5000)
    mark = ax.lines[1]
    assert [mark.get_xdata()[0], mark.get_ydata()[0]] == [1000, 0.05]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["0.1 / (1 + 1 · step / 1,000)", "decay_steps = 1,000: rate ÷ 2"]
    assert len(SMOOTH.plot(999).lines) == 1


def test_schedules_share_the_axes_given(pyplot: Any) -> None:
    ax = SMOOTH.plot(5000, label="smooth", color="black")
    assert STAIRS.plot(5000, ax=ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "smooth"
    assert labels[2] == "0.1 / (1 + 1 · ⌊step / 1,000⌋)"
    assert ax.lines[0].get_color() == "black"


@pytest.mark.parametrize("schedule", [SMOOTH, STAIRS, InverseTimeDecay(0.1, 1, 0.5, True)])
@pytest.mark.parametrize("xscale", ["linear", "log"])
def test_few_steps_are_evaluated_however_many_there_are(schedule: Any, xscale: Any) -> None:
    for stop in (1000, 10**6, 10**12, 2**62):
        steps = plotting.sampled_steps(schedule, 0, stop, xscale)
        assert len(steps) <= 2002
        assert np.all(np.diff(steps) > 0)
        assert (steps[0], steps[-1]) == (xscale == "log", stop)


def test_log_axes(pyplot: Any) -> None:
    ax = SMOOTH.plot(10**6, xscale="log", yscale="log")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.lines[0].get_xdata()[0] == 1


@pytest.mark.parametrize("name", ["lr.png", "lr.svg", "lr.pdf"])
def test_files_are_written_and_nothing_is_left_open(pyplot: Any, tmp_path: Path, name: str) -> None:
    plotting.save_plot(STAIRS, tmp_path / name, 5000, xscale="log")
    assert (tmp_path / name).stat().st_size > 5000
    assert pyplot.get_fignums() == []
    with pytest.raises(ValueError, match="xyz"):
        plotting.save_plot(STAIRS, tmp_path / "lr.xyz", 5000)
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stop": 0}, ValueError, "stop must be past the first step drawn, 0, got 0"),
        ({"stop": 5, "start": 5}, ValueError, "got 5"),
        ({"stop": 1, "xscale": "log"}, ValueError, "first step drawn, 1, got 1"),
        ({"stop": 1.5}, TypeError, "stop must be an integer, got 1.5"),
        ({"stop": 9, "xscale": "symlog"}, ValueError, "xscale must be 'linear' or 'log'"),
        ({"stop": 9, "yscale": "logit"}, ValueError, "yscale must be 'linear' or 'log'"),
    ],
)
def test_bad_arguments_are_named(
    pyplot: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SMOOTH.plot(**arguments)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_text_plots_fit_their_frame(scale: Any) -> None:
    pytest.importorskip("plotext", reason="needs the extra invdecay[plot]")
    picture = plotting.text_plot(STAIRS, 5000, xscale=scale, yscale=scale, width=60, height=15)
    rows = picture.splitlines()
    assert len(rows) == 15
    assert max(map(len, rows)) <= 60
    assert "\x1b" not in picture
    assert "0.1 / (1 + 1 · ⌊step / 1,000⌋)" in rows[0]
    assert "decay_steps = 1,000" in rows[-1]
    assert "\x1b" in plotting.text_plot(STAIRS, 5000, color=True)


def test_text_plots_step_down_where_the_stairs_do() -> None:
    pytest.importorskip("plotext", reason="needs the extra invdecay[plot]")
    rows = plotting.text_plot(STAIRS, 2000, width=60).splitlines()
    inside = [row.split("┤" if "┤" in row else "│", 1)[1] for row in rows[2:-3]]
    middle = len(max(inside, key=len)) // 2
    assert re.search("[▀▄]", inside[0][: middle - 3])
    assert not re.search("[▀▄]", inside[0][middle + 3 :])


@pytest.mark.parametrize(
    "schedule", [SMOOTH, STAIRS, InverseTimeDecay(0.1, 1.5, -0.25), InverseTimeDecay(0, 1e300, 1)]
)
def test_notebooks_get_a_small_picture_of_their_own(schedule: InverseTimeDecay) -> None:
    text = schedule._repr_html_()
    assert len(text.encode()) < 3000
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    svg = ET.fromstring(text.replace("<br>", "<br/>")).find("{http://www.w3.org/2000/svg}svg")
    assert svg is not None
    line = svg.find("{http://www.w3.org/2000/svg}polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert all(0 <= x <= 320 and 0 <= y <= 120 for x, y in points)


def test_names_are_escaped() -> None:
    text = InverseTimeDecay(0.1, 1000, 1.0, name="<script>")._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_importing_invdecay_imports_no_optional_library() -> None:
    optional = "array_api_compat dask jax keras matplotlib numba plotext rich tensorflow torch"
    code = f"import sys, invdecay; print({{*{optional.split()}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---------------------------------------------------------------- the inverse


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_step_at_is_where_the_rate_comes_down(dtype: str, staircase: bool) -> None:
    for decay_steps, decay_rate in ((1000, 1.0), (7, 0.3), (2.5, 33.0), (20_000, 1e-3)):
        schedule = InverseTimeDecay(0.1, decay_steps, decay_rate, staircase, dtype=dtype)
        for rate in (0.1, 0.0999, 0.05, 0.0123, 1e-5):
            step = schedule.step_at(rate)
            target = np.dtype(dtype).type(rate)
            assert type(step) is int
            assert schedule(step) <= target
            assert step == 0 or schedule(step - 1) > target


def test_step_at_agrees_with_the_table(staircase: bool) -> None:
    schedule = InverseTimeDecay(0.1, 7, 0.3, staircase)
    table = schedule.precompute(500)
    for rate in table:
        assert schedule.step_at(float(rate)) == np.flatnonzero(table <= rate)[0]


def test_step_at_of_a_higher_rate_is_the_first_step() -> None:
    assert SMOOTH.step_at(0.2) == 0
    assert InverseTimeDecay(0.1, 1, 0).step_at(0.1) == 0


@pytest.mark.parametrize(
    ("schedule", "rate", "error", "message"),
    [
        (SMOOTH, 0.0, ValueError, "learning_rate is never reached, got 0.0"),
        (SMOOTH, 1e-18, ValueError, "learning_rate is never reached, got 1e-18"),
        (InverseTimeDecay(0.1, 1, 0), 0.05, ValueError, "never reached, got 0.05"),
        (SMOOTH, float("nan"), ValueError, "learning_rate must be finite, got nan"),
        (SMOOTH, "0.1", TypeError, "learning_rate must be a real number, got '0.1'"),
        (InverseTimeDecay(0.1, 1, -0.5), 0.05, ValueError, "a schedule whose rate falls"),
    ],
)
def test_step_at_says_what_it_cannot_reach(
    schedule: InverseTimeDecay, rate: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        schedule.step_at(rate)


@pytest.mark.parametrize(("initial", "final"), [(0.1, 0.001), (3e-4, 1e-7), (1.0, 1.0), (0.1, 0.2)])
@pytest.mark.parametrize("steps", [1, 1000, 10**9])
def test_from_endpoints_passes_through_both(initial: float, final: float, steps: int) -> None:
    schedule = InverseTimeDecay.from_endpoints(initial, final, steps)
    assert schedule(0) == initial
    assert abs(schedule(steps) - final) <= 4 * np.spacing(final)
    assert not schedule.staircase


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.1, 0, 10), ValueError, "final must be positive, got 0"),
        ((-0.1, 0.1, 10), ValueError, "initial must be positive, got -0.1"),
        ((0.1, 0.01, 0), ValueError, "steps must be positive, got 0"),
        ((0.1, "0.01", 10), TypeError, "final must be a real number, got '0.01'"),
    ],
)
def test_from_endpoints_names_what_is_wrong(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        InverseTimeDecay.from_endpoints(*arguments)


# ---------------------------------------------------------------- the command

OPTIONS = ["plot", "--initial-learning-rate", "0.1", "--decay-steps", "1000", "--decay-rate", "1"]


def test_the_command_draws_a_file(pyplot: Any, tmp_path: Path) -> None:
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    picture = tmp_path / "lr.svg"
    assert cli.main([*OPTIONS, "--steps", "1e5", "--xscale", "log", str(picture)]) == 0
    assert ET.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_command_draws_text(capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    pytest.importorskip("plotext", reason="needs the extra invdecay[plot]")
    assert cli.main([*OPTIONS, "--staircase", "--steps", "5000"]) == 0
    picture = capsys.readouterr().out
    assert "0.1 / (1 + 1 · ⌊step / 1,000⌋)" in picture
    assert "\x1b" not in picture


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--steps", "0"], 2, "stop must be past the first step drawn, 0, got 0"),
        (["--steps", "9", "no/such/folder/lr.png"], 1, "lr.png: No such file or directory"),
        (["--steps", "9", "lr.xyz"], 2, "xyz"),
    ],
)
def test_the_command_s_errors_are_one_line(
    pyplot: Any,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    assert cli.main([*OPTIONS, *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("missing", ["matplotlib", "plotext"])
def test_the_command_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    for name in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    path = ["lr.png"] if missing == "matplotlib" else []
    assert cli.main([*OPTIONS, "--steps", "9", *path]) == 1
    assert "pip install 'invdecay[plot]'" in capsys.readouterr().err
