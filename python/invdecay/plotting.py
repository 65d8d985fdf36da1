"""Pictures of schedules and of stored tables, drawn by Matplotlib.

No function here uses pyplot, so that no figure of the caller's is shown, changed or closed.

A notebook shows the axes that `plot` returns where they are the last value of a cell. A window
shows them where they are drawn into axes of pyplot's::

    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(layout="constrained")
    schedule.plot(5000, ax=axes)
    plt.show()
"""

import errno
import functools
import io
import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

if (_backend := os.environ.get("MPLBACKEND", "")).startswith("module://") and not find_spec(
    _backend.removeprefix("module://").partition(".")[0]
):
    # A notebook hands its own backend on to the processes it starts. Where that module is not
    # installed, Matplotlib refuses to be imported, although no backend is needed here.
    del os.environ["MPLBACKEND"]
    import matplotlib  # noqa: F401

    os.environ["MPLBACKEND"] = _backend

from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ._curves import (
    Curve,
    Scale,
    check_positive,
    check_scale,
    notes,
    schedule_curves,
    step_label,
    table_curve,
)
from ._drawings import text_plot, to_html
from .schedule import InverseTimeDecay

__all__ = ["plot", "plot_table", "save_plot", "text_plot", "to_html"]

_DPI = 150
_MARK, _POLE = "_decay_steps: ", "_pole"  # labels that begin with _ stay out of the legend
_OUTSIDE = 5
"""From how many entries on the legend stands beside the axes, where it hides no curve."""


def plot(
    schedules: InverseTimeDecay | Iterable[InverseTimeDecay],
    stop: int,
    *,
    start: int = 0,
    ax: Axes | None = None,
    xscale: Scale | None = None,
    yscale: Scale | None = None,
    label: str | Sequence[str] | None = None,
    **line: Any,
) -> Axes:
    """Draw the learning rate against the step, and mark what happens at ``decay_steps``.

    Parameters
    ----------
    schedules : InverseTimeDecay or iterable of InverseTimeDecay
        What to draw: one schedule, or several in one picture.
    stop : int
        The step to draw up to.
    start : int, optional
        The step to draw from.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the axes of a new figure.
    xscale, yscale : {"linear", "log"}, optional
        Scales of the axes. Default: those of `ax`; linear for new axes. A logarithmic axis of
        steps begins at step 1.
    label : str or sequence of str, optional
        The entry of each schedule in the legend. Default: the formula with its hyperparameters.
    **line
        Keywords of `matplotlib.axes.Axes.plot`: ``color``, ``linestyle``, ``linewidth`` ...

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on. A notebook shows new axes as a picture; ``axes.figure`` is the figure.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError
        If `start` or `stop` is not an integer.
    ValueError
        If there is no step between `start` and `stop`, a scale is unknown, the number of labels
        is not that of the schedules, no rate is finite, or `yscale` is ``"log"`` and a rate is
        not positive.

    Notes
    -----
    About a thousand steps are evaluated, however many there are. Up to a thousand stairs are
    drawn one by one.

    A rate is infinite where the denominator is 0, which happens with a negative ``decay_rate``
    at ``-decay_steps / decay_rate``. The line has a gap there, and a cross marks the step.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> from invdecay.plotting import plot
    >>> axes = InverseTimeDecay(0.1, 1000, 1.0).plot(5000)
    >>> axes = InverseTimeDecay(0.1, 1000, 1.0, staircase=True).plot(5000, ax=axes)
    >>> axes.figure.savefig("lr.png")  # doctest: +SKIP

    Several schedules at once:

    >>> rates = 0.5, 1.0, 2.0
    >>> schedules = [InverseTimeDecay(0.1, 1000, rate) for rate in rates]
    >>> axes = plot(schedules, 5000, label=[f"decay_rate = {rate}" for rate in rates])
    """
    curves = schedule_curves(schedules, start, stop, _scale("x", xscale, ax), label)
    return draw(curves, ax, xscale, yscale, **line)


def plot_table(
    table: str | PathLike[str] | npt.ArrayLike,
    *,
    start: int | None = None,
    step: int | None = None,
    ax: Axes | None = None,
    xscale: Scale | None = None,
    yscale: Scale | None = None,
    label: str | None = None,
    **line: Any,
) -> Axes:
    """Draw a stored table of learning rates against the step.

    Parameters
    ----------
    table : path or array_like
        A ``.npy`` file, a ``.zarr`` array, or a one-dimensional array. About a thousand elements
        of it are read.
    start, step : int, optional
        The step of the first element, and the distance to that of the next. Default: what a
        Zarr array's attributes say, else 0 and 1.
    label : str, optional
        The table's entry in the legend. Default: the name of its file.
    ax, xscale, yscale, **line
        As for `plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn on.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib, or Zarr for a ``.zarr`` path, is not installed.
    OSError
        If the table cannot be read.
    ValueError
        If the table is not one-dimensional and real or has fewer than two elements, and as for
        `plot`.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> from invdecay.plotting import plot_table
    >>> axes = plot_table(InverseTimeDecay(0.1, 1000, 1.0).precompute(5000), label="lr")
    """
    curve = table_curve(table, start, step, _scale("x", xscale, ax), label)
    return draw([curve], ax, xscale, yscale, **line)


def save_plot(
    schedules: InverseTimeDecay | Iterable[InverseTimeDecay],
    path: str | PathLike[str],
    stop: int,
    **options: Any,
) -> None:
    """Draw as `plot` does, and write the figure to a file whose suffix says the format.

    Parameters
    ----------
    schedules, stop, **options
        As for `plot`. With `ax`, the whole figure of those axes is written.
    path : str or path-like
        Where to write: a ``.png``, ``.svg``, ``.pdf`` or another picture. An existing file is
        replaced only if it is empty or begins as a picture of its suffix does.

    Raises
    ------
    FileExistsError
        If there is something else at `path`. It is left as it is.
    OSError
        If the file cannot be written.
    ValueError
        If the suffix of `path` is not that of a picture, and as for `plot`.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> from invdecay.plotting import save_plot
    >>> save_plot(InverseTimeDecay(0.1, 1000, 1.0), "lr.png", 5000)  # doctest: +SKIP
    """
    check_picture_path(path)
    write_picture(plot(schedules, stop, **options), path)


# ---------------------------------------------------------------- axes


class _ShownAxes(Axes):
    """Axes that a notebook shows, as it shows pyplot's figures."""

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        figure = self.figure.canvas.figure
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=2 * figure.dpi)  # sharp on dense screens
        width, height = figure.get_size_inches() * figure.dpi
        return picture.getvalue(), {"width": width, "height": height}


@np.errstate(all="ignore")  # near a pole the numbers overflow on their way to a pixel
def draw(
    curves: Sequence[Curve],
    ax: Axes | None = None,
    xscale: str | None = None,
    yscale: str | None = None,
    **line: Any,
) -> Axes:
    """Draw `curves` into `ax`, or into the axes of a new figure."""
    if _scale("y", yscale, ax) == "log":
        check_positive(curves)
    if ax is None:
        ax = _new_axes(len(curves))
    if xscale not in (None, ax.get_xscale()):
        ax.set_xscale(xscale)
    if yscale not in (None, ax.get_yscale()):
        ax.set_yscale(yscale)
    _label_axes(ax)
    for curve in curves:
        _draw_curve(ax, curve, **line)
    _add_legend(ax)
    return ax


def _scale(axis: Literal["x", "y"], wanted: str | None, ax: Axes | None) -> str:
    """Return the scale of an axis once it is drawn on, which may be one that only `ax` has."""
    if wanted is not None:
        check_scale(f"{axis}scale", wanted)
        return wanted
    if ax is None:
        return "linear"
    return ax.get_xscale() if axis == "x" else ax.get_yscale()


def _new_axes(curves: int) -> Axes:
    figure = Figure(figsize=(7 if curves < _OUTSIDE else 10, 4.2), layout="constrained")
    ax = figure.add_subplot(axes_class=_ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    return ax


def _label_axes(ax: Axes) -> None:
    """Set the labels and the ticks that the caller has not set."""
    ax.set(xlabel=ax.get_xlabel() or "step", ylabel=ax.get_ylabel() or "learning rate")
    if ax.get_xscale() == "linear":
        if ax.xaxis.isDefault_majloc:
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
        if ax.xaxis.isDefault_majfmt:
            ax.xaxis.set_major_formatter(FuncFormatter(functools.partial(_tick, ax)))


def _tick(ax: Axes, step: float, position: int | None) -> str:
    return step_label(step, max(map(abs, ax.get_xlim())))


def _draw_curve(ax: Axes, curve: Curve, **line: Any) -> None:
    style = {"label": curve.label, "drawstyle": "steps-post" if curve.staircase else "default"}
    # The limits of the axes follow what is shown. The line itself goes on to the pole.
    (drawn,) = ax.plot(curve.steps, curve.shown, **{**style, **line})
    drawn.set_ydata(curve.rates)
    color = drawn.get_color()
    if ax.get_yscale() == "linear":
        ax.update_datalim([(curve.steps[0], 0.0)], updatex=False)
        drawn.sticky_edges.y.append(0.0)
        ax.autoscale_view()
    if curve.mark is not None:
        at, rate = curve.mark
        ax.plot([at], [rate], "o", color=color, markersize=5, label=_MARK + curve.meaning)
        stem = {"arrowstyle": "-", "linestyle": ":", "color": color, "shrinkA": 0, "shrinkB": 0}
        foot = ("data", "axes fraction")
        ax.annotate("", (at, rate), xytext=(at, 0), textcoords=foot, arrowprops=stem)
    for pole in curve.poles:
        ax.axvline(pole, color=color, ls=":", marker="x", markevery=[0], clip_on=False, label=_POLE)


def _add_legend(ax: Axes) -> None:
    """Name each curve, and say what the marks mean."""
    entries = len(ax.get_legend_handles_labels()[1])
    if not entries:
        return
    marks = {str(artist.get_label()) for artist in ax.lines}
    meanings = {mark.removeprefix(_MARK) for mark in marks if mark.startswith(_MARK)}
    title = "\n".join(notes(meanings, _POLE in marks))
    options: dict[str, Any] = {"loc": "best"}
    if entries >= _OUTSIDE:
        options = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(frameon=False, title=title, alignment="left", **options)


# ---------------------------------------------------------------- files

_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "png": (b"\x89PNG",),
    "svg": (b"<?xml", b"<svg"),
    "pdf": (b"%PDF",),
    "eps": (b"%!PS",),
    "ps": (b"%!PS",),
    "jpg": (b"\xff\xd8\xff",),
    "jpeg": (b"\xff\xd8\xff",),
    "svgz": (b"\x1f\x8b",),
    "tif": (b"II", b"MM"),
    "tiff": (b"II", b"MM"),
    "webp": (b"RIFF",),
}
"""How the pictures begin that are written here."""


def check_picture_path(path: str | PathLike[str]) -> None:
    """Refuse a path whose suffix is not a picture's, or where something else would be lost."""
    place = Path(path)
    suffix = place.suffix[1:].lower()
    if suffix not in _SIGNATURES or suffix not in FigureCanvasBase.get_supported_filetypes():
        known = ", ".join(f".{name}" for name in _SIGNATURES)
        raise ValueError(f"path must end in one of {known}; got {os.fspath(path)!r}")
    if place.exists():
        beginning = b""
        if place.is_file():
            with place.open("rb") as file:
                beginning = file.read(8)
        if not place.is_file() or (beginning and not beginning.startswith(_SIGNATURES[suffix])):
            text = f"exists and is not a .{suffix} picture, so that it is left as it is"
            raise FileExistsError(errno.EEXIST, text, os.fspath(path))


@np.errstate(all="ignore")
def write_picture(ax: Axes, path: str | PathLike[str]) -> None:
    """Write the figure of `ax`, once it is drawn whole."""
    picture = io.BytesIO()
    ax.figure.canvas.figure.savefig(picture, format=Path(path).suffix[1:].lower(), dpi=_DPI)
    Path(path).write_bytes(picture.getvalue())
