"""The picture of the report: throughput against length."""

from collections.abc import Mapping
from pathlib import Path


def draw(path: Path, speeds: Mapping[str, Mapping[int, float]]) -> None:
    """Write the picture; without matplotlib, write nothing."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "invdecay", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot(
            xscale="log", yscale="log", xlabel="elements", ylabel="$10^6$ elements per second"
        )
        for name, line in speeds.items():
            width = 2.6 if name == "invdecay" else 1.2
            style = "--" if name == "copy" else "-"
            axes.plot(list(line), list(line.values()), style, linewidth=width, label=name)
        axes.grid(visible=True, color="#e5e5e5", linewidth=0.6)
        axes.legend()
        figure.savefig(path, metadata={"Date": None})
