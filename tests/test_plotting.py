"""Pictures: what is drawn where, what is written, and the inverse that reads a step off a rate."""

import io
import itertools
import math
import os
import pickle
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from invdecay import InverseTimeDecay
from invdecay._curves import CROSS, schedule_curves
from invdecay._drawings import text_plot, to_html

SMOOTH = InverseTimeDecay(0.1, 1000, 1.0)
STAIRS = InverseTimeDecay(0.1, 1000, 1.0, staircase=True)
POLE = InverseTimeDecay(0.1, 1000, -0.5)  # at step 2,000
STAIRS_POLE = InverseTimeDecay(0.1, 1000, -0.5, staircase=True)  # from 2,000 to 2,999
STAIRS_OVER_POLE = InverseTimeDecay(0.1, 1000, -0.3, staircase=True)  # between two stairs

EXTREMES = [
    InverseTimeDecay(*hyper)
    for hyper in itertools.product(
        (0.1, -0.1, 0.0, 1.797e308, 5e-324),
        (1000.0, 0.3, 5e-324, 1e17, 1.7e308),
        (1.0, 0.0, -0.5, -1 / 3, -1e300),
        (False, True),
    )
]


@pytest.fixture
def plotting() -> Any:
    return pytest.importorskip("invdecay.plotting", reason="needs the extra invdecay[plot]")


@pytest.fixture
def pyplot(plotting: Any) -> Iterator[Any]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    yield plt
    plt.close("all")


def value_of(label: str) -> float:
    """Read a label of the axis of steps: 2,500 or 2.5 M."""
    number, _, unit = label.replace("\N{MINUS SIGN}", "-").replace(",", "").partition(" ")
    power = {"": 0, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[unit]
    return float(f"{number}e{power}")


# ---------------------------------------------------------------- the line


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("xscale", ["linear", "log"])
def test_the_line_is_the_schedule(plotting: Any, dtype: str, xscale: Any) -> None:
    schedule = InverseTimeDecay(0.1, 1000, 1.0, dtype=dtype)
    ax = schedule.plot(5000, xscale=xscale)
    steps, rates = ax.lines[0].get_data()
    assert (steps[0], steps[-1]) == (xscale == "log", 5000)
    assert np.array_equal(rates, schedule(steps))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "learning rate")


@given(
    decay_steps=st.floats(0.3, 50),
    decay_rate=st.sampled_from([1.0, 0.25, -0.125]),
    start=st.integers(-100, 100),
    length=st.integers(1, 300),
)
@example(decay_steps=1.1, decay_rate=1.0, start=0, length=100)  # 11 / 1.1 is rounded up to 10
def test_stairs_show_the_rate_of_every_step(
    decay_steps: float, decay_rate: float, start: int, length: int
) -> None:
    schedule = InverseTimeDecay(0.1, decay_steps, decay_rate, staircase=True)
    with np.errstate(all="ignore"):
        table = schedule.precompute(range(start, start + length))
    assume(np.isfinite(table).any())
    (curve,) = schedule_curves(schedule, start, start + length, "linear")
    steps, rates = curve.steps, curve.rates
    at = np.searchsorted(steps, np.arange(start, start + length), side="right") - 1
    assert np.array_equal(rates[at], np.where(np.isfinite(table), table, np.nan), equal_nan=True)
    # Nothing drops at the end, where the next stair is outside the picture.
    assert steps[-1] == start + length
    assert rates[-1] == rates[-2] or math.isnan(rates[-1])


def test_stairs_are_drawn_where_they_begin(plotting: Any) -> None:
    line = STAIRS.plot(5000).lines[0]
    assert line.get_drawstyle() == "steps-post"
    steps, rates = line.get_data()
    assert steps.tolist() == [0, 1000, 2000, 3000, 4000, 5000]
    assert rates.tolist() == [*STAIRS.precompute(range(0, 5000, 1000)), STAIRS(4999)]


def test_float32_stairs_are_those_of_the_rounded_decay_steps(plotting: Any) -> None:
    schedule = InverseTimeDecay(0.1, 1000.1, 1.0, staircase=True, dtype="float32")
    steps, _ = schedule.plot(900_000).lines[0].get_data()
    assert np.array_equal(steps[1:-1], np.flatnonzero(np.diff(schedule.precompute(900_000))) + 1)


def test_float32_stairs_have_their_own_rate_where_steps_are_rounded() -> None:
    schedule = InverseTimeDecay(0.1, 999, 1.0, staircase=True, dtype="float32")
    first = 2**26 // 999
    (curve,) = schedule_curves(schedule, 999 * first, 999 * (first + 300), "linear")
    middle = np.arange(999 * first, 999 * (first + 300), 999) + 499
    assert np.array_equal(curve.rates[:-1], schedule(middle).astype(np.float64))


@pytest.mark.parametrize("schedule", [SMOOTH, STAIRS, InverseTimeDecay(0.1, 1, 0.5, True)])
@pytest.mark.parametrize("xscale", ["linear", "log"])
def test_few_steps_are_evaluated_however_many_there_are(schedule: Any, xscale: Any) -> None:
    for stop in (1000, 10**6, 10**12, 2**62):
        (curve,) = schedule_curves(schedule, 0, stop, xscale)
        assert len(curve.steps) <= 2002
        assert np.all(np.diff(curve.steps) > 0)
        assert (curve.steps[0], curve.steps[-1]) == (xscale == "log", stop)


def test_decay_steps_is_marked_at_half_the_rate(plotting: Any) -> None:
    ax = SMOOTH.plot(5000)
    mark = ax.lines[1]
    assert [mark.get_xdata()[0], mark.get_ydata()[0]] == [1000, 0.05]
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0.1 / (1 + 1 · step / 1,000)"]
    assert legend.get_title().get_text() == "● decay_steps = 1,000: rate ÷ 2"
    assert len(SMOOTH.plot(999).lines) == 1


@pytest.mark.parametrize(
    ("decay_steps", "staircase", "at"),
    [(2.5, False, 2.5), (2.5, True, 3), (0.7, True, 1), (0.3, True, None), (0.3, False, 0.3)],
)
def test_the_mark_is_on_the_line(
    plotting: Any, decay_steps: float, staircase: bool, at: float | None
) -> None:
    marks = InverseTimeDecay(0.1, decay_steps, 1.0, staircase).plot(20).lines[1:]
    assert [(*mark.get_xdata(), *mark.get_ydata()) for mark in marks] == [(at, 0.05)] * (at != None)  # noqa: E711


# ---------------------------------------------------------------- the axes


@pytest.mark.parametrize("start", [0, 3, 1000])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 20, 999, 5000, 123_456, 20_000_000, 10**12, 2**62])
def test_labels_are_integers_and_say_where_they_stand(
    plotting: Any, start: int, length: int
) -> None:
    ax = InverseTimeDecay(0.1, 0.5, 1.0).plot(start + length, start=start)
    ax.figure.draw_without_rendering()
    ticks = ax.get_xticks()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert len(ticks) >= 2
    assert all(tick == int(tick) for tick in ticks)
    assert [value_of(label) for label in labels] == pytest.approx(ticks.tolist(), rel=1e-12)
    assert not any("e" in label for label in labels)
    assert len(set(labels)) == len(labels)


def test_a_long_axis_has_one_unit(plotting: Any) -> None:
    ax = SMOOTH.plot(20_000_000)
    ax.figure.draw_without_rendering()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert "20 M" in labels
    assert all(label == "0" or label.endswith(" M") for label in labels)


@pytest.mark.parametrize(
    "schedule",
    [
        InverseTimeDecay(0.1, 1e12, 1.0),  # hardly falls
        InverseTimeDecay(0.1, 10, 0.0),
        InverseTimeDecay(-0.1, 1e12, 1.0),
        SMOOTH,
        STAIRS,
    ],
)
def test_there_is_room_between_the_curve_and_the_frame(plotting: Any, schedule: Any) -> None:
    ax = schedule.plot(5000)
    low, high = ax.get_ylim()
    rates = ax.lines[0].get_ydata()
    if schedule.initial_learning_rate > 0:
        assert low == 0
        assert high >= 1.04 * rates.max()
    else:
        assert high == 0
        assert low <= 1.04 * rates.min()


def test_later_curves_widen_the_axes(plotting: Any) -> None:
    ax = SMOOTH.plot(5000)
    InverseTimeDecay(0.5, 1000, 1.0).plot(9000, ax=ax)
    assert ax.get_ylim()[1] > 0.5
    assert ax.get_xlim()[1] >= 9000


def test_log_axes(plotting: Any) -> None:
    ax = SMOOTH.plot(10**6, xscale="log", yscale="log")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.lines[0].get_xdata()[0] == 1


@pytest.mark.parametrize("scales", [*itertools.product(["linear", "log", "symlog"], repeat=2)])
def test_given_axes_keep_their_scales_limits_and_labels(
    plotting: Any, pyplot: Any, scales: tuple[str, str]
) -> None:
    _, ax = pyplot.subplots()
    ax.set(xscale=scales[0], yscale=scales[1], xlabel="iteration", ylim=(0.001, 7), xlim=(1, 77))
    for schedule in SMOOTH, STAIRS:
        schedule.plot(5000, ax=ax)
        assert (ax.get_xscale(), ax.get_yscale()) == scales
        assert (ax.get_xlim(), ax.get_ylim()) == ((1, 77), (0.001, 7))
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("iteration", "learning rate")
        assert (ax.lines[0].get_xdata()[0] == 1) == (scales[0] == "log")
    SMOOTH.plot(5000, ax=ax, xscale="log", yscale="linear")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")


def test_given_axes_keep_their_ticks(plotting: Any, pyplot: Any) -> None:
    _, ax = pyplot.subplots()
    ax.set_xticks([0, 1500], ["begin", "drop"])
    SMOOTH.plot(5000, ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["begin", "drop"]


# ---------------------------------------------------------------- the legend


@pytest.mark.parametrize("count", [1, 4, 5, 8])
@pytest.mark.parametrize("at_once", [True, False])
def test_each_schedule_has_one_entry_and_a_long_legend_hides_no_curve(
    plotting: Any, count: int, at_once: bool
) -> None:
    schedules = [InverseTimeDecay(0.1, 1000, 0.5 * (n + 1)) for n in range(count)]
    if at_once:
        ax = plotting.plot(schedules, 5000)
    else:
        ax = None
        for schedule in schedules:
            ax = schedule.plot(5000, ax=ax)
    ax.figure.draw_without_rendering()
    legend = ax.get_legend()
    assert len(legend.get_texts()) == count
    assert len({line.get_color() for line in ax.lines}) == count
    axes, names = ax.get_window_extent(), legend.get_window_extent()
    assert (names.x0 > axes.x1) == (count >= 5)
    assert names.x1 <= ax.figure.bbox.x1
    assert axes.width >= 300


def test_labels_and_styles_are_those_given(plotting: Any) -> None:
    ax = plotting.plot([SMOOTH, STAIRS], 5000, label=["smooth", "stairs"], linewidth=3)
    ax = SMOOTH.plot(4000, ax=ax, label="black", color="black")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["smooth", "stairs", "black"]
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_linewidth() for line in lines[:2]] == [3, 3]
    assert lines[2].get_color() == "black"
    assert SMOOTH.plot(5000, label="_hidden").get_legend() is None


# ---------------------------------------------------------------- poles


@pytest.mark.parametrize(
    ("schedule", "gap", "pole"),
    [
        (POLE, (1990, 2010), 2000),
        (InverseTimeDecay(0.1, 1000, -0.3), (3325, 3345), 10000 / 3),
        (STAIRS_POLE, (2000, 3000), 2000),
        (STAIRS_OVER_POLE, (4000, 4000), 4000),
        (InverseTimeDecay(-0.1, 1000, -0.5), (1990, 2010), 2000),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_poles_are_gaps_with_a_mark(
    plotting: Any, schedule: Any, gap: Any, pole: float, stored: bool
) -> None:
    if stored:
        with np.errstate(all="ignore"):
            table = schedule.precompute(5000)
        ax = plotting.plot_table(table)
        gap = (gap[0] - 10, gap[1] + 10)
    else:
        ax = schedule.plot(5000)
    steps, rates = ax.lines[0].get_data()
    (inside,) = np.nonzero(np.isnan(rates))
    assert len(inside) > 0
    assert np.all((gap[0] <= steps[inside]) & (steps[inside] <= gap[1]))
    joined = rates[:-1] * rates[1:]
    assert not np.any(joined < 0)
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == pytest.approx([pole], abs=6 * stored + 1e-6)
    assert "pole: the denominator is 0" in ax.get_legend().get_title().get_text()
    if not stored:  # up to the pole, which is outside the frame
        finite = ~np.isnan(rates)
        assert rates[finite].tolist() == [*schedule(steps[finite]).tolist()[:-1], rates[-1]]
    # The axis shows the rest of the curve, not the last value before the pole.
    assert max(map(abs, ax.get_ylim())) <= 2


def test_a_curve_without_a_pole_has_no_cross_and_no_gap(plotting: Any) -> None:
    for schedule in SMOOTH, STAIRS, InverseTimeDecay(0, 1000, 1.0), InverseTimeDecay(-1, 10, 1):
        ax = schedule.plot(5000)
        assert not np.isnan(ax.lines[0].get_ydata()).any()
        assert not any(line.get_marker() == "x" for line in ax.lines)
    wave = np.sin(np.linspace(0, 20, 5000))
    assert not np.isnan(plotting.plot_table(wave).lines[0].get_ydata()).any()


def test_rates_that_are_never_finite_are_not_drawn(plotting: Any) -> None:
    with pytest.raises(ValueError, match="there is nothing to draw: no rate of table is finite"):
        plotting.plot_table(np.full(100, np.nan))


@pytest.mark.parametrize(
    ("schedule", "where"),
    [
        (POLE, "got 'log' and -"),
        (STAIRS_POLE, "got 'log' and -0.2 at step 3,000 of 0.1 / "),
        (InverseTimeDecay(0, 10, 1), "got 'log' and 0 at step 0 of 0 / "),
        (InverseTimeDecay(-0.1, 10, 1), "got 'log' and -0.1 at step 0"),
    ],
)
def test_a_log_axis_of_rates_that_are_not_positive_is_refused(
    plotting: Any, pyplot: Any, schedule: Any, where: str
) -> None:
    message = "yscale must be 'linear' where rates are not positive, " + where
    _, ax = pyplot.subplots()
    for arguments in ({"yscale": "log"}, {"yscale": "log", "ax": ax}):
        with pytest.raises(ValueError, match=re.escape(message)):
            schedule.plot(5000, **arguments)
    assert (ax.get_yscale(), ax.has_data()) == ("linear", False)
    with pytest.raises(ValueError, match=re.escape(message)):
        text_plot(schedule, 5000, yscale="log")
    ax.set_yscale("log")
    with pytest.raises(ValueError, match=re.escape(message)):
        plotting.plot([SMOOTH, schedule], 5000, ax=ax)
    assert not ax.has_data()
    schedule.plot(1000, start=1, ax=None, xscale="log")  # the axis of steps does not matter


# ---------------------------------------------------------------- figures


def test_no_figure_of_pyplot_is_touched(plotting: Any, pyplot: Any, tmp_path: Path) -> None:
    figure, theirs = pyplot.subplots(figsize=(2, 2))
    other, ax = pyplot.subplots(figsize=(3, 1))
    pyplot.figure(figure)
    SMOOTH.plot(5000)
    plotting.save_plot(SMOOTH, tmp_path / "new.png", 5000)
    plotting.save_plot(SMOOTH, tmp_path / "other.svg", 5000, ax=ax)
    assert pyplot.get_fignums() == [figure.number, other.number]
    assert pyplot.gcf() is figure
    assert not theirs.has_data()
    width = ET.parse(tmp_path / "other.svg").getroot().attrib["width"]
    assert width == "216pt"  # three inches: the figure that was drawn into


def test_axes_of_a_subfigure_save_the_whole_figure(plotting: Any, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    ax = Figure(figsize=(5, 2)).subfigures(1, 2)[1].subplots()
    plotting.save_plot(SMOOTH, tmp_path / "lr.svg", 5000, ax=ax)
    assert ET.parse(tmp_path / "lr.svg").getroot().attrib["width"] == "360pt"


PROGRAM = """
import os, sys
from invdecay import InverseTimeDecay
from invdecay.plotting import save_plot
schedule = InverseTimeDecay(0.1, 1000, 1.0)
schedule.plot(5000)
save_plot(schedule, "lr.png", 5000)
schedule.plot(5000)._repr_png_()
print("matplotlib.pyplot" in sys.modules, os.environ["MPLBACKEND"])
"""


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "module://no.such", "tkagg"]
)
def test_a_notebook_s_backend_does_not_matter(plotting: Any, tmp_path: Path, backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"MPLBACKEND": backend},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"False {backend}\n"
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")


def test_a_notebook_shows_new_axes(plotting: Any) -> None:
    image = pytest.importorskip("matplotlib.image")
    ax = SMOOTH.plot(5000)
    picture, size = ax._repr_png_()
    height, width, _ = image.imread(io.BytesIO(picture)).shape
    assert (width, height) == (2 * size["width"], 2 * size["height"])
    assert pickle.loads(pickle.dumps(ax)).get_xlabel() == "step"


def test_flags_raised_near_a_pole_stay_inside(plotting: Any, tmp_path: Path) -> None:
    with np.errstate(all="raise"):
        for schedule in POLE, STAIRS_POLE, InverseTimeDecay(1e308, 1000, -0.5):
            plotting.save_plot(schedule, tmp_path / "lr.png", 5000)
            assert text_plot(schedule, 5000)
            assert to_html(schedule)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "suffix", ["png", "svg", "pdf", "eps", "ps", "jpg", "PNG", "svgz", "tif", "webp"]
)
def test_pictures_are_written_and_replaced(plotting: Any, tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"lr.{suffix}"
    picture.touch()  # as tempfile does
    for schedule in SMOOTH, STAIRS:
        plotting.save_plot(schedule, picture, 5000, xscale="log")
        assert picture.stat().st_size > 5000


@pytest.mark.parametrize("path", [".", "-", "lr", ".png", "lr.", "lr.npy", "lr.xyz", "lr.pgf", ""])
def test_only_pictures_are_written(
    plotting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    message = f"path must end in one of .png, .svg, .pdf, .*; got {re.escape(repr(path))}"
    with pytest.raises(ValueError, match=message):
        plotting.save_plot(STAIRS, path, 5000)
    assert not any(tmp_path.iterdir())


def test_what_is_not_such_a_picture_is_left_alone(plotting: Any, tmp_path: Path) -> None:
    picture = tmp_path / "lr.png"
    for content in (b"{}", b"\x93NUMPY", b"%PDF-1.4", b"<svg>"):
        picture.write_bytes(content)
        with pytest.raises(FileExistsError, match=r"lr\.png"):
            plotting.save_plot(SMOOTH, picture, 5000)
        assert picture.read_bytes() == content
    picture.unlink()
    picture.mkdir()
    with pytest.raises(FileExistsError, match=r"exists and is not a \.png picture"):
        plotting.save_plot(SMOOTH, picture, 5000)
    os.mkfifo(tmp_path / "pipe.svg")
    with pytest.raises(FileExistsError, match=r"pipe\.svg"):
        plotting.save_plot(SMOOTH, tmp_path / "pipe.svg", 5000)


def test_a_picture_that_cannot_be_drawn_replaces_nothing(plotting: Any, tmp_path: Path) -> None:
    picture = tmp_path / "lr.png"
    plotting.save_plot(SMOOTH, picture, 5000)
    before = picture.read_bytes()
    with pytest.raises(ValueError, match="stop must be"):
        plotting.save_plot(SMOOTH, picture, 0)
    with pytest.raises(AttributeError):
        plotting.save_plot(SMOOTH, picture, 5000, bogus=1)
    assert picture.read_bytes() == before


# ---------------------------------------------------------------- stored tables


def test_stored_tables_are_drawn(plotting: Any, tmp_path: Path) -> None:
    table = SMOOTH.precompute(range(500, 50_500, 10))
    np.save(tmp_path / "lr.npy", table.astype(np.float16))
    for source in tmp_path / "lr.npy", str(tmp_path / "lr.npy"), table.astype(np.float16):
        ax = plotting.plot_table(source, start=500, step=10)
        steps, rates = ax.lines[0].get_data()
        index = (steps - 500) / 10
        assert (index[0], index[-1], len(steps)) == (0, 4999, 1000)
        assert np.array_equal(rates, table.astype(np.float16)[index.astype(int)])
    assert ax.get_legend().get_texts()[0].get_text() == "table"
    ax = plotting.plot_table(tmp_path / "lr.npy", ax=SMOOTH.plot(5000), label="stored", color="red")
    assert [text.get_text() for text in ax.get_legend().get_texts()][1] == "stored"
    ax = plotting.plot_table(table[::-1], start=50_490, step=-10, xscale="log")
    assert np.array_equal(ax.lines[0].get_ydata(), SMOOTH(ax.lines[0].get_xdata()))


def test_zarr_arrays_are_drawn_at_the_steps_they_name(plotting: Any, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="needs the extra invdecay[dask]")
    path = tmp_path / "lr.zarr"
    array = zarr.create_array(
        path, shape=3000, chunks=1000, dtype="f8", fill_value=np.nan, attributes={}
    )
    array[:2000] = SMOOTH.precompute(range(500, 20_500, 10))
    ax = plotting.plot_table(path)
    assert ax.lines[0].get_xdata()[0] == 0
    array.update_attributes({"invdecay": {"steps": [500, 30_500, 10]}})
    steps, rates = plotting.plot_table(path).lines[0].get_data()
    assert (steps[0], steps[-1]) == (500, 30_490)
    written = steps < 20_500
    assert np.array_equal(rates[written], SMOOTH(steps[written]))
    assert np.isnan(rates[~written]).all()  # what no one wrote is a gap, not zero
    assert plotting.plot_table(path, start=0, step=1).lines[0].get_xdata()[-1] == 2999


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (np.zeros((2, 2)), {}, ValueError, "one-dimensional and real, got float64 of shape (2, 2)"),
        (["0.1"], {}, ValueError, "table must be one-dimensional and real, got <U3"),
        ([1j, 2j], {}, ValueError, "table must be one-dimensional and real, got complex128"),
        ([0.1], {}, ValueError, "table must have two steps to draw between, got range(0, 1)"),
        ([], {}, ValueError, "table must have two steps to draw between, got range(0, 0)"),
        ([1, 2, 3], {"step": 0}, ValueError, "step must not be zero, got 0"),
        ([1, 2, 3], {"step": 1.5}, TypeError, "step must be an integer, got 1.5"),
        ([1, 2, 3], {"start": "a"}, TypeError, "start must be an integer, got 'a'"),
        ([1, 2], {"start": -5, "xscale": "log"}, ValueError, "two steps to draw between"),
        ("lr.csv", {}, ValueError, "table must be a .npy or .zarr path, got 'lr.csv'"),
    ],
)
def test_bad_tables_are_named(
    plotting: Any, table: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        plotting.plot_table(table, **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stop": 0}, ValueError, "stop must be past the first step drawn, 0, got 0"),
        ({"stop": 5, "start": 5}, ValueError, "got 5"),
        ({"stop": 1, "xscale": "log"}, ValueError, "first step drawn, 1, got 1"),
        ({"stop": 1.5}, TypeError, "stop must be an integer, got 1.5"),
        ({"stop": 9, "start": 0.5}, TypeError, "start must be an integer, got 0.5"),
        ({"stop": 2**64}, OverflowError, "steps must fit int64"),
        ({"stop": 9, "xscale": "symlog"}, ValueError, "xscale must be 'linear' or 'log'"),
        ({"stop": 9, "yscale": "logit"}, ValueError, "yscale must be 'linear' or 'log'"),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_bad_arguments_are_named(
    plotting: Any, arguments: Any, error: type[Exception], message: str, text: bool
) -> None:
    with pytest.raises(error, match=message):
        (text_plot if text else plotting.plot)(SMOOTH, **arguments)


def test_as_many_labels_as_schedules(plotting: Any) -> None:
    for label in ("one", ["one"], ["a", "b", "c"]):
        with pytest.raises(ValueError, match="label must hold one text per schedule, 2, got"):
            plotting.plot([SMOOTH, STAIRS], 9, label=label)
    for draw in plotting.plot, text_plot:
        with pytest.raises(ValueError, match="schedules must hold at least one schedule"):
            draw([], 9)


# ---------------------------------------------------------------- text


def frame(picture: str) -> tuple[dict[int, float], list[str], list[str]]:
    """Split a text plot into the rates at its rows, the rows inside, and the lines below."""
    lines = picture.splitlines()
    rows = [re.fullmatch(r" *(\S*) *[┤│](.*)", line) for line in lines]
    inside = [row for row in rows if row]
    labels = {number: float(row[1]) for number, row in enumerate(inside) if row[1]}
    return labels, [row[2] for row in inside], lines[-3:]


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("width", [24, 40, 60, 200])
@pytest.mark.parametrize("height", [8, 15, 50])
@pytest.mark.parametrize("count", [1, 3])
def test_text_plots_fit_their_frame(scale: Any, width: int, height: int, count: int) -> None:
    schedules = [STAIRS, SMOOTH, InverseTimeDecay(0.2, 10, 1e-9)][:count]
    size: Any = {"width": width, "height": height}
    picture = text_plot(schedules, 5000, xscale=scale, yscale=scale, **size)
    lines = picture.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == height or len(frame(picture)[1]) == 4
    assert "\x1b" not in picture
    assert lines[-1].strip() == "step"


@pytest.mark.parametrize("rate", [0.1, 0.25, 3e-4, 7e-9, 1e307, 2e-308, 1.0, 12345.0])
@pytest.mark.parametrize("height", [10, 20, 24])
def test_labels_of_a_text_plot_say_where_they_stand(rate: float, height: int) -> None:
    labels, rows, _ = frame(text_plot(InverseTimeDecay(rate, 1, 0.0), 9, height=height))
    (at,) = [row for row, line in enumerate(rows) if line.strip()]
    assert labels[len(rows) - 1] == 0  # from 0 on
    top = labels[0]
    assert at == min(round((1 - rate / top) * (4 * len(rows) - 1)) // 4, len(rows) - 1)
    for row, label in labels.items():
        assert row == min(round((1 - label / top) * (4 * len(rows) - 1)) // 4, len(rows) - 1)


@pytest.mark.parametrize("stop", [100, 10**6, 2**62])
def test_log_axes_of_text_plots_have_powers_of_ten(stop: int) -> None:
    labels, _, below = frame(text_plot(SMOOTH, stop, xscale="log", yscale="log", height=40))
    assert len(labels) >= 2
    assert all(math.log10(label) == round(math.log10(label)) for label in labels.values())
    steps = [value_of(label) for label in re.split(r"\s{2,}", below[1].strip())]
    assert len(steps) >= 2
    assert all(math.log10(step) == round(math.log10(step)) for step in steps)


@pytest.mark.parametrize("stop", [1, 2, 7, 20, 5000, 123_456, 20_000_000, 10**12])
def test_steps_of_a_text_plot_are_integers(stop: int) -> None:
    below = frame(text_plot(SMOOTH, stop))[2]
    steps = [value_of(label) for label in re.split(r"\s{2,}", below[1].strip())]
    assert all(step == round(step) for step in steps)
    ticks = [match.start() for match in re.finditer("┬", below[0])]
    assert len(ticks) == len(steps) >= 2
    scale = (ticks[-1] - ticks[0]) / (steps[-1] - steps[0])
    assert ticks == pytest.approx([ticks[0] + scale * (step - steps[0]) for step in steps], abs=1)


def test_text_plots_step_down_where_the_stairs_do() -> None:
    _, rows, _ = frame(text_plot(STAIRS, 2000, width=60))
    top = next(row for row in rows if row.strip())
    width = len(max(rows, key=len))
    assert abs(len(top) - width // 2) <= 1


@pytest.mark.parametrize("schedule", [POLE, STAIRS_POLE, STAIRS_OVER_POLE])
def test_text_plots_have_a_gap_and_a_cross_at_poles(schedule: Any) -> None:
    picture = text_plot(schedule, 5000, width=60)
    _, rows, below = frame(picture)
    assert "pole: the denominator is 0" in picture
    cross = below[0].index(CROSS) - below[0].index("└") - 1
    column = [row.ljust(60)[cross] for row in rows]
    assert column.count("┊") >= len(column) - 2
    assert abs(cross / len(max(rows, key=len)) - {-0.5: 0.4, -0.3: 0.8}[schedule.decay_rate]) < 0.03


def test_several_schedules_are_told_apart() -> None:
    schedules = [InverseTimeDecay(0.1, 1000, rate) for rate in (0.25, 1.0, 4.0)]
    plain = text_plot(schedules, 5000)
    for number in "123":
        assert f"{number}  0.1 / " in plain
        assert sum(row.count(number) for row in frame(plain)[1]) == 1
    colored = text_plot(schedules, 5000, color=True)
    # Foreground colours of the terminal's own palette, and back to its default: no background.
    assert set(re.findall(r"\x1b\[(\d+)m", colored)) == {"36", "33", "35", "39"}
    assert re.sub(r"\x1b\[\d+m", "", colored) == plain


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-8"])
def test_text_plots_suit_the_output_s_encoding(encoding: str) -> None:
    for schedule in STAIRS, POLE, [SMOOTH, STAIRS]:
        picture = text_plot(schedule, 5000, encoding=encoding, color=True)
        picture.encode(encoding)
        assert picture.isascii() == (encoding != "utf-8")
    assert "floor(step / 1,000)" in text_plot(STAIRS, 5000, encoding="ascii")
    shape = text_plot(SMOOTH, 5000, encoding="ascii", width=60)
    assert sum(line.count(mark) for line in shape.splitlines() for mark in ".':") > 40


def test_extremes_are_drawn_or_refused_with_a_sentence() -> None:
    for schedule, stop in itertools.product(EXTREMES, (1, 2**62)):
        for scales in ({}, {"xscale": "log", "yscale": "log"}):
            try:
                picture = text_plot(schedule, stop, width=40, height=9, **scales)  # type: ignore[arg-type]
            except ValueError as error:
                assert re.search("not positive|nothing to draw|first step drawn", str(error))  # noqa: PT017
            else:
                assert len(picture.splitlines()) >= 9


# ---------------------------------------------------------------- a notebook

SVG = "{http://www.w3.org/2000/svg}"


def svg_of(schedule: InverseTimeDecay) -> tuple[Any, list[str]]:
    html = schedule._repr_html_()
    assert len(html.encode()) < 5000
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    svg = ET.fromstring(html.replace("<br>", "<br/>")).find(f"{SVG}svg")
    assert svg is not None
    return svg, ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]


def rate_at(schedule: InverseTimeDecay, step: float) -> str:
    with np.errstate(all="ignore"):
        return f"{schedule(step):.4g}"


@pytest.mark.parametrize(
    "schedule",
    [
        SMOOTH,
        STAIRS,
        POLE,
        STAIRS_POLE,
        InverseTimeDecay(0.1, 1000, -1.0),
        InverseTimeDecay(-3, 7, 1),
    ],
    ids=str,
)
def test_notebooks_are_told_the_rates_at_0_at_decay_steps_and_at_the_end(
    schedule: InverseTimeDecay,
) -> None:
    _, texts = svg_of(schedule)
    stop = 5 * schedule.decay_steps
    last = stop - 1 if schedule.staircase else stop
    for step in (0.0, schedule.decay_steps, last):
        assert rate_at(schedule, step) in texts
    assert f"decay_steps = {schedule.decay_steps:,g}" in texts
    assert {"0", f"{stop:,g}"} <= set(texts)


def test_notebooks_show_every_label_whole() -> None:
    for schedule in EXTREMES:
        if "there is nothing to draw" in schedule._repr_html_():
            continue
        svg, texts = svg_of(schedule)
        width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
        for text in svg.iter(f"{SVG}text"):
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            length = 6.5 * len(text.text or "")  # at most, in a sans-serif font of 10 pixels
            left = x - length if text.get("text-anchor") else x
            assert 0 <= left <= left + length <= width, (schedule, text.text)
            assert 10 <= y <= height - 2, (schedule, text.text)
        lines = "".join(path.attrib["d"] for path in svg.iter(f"{SVG}path"))
        assert all(0 <= float(x) <= width for x in re.findall(r"[ML](\S+) ", lines)), schedule
        if abs(schedule.initial_learning_rate) == 0.1:
            assert not any("e+308" in text for text in texts if "decay_steps" not in text)


@pytest.mark.parametrize("schedule", [POLE, STAIRS_POLE, STAIRS_OVER_POLE])
def test_the_notebook_s_line_has_a_gap_at_a_pole(schedule: InverseTimeDecay) -> None:
    svg, _ = svg_of(schedule)
    axes, _, line = [path.attrib["d"] for path in svg.iter(f"{SVG}path")]
    assert line.count("M") == 2
    assert axes.count("l8 8") == 1


def test_names_are_escaped() -> None:
    text = InverseTimeDecay(0.1, 1000, 1.0, name="<script>")._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_importing_invdecay_imports_no_optional_library() -> None:
    optional = "array_api_compat dask jax keras matplotlib numba rich tensorflow torch zarr"
    code = "import sys, invdecay; invdecay.InverseTimeDecay(1, 1, 1)._repr_html_(); "
    code += "from invdecay._drawings import text_plot; "
    code += f"print({{*{optional.split()}}} & {{*sys.modules}})"
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

RATES = ["--initial-learning-rate", "0.1", "--decay-steps", "1000"]
OPTIONS = ["plot", *RATES, "--decay-rate", "1"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, in an empty folder and without a terminal, so without colours."""
    cli = pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM"):
        monkeypatch.delenv(name, raising=False)
    return cli.main


def test_the_command_draws_a_file_and_says_so(
    plotting: Any, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([*OPTIONS, "--steps", "1e5", "--xscale", "log", "lr.svg"]) == 0
    assert ET.parse("lr.svg").getroot().tag == f"{SVG}svg"
    assert re.fullmatch(r"lr\.svg: 1 curve, \d+\.\d kB\n", capsys.readouterr().out)
    assert command([*OPTIONS, "--decay-rate", "2", "--steps", "1e5", "lr.svg"]) == 0
    assert capsys.readouterr().out.startswith("lr.svg: 2 curves, ")


def test_the_command_draws_text(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([*OPTIONS, "--staircase", "--steps", "5000"]) == 0
    picture = capsys.readouterr().out
    assert picture.startswith("0.1 / (1 + 1 · ⌊step / 1,000⌋)\n")
    assert "\x1b" not in picture


def test_options_are_repeated_for_several_curves(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    several = ["--decay-rate", "2", "--staircase", "--continuous", "--steps", "5000"]
    assert command([*OPTIONS, *several]) == 0
    names = capsys.readouterr().out.splitlines()[:2]
    assert names == ["1  0.1 / (1 + 1 · ⌊step / 1,000⌋)", "2  0.1 / (1 + 2 · step / 1,000)"]


def test_the_command_draws_stored_tables(
    plotting: Any, command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("lr.npy", SMOOTH.precompute(range(100, 50_100, 10)))
    assert command(["plot", "lr.npy", "--start", "100", "--step", "10"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("lr.npy\n")
    assert "50,000" in text
    assert command(["plot", "lr.npy"]) == 0
    assert "4,000" in capsys.readouterr().out
    # A schedule beside a table is drawn as far as the table goes.
    assert command([*OPTIONS, "lr.npy", "--step", "10"]) == 0
    assert capsys.readouterr().out.startswith("1  lr.npy\n2  0.1 / (1 + 1 · step / 1,000)\n")
    assert command([*OPTIONS, "lr.npy", "lr.png"]) == 0
    assert capsys.readouterr().out.startswith("lr.png: 2 curves, ")


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_the_command_knows_no_color(
    command: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environment: dict[str, str],
    colored: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command([*OPTIONS, "--steps", "5000"]) == 0
    assert ("\x1b[36m" in capsys.readouterr().out) == colored


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("columns", ["10", "30", "300"])
def test_the_command_knows_the_terminal(command: Any, encoding: str, columns: str) -> None:
    code = "import sys; from invdecay.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *OPTIONS, "--staircase", "--steps", "5000"],
        env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": columns},
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode(encoding).splitlines()
    assert not done.stderr
    assert max(map(len, lines)) <= max(int(columns), 24) + 4  # floor() is wider than its sign
    assert max(map(len, lines)) >= max(int(columns), 24) - 4


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([*OPTIONS, "--steps", "0"], 2, "stop must be past the first step drawn, 0, got 0"),
        ([*OPTIONS, "--steps", "9", "no/folder/lr.png"], 1, "lr.png: No such file or directory"),
        ([*OPTIONS, "--steps", "9", "lr.xyz"], 2, "path must end in one of .png,"),
        ([*OPTIONS, "--steps", "9", "."], 2, "got '.'"),
        ([*OPTIONS, "--steps", "9", "-"], 2, "got '-'"),
        ([*OPTIONS, "--steps", "9", "a.png", "b.png"], 2, "one picture at a time, got a.png and b"),
        ([*OPTIONS, "--steps", "9", "there.png"], 1, "there.png: exists and is not a .png picture"),
        ([*OPTIONS], 2, "Missing option '--steps'"),
        (["plot"], 2, "Missing option '--initial-learning-rate'"),
        (["plot", *RATES, "--steps", "9"], 2, "Missing option '--decay-rate'"),
        (
            [*OPTIONS, *RATES, "--decay-rate", "2", "--decay-rate", "3", "--steps", "9"],
            2,
            "given 2",
        ),
        (["plot", "no.npy"], 1, "no.npy: No such file or directory"),
        (["plot", "there.npy"], 2, "there.npy"),
        (["plot", "zero.npy", "--yscale", "log"], 2, "yscale must be 'linear' where rates are not"),
    ],
)
def test_the_command_s_errors_are_one_line(
    plotting: Any,
    command: Any,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    Path("there.png").write_bytes(b"{}")
    Path("there.npy").write_bytes(b"{}")
    np.save("zero.npy", np.zeros(9))
    files = sorted(Path().iterdir())
    assert command(arguments) == status
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert sorted(Path().iterdir()) == files
    assert Path("there.png").read_bytes() == b"{}"


def test_the_command_names_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("invdecay.cli", reason="needs the extra invdecay[cli]")
    code = "import sys; sys.modules['matplotlib'] = None; from invdecay.cli import main; "
    code += "sys.exit(main())"
    run: Any = {"capture_output": True, "text": True, "cwd": tmp_path}
    command = [sys.executable, "-c", code, *OPTIONS, "--steps", "9"]
    done = subprocess.run([*command, "lr.png"], check=False, **run)
    assert done.returncode == 1
    assert done.stderr == (
        "invdecay: error: matplotlib is not installed: python -m pip install matplotlib\n"
    )
    assert subprocess.run(command, check=True, **run).stdout.startswith("0.1 / ")
