"""Tables as Dask arrays, and tables that a Dask cluster writes, for lengths past one machine."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import dask.array as da
import numpy as np
import numpy.typing as npt

from ._arguments import finite, step_range
from .schedule import InverseTimeDecay
from .threads import num_threads

if TYPE_CHECKING:
    import distributed

__all__ = ["precompute", "to_zarr"]


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

    See Also
    --------
    to_zarr : write such a table.

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


# ---------------------------------------------------------------- writing on a cluster


def to_zarr(
    schedule: InverseTimeDecay,
    path: Any,
    steps: int | range,
    *,
    dtype: npt.DTypeLike | None = None,
    chunks: int | Literal["auto"] = "auto",
    client: "distributed.Client | str | None" = None,
    progress: Callable[[int, int], object] | None = None,
    force: bool = False,
    timeout: float = 60.0,
) -> Any:
    """Write the learning rates at a range of steps to a Zarr array, on a cluster if there is one.

    Parameters
    ----------
    schedule : InverseTimeDecay
        What to tabulate. The arithmetic is in its dtype.
    path : str, path or zarr store
        The folder to make or replace; or the URL of a store that fsspec knows (``s3://...``); or
        a store. A relative path means one below the client's working directory. A folder must be
        one that all workers share.
    steps : int or range
        The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
    dtype : dtype, optional
        The dtype of the array: float16, float32 or float64; each element is rounded once on
        store. Default: ``schedule.dtype``.
    chunks : int or "auto", optional
        Elements of a chunk. Default: 16 MiB of them.
    client : distributed.Client or str, optional
        The cluster that computes and writes the chunks, or the address of its scheduler. Default:
        the current client, if there is one, else threads of this process.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.
    force : bool, optional
        Replace a file or a Zarr group at `path` as well. A Zarr array is replaced in any case,
        and a folder of anything else in none.
    timeout : float, optional
        Seconds to wait for the scheduler, and for a worker while there is none.

    Returns
    -------
    pathlib.Path, str or zarr store
        Where the array is: an absolute path, or `path` as it was given.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If an argument is not what it has to be.
    FileNotFoundError
        If the folder of `path` is missing, or a worker does not share it.
    FileExistsError
        If there is something at `path` that is not replaced.
    BlockingIOError
        If another call is writing this array.
    TimeoutError
        If the scheduler does not answer, or there is no worker, for `timeout` seconds.
    ConnectionError
        If the scheduler is lost, or workers die again and again.
    OSError
        If a chunk cannot be written, a full disk included, or a worker has no invdecay or no zarr.

    Warns
    -----
    RuntimeWarning
        If a worker has another version of invdecay. The rates are the same bit for bit.

    See Also
    --------
    precompute : the same table as a lazy Dask array.
    invdecay.save_table : the same array without Dask.

    Notes
    -----
    In a folder the array is absent, old or complete at every moment. It grows in a hidden folder
    beside `path`, which is renamed once every chunk is there and on disk. An old array is moved
    aside just before; in between, for the time of one system call, there is nothing at `path`.
    If that second rename fails, the old array is moved back.

    A store that cannot rename (any URL but ``file://``, any store but a ``LocalStore``) is
    written in place: the attribute ``complete`` is false until all chunks are there, and is set
    last. There are no locks in such a store, so that only one call may write it at a time.

    After an interruption (Ctrl-C, a crash, an error) the same call goes on. A chunk that is there
    is computed again and compared, and it is written only if it differs: the formula is the
    checksum. A call for another table starts afresh.

    The fill value is NaN, so that a missing chunk never looks like rates. Chunks are not
    compressed, which is the fastest and has an exact size. The attribute ``invdecay`` holds
    ``version``, ``schedule`` (as from ``get_config``, always with its ``dtype``), ``steps``
    (start, stop and step of the range) and ``complete``.

    Examples
    --------
    >>> import tempfile, zarr
    >>> from invdecay import InverseTimeDecay, dask
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = dask.to_zarr(schedule, f"{folder}/lr.zarr", range(0, 4000, 1000))
    ...     array = zarr.open_array(path, mode="r")
    ...     array[:], array.attrs["invdecay"]["steps"]
    (array([0.1       , 0.05      , 0.03333333, 0.025     ]), [0, 4000, 1000])
    """
    from . import _cluster, _zarr

    plan = _zarr.Plan.of(schedule, steps, dtype, chunks)
    timeout = finite("timeout", timeout, positive=True)
    target = _zarr.target_of(path, force)
    with _cluster.connected(client, timeout) as cluster:
        if cluster is None:
            _zarr.write(target, plan, progress, "to_zarr")
        else:
            _cluster.Workers(cluster, timeout, target).write(plan, progress, "to_zarr")
    return target.path if isinstance(target, _zarr.Folder) else path
