"""Print the table of docs/contract.md: what float32 arithmetic loses as steps grow.

The figures are exact and the same on every machine; tests compare them with the page.
"""

import numpy as np
from invdecay import InverseTimeDecay

DTYPES = ("float32", "float64")
COLUMNS = (
    "steps from",
    *(f"{what}, {d}" for what in ("wrong stair", "distinct rates") for d in DTYPES),
)
DECAY_STEPS = 1000
WINDOW = 1_000_000
STARTS = (0, 10**7, 2**24, 10**8, 10**9, 10**10, 10**12)


def wrong_stairs(start: int, dtype: str) -> int:
    """Count the steps of a window that are put on another stair than their own."""
    steps = np.arange(start, start + WINDOW)
    stairs = np.floor(steps.astype(dtype) / np.array(DECAY_STEPS, dtype))
    return int(np.count_nonzero(stairs != steps // DECAY_STEPS))


def distinct_rates(start: int, dtype: str) -> int:
    """Count the different continuous rates in a window."""
    rates = InverseTimeDecay(0.1, DECAY_STEPS, 1.0, dtype=dtype).precompute(
        range(start, start + WINDOW)
    )
    return len(np.unique(rates))


def table() -> str:
    """Return the table in Markdown."""
    rows = [
        f"| {' | '.join(COLUMNS)} |",
        "| ---: " * len(COLUMNS) + "|",
    ]
    for start in STARTS:
        stairs = [f"{100 * wrong_stairs(start, dtype) / WINDOW:.2f} %" for dtype in DTYPES]
        rates = [f"{distinct_rates(start, dtype):,}" for dtype in DTYPES]
        rows.append("| " + " | ".join([f"{start:,}", *stairs, *rates]) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
