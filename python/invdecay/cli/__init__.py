"""The command `invdecay`."""

import os
import signal
import sys
from collections.abc import Sequence

from ._streams import NotPrintedError, flush, one_line, own_streams, say, silence

__all__ = ["main"]

# What the shell finds as the command's exit code; the help's last lines say the same.
DONE, FAILED, USAGE, NOT_PRINTED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    args : sequence of str, optional
        The arguments after the command's name. Default: those of the process, whose standard
        streams are then made safe to write to, also where they are closed.

    Returns
    -------
    int
        0; 1 where the work failed or a table differs; 2 for wrong usage; 3 where the work is
        done, but its result could not be printed; 130 after Ctrl-C; 141 where the reader of
        standard output has gone.

    Examples
    --------
    >>> from invdecay.cli import main
    >>> main(["--version"])  # doctest: +ELLIPSIS
    invdecay ...
    0
    """
    is_process = args is None
    try:
        if is_process:
            _leave_at_ctrl_c()
            own_streams()
        try:
            status = _run(sys.argv[1:] if args is None else list(args))
            if status == DONE:
                flush()
        except NotPrintedError as error:
            if is_process:
                silence(sys.stdout)
            if error.reader_has_gone:
                status = BROKEN_PIPE
            else:
                status = NOT_PRINTED
                say(f"error: the result cannot be printed: {error}")
    except KeyboardInterrupt as interrupt:
        if is_process:
            # Another Ctrl-C ends the process at once, without a traceback.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        say(one_line("interrupted", interrupt))
        status = INTERRUPTED
    if is_process:
        # Nothing is left to do but to end, which a traceback would disturb.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def _leave_at_ctrl_c() -> None:
    """Let Ctrl-C end the process at once while modules are imported.

    An exception there may come out as another one, from whatever is imported.
    """

    def leave(*_: object) -> None:
        say("interrupted")
        os._exit(INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, leave)


def _run(args: list[str]) -> int:
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        return _run_without_extra(args)
    from ._commands import run

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(args)


def _run_without_extra(args: list[str]) -> int:
    """Do what a plain installation can do."""
    if args in (["-V"], ["--version"]):
        from .. import __version__

        print(f"invdecay {__version__}")
    elif args == ["info"]:
        from .. import show_config

        show_config()
    elif args == ["info", "--json"]:
        import json

        from .. import show_config

        print(json.dumps(show_config("dicts"), indent=2))
    else:
        say("error: the command needs click and rich: python -m pip install click rich")
        return FAILED
    return DONE
