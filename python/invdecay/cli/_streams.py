"""Standard output and error, which may be closed, full, or unable to show a character."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class NotPrintedError(Exception):
    """The work is done, but standard output does not take its result."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror)
        self.reader_has_gone = error.errno == errno.EPIPE


def own_streams() -> None:
    """Make the standard streams of this process safe to write to.

    A descriptor that is closed would be given to the next file opened, and a message would then
    be written into a table. It is opened here so that writing to it fails.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDONLY)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
    # Python has no object for a stream whose descriptor was closed.
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in sys.stdout, sys.stderr:
        if isinstance(stream, io.TextIOWrapper):
            # A path may hold characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Print a result on standard output."""
    try:
        print(text)
    except OSError as error:
        raise NotPrintedError(error) from error
    flush()


def flush() -> None:
    """Write what standard output has kept back."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise NotPrintedError(error) from error


def say(text: str) -> None:
    """Print one line on standard error, if it takes any."""
    try:
        print("invdecay:", " ".join(text.split()), file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let a stream that takes nothing lead nowhere, or Python complains of its rest at exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def one_line(text: str, error: BaseException) -> str:
    """Return a message followed by the notes on an exception, which say what is kept."""
    parts = [text, *getattr(error, "__notes__", ())]
    line = ". ".join(part.rstrip(".") for part in parts)
    for said, meant in _WORDS.items():
        line = line.replace(said, meant)
    return line


_WORDS = {
    "the same call": "the same command",
    "; force replaces": "; --force replaces",
    "client must be": "--scheduler must be",
}
"""How the command says what the library says of its calls and arguments."""
