"""The options that several commands share, and what becomes of them."""

import decimal
import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import InverseTimeDecay
from .._arguments import step_range, table_path
from ._streams import one_line

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_PACKAGES = {
    "dask": "'dask[array,distributed]' zarr",
    "distributed": "'dask[array,distributed]' zarr",
    "matplotlib": "matplotlib",
    "zarr": "zarr",
}
"""What to install where a module is missing."""


@contextmanager
def errors_in_one_line(wrong_values_are_usage: bool = False) -> Iterator[None]:
    """Turn what the library raises into errors of the command."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = str(error.name).partition(".")[0]
        package = _PACKAGES.get(name, name)
        raise click.ClickException(
            f"{name} is not installed: python -m pip install {package}"
        ) from error
    except (TypeError, ValueError, ArithmeticError, OSError, MemoryError) as error:
        text = str(error) or "out of memory"
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        text = one_line(text, error)
        if wrong_values_are_usage and not isinstance(error, OSError | MemoryError):
            raise click.UsageError(text, click.get_current_context()) from error
        raise click.ClickException(text) from error


def usage_error(text: str) -> click.UsageError:
    return click.UsageError(text, click.get_current_context())


# ---------------------------------------------------------------- values


def integer(text: object) -> int:
    """Return the exact integer written as 1000000000, 1_000_000_000 or 1e9."""
    try:
        number = decimal.Decimal(str(text))
    except decimal.InvalidOperation:
        raise click.BadParameter(f"{text!r} is not a number") from None
    # The exponent first: nobody wants to see the digits of 1e999999999.
    if number.is_finite() and number.adjusted() > 18:
        raise click.BadParameter(f"{text} is not an integer of 64 bits")
    if not number.is_finite() or number != number.to_integral_value():
        raise click.BadParameter(f"{text} is not an integer")
    return int(number)


def floating(name: str) -> np.dtype[Any]:
    """Return the dtype of a name, a real floating one."""
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind != "f":
        raise click.BadParameter(f"{name!r} is not a real floating dtype")
    return dtype


class TablePath(click.Path):
    """The path of a table, whose suffix is its format."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value):
            self.fail("it is empty, and a table needs a name", param, ctx)
        try:
            return table_path(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


table_argument = click.argument("path", type=TablePath())
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print errors only: no summary, warning or progress bar."
)


def integer_option(name: str, *rest: str, help: str, **settings: Any) -> Decorator:
    return click.option(name, *rest, type=integer, metavar="INTEGER", help=help, **settings)


# ---------------------------------------------------------------- the schedule

_NUMBERS = {
    "initial_learning_rate": "Rate at step 0.",
    "decay_steps": "Steps over which the denominator grows by the decay rate.",
    "decay_rate": "Growth of the denominator per decay steps: 1 halves the rate after as many.",
}


def option_name(name: str) -> str:
    """Return the option of a hyperparameter."""
    return "--" + name.replace("_", "-")


def hyperparameter_options(**settings: Any) -> list[Decorator]:
    """Return the options of the three numbers of a schedule."""
    return [
        click.option(
            *(["--lr"] if name == "initial_learning_rate" else []),
            option_name(name),
            name,
            type=float,
            help=text,
            **settings,
        )
        for name, text in _NUMBERS.items()
    ]


def decorated(function: Command, options: list[Decorator]) -> Command:
    """Add options to a command in their order."""
    for option in reversed(options):
        function = option(function)
    return function


def schedule_options(required: bool) -> Decorator:
    """Add the options of a schedule. The command gets `schedule`; None if none is given."""

    def decorator(function: Command) -> Command:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            file = values.pop("from_config")
            every = {name: values.pop(name) for name in (*_NUMBERS, "staircase", "dtype")}
            given = {name: value for name, value in every.items() if value is not None}
            with errors_in_one_line(wrong_values_are_usage=True):
                schedule = _schedule(given, file, required)
            return function(schedule=schedule, **values)

        staircase = click.option(
            "--staircase",
            is_flag=True,
            flag_value=True,
            default=None,
            help="Hold the rate for decay-steps at a time.",
        )
        dtype = click.option(
            "--dtype",
            type=click.Choice(["float32", "float64"]),
            help="Dtype of the arithmetic. In float32, steps past 2^24 are rounded, as in Keras."
            "  [default: float64]",
        )
        config = click.option(
            "--from-config",
            metavar="FILE.json",
            help="Read the schedule that get_config() gave, instead of the options above."
            " - means standard input.",
        )
        options: list[Decorator] = [*hyperparameter_options(), staircase, dtype, config]
        return decorated(command, options)

    return decorator


def _schedule(given: dict[str, Any], file: str | None, required: bool) -> InverseTimeDecay | None:
    if file is not None:
        if given:
            also = " and ".join(map(option_name, given))
            raise usage_error(f"--from-config gives the whole schedule, got {also} as well")
        return InverseTimeDecay.from_config(_config(file))
    missing = [option_name(name) for name in _NUMBERS if name not in given]
    if missing and (given or required):
        raise usage_error(f"Missing option {', '.join(missing)} (or --from-config)")
    return InverseTimeDecay(**{"dtype": "float64"} | given) if given else None


def _config(file: str) -> dict[str, Any]:
    """Read a schedule's configuration."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8-sig")
        file = "standard input" if file == "-" else file
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file} is not a JSON file: {error}") from None
    keys = *_NUMBERS, "staircase", "name", "dtype"
    if not isinstance(config, dict):
        raise click.ClickException(f"{file} must hold an object with {', '.join(keys)}")
    if missing := [key for key in _NUMBERS if key not in config]:
        raise click.ClickException(f"{file} lacks {', '.join(missing)}")
    if unknown := [key for key in config if key not in keys]:
        raise click.ClickException(f"{file} has {', '.join(unknown)}, which a schedule has not")
    return config


def steps_of(count: int, start: int, step: int) -> range:
    """Return the range of a table; refuse what is none."""
    if count < 0:
        raise click.BadParameter(f"{count} is negative", param_hint="'--steps'")
    if step == 0:
        raise click.BadParameter("0 is not a distance", param_hint="'--step'")
    with errors_in_one_line(wrong_values_are_usage=True):
        return step_range(range(start, start + count * step, step))
