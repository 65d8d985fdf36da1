"""The group of commands, and what is the same for all of them."""

import json
import os
import shutil
import warnings
from typing import Any

import click
from click.shell_completion import shell_complete

from .. import show_config
from ._plot import plot
from ._streams import NotPrintedError, say, show
from ._tables import inspect, precompute, verify

_COMPLETE = "_INVDECAY_COMPLETE"  # set by the shell when it asks for completions


class _Formatter(click.HelpFormatter):
    def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
        # In a narrow terminal the text stands below the option, where there is room for it.
        super().write_dl(rows, col_max if self.width >= 60 else 2, col_spacing)


class _Context(click.Context):
    formatter_class = _Formatter


class _Group(click.Group):
    context_class = _Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # tables first, rather than by the alphabet

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Whole sentences, where click cuts them off.
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(200)) for name, command in self.commands.items()]
            )


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Run 'invdecay COMMAND --help' for a command's options and examples.

    Exit codes: 0 done; 1 the work failed, or a table differs from its schedule; 2 wrong usage; 3
    done, but the result could not be printed; 130 Ctrl-C; 141 the reader of a pipe has gone.
    """,
)
@click.version_option(
    None, "-V", "--version", package_name="invdecay", message="%(prog)s %(version)s"
)
@click.pass_context
def group(context: click.Context) -> None:
    """Inverse-time-decay learning-rate schedules in bulk, bit for bit as Keras computes them."""
    if context.invoked_subcommand is None:
        show(context.get_help())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(as_json: bool) -> None:
    """Show which backend runs here, and on what."""
    if as_json:
        show(json.dumps(show_config("dicts"), indent=2))
    else:
        show_config()


for _command in (precompute, verify, inspect, plot, info):
    _command.context_class = _Context
    group.add_command(_command)


def run(args: list[str]) -> int:
    """Run the command and return its exit code."""
    if _COMPLETE in os.environ:
        return shell_complete(group, {}, "invdecay", _COMPLETE, os.environ[_COMPLETE])
    # click itself takes at least 50 columns.
    width = max(30, min(shutil.get_terminal_size().columns, 80) - 2)
    with warnings.catch_warnings():
        # Those of other packages, of what they will change, are not for the user of a command.
        warnings.simplefilter("ignore")
        for category in RuntimeWarning, UserWarning:
            warnings.simplefilter("default", category)
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        try:
            with group.make_context("invdecay", args, terminal_width=width) as context:
                group.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            say(f"error: {_message(error)}")
            return error.exit_code
        except OSError as error:  # of the texts that click prints
            raise NotPrintedError(error) from error
    return 0


def _message(error: click.ClickException) -> str:
    text = error.format_message().strip()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text.rstrip('.')}; see '{error.ctx.command_path} --help'"
    return text
