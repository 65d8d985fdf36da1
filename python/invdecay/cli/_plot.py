"""The command plot."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from .. import InverseTimeDecay
from ._options import (
    Command,
    decorated,
    errors_in_one_line,
    hyperparameter_options,
    integer_option,
    usage_error,
)
from ._streams import show

_SCALE = click.Choice(["linear", "log"])
_TABLES = ".npy", ".zarr"


def hyperparameters(function: Command) -> Command:
    return decorated(function, hyperparameter_options(multiple=True))


@click.command(
    epilog="""Options of a schedule may be repeated, one value per curve:

    \b
      invdecay plot --lr 0.1 --decay-steps 1000 --steps 5000 \\
          --decay-rate 0.5 --decay-rate 1 --decay-rate 2
      invdecay plot --lr 0.1 --decay-steps 1000 --decay-rate 1 \\
          --continuous --staircase --steps 1e5 --xscale log --yscale log lr.png
      invdecay plot lr.npy lr.svg
    """
)
@hyperparameters
@click.option(
    "--staircase/--continuous",
    multiple=True,
    default=[False],
    help="Hold the rate for decay-steps at a time, or not.  [default: continuous]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float64",
    show_default=True,
    help="Dtype of the arithmetic.",
)
@integer_option(
    "--steps", "count", help="How many steps to draw: 1e5.  [default: up to the last of the tables]"
)
@integer_option("--start", help="The first step.  [default: what a .zarr array says, or 0]")
@integer_option(
    "--step",
    help="Distance from each step of a table to the next one."
    "  [default: what a .zarr array says, or 1]",
)
@click.option("--xscale", type=_SCALE, default="linear", show_default=True, help="Axis of steps.")
@click.option("--yscale", type=_SCALE, default="linear", show_default=True, help="Axis of rates.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def plot(
    initial_learning_rate: tuple[float, ...],
    decay_steps: tuple[float, ...],
    decay_rate: tuple[float, ...],
    staircase: tuple[bool, ...],
    dtype: str,
    count: int | None,
    start: int | None,
    step: int | None,
    xscale: str,
    yscale: str,
    paths: tuple[Path, ...],
) -> None:
    """Draw learning rate against step: into a picture, or here as text.

    PATHS are stored tables to draw (.npy, .zarr) and at most one picture to write (.png, .svg,
    .pdf and others). Without a picture, the curves are drawn here. --start and --step say which
    steps a table holds.
    """
    from .._curves import schedule_curves, table_curve

    tables = [path for path in paths if path.suffix in _TABLES]
    pictures = [path for path in paths if path.suffix not in _TABLES]
    if len(pictures) > 1:
        raise usage_error(f"one picture at a time, got {' and '.join(map(str, pictures))}")
    options = {
        "--initial-learning-rate": initial_learning_rate,
        "--decay-steps": decay_steps,
        "--decay-rate": decay_rate,
    }
    with errors_in_one_line(wrong_values_are_usage=True):
        if pictures:
            from .. import plotting
            from .._files import format_bytes

            plotting.check_picture_path(pictures[0])
        curves = [table_curve(path, start, step, xscale) for path in tables]
        if any(options.values()) or not tables:
            schedules = [
                InverseTimeDecay(*hyper, dtype=dtype)
                for hyper in _one_per_curve({**options, "--staircase": staircase})
            ]
            first = start or 0
            if count is not None:
                stop = first + count * (1 if step is None else step)
            elif curves:
                stop = round(max(curve.steps[-1] for curve in curves))
            else:
                raise usage_error("Missing option '--steps'.")
            curves += schedule_curves(schedules, first, stop, xscale)
        if pictures:
            axes = plotting.draw(curves, xscale=xscale, yscale=yscale)
            plotting.write_picture(axes, pictures[0])
            drawn = "1 curve" if len(curves) == 1 else f"{len(curves)} curves"
            show(f"{pictures[0]}: {drawn}, {format_bytes(os.path.getsize(pictures[0]))}")
        else:
            _draw_here(curves, xscale, yscale)


def _one_per_curve(options: dict[str, tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each curve: an option given once holds for all curves."""
    count = max(map(len, options.values()))
    for name, values in options.items():
        if not values:
            raise usage_error(f"Missing option '{name}'.")
        if len(values) not in (1, count):
            raise usage_error(
                f"{name} is given {len(values)} times and another option {count} times: "
                "give each once, or once per curve"
            )
    for number in range(count):
        yield tuple(values[number % len(values)] for values in options.values())


def _draw_here(curves: Sequence[Any], xscale: str, yscale: str) -> None:
    """Draw `curves` as text, in what the terminal has of colours, characters and columns."""
    from rich.console import Console

    from .._drawings import text_of

    console = Console()  # knows NO_COLOR, FORCE_COLOR, TERM and COLUMNS
    color = console.color_system is not None and not console.no_color
    height = min(console.height - 1, 24)
    text = text_of(curves, xscale, yscale, console.width, height, color, console.encoding)
    show(text)
