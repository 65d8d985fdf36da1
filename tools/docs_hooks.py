"""Pictures of the docs site, drawn by the project's own plotting as the site is built."""

import io
from pathlib import Path

from invdecay import InverseTimeDecay
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures before the pages that show them are read."""
    files.append(File.generated(config, "schedule.svg", content=both_forms()))
    growth = "results/growth.svg"  # of the report that the page on speed includes
    files.append(File.generated(config, growth, content=(BENCHMARKS / growth).read_bytes()))
    return files


def both_forms() -> bytes:
    """Draw both forms of one schedule, as SVG."""
    continuous = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    staircase = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0, staircase=True)
    axes = staircase.plot(5000, ax=continuous.plot(5000))
    svg = io.BytesIO()
    axes.figure.savefig(svg, format="svg")
    return svg.getvalue()
