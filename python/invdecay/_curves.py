"""What a picture shows of a schedule or of a stored table, whatever draws it."""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._arguments import integer, step_range
from .schedule import InverseTimeDecay

Scale = Literal["linear", "log"]
Floats = npt.NDArray[np.float64]

CROSS = "\N{MULTIPLICATION SIGN}"
_POINTS = 1000
"""Steps evaluated for one curve: more than a picture has columns."""


@dataclass(frozen=True)
class Curve:
    """One line of a picture.

    Attributes
    ----------
    steps, rates : ndarray of float64
        The line's points. A rate of NaN is a gap in the line.
    label : str
        What the legend says.
    staircase : bool
        Whether each rate holds until the next point.
    poles : list of float
        The steps at which the rate is infinite.
    mark : tuple of float, optional
        ``decay_steps`` and the rate there.
    meaning : str
        What the mark says.
    """

    steps: Floats
    rates: Floats
    label: str
    staircase: bool
    poles: list[float]
    mark: tuple[float, float] | None = None
    meaning: str = ""

    @property
    def shown(self) -> Floats:
        """The rates, limited to five times their median where a pole makes them grow forever."""
        if not self.poles:
            return self.rates
        with np.errstate(over="ignore"):
            limit = 5 * np.nanmedian(np.abs(self.rates))
        return np.clip(self.rates, -limit, limit)


def schedule_curves(
    schedules: InverseTimeDecay | Iterable[InverseTimeDecay],
    start: int,
    stop: int,
    xscale: str,
    label: str | Sequence[str] | None = None,
) -> list[Curve]:
    """Return the curve of each schedule from the step `start` to the step `stop`."""
    several = [schedules] if isinstance(schedules, InverseTimeDecay) else list(schedules)
    if not several:
        raise ValueError("schedules must hold at least one schedule, got none")
    labels: Sequence[str | None] = [label] if isinstance(label, str) else label or ()
    labels = labels or [None] * len(several)
    if len(labels) != len(several):
        raise ValueError(f"label must hold one text per schedule, {len(several)}, got {label!r}")
    if xscale == "log":
        start = max(start, 1)
    if not step_range(range(integer("start", start), integer("stop", stop))):
        raise ValueError(f"stop must be past the first step drawn, {start}, got {stop}")
    return [
        sampled(schedule, float(start), float(stop), xscale, text)
        for schedule, text in zip(several, labels, strict=True)
    ]


def sampled(
    schedule: InverseTimeDecay,
    start: float,
    stop: float,
    xscale: str,
    label: str | None = None,
    points: int = _POINTS,
) -> Curve:
    """Return the curve of `schedule` between two steps, which may lie past int64."""
    even = _spread(start, stop, xscale, points)
    with np.errstate(all="ignore"):
        if schedule.staircase:
            steps = _stair_edges(schedule, start, stop, even)
            # The step in the middle is on the stair for certain: float32 rounds the steps at its
            # ends to the stair beside it. The last rate holds to the end: nothing drops there.
            rates = _rates(schedule, np.floor(steps[:-1] + np.diff(steps) / 2))
            rates = np.append(rates, rates[-1])
        else:
            steps, rates = even, _rates(schedule, even)
        at = schedule.decay_steps
        if schedule.staircase:
            at = float(math.ceil(at))
        rate = float(_rates(schedule, np.array(at)))
        begun = at // schedule.decay_steps == 1  # else the first stairs are shorter than a step
        inside = start <= at < stop if schedule.staircase else start <= at <= stop
        mark = (at, rate) if begun and inside and math.isfinite(rate) else None
    return _curve(
        steps,
        rates,
        label or _summary(schedule),
        schedule.staircase,
        mark,
        f"decay_steps = {schedule.decay_steps:,.10g}: rate ÷ {1 + schedule.decay_rate:g}",
    )


def table_curve(
    table: str | PathLike[str] | npt.ArrayLike,
    start: int | None,
    step: int | None,
    xscale: str,
    label: str | None = None,
) -> Curve:
    """Return the curve of a table; `start` and `step` are those of the range it was made for."""
    known = range(0)
    if isinstance(table, (str, os.PathLike)):
        path = os.fspath(table)
        label = label or os.path.basename(path)
        rates, known = _stored(path)
    else:
        rates = np.asarray(table)
    if rates.ndim != 1 or rates.dtype.kind not in "iuf":
        raise ValueError(
            f"table must be one-dimensional and real, got {rates.dtype} of shape {rates.shape}"
        )
    start = known.start if start is None else integer("start", start)
    step = known.step if step is None else integer("step", step)
    if step == 0:
        raise ValueError(f"step must not be zero, got {step}")
    steps = range(start, start + rates.shape[0] * step, step)
    low, high = (min(steps[0], steps[-1]), max(steps[0], steps[-1])) if steps else (0, 0)
    if xscale == "log":
        low = max(low, 1)
    if low >= high:
        raise ValueError(f"table must have two steps to draw between, got {steps}")
    index = np.rint((_spread(float(low), float(high), xscale) - start) / step)
    index = np.unique(np.clip(index, 0, rates.shape[0] - 1)).astype(np.int64)
    values = np.asarray(rates[index], np.float64)
    at = start + index * float(step)
    order = np.argsort(at)
    return _curve(at[order], values[order], label or "table", staircase=False)


def check_positive(curves: Iterable[Curve]) -> None:
    """Refuse rates that a logarithmic axis cannot show."""
    for curve in curves:
        refused = curve.rates <= 0
        if refused.any():
            at = np.argmax(refused)
            raise ValueError(
                f"yscale must be 'linear' where rates are not positive, got 'log' and "
                f"{curve.rates[at]:g} at step {curve.steps[at]:,.6g} of {curve.label}"
            )


def check_scale(name: str, scale: str) -> None:
    if scale not in ("linear", "log"):
        raise ValueError(f"{name} must be 'linear' or 'log', got {scale!r}")


# ---------------------------------------------------------------- labels


def step_label(step: float, largest: float) -> str:
    """Write a step as 5,000 or 20 M, in the unit that suits the `largest` step beside it."""
    for unit, size in {"": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6}.items():
        if largest >= size and step:
            return f"{step / size:.6g} {unit}" if unit else f"{step:.4g}"
    return f"{step:,.6g}"


def notes(meanings: set[str], poles: bool) -> list[str]:
    """Say what the marks in a picture mean."""
    if len(meanings) > 1:
        meanings = {"decay_steps: rate ÷ (1 + decay_rate)"}
    return [f"● {text}" for text in meanings] + [f"{CROSS} pole: the denominator is 0"] * poles


def _summary(schedule: InverseTimeDecay) -> str:
    left, right = "⌊⌋" if schedule.staircase else ("", "")
    sign = "-" if schedule.decay_rate < 0 else "+"
    p = f"{left}step / {schedule.decay_steps:,.10g}{right}"
    return f"{schedule.initial_learning_rate:g} / (1 {sign} {abs(schedule.decay_rate):g} · {p})"


# ---------------------------------------------------------------- points


def _rates(schedule: InverseTimeDecay, steps: Floats) -> Floats:
    return np.asarray(schedule(steps), np.float64)


def _spread(start: float, stop: float, xscale: str, points: int = _POINTS) -> Floats:
    between = np.geomspace if xscale == "log" else np.linspace
    return between(start, stop, points)


def _stair_edges(schedule: InverseTimeDecay, start: float, stop: float, even: Floats) -> Floats:
    """Return the steps at which stairs begin, with `start` and `stop`."""
    length = schedule.dtype.type(schedule.decay_steps)
    exact = Fraction(float(length))
    first, last = math.floor(Fraction(start) / exact) + 1, math.ceil(Fraction(stop) / exact)
    numbers = range(first, min(last, first + _POINTS))
    edges = np.array([float(math.ceil(number * exact)) for number in numbers])
    # A quotient just below a whole number may be rounded up to it: that step is on the stair too.
    stair, before = np.floor((edges - [[0], [1]]).astype(length.dtype) / length)
    edges -= stair == before
    steps = np.clip([start, *edges, stop], start, stop)
    if last - first > _POINTS:
        # A logarithmic axis shows the first stairs one by one. Later ones are below a column.
        steps = np.concatenate([steps, np.floor(even)])
    return np.unique(steps)


def _stored(path: str) -> tuple[Any, range]:
    """Open a table without reading it whole; return it with the range that it was made for."""
    if path.endswith(".npy"):
        try:
            return np.load(path, mmap_mode="r"), range(0)
        except ValueError as error:
            raise ValueError(f"table must be an array of numbers, got {path!r}") from error
    if path.endswith(".zarr"):
        import zarr

        array: Any = zarr.open_array(path, mode="r")
        about = array.attrs.asdict().get("invdecay", {})
        return array, range(*about.get("steps", [0]))
    raise ValueError(f"table must be a .npy or .zarr path, got {path!r}")


def _curve(
    steps: Floats,
    rates: Floats,
    label: str,
    staircase: bool,
    mark: tuple[float, float] | None = None,
    meaning: str = "",
) -> Curve:
    """Make a curve whose line is broken at its poles."""
    infinite = np.isinf(rates)
    poles = steps[infinite & ~np.append(False, infinite[:-1])].tolist()
    rates = np.where(np.isfinite(rates), rates, np.nan)
    if np.isnan(rates).all():
        raise ValueError(f"there is nothing to draw: no rate of {label} is finite")
    # Between two points the rate passes a pole where its sign changes and it is not small. The
    # reciprocal of the rate is a straight line, which is 0 at the pole.
    with np.errstate(all="ignore"):
        large = np.abs(rates) > np.nanmedian(np.abs(rates))
        crossed = (rates[:-1] * np.sign(rates[1:]) < 0) & large[:-1] & large[1:]
        (before,) = np.nonzero(crossed)
        share = 1 / (1 - rates[before] / rates[before + 1])
        at = steps[before] + share * (steps[before + 1] - steps[before])
    if staircase:
        at = steps[before + 1]
    return Curve(
        np.insert(steps, before + 1, at),
        np.insert(rates, before + 1, np.nan),
        label,
        staircase,
        sorted([*poles, *at.tolist()]),
        mark,
        meaning,
    )
