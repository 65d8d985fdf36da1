"""The paths through the kernels: what is read, computed and written, and how fast it must be."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import invdecay
import numpy as np
import numpy.typing as npt
from invdecay import InverseTimeDecay, _fallback

HYPER = (0.1, 1000.0, 0.5)
"""Initial learning rate, decay steps and decay rate of every measurement."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Path:
    """One way through the kernels, over the steps 0, 1, 2, ...

    Attributes
    ----------
    step : str or None
        Dtype of the buffer of steps; None for a range, which has none.
    arithmetic, out : str
        Dtypes of the arithmetic and of the table.
    staircase : bool
        The form.
    target : float or None
        The fraction of the ceiling to reach, where one is set.
    """

    step: str | None
    arithmetic: str
    out: str
    staircase: bool
    target: float | None = None

    @property
    def name(self) -> str:
        """Such as ``int64 -> float32, staircase``."""
        source = self.step or (
            "range" if self.arithmetic == self.out else f"range in {self.arithmetic}"
        )
        return f"{source} -> {self.out}" + (", staircase" if self.staircase else "")

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes read and bytes written for each element."""
        return (np.dtype(self.step).itemsize if self.step else 0), np.dtype(self.out).itemsize

    def operands(self, n: int) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any]]:
        """Return the steps, None for a range, and a table already touched."""
        steps = None if self.step is None else np.arange(n, dtype=self.step)
        return steps, np.zeros(n, self.out)

    def evaluate(self, kernels: Any, steps: npt.NDArray[Any] | None, out: npt.NDArray[Any]) -> None:
        """Fill `out` by the kernels of one backend."""
        if steps is None:
            kernels.fill_range(out, 0, 1, *HYPER, self.staircase, self.arithmetic)
        else:
            ufunc = kernels.staircase_decay if self.staircase else kernels.continuous_decay
            ufunc(steps, *HYPER, out=out, dtype=self.arithmetic)

    def call(self, steps: npt.NDArray[Any] | None, out: npt.NDArray[Any]) -> Callable[[], object]:
        """Return the call of the public interface that fills `out`."""
        if steps is None:
            schedule = InverseTimeDecay(*HYPER, self.staircase, dtype=self.arithmetic)
            return partial(schedule.precompute, len(out), out=out)
        keywords = {"out": out, "dtype": self.arithmetic}
        return partial(invdecay.inverse_time_decay, steps, *HYPER, self.staircase, **keywords)

    def check(self, steps: npt.NDArray[Any] | None, out: npt.NDArray[Any]) -> None:
        """Raise AssertionError unless `out` has the bits that the fallback computes."""
        expected = np.empty(min(_CHUNK, len(out)), self.out)
        for i in range(0, len(out), _CHUNK):
            part = out[i : i + _CHUNK]
            block = expected[: len(part)]
            if steps is None:
                _fallback.fill_range(block, i, 1, *HYPER, self.staircase, self.arithmetic)
            else:
                self.evaluate(_fallback, steps[i : i + _CHUNK], block)
            if block.tobytes() != part.tobytes():
                raise AssertionError(f"{self.name}: wrong bits in elements {i} to {i + len(part)}")


def _both_forms(step: str, out: str, target: float | None) -> list[Path]:
    return [Path(step, out, out, staircase, target) for staircase in (False, True)]


PATHS = [
    *_both_forms("float32", "float32", 0.95),
    *_both_forms("float64", "float64", 0.90),
    *_both_forms("int64", "float64", 0.90),
    *_both_forms("int32", "float32", 0.85),
    *_both_forms("int64", "float32", 0.85),
    *_both_forms("int32", "float64", None),
    Path(None, "float32", "float32", False, 0.80),
    Path(None, "float64", "float64", False, 0.80),
    Path(None, "float64", "float32", False),
    Path(None, "float32", "float32", True, 0.95),
    Path(None, "float64", "float64", True, 0.95),
    Path(None, "float64", "float32", True),
]
"""Every path that is measured."""
