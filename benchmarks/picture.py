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
    "#a8a02a",
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
    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "svg.hashsalt": "invdecay",
        "svg.fonttype": "none",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(12, 6.2), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[1.35, 1], height_ratios=[1, 1.8])
        _draw_lengths(figure.add_subplot(grid[:, 0]), growth.by_length)
        _draw_threads(figure.add_subplot(grid[0, 1]), growth.by_threads)
        _draw_paths(figure.add_subplot(grid[1, 1]), growth.by_path)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=100)


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
        title="Throughput: float32 steps to float32 learning rates",
    )
    axes.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.6)
    peers = [line.name for line in series if line.name not in ("native", "ceiling")]
    styles = {line.name: _style(line.name, peers) for line in series}
    for line in series:
        axes.plot(list(line.points), list(line.points.values()), **styles[line.name])
    axes.set_xlim(min(series[0].points), max(series[0].points))
    _label_ends(axes, series, {name: style["color"] for name, style in styles.items()}, 0.033)


def _draw_threads(axes: Any, series: list[Series]) -> None:
    axes.set(xlabel="threads", ylabel="$10^9$ elements per second", title="More threads")
    scaled = [Series(s.name, {t: y / 1e9 for t, y in s.points.items()}) for s in series]
    colors = {line.name: (_OURS, _PEERS[0])[number // 2] for number, line in enumerate(scaled)}
    threads = sorted(series[0].points)
    for line in scaled:
        dashes = (0, (4, 2)) if line.name.endswith("ceiling") else "-"
        values = [line.points[t] for t in threads]
        axes.plot(
            threads, values, color=colors[line.name], linestyle=dashes, marker="o", markersize=3
        )
    axes.set_xticks(threads)
    axes.set_ylim(bottom=0)
    _label_ends(axes, scaled, colors, 0.13)


def _label_ends(axes: Any, series: list[Series], colors: dict[str, str], apart: float) -> None:
    """Name each line beside its end, names at least `apart` from each other (1: the axes)."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = {line.name: max(line.points.items()) for line in series}
    heights = {name: to_axes.transform(end)[1] for name, end in ends.items()}
    above = 1.0 + apart
    for name in sorted(heights, key=lambda name: -heights[name]):
        above = min(heights[name], above - apart)
        axes.annotate(
            name,
            xy=ends[name],
            xytext=(1.03, above),
            textcoords="axes fraction",
            color=colors[name],
            weight="bold" if name == "native" else "normal",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colors[name],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
            },
        )


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
    axes.set(
        xlim=(0, 1.3),
        xlabel="fraction of the ceiling (upright bar: its target)",
        title="Every path at its largest",
    )
    axes.tick_params(axis="y", labelsize=8, length=0)
