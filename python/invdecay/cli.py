"""The command `invdecay`."""

import decimal
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import click
    import rich
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"invdecay: error: the command needs {missing.name}; pip install 'invdecay[cli]'"
    ) from None

import numpy as np

from . import InverseTimeDecay, __version__, save_table, show_config

__all__ = ["main"]

_INTERRUPTED = 128 + 2  # the exit status that shells give to a command ended by SIGINT


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    args : sequence of str, optional
        The arguments after the command's name. Default: those of the process.

    Returns
    -------
    int
        0; 1 where the work failed; 2 for wrong usage; 130 after Ctrl-C.

    Examples
    --------
    >>> from invdecay.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    invdecay ...
    0
    """
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
        try:
            status = command.main(args, prog_name="invdecay", standalone_mode=False)
        except click.Abort:
            return _INTERRUPTED
        except click.ClickException as error:
            _say(f"error: {error.format_message()}")
            return error.exit_code
    return status if isinstance(status, int) else 0


def _say(text: str) -> None:
    click.echo("invdecay: " + " ".join(text.split()), err=True)


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Turn what the library raises into the command's errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    except (OSError, ArithmeticError, MemoryError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        raise click.ClickException(". ".join([text, *getattr(error, "__notes__", ())])) from error


def _integer(text: object) -> int:
    """Return the exact integer written as 1000000000, 1_000_000_000 or 1e9."""
    try:
        number = decimal.Decimal(str(text))
    except decimal.InvalidOperation:
        raise click.BadParameter(f"{text!r} is not a number.") from None
    if not number.is_finite() or number.adjusted() > 18 or number != number.to_integral_value():
        raise click.BadParameter(f"{text!r} is not an integer of 64 bits.")
    return int(number)


def _float_dtype(name: str) -> np.dtype[Any]:
    with suppress(TypeError):
        dtype = np.dtype(name)
        if dtype.kind == "f":
            return dtype
    raise click.BadParameter(f"{name!r} is not a real floating dtype.")


# ---------------------------------------------------------------- the command


@click.group(
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Run 'invdecay COMMAND --help' for a command's options and examples.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def command() -> None:
    """Inverse-time-decay learning-rate schedules in bulk, bit for bit as Keras computes them."""


def _schedule_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options that make a schedule."""
    options = (
        click.option("--initial-learning-rate", type=float, required=True, help="Rate at step 0."),
        click.option(
            "--decay-steps",
            type=float,
            required=True,
            help="Steps over which the denominator grows by the decay rate.",
        ),
        click.option(
            "--decay-rate",
            type=float,
            required=True,
            help="Growth of the denominator per decay steps; 1 halves the rate after as many.",
        ),
        click.option("--staircase", is_flag=True, help="Hold the rate for decay-steps at a time."),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "float64"]),
            default="float64",
            show_default=True,
            help="Dtype of the arithmetic. In float32, steps past 2^24 are rounded, as in Keras.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


_start_option = click.option(
    "--start",
    type=_integer,
    metavar="INTEGER",
    default=0,
    show_default=True,
    help="The first step.",
)


@command.command(
    epilog="""Examples:

    \b
      invdecay precompute --initial-learning-rate 0.1 --decay-steps 1000 \\
          --decay-rate 0.5 --steps 1e8 --dtype float32 lr.npy
      python -c "import numpy; print(numpy.load('lr.npy', mmap_mode='r')[-1])"
    """
)
@_schedule_options
@click.option(
    "--steps",
    "count",
    type=_integer,
    metavar="INTEGER",
    required=True,
    help="Length of the table: 1e9.",
)
@_start_option
@click.option(
    "--step",
    type=_integer,
    metavar="INTEGER",
    default=1,
    show_default=True,
    help="From step to step.",
)
@click.option(
    "--store-dtype",
    type=_float_dtype,
    metavar="DTYPE",
    help="Dtype of the table: any real floating one.  [default: that of --dtype]",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Let this Dask cluster write PATH, as a Zarr array."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.argument("path", type=click.Path(path_type=Path))
def precompute(
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool,
    dtype: str,
    count: int,
    start: int,
    step: int,
    store_dtype: np.dtype[Any] | None,
    scheduler: str | None,
    quiet: bool,
    path: Path,
) -> int:
    """Write a table of learning rates to PATH, a .npy file.

    PATH is absent, old or complete at any moment. After an interruption the same command goes on
    from what is finished.
    """
    if count < 0:
        raise click.BadParameter(f"{count} is negative.", param_hint="'--steps'")
    began = time.perf_counter()
    try:
        with _errors_in_one_line():
            schedule = InverseTimeDecay(
                initial_learning_rate, decay_steps, decay_rate, staircase, dtype=dtype
            )
            stored = store_dtype or schedule.dtype
            stop = start + count * step
            if scheduler is not None:
                _on_cluster(schedule, range(start, stop, step), stored, path, scheduler)
                return 0
            with _progress_bar(path.name, stored.itemsize, quiet) as progress:
                save_table(
                    schedule, path, range(start, stop, step), dtype=stored, progress=progress
                )
    except KeyboardInterrupt:
        _say(f"interrupted; the same command finishes {path}")
        return _INTERRUPTED
    if not quiet:
        from rich.filesize import decimal as in_bytes

        size, seconds = in_bytes(os.path.getsize(path)), time.perf_counter() - began
        click.echo(f"{path}: {count:,} elements, {stored}, {size}, {seconds:.2f} s")
    return 0


@contextmanager
def _progress_bar(
    label: str, itemsize: int, quiet: bool
) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a callback that draws a bar on standard error; None where that is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=rich.console.Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(
            task, completed=done * itemsize, total=total * itemsize
        )


def _on_cluster(
    schedule: InverseTimeDecay, steps: range, stored: np.dtype[Any], path: Path, scheduler: str
) -> None:
    """Let the Dask cluster at `scheduler` write the table as a Zarr array, block by block."""
    with _extra("dask"):
        import dask.array
        import distributed
        import zarr  # noqa: F401  (Dask asks for it only once the cluster is at work)

        from .dask import precompute as lazily
    with distributed.Client(scheduler):  # type: ignore[no-untyped-call]
        table = lazily(schedule, steps)
        dask.array.to_zarr(table.astype(stored), str(path))  # type: ignore[no-untyped-call]


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra brings what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed; pip install 'invdecay[{name}]'"
        raise click.ClickException(text) from error


_SCALE = click.Choice(["linear", "log"])
_TABLES = ".npy", ".zarr"


@command.command(
    epilog="""Options of a schedule may be repeated, one value per curve:

    \b
      invdecay plot --initial-learning-rate 0.1 --decay-steps 1000 --steps 5000 \\
          --decay-rate 0.5 --decay-rate 1 --decay-rate 2
      invdecay plot --initial-learning-rate 0.1 --decay-steps 1000 --decay-rate 1 \\
          --continuous --staircase --steps 1e5 --xscale log --yscale log lr.png
      invdecay plot lr.npy lr.svg
    """
)
@click.option("--initial-learning-rate", type=float, multiple=True, help="Rate at step 0.")
@click.option(
    "--decay-steps",
    type=float,
    multiple=True,
    help="Steps over which the denominator grows by the decay rate.",
)
@click.option(
    "--decay-rate",
    type=float,
    multiple=True,
    help="Growth of the denominator per decay steps; 1 halves the rate after as many.",
)
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
@click.option(
    "--steps",
    "count",
    type=_integer,
    metavar="INTEGER",
    help="How many steps to draw: 1e5.  [default: up to the last of the tables]",
)
@click.option(
    "--start",
    type=_integer,
    metavar="INTEGER",
    help="The first step.  [default: what a Zarr array says, or 0]",
)
@click.option(
    "--step",
    type=_integer,
    metavar="INTEGER",
    help="From one step of a table to the next.  [default: what a Zarr array says, or 1]",
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
    from ._curves import schedule_curves, table_curve

    tables = [path for path in paths if path.suffix in _TABLES]
    pictures = [path for path in paths if path.suffix not in _TABLES]
    if len(pictures) > 1:
        raise click.UsageError(f"one picture at a time, got {' and '.join(map(str, pictures))}")
    options = {
        "--initial-learning-rate": initial_learning_rate,
        "--decay-steps": decay_steps,
        "--decay-rate": decay_rate,
    }
    with _errors_in_one_line(), _extra("plot"):
        if pictures:
            from rich.filesize import decimal as in_bytes

            from . import plotting

            plotting.check_picture_path(pictures[0])
        with _extra("dask"):
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
                raise click.UsageError("Missing option '--steps'.")
            curves += schedule_curves(schedules, first, stop, xscale)
        if pictures:
            axes = plotting.draw(curves, xscale=xscale, yscale=yscale)
            plotting.write_picture(axes, pictures[0])
            drawn = "1 curve" if len(curves) == 1 else f"{len(curves)} curves"
            click.echo(f"{pictures[0]}: {drawn}, {in_bytes(os.path.getsize(pictures[0]))}")
        else:
            _draw_here(curves, xscale, yscale)


def _one_per_curve(options: dict[str, tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each curve: an option given once holds for all curves."""
    count = max(map(len, options.values()))
    for name, values in options.items():
        if not values:
            raise click.UsageError(f"Missing option '{name}'.")
        if len(values) not in (1, count):
            raise click.UsageError(
                f"{name} is given {len(values)} times and another option {count} times: "
                "give each once, or once per curve"
            )
    for number in range(count):
        yield tuple(values[number % len(values)] for values in options.values())


def _draw_here(curves: Sequence[Any], xscale: str, yscale: str) -> None:
    """Draw `curves` as text, in what the terminal has of colours, characters and columns."""
    from rich.console import Console

    from ._drawings import text_of

    console = Console()  # knows NO_COLOR, FORCE_COLOR, TERM and COLUMNS
    color = console.color_system is not None and not console.no_color
    height = min(console.height - 1, 24)
    text = text_of(curves, xscale, yscale, console.width, height, color, console.encoding)
    click.echo(text, color=color)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(as_json: bool) -> None:
    """Show which backend runs here, and on what."""
    if as_json:
        click.echo(json.dumps(show_config("dicts"), indent=2))
    else:
        show_config()
