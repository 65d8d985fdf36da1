"""The picture of the report: throughput against length, threads and path."""

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from timing import Ratio

_OURS = "#b3202c"
_CEILING = "#222222"
_PEERS = (
    "#31688e",
    "#35b779",
    "#8c6bb1",
    "#d98200",
    "#5f8f3e",
    "#7f7f7f",
    "#c44e8a",
    "#4c4c9d",
    "#a0763a",
)


@dataclass
class Series:
    """A named line: elements per second at each position."""

    name: str
    points: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Growth:
    """All that is drawn."""

    by_length: list[Series]
    by_threads: list[Series]
    by_path: dict[str, tuple[Ratio, float | None]]
    """Fraction of the ceiling and target of each path."""


def draw(stem: FilePath, growth: Growth) -> None:
    """Write the picture as `stem`.svg and `stem`.png; without matplotlib, write nothing."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return
    stem.parent.mkdir(parents=True, exist_ok=True)
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "svg.hashsalt": "invdecay",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(12, 6.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[1.45, 1], height_ratios=[1, 2])
        _draw_lengths(figure.add_subplot(grid[:, 0]), growth.by_length)
        _draw_threads(figure.add_subplot(grid[0, 1]), growth.by_threads)
        _draw_paths(figure.add_subplot(grid[1, 1]), growth.by_path)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=110)


def _style(name: str, peers: list[str]) -> dict[str, Any]:
    if name == "native":
        return {"color": _OURS, "linewidth": 2.6, "zorder": 3}
    if name == "ceiling":
        return {"color": _CEILING, "linewidth": 1.6, "linestyle": (0, (4, 2))}
    return {"color": _PEERS[peers.index(name) % len(_PEERS)], "linewidth": 1.2}


def _draw_lengths(axes: Any, series: list[Series]) -> None:
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="elements",
        ylabel="elements per second",
        title="float32 steps to float32 learning rates",
    )
    axes.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.6)
    peers = [line.name for line in series if line.name not in ("native", "ceiling")]
    ends = {}
    for line in series:
        axes.plot(list(line.points), list(line.points.values()), **_style(line.name, peers))
        ends[line.name] = line.points[max(line.points)]
    left, right = min(series[0].points), max(series[0].points)
    axes.set_xlim(left, right * (right / left) ** 0.3)
    # Labels at the ends of the lines, moved apart where they would touch.
    low, high = (axes.transData.transform((right, y))[1] for y in axes.get_ylim())
    apart = 0.031 * (high - low)
    below = float("-inf")
    beside = right * (right / left) ** 0.035
    for name in sorted(ends, key=lambda name: ends[name]):
        place = max(axes.transData.transform((right, ends[name]))[1], below + apart)
        below = place
        axes.annotate(
            name,
            xy=(right, ends[name]),
            xytext=(beside, axes.transData.inverted().transform((0, place))[1]),
            color=_style(name, peers)["color"],
            weight="bold" if name == "native" else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": _style(name, peers)["color"], "linewidth": 0.5},
        )


def _draw_threads(axes: Any, series: list[Series]) -> None:
    axes.set(xlabel="threads", ylabel="elements per second", title="more threads")
    threads = sorted(series[0].points)
    for number, line in enumerate(series):
        color = _OURS if number < 2 else _PEERS[0]
        dashed = line.name.endswith("ceiling")
        axes.plot(
            threads,
            [line.points[t] for t in threads],
            color=color,
            linestyle=(0, (4, 2)) if dashed else "-",
            marker="o",
            markersize=3,
            label=line.name,
        )
    axes.set_xticks(threads)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_paths(axes: Any, by_path: dict[str, tuple[Ratio, float | None]]) -> None:
    names = list(by_path)[::-1]
    fractions = [by_path[name][0] for name in names]
    errors = [
        [ratio.median - ratio.low for ratio in fractions],
        [ratio.high - ratio.median for ratio in fractions],
    ]
    axes.barh(
        names,
        [ratio.median for ratio in fractions],
        xerr=errors,
        color=_OURS,
        alpha=0.75,
        error_kw={"linewidth": 0.8, "ecolor": "#555555"},
    )
    for place, name in enumerate(names):
        target = by_path[name][1]
        if target is not None:
            axes.plot([target, target], [place - 0.4, place + 0.4], color=_CEILING, linewidth=2)
    axes.axvline(1, color=_CEILING, linewidth=1, linestyle=(0, (4, 2)))
    axes.set(xlim=(0, 1.3), xlabel="fraction of the ceiling (bar: its target)", title="every path")
    axes.tick_params(axis="y", labelsize=8, length=0)
