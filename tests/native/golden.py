"""The golden hashes: SHA-256 of a fixed set of results, the same on every target there is.

``python golden.py -- COMMAND...`` checks every SIMD target of the program ``evaluate``, which may
be one for another processor under an emulator; test_golden.py checks the targets that Python can
load, and the fallback. ``python golden.py --record`` writes golden.json anew, from the fallback.
"""

import argparse
import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

KNOWN = Path(__file__).with_name("golden.json")

HYPERPARAMETERS = {
    "Keras page": (0.1, 1.0, 0.5),
    "TensorFlow tutorial": (0.001, 20000.0, 1.0),
    "thirds": (0.1, 1 / 3, 1 / 3),
    "quotient laid open": (1.0, 2147483520.0, -1.0),
    "negative rate": (0.1, 1000.0, -0.5),
    "subnormal results": (3e-38, 7.0, 0.5),
    "overflow": (0.1, 1e-30, 1e30),
    "zero over zero": (0.0, 1.0, -1.0),
}
UFUNC_LOOPS = [
    (step, arithmetic)
    for arithmetic in ("float32", "float64")
    for step in ("int32", "uint32", "int64", "uint64", "float32", "float64")
    if (step, arithmetic) != ("float64", "float32")
]
RANGE_LOOPS = [("float32", "float32"), ("float64", "float32"), ("float64", "float64")]
RANGES = [(0, 1), (2**24 - 3000, 1), (2**31 + 2999, -1), (2**53 - 5, 3), (-(2**63), 7 * 10**14)]
LENGTH = 10_007


class Case(NamedTuple):
    """One call: a ufunc loop over `steps`, or a range loop from `start` by `step`."""

    loop: tuple[str, str]  # dtype of the steps or of a range's arithmetic; dtype of the result
    staircase: bool
    hyper: tuple[float, float, float]
    steps: npt.NDArray[Any] | None = None
    start: int = 0
    step: int = 0


def mixed_bits(n: int) -> npt.NDArray[np.uint64]:
    """The first n numbers of splitmix64: no generator whose stream a new NumPy may change."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def steps_of(dtype: str) -> npt.NDArray[Any]:
    """Half random bit patterns, half integers of every magnitude."""
    bits = mixed_bits(LENGTH)
    kind = np.dtype(dtype)
    patterns = bits.astype(f"u{kind.itemsize}").view(kind)
    # Of at most 53 bits, so that every step is what the next conversion makes of it.
    whole = (bits >> (np.arange(LENGTH, dtype=np.uint64) % np.uint64(53) + np.uint64(11))).astype(
        np.int64
    )
    limit = min(np.iinfo(kind).max, 2**53) if kind.kind in "iu" else 2**53
    return np.where(np.arange(LENGTH) % 2 == 0, patterns, (whole % limit).astype(kind))


def cases() -> Iterator[Case]:
    """Every loop, form and set of hyperparameters."""
    for staircase in (False, True):
        for hyper in HYPERPARAMETERS.values():
            for loop in UFUNC_LOOPS:
                yield Case(loop, staircase, hyper, steps=steps_of(loop[0]))
            for loop in RANGE_LOOPS:
                for start, step in RANGES:
                    yield Case(loop, staircase, hyper, start=start, step=step)


def golden_hashes(evaluate: Callable[[Case], npt.NDArray[Any]]) -> dict[str, str]:
    """SHA-256 per loop of the bits of all results, one pattern for all NaN."""
    hashes: dict[str, Any] = {}
    for case in cases():
        results = evaluate(case)
        results = np.where(np.isnan(results), np.array(np.nan, results.dtype), results)
        name = f"{'steps' if case.steps is not None else 'range'} {' to '.join(case.loop)}"
        little_endian = results.astype(results.dtype.newbyteorder("<"))
        hashes.setdefault(name, hashlib.sha256()).update(little_endian.tobytes())
    return {name: value.hexdigest() for name, value in hashes.items()}


def by_python(kernels: Any) -> Callable[[Case], npt.NDArray[Any]]:
    """Return how to evaluate a case on kernels of the package."""

    def evaluate(case: Case) -> npt.NDArray[Any]:
        if case.steps is None:
            out = np.empty(LENGTH, case.loop[1])
            kernels.fill_range(
                out, case.start, case.step, *case.hyper, case.staircase, case.loop[0]
            )
            return out
        ufunc = kernels.staircase_decay if case.staircase else kernels.continuous_decay
        with np.errstate(all="ignore"):
            results: npt.NDArray[Any] = ufunc(case.steps, *case.hyper, dtype=case.loop[1])
        return results

    return evaluate


def by_command(command: list[str], target: str) -> Callable[[Case], npt.NDArray[Any]]:
    """Return how to evaluate a case by the program `evaluate` on one target."""
    requests, lengths = [], []
    for case in cases():
        name = (":" if case.steps is None else ">").join(case.loop)
        head = name.encode(), case.staircase, LENGTH, case.start, case.step, *case.hyper
        requests.append(struct.pack("=24sQQqqddd", *head))
        if case.steps is not None:
            requests.append(case.steps.tobytes())
        lengths.append(LENGTH * np.dtype(case.loop[1]).itemsize)
    answer = subprocess.run(
        [*command, target], input=b"".join(requests), stdout=subprocess.PIPE, check=True
    ).stdout
    if len(answer) != sum(lengths):
        raise RuntimeError(f"{target}: {len(answer)} bytes of results instead of {sum(lengths)}")
    stream = memoryview(answer)

    def evaluate(case: Case) -> npt.NDArray[Any]:
        nonlocal stream
        size = LENGTH * np.dtype(case.loop[1]).itemsize
        results, stream = np.frombuffer(stream[:size], case.loop[1]), stream[size:]
        return results

    return evaluate


def known_hashes() -> dict[str, str]:
    """Return the hashes that are checked in."""
    hashes: dict[str, str] = json.loads(KNOWN.read_text())
    return hashes


def main() -> int:
    """Check a program's targets, or record the fallback's hashes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    if options.record:
        from invdecay import _fallback

        KNOWN.write_text(json.dumps(golden_hashes(by_python(_fallback)), indent=2) + "\n")
        return 0
    targets = subprocess.run(options.command, stdout=subprocess.PIPE, check=True, text=True).stdout
    wrong = 0
    for target in targets.split():
        actual = golden_hashes(by_command(options.command, target))
        differ = [name for name, value in known_hashes().items() if actual[name] != value]
        print(f"{target}: {len(actual)} hashes, {len(differ)} differ", *differ, sep="\n  ")
        wrong += len(differ)
    return 1 if wrong or not targets else 0


if __name__ == "__main__":
    sys.exit(main())
