"""Pictures of schedules: by Matplotlib, as text in a terminal, and in a notebook."""

import html
import math
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ._arguments import integer, step_range
from .schedule import InverseTimeDecay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["linear", "log"]

_POINTS = 1000
"""Steps evaluated for one curve: more than a picture has columns."""


def plot(
    schedule: InverseTimeDecay,
    stop: int,
    *,
    start: int = 0,
    ax: "Axes | None" = None,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    label: str | None = None,
    **line: Any,
) -> "Axes":
    """Draw the learning rate against the step, and what happens at ``decay_steps``.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to draw.
    stop : int
        The step to draw up to.
    start : int, optional
        The step to draw from.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Several schedules given the same one share the picture. Default: a new one.
    xscale, yscale : {"linear", "log"}, optional
        Scales of the axes. A logarithmic one of steps begins at step 1.
    label : str, optional
        The schedule's line in the legend. Default: its hyperparameters.
    **line
        Keywords of ``matplotlib.axes.Axes.plot``: ``color``, ``linestyle``, ``linewidth`` ...

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed (``pip install 'invdecay[plot]'``).
    TypeError, ValueError
        If `start` or `stop` is no integer, there is no step between them, or a scale is unknown.

    Notes
    -----
    About a thousand steps are evaluated, however many there are; stairs are drawn from the step
    they begin at, as long as there are no more than that.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> axes = InverseTimeDecay(0.1, 1000, 1.0).plot(5000)
    >>> axes = InverseTimeDecay(0.1, 1000, 1.0, staircase=True).plot(5000, ax=axes)
    >>> axes.figure.savefig("lr.png")  # doctest: +SKIP
    """
    steps = sampled_steps(schedule, start, stop, xscale)
    _check_scale("yscale", yscale)
    ax = new_axes() if ax is None else ax
    # One point per stair: the line holds each rate until the next one.
    style = {"drawstyle": "steps-post"} if schedule.staircase else {}
    (drawn,) = ax.plot(
        steps, schedule(steps), **{"label": label or _summary(schedule), **style, **line}
    )
    if steps[0] <= schedule.decay_steps <= steps[-1]:
        _mark_decay_steps(ax, schedule, drawn.get_color())
    ax.set(xlabel="step", ylabel="learning rate", xscale=xscale, yscale=yscale)
    if xscale == "linear":
        ax.xaxis.set_major_formatter("{x:,.0f}" if stop < 10**7 else "{x:.3g}")
    if yscale == "linear":
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.legend(frameon=False)
    return ax


def new_axes() -> "Axes":
    """Return the axes of a new figure: pyplot's where a notebook or window shows it."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    return ax


def save_plot(
    schedule: InverseTimeDecay, path: str | PathLike[str], stop: int, **options: Any
) -> None:
    """Draw `schedule` as `plot` does into a picture file, whose name says the format.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If Matplotlib does not know the format, or as `plot` does.
    """
    import matplotlib.pyplot as plt

    plot(schedule, stop, **options)
    figure = plt.gcf()
    try:
        figure.savefig(path, dpi=150)
    finally:
        plt.close(figure)


def text_plot(
    schedule: InverseTimeDecay,
    stop: int,
    *,
    start: int = 0,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    width: int = 80,
    height: int = 20,
    color: bool = False,
) -> str:
    """Return the same picture as `height` lines of text, for a terminal.

    Raises
    ------
    ModuleNotFoundError
        If plotext is not installed (``pip install 'invdecay[plot]'``).
    TypeError, ValueError
        As `plot` does.
    """
    import plotext  # type: ignore[import-untyped]

    ends = sampled_steps(schedule, start, stop, xscale)[[0, -1]]
    _check_scale("yscale", yscale)
    steps = np.unique(_spread(ends, 2 * width, xscale))
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.plot(steps.tolist(), schedule(steps).tolist())
    if ends[0] <= schedule.decay_steps <= ends[1]:
        plotext.vertical_line(schedule.decay_steps)
    plotext.xscale(xscale)
    plotext.yscale(yscale)
    plotext.xlabel(f"step, with decay_steps = {schedule.decay_steps:,.10g} marked")
    plotext.title(_summary(schedule))
    picture: str = plotext.build()
    plotext.clear_figure()
    if not color:
        picture = plotext.uncolorize(picture)
    return "\n".join(row.rstrip() for row in picture.splitlines())


def to_html(schedule: InverseTimeDecay) -> str:
    """Return a small picture of five times ``decay_steps`` in SVG, for a notebook."""
    width, height, left, top = 260, 90, 8, 12
    stop = min(max(10, math.ceil(5 * schedule.decay_steps)), 2**62)
    steps = np.linspace(0, stop, 61).astype(np.int64)
    if schedule.staircase:
        steps = np.repeat(_stairs(schedule, 0, stop + 1)[:6], 2)[1:]
    with np.errstate(all="ignore"):
        rates = np.nan_to_num(np.asarray(schedule(steps), np.float64))
    if schedule.staircase:  # along, then down
        rates = np.repeat(rates[::2], 2)[: len(steps)]
    low, high = min(0.0, rates.min()), max(0.0, rates.max())
    x = left + width * (steps / stop)
    y = top + height * (1 - (rates - low) / ((high - low) or 1.0))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    foot = top + height
    text = '<text fill="currentColor" font-size="10" font-family="sans-serif"'
    mark = left + width * min(schedule.decay_steps / stop, 1.0)
    return (
        f"<div><code>{html.escape(repr(schedule))}</code><br>"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 60}" height="{height + 30}">'
        f'<path d="M{left} {top}V{foot}H{left + width}" fill="none" stroke="currentColor"/>'
        f'<path d="M{mark:.1f} {top}V{foot}" stroke="currentColor" stroke-dasharray="2 3"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/>'
        f'{text} x="{left + 4}" y="{top - 3}">{high:.4g}</text>'
        f'{text} x="{mark:.1f}" y="{foot + 13}" text-anchor="middle">'
        f"decay_steps = {schedule.decay_steps:,.10g}</text>"
        f'{text} x="{left + width}" y="{foot + 13}" text-anchor="middle">{stop:,}</text>'
        "</svg></div>"
    )


# ---------------------------------------------------------------- which steps to draw


def sampled_steps(
    schedule: InverseTimeDecay, start: int, stop: int, xscale: Scale
) -> npt.NDArray[np.int64]:
    """Return the steps that show `schedule` from `start` to `stop`, both included."""
    _check_scale("xscale", xscale)
    if xscale == "log":
        start = max(start, 1)
    if len(step_range(range(integer("start", start), integer("stop", stop)))) == 0:
        raise ValueError(f"stop must be past the first step drawn, {start}, got {stop}")
    ends = np.array([start, stop], np.int64)
    even = _spread(ends, _POINTS, xscale)
    if not schedule.staircase:
        return np.unique(even)
    stairs = _stairs(schedule, start, stop)
    if len(stairs) < _POINTS:
        return np.unique(np.concatenate([ends, stairs]))
    # The first stairs, which a logarithmic axis shows; then they are closer than columns.
    return np.unique(np.concatenate([stairs, even]))


def _spread(steps: npt.NDArray[np.int64], count: int, xscale: Scale) -> npt.NDArray[np.int64]:
    between = np.geomspace if xscale == "log" else np.linspace
    spread = between(float(steps[0]), float(steps[-1]), count)
    return np.clip(np.rint(spread).astype(np.int64), steps[0], steps[-1])


def _stairs(schedule: InverseTimeDecay, start: int, stop: int) -> npt.NDArray[np.int64]:
    """Return where the stairs after `start` begin: the first of them, if there are many."""
    length = Fraction(schedule.decay_steps)
    first = math.floor(start / length) + 1
    last = math.ceil(stop / length)
    numbers = range(first, min(last, first + _POINTS))
    edges = [start, *(math.ceil(number * length) for number in numbers)]
    return np.unique(np.array(edges, np.int64))


def _check_scale(name: str, scale: str) -> None:
    if scale not in ("linear", "log"):
        raise ValueError(f"{name} must be 'linear' or 'log', got {scale!r}")


# ---------------------------------------------------------------- what is written in the picture


def _summary(schedule: InverseTimeDecay) -> str:
    left, right = "⌊⌋" if schedule.staircase else ("", "")
    sign = "-" if schedule.decay_rate < 0 else "+"
    p = f"{left}step / {schedule.decay_steps:,.10g}{right}"
    return f"{schedule.initial_learning_rate:g} / (1 {sign} {abs(schedule.decay_rate):g} · {p})"


def _mark_decay_steps(ax: "Axes", schedule: InverseTimeDecay, color: Any) -> None:
    """Mark the rate at ``decay_steps``, where the denominator is ``1 + decay_rate``."""
    at = math.ceil(schedule.decay_steps)
    rate = schedule(at)
    if not math.isfinite(rate):
        return
    meaning = f"decay_steps = {schedule.decay_steps:,.10g}: rate ÷ {1 + schedule.decay_rate:g}"
    ax.plot([at], [rate], "o", color=color, markersize=5, label=meaning)
    line = {"arrowstyle": "-", "linestyle": ":", "color": color, "shrinkA": 0, "shrinkB": 0}
    foot = ("data", "axes fraction")
    ax.annotate("", (at, rate), xytext=(at, 0), textcoords=foot, arrowprops=line)
