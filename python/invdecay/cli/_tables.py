"""The commands of tables: precompute, verify, inspect."""

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import InverseTimeDecay
from .._files import format_bytes
from ._options import (
    errors_in_one_line,
    floating,
    integer_option,
    quiet_option,
    schedule_options,
    steps_of,
    table_argument,
    usage_error,
)
from ._rates import Rates
from ._streams import say, show

Progress = Callable[[int, int], object] | None


@click.command(
    epilog="""Examples:

    \b
      invdecay precompute --lr 0.1 --decay-steps 1000 \\
          --decay-rate 0.5 --steps 1e8 lr.npy
      invdecay precompute --from-config lr.json \\
          --steps 1e8 --dry-run lr.zarr
    """
)
@schedule_options(required=True)
@integer_option("--steps", "count", required=True, help="Length of the table: 1e9.")
@integer_option("--start", default=0, show_default=True, help="The first step.")
@integer_option(
    "--step", default=1, show_default=True, help="Distance from each step to the next one."
)
@click.option(
    "--store-dtype",
    type=floating,
    metavar="DTYPE",
    help="Dtype of the table: any real floating one.  [default: that of the arithmetic]",
)
@click.option("--force", is_flag=True, help="Replace a file even if it is not a table.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Let the Dask cluster of this scheduler write PATH, a .zarr array.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the scheduler or for a worker.  [default: 60]",
)
@quiet_option
@table_argument
def precompute(
    schedule: InverseTimeDecay,
    count: int,
    start: int,
    step: int,
    store_dtype: np.dtype[Any] | None,
    force: bool,
    dry_run: bool,
    scheduler: str | None,
    timeout: float | None,
    quiet: bool,
    path: Path,
) -> None:
    """Write a table of learning rates to PATH.

    The suffix of PATH decides the format: a .npy file, or a .zarr array. At every moment PATH is
    absent, old or complete. After an interruption the same command resumes.
    """
    steps = steps_of(count, start, step)
    if scheduler is None and timeout is not None:
        raise usage_error("--timeout needs --scheduler")
    if scheduler is not None and path.suffix != ".zarr":
        raise usage_error(f"--scheduler writes .zarr arrays, got {str(path)!r}")
    if quiet:
        warnings.simplefilter("ignore")
    stored = store_dtype or schedule.dtype
    rates = Rates(schedule, steps, stored)
    began = time.perf_counter()
    if not quiet and (warning := rates.warning()) is not None:
        say(f"warning: {warning}")
    with errors_in_one_line():
        from ..storage import check_target, table_size

        size = table_size(path, steps, stored)
        if dry_run:
            free = check_target(path, size, force)
            rest = f"not written; {format_bytes(free)} are free"
        else:
            with _progress_bar(path.name, stored.itemsize, quiet) as progress:
                _write(schedule, path, steps, stored, progress, force, scheduler, timeout or 60.0)
            rest = f"{time.perf_counter() - began:.2f} s"
    if not quiet:
        elements = "1 element" if count == 1 else f"{count:,} elements"
        show(f"{path}: {elements}, {stored}, {format_bytes(size)}, {rest}")
        if count:
            show(f"rates: first {rates.at(0)}, last {rates.at(count - 1)}{_extremes(rates)}")


def _extremes(rates: Rates) -> str:
    found = rates.extremes()
    return "" if found is None else f", smallest {found[0]}, largest {found[1]}"


def _write(
    schedule: InverseTimeDecay,
    path: Path,
    steps: range,
    stored: np.dtype[Any],
    progress: Progress,
    force: bool,
    scheduler: str | None,
    timeout: float,
) -> None:
    options: dict[str, Any] = {"dtype": stored, "progress": progress, "force": force}
    try:
        # What numpy.errstate would report is in the command's own warning, with the step.
        with np.errstate(all="ignore"):
            if scheduler is None:
                from .. import save_table

                save_table(schedule, path, steps, **options)
            else:
                from ..dask import to_zarr

                options |= {"client": scheduler, "timeout": timeout}
                to_zarr(schedule, path, steps, **options)
    except KeyboardInterrupt as interrupt:
        if not getattr(interrupt, "__notes__", ()):
            interrupt.add_note(f"Nothing is kept, and {path} is as it was.")
        raise


@contextmanager
def _progress_bar(label: str, itemsize: int, quiet: bool) -> Iterator[Progress]:
    """Yield a callback that draws a bar on standard error; None where that is not a terminal."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        yield None
        return
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)  # knows NO_COLOR and COLUMNS
    # Room for the ^C that a terminal shows, which would else push the bar out of reach.
    console = Console(stderr=True, width=min(console.width, 200) - 2)
    columns: list[bars.ProgressColumn] = [bars.BarColumn(None), bars.TaskProgressColumn()]
    if console.width >= 72:
        columns += [bars.DownloadColumn(), bars.TransferSpeedColumn()]
    if console.width >= 50:
        columns = [bars.TextColumn("{task.description}", markup=False), *columns]
        columns += [bars.TimeRemainingColumn()]
    # Gone at the end, when a line says what came of it.
    with bars.Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(
            task, completed=done * itemsize, total=total * itemsize
        )


# ---------------------------------------------------------------- verify


@click.command(
    epilog="""Examples:

    \b
      invdecay verify --lr 0.1 --decay-steps 1000 \\
          --decay-rate 0.5 lr.npy
      invdecay verify lr.zarr
    """
)
@schedule_options(required=False)
@integer_option("--steps", "count", help="The length the table should have.  [default: its own]")
@integer_option("--start", help="The first step.  [default: what a .zarr array says, or 0]")
@integer_option(
    "--step",
    help="Distance from each step to the next one.  [default: what a .zarr array says, or 1]",
)
@quiet_option
@table_argument
def verify(
    schedule: InverseTimeDecay | None,
    count: int | None,
    start: int | None,
    step: int | None,
    quiet: bool,
    path: Path,
) -> None:
    """Compute the table at PATH again and compare every bit.

    The options name the schedule of a .npy file. A .zarr array written by this package knows its
    schedule and steps. Exit code 1 means that rates differ, or that the file cannot be read.
    """
    if schedule is None and path.suffix == ".npy":
        raise usage_error("a .npy file does not know its schedule: give it, or --from-config")
    with errors_in_one_line():
        from ..verification import compared, opened

        with (
            opened(path) as table,
            np.errstate(all="ignore"),
            _progress_bar(path.name, table.dtype.itemsize, quiet) as progress,
        ):
            steps = table.steps
            if (count, start, step) != (None, None, None):
                known = range(table.length) if steps is None else steps
                steps = steps_of(
                    table.length if count is None else count,
                    known.start if start is None else start,
                    known.step if step is None else step,
                )
            found = compared(table, path, schedule, steps, progress)
    if not found.equal:
        raise click.ClickException(
            f"{path}: {found.differing:,} of {_elements(found.count)} differ; the first is at step"
            f" {found.first_step}, where the file has {found.stored} and the schedule has"
            f" {found.expected}"
        )
    if not quiet:
        show(f"{path}: all {_elements(found.count)} are the schedule's, bit for bit")


def _elements(count: int) -> str:
    return "1 element" if count == 1 else f"{count:,} elements"


# ---------------------------------------------------------------- inspect


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help='Print one JSON object. Rates that are not finite are "nan", "inf" and "-inf".',
)
@table_argument
def inspect(as_json: bool, path: Path) -> None:
    """Show what the table at PATH holds.

    Smallest and largest are those of the finite rates. A .zarr array written by this package also
    has its schedule and steps.
    """
    with errors_in_one_line():
        from ..verification import described, opened

        with (
            opened(path) as table,
            _progress_bar(path.name, table.dtype.itemsize, quiet=False) as progress,
        ):
            found = described(table, progress)
    steps = found.steps
    facts: dict[str, Any] = {
        "path": str(path),
        "format": found.format,
        "dtype": str(found.dtype),
        "length": found.length,
        "size": found.size,
        "complete": found.complete,
        "first": found.first,
        "last": found.last,
        "smallest": found.smallest,
        "largest": found.largest,
        "nan": found.nan,
        "infinite": found.infinite,
        "schedule": found.schedule,
        "steps": None
        if steps is None
        else {"start": steps.start, "stop": steps.stop, "step": steps.step},
    }
    if as_json:
        show(json.dumps({key: _in_json(value) for key, value in facts.items()}, indent=2))
        return
    facts["length"] = f"{found.length:,}"
    facts["size"] = format_bytes(found.size)
    facts["complete"] = "yes" if found.complete else "no"
    facts["steps"] = steps
    if found.schedule is not None:
        facts["schedule"] = InverseTimeDecay.from_config(found.schedule)
    show("\n".join(f"{key + ':':10}{value}" for key, value in facts.items() if value is not None))


def _in_json(value: Any) -> Any:
    """JSON has no number for what is not finite."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
