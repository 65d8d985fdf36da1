"""Reading tables: `verify_table` compares one with its schedule, `inspect_table` describes it."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as formats

from ._arguments import step_range, table_path
from ._pipeline import Progress, Sink, checked_schedule, piped
from .schedule import InverseTimeDecay

_CHUNK = 1 << 22
"""Bytes read and compared at once."""


@dataclass(frozen=True)
class Verification:
    """How a table of `count` elements compares with its schedule.

    `differing` elements differ in at least one bit; one NaN counts as equal to another. At the
    first of them, of step `first_step`, the file has the rate `stored` and the schedule
    `expected`. All three are None if nothing differs.
    """

    count: int
    differing: int = 0
    first_step: int | None = None
    stored: float | None = None
    expected: float | None = None

    @property
    def equal(self) -> bool:
        """Whether every bit is the schedule's."""
        return self.differing == 0


def verify_table(
    path: str | os.PathLike[str],
    schedule: InverseTimeDecay | None = None,
    steps: int | range | None = None,
    *,
    progress: Progress = None,
) -> Verification:
    """Compare every byte of a table with what its schedule gives.

    Parameters
    ----------
    path : str or path
        A ``.npy`` or ``.zarr`` table.
    schedule : InverseTimeDecay, optional
        What the table should hold. A ``.zarr`` table knows it, a ``.npy`` file does not.
    steps : int or range, optional
        The steps of the table. Default: those that a ``.zarr`` table names; the integers from 0.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    Verification
        How many elements differ, and the first of them.

    Raises
    ------
    TypeError
        If an argument is of the wrong type, or `schedule` is missing for a ``.npy`` file.
    ValueError
        If the file is not a table of this length in a real floating dtype.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from invdecay import InverseTimeDecay, save_table
    >>> from invdecay.verification import verify_table
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_table(schedule, f"{folder}/lr.npy", 4000)
    ...     verify_table(path, schedule).equal
    True
    """
    with opened(table_path(path)) as table:
        return compared(table, path, schedule, steps, progress)


@dataclass(frozen=True)
class TableInfo:
    """What a table holds.

    `format` is "npy" or "zarr", `length` counts the elements of the whole table, and `size` its
    bytes on disk. `smallest` and `largest` are of the finite elements. What there is none of is
    None. A ``.npy`` file says nothing of its `schedule` (a configuration) and its `steps`.
    """

    format: str
    dtype: np.dtype[Any]
    length: int
    size: int
    complete: bool
    first: float | None = None
    last: float | None = None
    smallest: float | None = None
    largest: float | None = None
    nan: int = 0
    infinite: int = 0
    schedule: dict[str, Any] | None = None
    steps: range | None = None


def inspect_table(path: str | os.PathLike[str], *, progress: Progress = None) -> TableInfo:
    """Return what a table holds, from reading it once.

    Parameters
    ----------
    path : str or path
        A ``.npy`` or ``.zarr`` table.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    TableInfo
        Of a truncated ``.npy`` file, which is not complete, the elements that are there.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path, or the file not a table in a real floating dtype.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from invdecay import InverseTimeDecay, save_table
    >>> from invdecay.verification import inspect_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = inspect_table(save_table(InverseTimeDecay(0.1, 9, 1.0), f"{folder}/a.npy", 10))
    >>> info.length, info.first, info.last, info.complete
    (10, 0.1, 0.05, True)
    """
    with opened(table_path(path)) as table:
        return described(table, progress)


def statistics(chunks: Iterable[npt.NDArray[Any]]) -> dict[str, Any]:
    """Return first, last, smallest, largest, nan and infinite of a `TableInfo`."""
    found: dict[str, Any] = {"nan": 0, "infinite": 0}
    for chunk in chunks:
        found = {"first": float(chunk[0])} | found | {"last": float(chunk[-1])}
        is_finite = np.isfinite(chunk)
        if not is_finite.all():
            found["nan"] += int(np.isnan(chunk).sum())
            found["infinite"] += int(np.isinf(chunk).sum())
            chunk = chunk[is_finite]
        if len(chunk):
            low, high = float(chunk.min()), float(chunk.max())
            found["smallest"] = min(found.get("smallest", low), low)
            found["largest"] = max(found.get("largest", high), high)
    return found


# ---------------------------------------------------------------- tables that are open


@dataclass(frozen=True)
class Table:
    """A table that is open to be read."""

    format: str
    dtype: np.dtype[Any]
    length: int  # as it says itself
    piece: int  # elements that are read at once
    read: Callable[[int, int], npt.NDArray[Any]]  # the elements from one index to another
    status: Callable[[], tuple[int, bool]]  # bytes on disk, and whether it is complete
    present: int | None = None  # elements that can be read; default: all
    fault: str = ""  # why it cannot be compared
    schedule: InverseTimeDecay | None = None  # what it says that it holds
    steps: range | None = None


@contextmanager
def opened(path: Path) -> Iterator[Table]:
    """Open a table to be read."""
    if path.suffix == ".zarr":
        from . import _zarr

        yield _zarr.table_at(path)
        return
    if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    with open(path, "rb") as file:
        dtype, length = _read_header(file, path)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        whole = offset + length * dtype.itemsize

        def read(start: int, stop: int) -> npt.NDArray[Any]:
            file.seek(offset + start * dtype.itemsize)
            values = np.fromfile(file, dtype, stop - start)
            if len(values) != stop - start:
                raise ValueError(f"{path} became shorter while it was read")
            return values

        yield Table(
            format="npy",
            dtype=dtype,
            length=length,
            piece=max(1, _CHUNK // dtype.itemsize),
            read=read,
            status=lambda: (size, size == whole),
            present=min(length, (size - offset) // dtype.itemsize),
            fault="" if size == whole else f"has {size} bytes, expected {whole}",
        )


def _read_header(file: BinaryIO, path: Path) -> tuple[np.dtype[Any], int]:
    """Return dtype and length of a ``.npy`` table."""
    try:
        old = formats.read_magic(file) == (1, 0)
        read = formats.read_array_header_1_0 if old else formats.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise ValueError(f"{path} is not a .npy file: {error}") from None
    if len(shape) != 1 or dtype.kind != "f":
        wanted = "one dimension of a real floating dtype"
        raise ValueError(f"{path} has shape {shape} of {dtype}, expected {wanted}")
    return dtype, shape[0]


def compared(
    table: Table,
    name: Any,
    schedule: InverseTimeDecay | None,
    steps: int | range | None,
    progress: Progress = None,
) -> Verification:
    """Compare a table with its schedule; `name` is what messages call it."""
    if schedule is None and table.schedule is None:
        raise TypeError(f"schedule must be given, since {name} does not name its own")
    schedule = checked_schedule(table.schedule if schedule is None else schedule)
    if steps is None:
        steps = table.length if table.steps is None else table.steps
    steps = step_range(steps)
    if len(steps) != table.length:
        raise ValueError(f"{name} has {table.length} elements, expected {len(steps)}")
    if table.fault:
        raise ValueError(f"{name} {table.fault}")
    piece = table.piece * table.dtype.itemsize
    return piped(_comparison(table, steps), schedule, steps, table.dtype, piece, progress)


def _comparison(table: Table, steps: range) -> Sink[Verification]:
    """Compare the chunks with those of a table."""
    done = differing = 0
    first: tuple[int | None, float | None, float | None] = None, None, None
    while (expected := (yield)) is not None:
        stored = table.read(done, done + len(expected)).astype(expected.dtype, copy=False)
        different = differences(stored, expected)
        i = int(different.argmax())
        if different[i] and not differing:
            first = steps[done + i], float(stored[i]), float(expected[i])
        differing += int(np.count_nonzero(different))
        done += len(expected)
    return Verification(len(steps), differing, *first)


def described(table: Table, progress: Progress = None) -> TableInfo:
    """Describe a table from reading it once."""
    present = table.length if table.present is None else table.present

    def pieces() -> Iterator[npt.NDArray[Any]]:
        for start in range(0, present, table.piece):
            stop = min(start + table.piece, present)
            yield table.read(start, stop)
            if progress is not None:
                progress(stop, present)

    size, complete = table.status()
    schedule = table.schedule
    return TableInfo(
        table.format,
        table.dtype,
        table.length,
        size,
        complete,
        **statistics(pieces()),
        schedule=None if schedule is None else configuration(schedule),
        steps=table.steps,
    )


def configuration(schedule: InverseTimeDecay) -> dict[str, Any]:
    """Return the configuration of a schedule, always with its dtype."""
    return {**schedule.get_config(), "dtype": schedule.dtype.name}


def differences(stored: npt.NDArray[Any], expected: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where two tables differ in their bits; all NaN count as equal."""
    word = f"u{min(expected.itemsize, 8)}"
    different: npt.NDArray[np.bool_] = stored.view(word) != expected.view(word)
    if expected.itemsize > 8:
        different = different[0::2] | different[1::2]
    if different.any():
        different &= ~(np.isnan(stored) & np.isnan(expected))
    return different
