"""The same results by other means, each in the fastest form that its documentation recommends.

A peer is a function that prepares its work for one job and returns the call to be timed, which
returns the result.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from paths import HYPER

# Threads of one library must not spin while another is timed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KERAS_BACKEND", "numpy")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

Array = npt.NDArray[Any]
Call = Callable[[], Any]
LR, DECAY_STEPS, RATE = HYPER


@dataclass(frozen=True)
class Job:
    """Continuous decay of `steps` into `out`.

    Without steps they are 0, 1, 2, ... An array of rates makes a sweep: its shape is (k, 1) for
    one row per rate, and (k,) beside steps of shape (n, 1) for one column per rate.
    """

    steps: Any
    out: Array
    rate: Any = RATE


def _expression(step: Any, rate: Any) -> Any:
    return LR / (1 + rate * (step / DECAY_STEPS))


def numba_prange(job: Job, fastmath: bool = False) -> Call:
    kind: Callable[[Any], Any] = job.out.dtype.type
    rate = kind(job.rate) if isinstance(job.rate, float) else job.rate.ravel()
    if job.steps is None:
        form = "range"
    elif isinstance(job.rate, float):
        form = "array"
    else:
        form = "rows" if job.rate.ndim == 2 else "columns"
    kernel = _numba_kernel(form, kind, fastmath)
    steps = None if job.steps is None else job.steps.ravel()
    scalars = kind(1), kind(LR), kind(DECAY_STEPS)

    def call() -> Any:
        kernel(steps, *scalars, rate, job.out)
        return job.out

    return call


def numba_fastmath(job: Job) -> Call:
    return numba_prange(job, fastmath=True)


@cache
def _numba_kernel(form: str, kind: Callable[[int], Any], fastmath: bool) -> Any:
    import numba

    def array(step: Any, one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(out.size):
            out[i] = lr / (one + rate * (step[i] / decay_steps))

    def range_(step: Any, one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(out.size):
            out[i] = lr / (one + rate * (kind(i) / decay_steps))

    def rows(step: Any, one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = lr / (one + rate[i] * (step[j] / decay_steps))

    def columns(step: Any, one: Any, lr: Any, decay_steps: Any, rate: Any, out: Any) -> None:
        for i in numba.prange(out.shape[0]):
            p = step[i] / decay_steps
            for j in range(out.shape[1]):
                out[i, j] = lr / (one + rate[j] * p)

    loop = {"array": array, "range": range_, "rows": rows, "columns": columns}[form]
    return numba.njit(parallel=True, fastmath=fastmath, error_model="numpy")(loop)


def numexpr(job: Job) -> Call:
    import numexpr

    names = ("one", "lr", "decay_steps", "rate")
    operands = dict(zip(names, map(job.out.dtype.type, (1, *HYPER)), strict=True))
    operands["step"] = job.steps
    expression = "lr / (one + rate * (step / decay_steps))"
    numexpr.evaluate(expression, operands, out=job.out)
    return lambda: numexpr.re_evaluate(operands)


def jax_jit(job: Job) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    rate = job.rate if isinstance(job.rate, float) else jax.numpy.asarray(job.rate)
    steps = None if job.steps is None else jax.numpy.asarray(job.steps)

    def decay(table: Any, step: Any, rate: Any) -> Any:
        if step is None:
            step = jax.numpy.arange(job.out.size, dtype=job.out.dtype)
        return _expression(step, rate)

    # The table of the call before is given away, so that its memory serves the next one.
    compiled = jax.jit(decay, donate_argnums=0, keep_unused=True)
    table = jax.numpy.zeros(job.out.shape, job.out.dtype)

    def call() -> Any:
        nonlocal table
        table = compiled(table, steps, rate).block_until_ready()
        return table

    return call


def torch_compile(job: Job) -> Call:
    import torch

    torch.compiler.reset()

    @torch.compile(dynamic=False)
    def decay(step: Any, rate: Any, out: Any) -> None:
        out.copy_(_expression(step, rate))

    rate = job.rate if isinstance(job.rate, float) else torch.from_numpy(job.rate)
    steps, out = torch.from_numpy(job.steps), torch.from_numpy(job.out)

    def call() -> Any:
        decay(steps, rate, out)
        return job.out

    return call


def numpy_expression(job: Job) -> Call:
    if job.steps is None:
        n, dtype = job.out.size, job.out.dtype
        return lambda: _expression(np.arange(n, dtype=dtype), job.rate)
    return lambda: _expression(job.steps, job.rate)


def numpy_in_place(job: Job) -> Call:
    steps, out = job.steps, job.out

    def call() -> Any:
        np.divide(steps, DECAY_STEPS, out=out)
        np.multiply(out, RATE, out=out)
        np.add(out, 1, out=out)
        return np.divide(LR, out, out=out)

    return call


def keras_class(job: Job) -> Call:
    import keras

    # Keras computes in the dtype of the initial learning rate.
    lr = job.out.dtype.type(LR)
    schedule = keras.optimizers.schedules.InverseTimeDecay(lr, DECAY_STEPS, RATE)
    return lambda: schedule(job.steps)


Peers = dict[str, Callable[[Job], Call]]

RANGE_PEERS: Peers = {
    "numba prange": numba_prange,
    "JAX jit": jax_jit,
    "NumPy expression": numpy_expression,
}
"""Peers that make the steps 0, 1, 2, ... themselves."""

SWEEP_PEERS: Peers = {**RANGE_PEERS, "torch.compile": torch_compile}
"""Peers that evaluate many schedules at once."""

ARRAY_PEERS: Peers = {
    **SWEEP_PEERS,
    "numba prange, fastmath": numba_fastmath,
    "numexpr": numexpr,
    "NumPy, in place": numpy_in_place,
    "Keras": keras_class,
}
"""Peers that evaluate an array of steps."""


def prepared(peers: Peers, job: Job) -> dict[str, Call]:
    """Return the calls of the peers that work here, each run once."""
    calls = {}
    for name, make in peers.items():
        try:
            call = make(job)
            call()
            calls[name] = call
        except Exception as error:  # a peer that is missing or broken does not stop the report
            print(f"{name} is left out: {error!r}", file=sys.stderr)
    return calls


def difference(ours: Array, result: Any) -> str:
    """Say how far a peer's positive results are from `ours`."""
    theirs = np.asarray(result)
    if theirs.dtype != ours.dtype or theirs.shape != ours.shape:
        return f"other dtype or shape: {theirs.dtype}{list(theirs.shape)}"
    bits = f"i{ours.itemsize}"
    a, b = ours.reshape(-1).view(bits), theirs.reshape(-1).view(bits)
    chunk = 1 << 18
    parts = (slice(i, i + chunk) for i in range(0, len(a), chunk))
    largest = max(int(np.abs(a[part] - b[part]).max()) for part in parts)
    return f"up to {largest} ulp" if largest else "same bits"
