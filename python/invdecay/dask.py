"""Tables as Dask arrays, for lengths past one machine."""

from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from ._arguments import step_range
from .schedule import InverseTimeDecay
from .threads import num_threads


def precompute(schedule: InverseTimeDecay, steps: int | range, *, chunks: Any = "auto") -> da.Array:
    """Return a lazy table of the learning rates at a range of steps.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    chunks : int, str or tuple, optional
        Lengths of the blocks, as everywhere in Dask.

    Returns
    -------
    dask.array.Array
        One-dimensional, of the schedule's dtype, with the bits of ``schedule.precompute``. Each
        block is precomputed where it is needed, from its place in the range alone: nothing is
        built here but a graph of one task for each block.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As ``schedule.precompute`` does, or Dask for its `chunks`.

    Notes
    -----
    A block is computed on one thread, as Dask itself runs as many blocks at once as it may.

    Examples
    --------
    >>> import invdecay, invdecay.dask
    >>> schedule = invdecay.InverseTimeDecay(0.1, 1000, 1.0)
    >>> table = invdecay.dask.precompute(schedule, 10**12)
    >>> table.shape, table[:3].compute()
    ((1000000000000,), array([0.1      , 0.0999001, 0.0998004]))
    """
    steps = step_range(steps)
    shape = (len(steps),)
    blocks = da.core.normalize_chunks(chunks, shape, dtype=schedule.dtype)  # type: ignore[no-untyped-call]
    table: da.Array = da.map_blocks(  # type: ignore[no-untyped-call]
        _block,
        schedule,
        steps,
        chunks=blocks,
        dtype=schedule.dtype,
        meta=np.empty(0, schedule.dtype),
    )
    return table


def _block(
    schedule: InverseTimeDecay, steps: range, *, block_info: dict[Any, Any]
) -> npt.NDArray[Any]:
    ((start, stop),) = block_info[None]["array-location"]
    with num_threads(1):
        return schedule.precompute(steps[start:stop])
