"""The same results by other means, each in the fastest form that its documentation recommends.

A peer is a function that prepares its work for one job. It returns the call to be timed, which
returns the result.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
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


def _numba(job: Job, fastmath: bool = False) -> Call:
    kind: Callable[[Any], Any] = job.out.dtype.type
    rate = np.asarray(job.rate, job.out.dtype)
    form = ("range" if job.steps is None else "array", "columns", "rows")[rate.ndim]
    arguments = (
        None if job.steps is None else job.steps.ravel(),
        *map(kind, (1, LR, DECAY_STEPS)),
        rate.ravel() if rate.ndim else kind(rate),
        job.out,
    )
    kernel = _numba_kernel(form, kind, fastmath)

    def call() -> Any:
        kernel(*arguments)
        return job.out

    return call


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


def _numexpr(job: Job) -> Call:
    import numexpr  # type: ignore[import-untyped]

    names = ("one", "lr", "decay_steps", "rate")
    operands = dict(zip(names, map(job.out.dtype.type, (1, *HYPER)), strict=True))
    operands["step"] = job.steps
    expression = "lr / (one + rate * (step / decay_steps))"
    numexpr.evaluate(expression, operands, out=job.out)
    return partial(numexpr.re_evaluate, operands)


def _jax(job: Job) -> Call:
    import jax

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    rate = job.rate if isinstance(job.rate, float) else jax.numpy.asarray(job.rate)
    steps = None if job.steps is None else jax.numpy.asarray(job.steps)

    # The table of the call before is given away, so that its memory serves the next one.
    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    def decay(table: Any, step: Any, rate: Any) -> Any:
        return _expression(
            jax.numpy.arange(job.out.size, dtype=job.out.dtype) if step is None else step, rate
        )

    table = jax.numpy.zeros(job.out.shape, job.out.dtype)

    def call() -> Any:
        nonlocal table
        table = decay(table, steps, rate).block_until_ready()
        return table

    return call


def _torch(job: Job) -> Call:
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


def _numpy(job: Job) -> Call:
    if job.steps is not None:
        return partial(_expression, job.steps, job.rate)
    return lambda: _expression(np.arange(job.out.size, dtype=job.out.dtype), job.rate)


def _keras(job: Job) -> Call:
    import keras  # type: ignore[import-untyped]

    if job.out.dtype != np.float32:
        raise TypeError("it computes in float32 alone")
    schedule = keras.optimizers.schedules.InverseTimeDecay(np.float32(LR), DECAY_STEPS, RATE)
    return partial(schedule, job.steps)


_PEERS: dict[str, Callable[[Job], Call]] = {
    "numba prange": _numba,
    "JAX jit": _jax,
    "NumPy expression": _numpy,
    "torch.compile": _torch,
    "numba prange, fastmath": partial(_numba, fastmath=True),
    "numexpr": _numexpr,
    "Keras": _keras,
}
ARRAY_PEERS = list(_PEERS)
SWEEP_PEERS = ARRAY_PEERS[:4]
"""Peers that evaluate many schedules at once."""
RANGE_PEERS = ARRAY_PEERS[:3]
"""Peers that make the steps 0, 1, 2, ... themselves."""


def prepared(names: Iterable[str], job: Job) -> dict[str, Call]:
    """Return the calls of the peers that work here, each run once."""
    calls = {}
    for name in names:
        try:
            call = _PEERS[name](job)
            call()
            calls[name] = call
        except Exception as error:  # a peer that is missing or broken does not stop the report
            print(f"{name} is left out: {error!r}", file=sys.stderr)
    return calls


def ulps(ours: Array, result: Any) -> int:
    """Return by how many ulp a peer's positive results differ from `ours` at most."""
    bits = f"i{ours.itemsize}"
    apart = ours.view(bits) - np.asarray(result).view(bits)
    return int(max(apart.max(), -apart.min()))
