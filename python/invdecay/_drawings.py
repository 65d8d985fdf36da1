"""Drawings that need no library: text for a terminal, and SVG for a notebook."""

import html
import itertools
import math
import sys
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ._curves import (
    CROSS,
    Curve,
    Floats,
    Scale,
    check_positive,
    check_scale,
    notes,
    sampled,
    schedule_curves,
    step_label,
)
from .schedule import InverseTimeDecay

# ---------------------------------------------------------------- axes


class _Axis:
    """The positions of values along an axis, from 0 at `low` to 1 at `high`."""

    def __init__(self, low: float, high: float, scale: str = "linear") -> None:
        self.low, self.high = low, high if high > low else low + 1
        self.log = scale == "log"

    @classmethod
    def of_rates(cls, curves: Sequence[Curve], scale: str, ticks: int) -> "_Axis":
        """Return an axis from 0, or of whole decades, that ends at a tick above the curves."""
        low = min(float(np.nanmin(curve.shown)) for curve in curves)
        high = max(float(np.nanmax(curve.shown)) for curve in curves)
        if scale == "log":
            top = min(math.ceil(math.log10(high)), sys.float_info.max_10_exp)
            bottom = min(math.floor(math.log10(low)), top - 1)
            return cls(max(10.0**bottom, math.ulp(0.0)), 10.0**top, scale)
        low, high = min(low, 0.0), max(high, 0.0)
        step = _round_step(low, high, ticks)
        return cls(_multiple(math.floor(low / step), step), _multiple(math.ceil(high / step), step))

    def __call__(self, values: npt.ArrayLike) -> Floats:
        along = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.log:
            along, low, high = np.log10(along), math.log10(low), math.log10(high)
        scale = max(abs(low), abs(high))  # the difference of two large numbers may overflow
        return np.asarray((along / scale - low / scale) / (high / scale - low / scale))

    def ticks(self, count: int, whole: bool = False) -> list[float]:
        """Return about `count` round numbers on the axis: powers of ten on a logarithmic one."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(math.ceil((last - first + 1) / count), 1)
            ticks = [10.0**power for power in range(first, last + 1, every)]
            return ticks if len(ticks) > 1 else [self.low, self.high]
        step = _round_step(self.low, self.high, count)
        if whole:
            step = max(step, 1.0)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [_multiple(number, step) for number in numbers]


def _round_step(low: float, high: float, count: int) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that needs at most `count` steps."""
    exact = max(high / count - low / count, sys.float_info.min)
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= exact * (1 - 1e-9))
    return min(step, sys.float_info.max)


def _multiple(number: int, step: float) -> float:
    return max(-sys.float_info.max, min(number * step, sys.float_info.max))


# ---------------------------------------------------------------- text

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bits of the eight dots of a Braille character, which begin at U+2800."""
_COLORS = 36, 33, 35, 32, 34, 31
"""Codes of the terminal's own colours, one per curve."""
_NUMBERS = "123456789abcdefghijklmnopqrstuvwxyz"
_ASCII = str.maketrans(
    {"│": "|", "┤": "+", "└": "+", "─": "-", "┬": "+", "┊": ":", "●": "o", CROSS: "x", "…": "~"}
    | {"⌊": "floor(", "⌋": ")", "·": "*", "÷": "/"}
    | {
        chr(0x2800 + bits): " '.:"[bool(bits & 0x1B) + 2 * bool(bits & 0xE4)]
        for bits in range(0x100)
    }
)
"""What stands for each character where the output's encoding lacks it."""


def text_plot(
    schedules: InverseTimeDecay | Iterable[InverseTimeDecay],
    stop: int,
    *,
    start: int = 0,
    xscale: Scale = "linear",
    yscale: Scale = "linear",
    width: int = 80,
    height: int = 20,
    color: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Draw the learning rate against the step as text, for a terminal.

    Parameters
    ----------
    schedules, stop, start, xscale, yscale
        As for `plot`. The axis of rates begins at 0, or at a power of ten where it is
        logarithmic.
    width, height : int, optional
        Columns and lines of the text. At least 24 columns and 8 lines are used.
    color : bool, optional
        Draw each curve in another of the terminal's own colours, by escape sequences.
    encoding : str, optional
        The output's encoding. Where it lacks the characters of the drawing, ASCII replaces them.

    Returns
    -------
    str
        The lines, joined by newlines.

    Raises
    ------
    TypeError, ValueError
        As `plot` does.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> from invdecay.plotting import text_plot
    >>> schedule = InverseTimeDecay(0.1, 1000, 1.0)
    >>> print(text_plot(schedule, 4000, width=44, height=12, encoding="ascii"))
    0.1 / (1 + 1 * step / 1,000)
    o decay_steps = 1,000: rate / 2
     0.1 +'.
         | ':.
         |    ':.
    0.05 +       ''o...
         |             '''':.......
         |                        '''''''''''''.
       0 +
         ++------------------+-----------------+
          0                2,000           4,000
                           step
    """
    check_scale("xscale", xscale)
    check_scale("yscale", yscale)
    curves = schedule_curves(schedules, start, stop, xscale)
    return text_of(curves, xscale, yscale, width, height, color, encoding)


def text_of(
    curves: Sequence[Curve],
    xscale: str,
    yscale: str,
    width: int,
    height: int,
    color: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Draw `curves` as text."""
    if yscale == "log":
        check_positive(curves)
    characters: dict[int, str] = {}
    try:
        "".join(map(chr, _ASCII)).encode(encoding)
    except UnicodeEncodeError:
        characters = _ASCII
    legend = _legend(curves, max(width, 24), characters, color)
    rows = max(height - len(legend) - 3, 4)
    x = _Axis(
        min(float(curve.steps[0]) for curve in curves),
        max(float(curve.steps[-1]) for curve in curves),
        xscale,
    )
    ticks = max(rows // 3, 2)
    y = _Axis.of_rates(curves, yscale, ticks)
    rates = {_row(y, tick, rows): f"{tick:.6g}" for tick in y.ticks(ticks)}
    margin = max(map(len, rates.values())) + 2
    columns = max(width, 24) - margin
    cells = _Cells(rows, columns)
    for number, curve in enumerate(curves):
        cells.draw(curve, x, y, number)
    for number, curve in enumerate(curves):
        for pole in curve.poles:
            cells.put_beside(_column(x, pole, columns), "┊", number)
        if curve.mark is not None:
            cells.put(_row(y, curve.mark[1], rows), _column(x, curve.mark[0], columns), "●", number)
    if len(curves) > 1:
        for number in range(len(curves)):
            cells.name(number, round((number + 1) / (len(curves) + 1) * (columns - 1)))
    lines = [
        f"{rates.get(row, ''):>{margin - 2}} {'┤' if row in rates else '│'}{line}"
        for row, line in enumerate(cells.lines(color))
    ]
    lines += _steps_axis(x, columns, margin, [pole for curve in curves for pole in curve.poles])
    text = "\n".join(line.rstrip() for line in legend + lines)
    return text.translate(characters).encode(encoding, "backslashreplace").decode(encoding)


class _Cells:
    """The characters of a drawing, of two by four dots each."""

    def __init__(self, rows: int, columns: int) -> None:
        self.dots = np.zeros((rows * 4, columns * 2), bool)
        self.owners = np.full((rows, columns), -1)
        self.put_there: dict[tuple[int, int], str] = {}

    def draw(self, curve: Curve, x: _Axis, y: _Axis, number: int) -> None:
        """Set the dots of `curve`, column by column; connect those of two columns side by side."""
        height, width = self.dots.shape
        at = np.linspace(0, 1, width)
        # One dot beyond an edge is enough to draw a line that leaves there.
        points, heights = x(curve.steps), np.clip(y(curve.rates), -1, 2)
        if curve.staircase:
            shown = heights[np.searchsorted(points, at, side="right") - 1]
            shown[(at < points[0]) | (at > points[-1])] = np.nan
        else:
            shown = np.interp(at, points, heights, left=np.nan, right=np.nan)
        ends = np.rint((1 - shown) * (height - 1)).clip(-1, height)
        broken = {int(np.searchsorted(at, x(pole))) for pole in curve.poles}
        for column, end in enumerate(ends):
            if math.isnan(end):
                continue
            begin = ends[column - 1] if column and column not in broken else math.nan
            low, high = sorted((end, end if math.isnan(begin) else begin + np.sign(end - begin)))
            span = slice(max(int(low), 0), max(int(high) + 1, 0))
            self.dots[span, column] = True
            self.owners[span.start // 4 : -(-span.stop // 4), column // 2] = number

    def put_beside(self, column: int, character: str, number: int) -> None:
        """Put a character wherever no curve is in a column."""
        for row in np.flatnonzero(self.owners[:, column] < 0):
            self.put(int(row), column, character, number)

    def put(self, row: int, column: int, character: str, number: int) -> None:
        self.put_there[row, column] = character
        self.owners[row, column] = number

    def name(self, number: int, wanted: int) -> None:
        """Put the number of a curve on it, as near to the column `wanted` as it can be read."""
        rows, columns = np.nonzero(self.owners == number)
        for nearest in np.argsort(abs(columns - wanted), kind="stable"):
            place = int(rows[nearest]), int(columns[nearest])
            if place not in self.put_there:
                self.put(*place, _NUMBERS[number % len(_NUMBERS)], number)
                return

    def lines(self, color: bool) -> Iterable[str]:
        rows, columns = self.owners.shape
        bits = (self.dots.reshape(rows, 4, columns, 2) * _DOTS[:, None, :]).sum(axis=(1, 3))
        for row in range(rows):
            cells = [
                (self.put_there.get((row, column), chr(0x2800 + bits[row, column])), owner)
                for column, owner in enumerate(self.owners[row])
            ]
            line = ""
            for owner, group in itertools.groupby(cells, lambda cell: cell[1]):
                text = "".join(character for character, _ in group)
                line += _paint(text, owner, color) if owner >= 0 else " " * len(text)
            yield line


def _row(y: _Axis, rate: float, rows: int) -> int:
    return min(max(round((1 - float(y(rate))) * (4 * rows - 1)) // 4, 0), rows - 1)


def _column(x: _Axis, step: float, columns: int) -> int:
    return min(round(float(x(step)) * (2 * columns - 1)) // 2, columns - 1)


def _paint(text: str, number: int, color: bool) -> str:
    return f"\x1b[{_COLORS[number % len(_COLORS)]}m{text}\x1b[39m" if color else text


def _steps_axis(x: _Axis, columns: int, margin: int, poles: Sequence[float]) -> list[str]:
    """Return the axis itself, the labels of its ticks, and its name."""
    axis, labels = ["─"] * columns, ""
    for tick in x.ticks(max(columns // 10, 1), whole=True):
        column = _column(x, tick, columns)
        label = step_label(tick, tick if x.log else x.high)
        begin = min(max(column - len(label) // 2, 0), columns - len(label))
        if not labels or begin > len(labels):
            labels = labels.ljust(begin) + label
            axis[column] = "┬"
    for pole in poles:
        axis[_column(x, pole, columns)] = CROSS
    space = " " * (margin - 1)
    return [f"{space}└{''.join(axis)}", f"{space} {labels}", f"{space} {'step':^{columns}}"]


def _legend(
    curves: Sequence[Curve], width: int, characters: dict[int, str], color: bool
) -> list[str]:
    """Return the name of each curve and what the marks mean, wrapped to `width`."""
    lines = []
    for number, curve in enumerate(curves):
        name = f"{_NUMBERS[number % len(_NUMBERS)]}  " if len(curves) > 1 else ""
        wrapped = textwrap.wrap(curve.label.translate(characters), width, initial_indent=name)
        lines += [_paint(line, number, color) for line in wrapped]
    for note in notes(
        {curve.meaning for curve in curves if curve.mark}, any(curve.poles for curve in curves)
    ):
        lines += textwrap.wrap(note.translate(characters), width)
    return lines


# ---------------------------------------------------------------- a notebook


def to_html(schedule: InverseTimeDecay) -> str:
    """Return a small picture in SVG that shows `schedule` over five times its ``decay_steps``.

    It says the rates at step 0, at ``decay_steps`` and at the end. Where the denominator is 0,
    the line has a gap and a cross stands at the step.
    """
    at = schedule.decay_steps
    stop = 5 * at if math.isfinite(5 * at) else at
    code = f"<code>{html.escape(repr(schedule))}</code><br>"
    try:
        curve = sampled(schedule, 0.0, stop, "linear", points=151)
    except ValueError as error:
        return f"<div>{code}{html.escape(str(error))}</div>"
    left, right, top, foot = 12, 312, 18, 108
    x, y = _Axis(0, stop), _Axis.of_rates([curve], "linear", 2)
    steps = left + (right - left) * x(curve.steps)
    rates = foot - (foot - top) * y(curve.rates)
    mark, *poles = (left + (right - left) * x([at, *curve.poles])).tolist()
    words = [_svg_text(left, foot + 14, "0")]
    words.append(
        _svg_text(mark if at == stop else mark - 20, foot + 14, f"decay_steps = {at:,.10g}")
    )
    if at < stop:
        words.append(_svg_text(right, foot + 14, step_label(stop, stop)))
    with np.errstate(all="ignore"):
        shown = {0.0: schedule(0.0), stop: schedule(stop), at: schedule(at)}
        if curve.staircase and at < stop:  # that of the last stair, since the next begins at `stop`
            shown[stop] = schedule(float(np.floor(curve.steps[-2] / 2 + stop / 2)))
    rising = shown[at] > shown[0.0]
    for step, rate in shown.items():
        height = foot - (foot - top) * float(y(rate)) if math.isfinite(rate) else top
        height = min(max(height, top), foot)
        # Below a rising line, above a falling one, and clear of the axis below.
        height += 13 if rising and top < height < foot - 15 else -5
        words.append(_svg_text(left + (right - left) * float(x(step)), height, f"{rate:.4g}", 5))
    crosses = "".join(f"M{pole - 4:.1f} {foot - 4}l8 8m-8 0l8 -8" for pole in poles)
    return (
        f"<div>{code}"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{right + left}" height="{foot + 20}"'
        ' fill="none" stroke="currentColor" font-size="10" font-family="sans-serif">'
        f'<path d="M{left} {top}V{foot}H{right}{crosses}"/>'
        f'<path d="M{mark:.1f} {top}V{foot}" stroke-dasharray="2 3"/>'
        f'<path d="{_svg_line(steps, rates, top, foot, curve.staircase)}"'
        ' stroke="#1f77b4" stroke-width="2"/>'
        f'<g fill="currentColor" stroke="none">{"".join(words)}</g></svg></div>'
    )


def _svg_text(x: float, y: float, text: str, gap: int = 0) -> str:
    """Write text to the right of `x`, or to its left where the right edge would cut it off."""
    if x < 200:
        return f'<text x="{x + gap:.1f}" y="{y:.1f}">{text}</text>'
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end">{text}</text>'


def _svg_line(x: Floats, y: Floats, top: float, foot: float, staircase: bool) -> str:
    """Return the path of a line, broken where `y` is NaN or outside `top` and `foot`."""
    if staircase:  # along, then down
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    path, command = "", "M"
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        inside = top <= down <= foot
        path += f"{command}{across:.1f} {down:.1f}" if inside else ""
        command = "L" if inside else "M"
    return path
