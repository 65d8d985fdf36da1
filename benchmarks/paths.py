"""The paths through the kernels: what is read, computed and written, and how fast it must be."""

from collections.abc import Callable, Iterable
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
    def sizes(self) -> tuple[int, int]:
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

    def checked(self, n: int) -> tuple[Array | None, Array, Callable[[], object]]:
        """Return the operands and the call that fills `out`, whose result has been checked."""
        steps, out = self.operands(n)
        call = self.call(steps, out)
        call()
        self.check(steps, out)
        return steps, out, call

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

        The times are the lowest ones, because whatever disturbs a call makes it longer. The three
        slowest pairs are measured again, because the largest of many noisy times says little.
        """
        assert self.step is not None
        source, out = _on_page(n, self.step), _on_page(n, self.out)
        source[:] = np.arange(len(source))
        read, written = self.sizes
        calls = {
            (a, b): self.call(source[a // read :][:n], out[b // written :][:n])
            for a in {read, *_OFFSETS}
            for b in {written, *_OFFSETS}
        }
        equal = [pair for pair in calls if pair[0] == pair[1]]

        def slowest(pairs: Iterable[tuple[int, int]]) -> list[tuple[float, tuple[int, int]]]:
            times = interleaved({pair: calls[pair] for pair in pairs}, rounds)
            lowest = {pair: float(seconds.min()) for pair, seconds in times.items()}
            level = float(np.median([lowest.pop(pair) for pair in equal]))
            return sorted((seconds / level, pair) for pair, seconds in lowest.items())[-3:]

        slowness, (a, b) = slowest(equal + [pair for _, pair in slowest(calls)])[-1]
        return slowness, f"input {a}, output {b}"


def _on_page(n: int, dtype: str) -> Array:
    """Return a page more than `n` zeros that begin on a page."""
    raw = np.zeros(n * np.dtype(dtype).itemsize + 2 * _PAGE, np.uint8)
    return raw[-raw.ctypes.data % _PAGE :][: len(raw) - _PAGE].view(dtype)


_TARGETS: list[tuple[str | None, str, str, float | None]] = [
    ("float32", "float32", "float32", 0.95),
    ("float64", "float64", "float64", 0.95),
    ("int64", "float64", "float64", 0.95),
    ("int32", "float32", "float32", 0.95),
    ("int64", "float32", "float32", 0.90),
    ("int32", "float64", "float64", None),
    (None, "float32", "float32", 0.95),
    (None, "float64", "float64", 0.95),
    (None, "float64", "float32", None),
]
PATHS = [Path(*of[:3], form, of[3]) for of in _TARGETS for form in (False, True)]
"""Every path that is measured, continuous and as a staircase."""
