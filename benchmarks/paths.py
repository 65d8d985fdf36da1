"""The paths through the kernels: what is read, computed and written, and how fast it must be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import invdecay
import numpy as np
import numpy.typing as npt
from invdecay import InverseTimeDecay
from timing import interleaved

HYPER = (0.1, 1000.0, 0.5)
"""Initial learning rate, decay steps and decay rate of every measurement."""

Array = npt.NDArray[Any]
_CHUNK = 1 << 20
_PAGE = 4096
_OFFSETS = 0, 16, 64, 128, 240


@dataclass(frozen=True)
class Path:
    """One way through the kernels, over the steps 0, 1, 2, ..."""

    step: str | None
    """Dtype of the array of steps; None for a range, which has none."""
    arithmetic: str
    out: str
    staircase: bool = False
    target: float | None = None
    """The fraction of the speed of a copy or fill to reach, where one is set."""

    @property
    def name(self) -> str:
        """A name such as ``int64 -> float32, staircase``."""
        within = "" if self.arithmetic == self.out else f" in {self.arithmetic}"
        form = ", staircase" if self.staircase else ""
        return f"{self.step or 'range'}{within} -> {self.out}{form}"

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes read and bytes written for each element."""
        return (np.dtype(self.step).itemsize if self.step else 0), np.dtype(self.out).itemsize

    def operands(self, n: int) -> tuple[Array | None, Array]:
        """Return the steps, None for a range, and a result already touched."""
        steps = None if self.step is None else np.arange(n, dtype=self.step)
        return steps, np.zeros(n, self.out)

    def evaluate(self, kernels: Any, steps: Array | None, out: Array) -> None:
        """Fill `out` by the kernels of one backend."""
        if steps is None:
            kernels.fill_range(out, 0, 1, *HYPER, self.staircase, self.arithmetic)
        else:
            ufunc = kernels.staircase_decay if self.staircase else kernels.continuous_decay
            ufunc(steps, *HYPER, out=out, dtype=self.arithmetic)

    def call(self, steps: Array | None, out: Array) -> Callable[[], object]:
        """Return the call of the public interface that fills `out`."""
        if steps is None:
            schedule = InverseTimeDecay(*HYPER, self.staircase, dtype=self.arithmetic)
            return partial(schedule.precompute, len(out), out=out)
        decay: Callable[..., object] = invdecay.inverse_time_decay
        return partial(decay, steps, *HYPER, self.staircase, out=out, dtype=self.arithmetic)

    def check(self, steps: Array | None, out: Array) -> None:
        """Raise AssertionError unless `out` has the bits of the NumPy expression."""
        kind = np.dtype(self.arithmetic).type
        lr, decay_steps, rate = map(kind, HYPER)
        for i in range(0, len(out), _CHUNK):
            part = out[i : i + _CHUNK]
            at = np.arange(i, i + len(part)) if steps is None else steps[i : i + _CHUNK]
            p = at.astype(kind) / decay_steps
            expected = lr / (kind(1) + rate * (np.floor(p) if self.staircase else p))
            if expected.astype(self.out).tobytes() != part.tobytes():
                raise AssertionError(f"{self.name}: wrong bits in elements {i} to {i + len(part)}")

    def worst_offset(self, n: int, rounds: int) -> tuple[float, str]:
        """Return the time at the slowest pair of offsets within a page over equal offsets.

        The slowest pairs of a short first run are measured again, because the largest of many
        noisy times says little.
        """
        assert self.step is not None
        source, out = _on_page(n, self.step), _on_page(n, self.out)
        source[:] = np.arange(len(source))
        calls = {}
        for a in {source.itemsize, *_OFFSETS}:
            for b in {out.itemsize, *_OFFSETS}:
                i, k = a // source.itemsize, b // out.itemsize
                calls[a, b] = self.call(source[i : i + n], out[k : k + n])
        equal = [pair for pair in calls if pair[0] == pair[1]]
        # Whatever disturbs a call of microseconds makes it longer; and more rounds cost little.
        short = n * out.itemsize < _CHUNK
        rounds *= 5 if short else 1

        def slowness(pairs: list[tuple[int, int]], rounds: int) -> dict[tuple[int, int], float]:
            times = interleaved({pair: calls[pair] for pair in pairs}, rounds)
            others = [pair for pair in pairs if pair not in equal]
            if short:
                level = np.median([times[pair].min() for pair in equal])
                return {pair: float(times[pair].min() / level) for pair in others}
            levels = np.median([times[pair] for pair in equal], axis=0)
            return {pair: float(np.median(times[pair] / levels)) for pair in others}

        first = slowness(list(calls), rounds // 2)
        slowest = sorted(first, key=lambda pair: first[pair])[-3:]
        again = slowness(equal + slowest, rounds)
        pair = max(again, key=lambda pair: again[pair])
        return again[pair], f"input {pair[0]}, output {pair[1]}"


def _on_page(n: int, dtype: str) -> Array:
    """Return a page more than `n` zeros that begin on a page."""
    size = n * np.dtype(dtype).itemsize + _PAGE
    raw = np.zeros(size + _PAGE, np.uint8)
    start = -raw.ctypes.data % _PAGE
    return raw[start : start + size].view(dtype)


def _both_forms(step: str | None, out: str, target: float | None) -> list[Path]:
    return [Path(step, out, out, staircase, target) for staircase in (False, True)]


PATHS = [
    *_both_forms("float32", "float32", 0.95),
    *_both_forms("float64", "float64", 0.95),
    *_both_forms("int64", "float64", 0.95),
    *_both_forms("int32", "float32", 0.95),
    *_both_forms("int64", "float32", 0.90),
    *_both_forms("int32", "float64", None),
    *_both_forms(None, "float32", 0.95),
    *_both_forms(None, "float64", 0.95),
    Path(None, "float64", "float32", False),
    Path(None, "float64", "float32", True),
]
"""Every path that is measured."""
