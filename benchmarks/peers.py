"""The same tables by other means, each in the fastest form that its documentation recommends.

A peer is a function that prepares its work for one job and returns the call to be timed, which
returns the table. Preparing it raises ImportError where the peer is not installed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from invdecay import InverseTimeDecay
from paths import HYPER

# Threads of one library must not spin while another is timed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KERAS_BACKEND", "numpy")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

Call = Callable[[], Any]


@dataclass(frozen=True)
class Job:
    """Continuous decay of all `steps` into `out`; for a table the steps are 0, 1, 2, ..."""

    steps: npt.NDArray[Any]
    out: npt.NDArray[Any]

    @property
    def scalars(self) -> list[Any]:
        """One, then the hyperparameters, in the job's dtype: they promote nothing."""
        return [self.out.dtype.type(value) for value in (1, *HYPER)]


# ---------------------------------------------------------------- buffers


def _numba_over_buffer(job: Job, fastmath: bool) -> Call:
    import numba

    @numba.njit(parallel=True, fastmath=fastmath, error_model="numpy")  # type: ignore[untyped-decorator]
    def decay(step: Any, one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(step.size):
            out[i] = lr / (one + rate * (step[i] / decay_steps))

    def call() -> Any:
        decay(job.steps, *scalars, job.out)
        return job.out

    scalars = job.scalars
    return call


def numba_prange(job: Job) -> Call:
    return _numba_over_buffer(job, fastmath=False)


def numba_fastmath(job: Job) -> Call:
    return _numba_over_buffer(job, fastmath=True)


def numexpr(job: Job) -> Call:
    import numexpr

    one, lr, decay_steps, rate = job.scalars
    operands = {"step": job.steps, "one": one, "lr": lr, "decay_steps": decay_steps, "rate": rate}
    expression = "lr / (one + rate * (step / decay_steps))"
    numexpr.evaluate(expression, operands, out=job.out)
    return lambda: numexpr.re_evaluate(operands)


def jax_jit(job: Job) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    lr, decay_steps, rate = HYPER

    def decay(step: Any, table: Any) -> Any:
        return lr / (1 + rate * (step / decay_steps))

    # The table of the call before is given away, so that its memory serves the next one.
    compiled = jax.jit(decay, donate_argnums=1, keep_unused=True)
    steps = jax.numpy.asarray(job.steps)
    table = jax.numpy.zeros_like(steps)

    def call() -> Any:
        nonlocal table
        table = compiled(steps, table).block_until_ready()
        return table

    return call


def torch_compile(job: Job) -> Call:
    import torch

    lr, decay_steps, rate = HYPER

    @torch.compile
    def decay(step: Any, out: Any) -> None:
        out.copy_(lr / (1 + rate * (step / decay_steps)))

    steps, out = torch.from_numpy(job.steps), torch.from_numpy(job.out)

    def call() -> Any:
        decay(steps, out)
        return job.out

    call()
    return call


def torch_eager(job: Job) -> Call:
    import torch

    lr, decay_steps, rate = HYPER
    steps, out = torch.from_numpy(job.steps), torch.from_numpy(job.out)
    numerator = torch.tensor(lr, dtype=out.dtype)

    def call() -> Any:
        torch.div(steps, decay_steps, out=out).mul_(rate).add_(1)
        torch.div(numerator, out, out=out)
        return job.out

    return call


def numpy_expression(job: Job) -> Call:
    lr, decay_steps, rate = HYPER
    return lambda: lr / (1 + rate * (job.steps / decay_steps))


def numpy_in_place(job: Job) -> Call:
    lr, decay_steps, rate = HYPER
    steps, out = job.steps, job.out

    def call() -> Any:
        np.divide(steps, decay_steps, out=out)
        np.multiply(out, rate, out=out)
        np.add(out, 1, out=out)
        return np.divide(lr, out, out=out)

    return call


def keras_schedule(dtype: str = "float32") -> Any:
    """Return Keras's own schedule, which computes in the dtype of its initial learning rate."""
    import keras

    lr, decay_steps, rate = HYPER
    lr = np.dtype(dtype).type(lr)
    return keras.optimizers.schedules.InverseTimeDecay(lr, decay_steps, rate)


def keras_class(job: Job) -> Call:
    schedule = keras_schedule(job.out.dtype.name)
    return lambda: schedule(job.steps)


BUFFER_PEERS: dict[str, Callable[[Job], Call]] = {
    "numba prange": numba_prange,
    "numba prange, fastmath": numba_fastmath,
    "numexpr": numexpr,
    "JAX jit": jax_jit,
    "torch.compile": torch_compile,
    "torch, in place": torch_eager,
    "NumPy, in place": numpy_in_place,
    "NumPy expression": numpy_expression,
    "Keras": keras_class,
}
"""Peers that evaluate a buffer of steps."""

TAKES_NO_OUT = {"NumPy expression", "Keras"}
"""Peers that can only return a new array."""


# ---------------------------------------------------------------- tables, without given steps


def numba_table(job: Job) -> Call:
    import numba

    kind = job.out.dtype.type

    @numba.njit(parallel=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def fill(one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(out.size):
            out[i] = lr / (one + rate * (kind(i) / decay_steps))

    def call() -> Any:
        fill(*scalars, job.out)
        return job.out

    scalars = job.scalars
    return call


def jax_table(job: Job) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)
    lr, decay_steps, rate = HYPER
    n, dtype = len(job.out), job.out.dtype

    def fill(table: Any) -> Any:
        return lr / (1 + rate * (jax.numpy.arange(n, dtype=dtype) / decay_steps))

    compiled = jax.jit(fill, donate_argnums=0, keep_unused=True)
    table = jax.numpy.zeros(n, dtype)

    def call() -> Any:
        nonlocal table
        table = compiled(table).block_until_ready()
        return table

    return call


def numpy_table(job: Job) -> Call:
    lr, decay_steps, rate = HYPER
    n, dtype = len(job.out), job.out.dtype
    return lambda: lr / (1 + rate * (np.arange(n, dtype=dtype) / decay_steps))


TABLE_PEERS: dict[str, Callable[[Job], Call]] = {
    "numba prange": numba_table,
    "JAX jit": jax_table,
    "NumPy expression over np.arange": numpy_table,
}
"""Peers that make a table of the steps 0, 1, 2, ..."""


def concatenated_table(n: int, dtype: npt.DTypeLike) -> Call:
    """Return the usual way to a table with a warm-up: two arrays, concatenated."""
    lr, decay_steps, rate = HYPER
    warmup = n // 100

    def call() -> Any:
        rise = np.linspace(0, lr, warmup, dtype=dtype)
        steps = np.arange(n - warmup, dtype=dtype)
        return np.concatenate((rise, lr / (1 + rate * (steps / decay_steps))))

    return call


def precomputed_table(n: int, dtype: npt.DTypeLike) -> Call:
    """Return our way to the same table: the second part is computed where it belongs."""
    schedule = InverseTimeDecay(*HYPER, dtype=dtype)
    warmup = n // 100

    def call() -> Any:
        table = np.empty(n, dtype)
        table[:warmup] = np.linspace(0, HYPER[0], warmup, dtype=dtype)
        schedule.precompute(n - warmup, out=table[warmup:])
        return table

    return call


# ---------------------------------------------------------------- agreement


def difference(ours: npt.NDArray[Any], theirs: Any) -> str:
    """Say how far a peer's positive results are from ours."""
    table = np.asarray(theirs)
    if table.dtype != ours.dtype or table.shape != ours.shape:
        return f"{table.dtype}{list(table.shape)} instead of {ours.dtype}{list(ours.shape)}"
    bits = f"i{ours.itemsize}"
    largest = 0
    block = 1 << 20
    for i in range(0, len(ours), block):
        a, b = ours[i : i + block].view(bits), table[i : i + block].view(bits)
        largest = max(largest, int(np.abs(a - b).max()))
    return "same bits" if largest == 0 else f"up to {largest} ulp"
