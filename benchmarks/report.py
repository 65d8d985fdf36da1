"""The speed report: what each call takes, beside the speed of memory and beside its peers.

``python benchmarks/report.py all`` measures everything and writes RESULTS.md and its picture.
With names of sections instead of "all" it prints those sections.
"""

import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path as FilePath
from typing import Any

import ceiling
import click
import invdecay
import numpy as np
import peers
from invdecay import InverseTimeDecay, inverse_time_decay
from paths import HYPER, PATHS, Path
from peers import Job
from picture import draw
from timing import PAUSE, ROUNDS, Ratio, figure, interleaved, ratio

HERE = FilePath(__file__).parent
_FAST_STATE = 9.0
"""Milliseconds of the copy in `ceiling.state` below which memory is in its fast state."""


@dataclass
class Run:
    """What one run measures, and what its summary keeps."""

    n: int
    rounds: int
    fast: bool = False
    """Whether memory was in its fast state when the present section began."""
    kept: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """Figures for the summary, each with the call that it belongs to."""

    def length(self, elements: int) -> int:
        """Return a length that is meant for 2^26 elements, in proportion to this run's `n`."""
        return max(2, elements * self.n >> 26)

    def keep(self, row: str, value: float, what: str) -> None:
        """Keep a figure for the summary."""
        self.kept[row].append((value, what))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def cell(value: Ratio | float, target: float | None = None, most: bool = False) -> str:
    """Return a figure as text, bold where it misses its target (the `most` or least it may be)."""
    middle = value.median if isinstance(value, Ratio) else value
    text = str(value) if isinstance(value, Ratio) else figure(value)
    missed = target is not None and (middle > target if most else middle < target)
    return f"**{text}**" if missed else text


def progress(text: str) -> None:
    """Tell the terminal what is being measured."""
    click.echo(f"... {text}", err=True)


def paths(run: Run) -> Iterator[str]:
    """Each path beside a copy or fill of the same bytes, and at other offsets within a page."""
    rows = []
    for path in PATHS:
        if path.traffic[0] not in (0, path.traffic[1], 2 * path.traffic[1]):
            continue  # the ceiling's copies do not widen
        progress(path.name)
        steps, out = path.operands(run.n)
        method, move = ceiling.fastest(out, steps)
        call = path.call(steps, out)
        call()
        path.check(steps, out)
        times = interleaved({"call": call, "move": move}, run.rounds)
        reached = ratio(times["move"], times["call"])
        kind = "copy" if path.step else "fill"
        run.keep(kind, reached.median, path.name)
        speed = sum(path.traffic) * run.n / np.median(times["move"]) / 1e9
        target = "" if path.target is None else path.target
        offsets = ["", ""]
        if path.step and not path.staircase:
            sizes = {"streamed": run.n, "cached": (1 << 15) // path.traffic[1]}
            for place, (where, n) in enumerate(sizes.items()):
                progress(f"{path.name}, offsets, {where}")
                slowest, pair = path.worst_offset(n, run.rounds)
                run.keep("offset", slowest, f"{path.name}, {where}")
                offsets[place] = f"{cell(slowest, 1.15, most=True)} ({pair})"
        move_text = f"{kind}, {method}, {speed:.0f} GB/s"
        rows.append([path.name, move_text, cell(reached, path.target), target, *offsets])
    yield f"""{run.n:,} elements, {invdecay.get_num_threads()} threads. "Reached" is the speed as a
fraction of that of the fastest copy or fill. "Worst offset" is the time at the slowest pair of
offsets in bytes within a page, over the time at equal offsets; the target is at most 1.15.
"Streamed" has {run.n:,} elements, "cached" has 2^15 bytes of results."""
    header = ["path", "copy or fill", "reached", "target"]
    yield table([*header, "worst offset, streamed", "worst offset, cached"], rows)


def against(run: Run, ours: Callable[[], Any], makers: peers.Peers, job: Job) -> list[list[object]]:
    """Compare each peer's result and time with those of `ours`."""
    targets = {
        "numba prange": 1.0 if run.fast else 1.2,
        "numba prange, fastmath": 1.0 if run.fast else 1.2,
        "numexpr": 4.0,
        "NumPy expression": 8.0,
    }
    calls = peers.prepared(makers, job)
    result = np.array(ours())
    agree = {name: peers.difference(result, call()) for name, call in calls.items()}
    times = interleaved({"": ours, **calls}, run.rounds, PAUSE)
    rows: list[list[object]] = []
    for name in calls:
        faster = ratio(times[name], times[""])
        run.keep(
            name, faster.median, f"{job.out.dtype} {'range' if job.steps is None else 'array'}"
        )
        target = targets.get(name)
        rows.append([name, agree[name], cell(faster, target), target or ""])
    return rows


def peers_(run: Run) -> Iterator[str]:
    """Each peer on one array, and on one range."""
    yield f"""{run.n:,} elements. "Times as fast" is the peer's time over that of invdecay. Each
peer writes into a given array where it can take one. Keras and the NumPy expression cannot."""
    header = ["peer", "its result", "times as fast", "target"]
    for dtype in "float32", "float64":
        steps, own, out = (
            np.arange(run.n, dtype=dtype),
            np.zeros(run.n, dtype),
            np.zeros(run.n, dtype),
        )
        progress(f"peers: {dtype} array")
        ours: Callable[[], Any] = partial(inverse_time_decay, steps, *HYPER, out=own)
        rows = against(run, ours, peers.ARRAY_PEERS, Job(steps, out))
        yield f"### An array of {dtype} steps\n\n{table(header, rows)}"
        progress(f"peers: {dtype} range")
        ours = partial(InverseTimeDecay(*HYPER, dtype=dtype).precompute, run.n, out=own)
        rows = against(run, ours, peers.RANGE_PEERS, Job(None, out))
        yield f"### A range to {dtype}\n\n{table(header, rows)}"


_SWEEPS = [
    (50_000, 1_009, "rows"),
    (400_000, 129, "rows"),
    (3_000_000, 11, "rows"),
    (60, 1_000_000, "rows"),
    (50_000, 1_009, "columns"),
    (60, 1_000_000, "columns"),
]
"""Schedules, steps, and whether each schedule is a row or a column of the result."""


def sweeps(run: Run) -> Iterator[str]:
    """Many schedules at once."""
    numba = 1.2 if run.fast else 0.95
    yield f"""Every schedule has a decay rate of its own, and the result is two-dimensional. "Of the
fill" is the speed as a fraction of that of the fastest fill of the same bytes. "Over a range" is
the time with an array of steps over that with a range. The last columns are each peer's time over
that of invdecay. The targets are 0.90 of the fill (0.80 in float64 in the fast state), 1.0 for the
range, of which 0.05 is left to noise, and {numba} for numba."""
    rows = []
    for dtype in "float32", "float64":
        for schedules, n, axis in _SWEEPS:
            rows.append(_sweep(run, dtype, run.length(schedules), n, axis, numba))
    header = ["schedules, steps", "dtype", "rates along", "of the fill", "over a range"]
    yield table([*header, *peers.SWEEP_PEERS], rows)


def _sweep(run: Run, dtype: str, schedules: int, n: int, axis: str, numba: float) -> list[object]:
    name = f"{schedules:,} x {n:,} {dtype} {axis}"
    progress(f"sweep: {name}")
    steps, rates = np.arange(n, dtype=dtype), np.linspace(0.1, 1, schedules, dtype=dtype)
    shape = (schedules, n)
    if axis == "columns":
        steps, shape = steps[:, None], (n, schedules)
    else:
        rates = rates[:, None]
    own = np.zeros(shape, dtype)
    job = Job(steps, np.zeros(shape, dtype), rates)
    hyper = (*HYPER[:2], rates)
    decay: Callable[..., Any] = inverse_time_decay
    ours = partial(decay, steps, *hyper, out=own)
    calls = peers.prepared(peers.SWEEP_PEERS, job)
    if peers.difference(ours(), calls["NumPy expression"]()) != "same bits":
        raise AssertionError(f"{name}: other bits than the NumPy expression")
    extra: dict[str, Callable[[], Any]] = {"": ours, "fill": ceiling.fastest(job.out, None)[1]}
    if axis == "rows":
        ranged = partial(decay, range(n), *hyper, out=own, dtype=dtype)
        own.fill(0)
        if peers.difference(ranged(), calls["NumPy expression"]()) != "same bits":
            raise AssertionError(f"{name}: other bits over a range")
        extra["range"] = ranged
    times = interleaved({**extra, **calls}, run.rounds, PAUSE)
    fill = ratio(times["fill"], times[""])
    run.keep(f"sweep {dtype}", fill.median, name)
    cells: list[object] = [
        f"{schedules:,} x {n:,}",
        dtype,
        "first axis" if axis == "rows" else "last axis",
        cell(fill, 0.8 if run.fast and dtype == "float64" else 0.9),
        cell(ratio(times[""], times["range"]), 0.95) if axis == "rows" else "",
    ]
    for peer in peers.SWEEP_PEERS:
        if peer not in calls:
            cells.append("missing")
            continue
        faster = ratio(times[peer], times[""]).median
        run.keep(peer, faster, f"sweep {name}")
        cells.append(cell(faster, numba if peer == "numba prange" else None))
    return cells


def float16(run: Run) -> Iterator[str]:
    """Results stored as float16 beside the same call with float32 results."""
    yield f"""{run.n:,} elements. "Time" is that of float16 results over that of float32 results of
the same arithmetic, which are twice the bytes."""
    rows = []
    for step, arithmetic, most in (
        ("float32", "float32", 1.05),
        (None, "float32", 1.05),
        ("float64", "float64", 1.3),
        (None, "float64", 1.3),
    ):
        calls = {}
        for out_dtype in "float16", "float32":
            path = Path(step, arithmetic, out_dtype)
            progress(path.name)
            steps, out = path.operands(run.n)
            calls[out_dtype] = path.call(steps, out)
            calls[out_dtype]()
            path.check(steps, out)
        times = interleaved(calls, run.rounds)
        slower = ratio(times["float16"], times["float32"])
        rows.append([f"{step or 'range'} in {arithmetic}", cell(slower, most, most=True), most])
    yield table(["path", "time", "at most"], rows)


def calls(run: Run) -> Iterator[str]:
    """One step, and a thousand steps."""
    rounds = 5 * run.rounds
    yield f"""The lowest of {rounds} rounds. Arrays have 1,000 float32 steps. "Over the ufunc" is
the time beyond that of the same call of `continuous_decay`."""
    double, single = (InverseTimeDecay(*HYPER, dtype=dtype) for dtype in ("float64", "float32"))
    keras = peers.prepared({"Keras": peers.keras_class}, Job(12345, np.zeros(1, np.float32)))
    if any(single(12345) != float(call()) for call in keras.values()):
        raise AssertionError("schedule(int) differs from Keras's schedule")
    steps = np.arange(1000, dtype=np.float32)
    out = np.empty_like(steps)
    function, ufunc = (
        partial(decay, steps, *HYPER) for decay in (inverse_time_decay, invdecay.continuous_decay)
    )
    arrays = [np.asarray(x, np.float32) for x in HYPER]
    timed: list[tuple[str, Callable[[], object], Callable[[], object] | None, float | None]] = [
        ("`schedule(int)`, float64", partial(double, 12345), None, 0.3),
        ("`schedule(int)`, float32", partial(single, 12345), None, 0.8),
        ("`schedule(numpy.int64)`, float64", partial(double, np.int64(12345)), None, 1.0),
        ("`schedule(numpy.float32)`, float32", partial(single, np.float32(12345)), None, 1.0),
        ("`schedule(array)` over the ufunc", partial(single, steps), ufunc, 0.3),
        ("`inverse_time_decay(array)` over the ufunc", function, ufunc, 0.3),
        ("the same with `out=`", partial(function, out=out), partial(ufunc, out=out), 0.3),
        ("the ufunc itself", ufunc, None, None),
        (
            "the same with 0-d arrays",
            partial(invdecay.continuous_decay, steps, *arrays),
            None,
            None,
        ),
        ("`numpy.add`", partial(np.add, steps, steps), None, None),
        *(("Keras's schedule, one integer, eager", call, None, None) for call in keras.values()),
    ]
    rows = []
    for name, call, base, most in timed:
        progress(name)
        # Whatever disturbs a call this short makes it longer, so the lowest time is its own.
        times = interleaved({"call": call, "base": base or call}, rounds)
        micro = float(times["call"].min() - (times["base"].min() if base else 0)) * 1e6
        rows.append([name, f"{cell(micro, most, most=True)} µs", f"{most} µs" if most else ""])
    yield table(["call", "time", "at most"], rows)


def growth(run: Run) -> Iterator[str]:
    """Throughput against the number of elements, and of threads."""
    lengths = [10**k for k in range(1, 9) if 10**k < run.n] + [run.n]
    speeds: dict[str, dict[int, float]] = defaultdict(dict)
    for n in lengths:
        progress(f"growth: {n:,} elements")
        steps, own, out = (np.arange(n, dtype=np.float32) for _ in range(3))
        calls = peers.prepared(peers.ARRAY_PEERS, Job(steps, out))
        ours = {"invdecay": partial(inverse_time_decay, steps, *HYPER, out=own)}
        copy = {"copy": ceiling.fastest(out, steps)[1]}
        for name, seconds in interleaved({**ours, **calls, **copy}, 3, PAUSE).items():
            speeds[name][n] = n / float(np.median(seconds)) / 1e6
    draw(HERE / "results" / "growth.svg", speeds)
    yield f"""![Throughput against length](results/growth.svg)

10^6 elements per second of float32 steps to float32 results.

{_growth_table("elements", speeds)}"""
    speeds = defaultdict(dict)
    most = invdecay.get_num_threads()
    for threads in [t for t in range(1, most + 1) if t & (t - 1) == 0 or t == most]:
        progress(f"growth: {threads} threads")
        for path in (Path("float32", "float32", "float32"), Path(None, "float64", "float64")):
            operands = path.operands(run.n)
            move = ceiling.fastest(*operands[::-1], threads)[1]
            with invdecay.num_threads(threads):
                times = interleaved({"call": path.call(*operands), "move": move}, run.rounds)
            for who, name in ("call", path.name), ("move", "a copy" if path.step else "a fill"):
                speeds[name][threads] = run.n / float(np.median(times[who])) / 1e6
    yield f"10^6 elements per second by threads.\n\n{_growth_table('threads', speeds)}"


def _growth_table(axis: str, speeds: dict[str, dict[int, float]]) -> str:
    places = list(next(iter(speeds.values())))
    rows = [[name, *(figure(line.get(x, np.nan)) for x in places)] for name, line in speeds.items()]
    return table([axis, *(f"{x:,}" for x in places)], rows)


def summary(run: Run) -> str:
    """Return the best and the worst figure of each kind."""
    rows = []
    for name, keys, most in (
        ("an array, speed of a copy of the same bytes", ["copy"], False),
        ("an array at other offsets, time at equal offsets", ["offset"], True),
        ("a range, speed of a fill", ["fill"], False),
        ("a sweep, speed of a fill", ["sweep float32", "sweep float64"], False),
        ("array, range or sweep, speed of numba prange", ["numba prange"], False),
        ("array, range or sweep, speed of the NumPy expression", ["NumPy expression"], False),
    ):
        found = sorted((figure for key in keys for figure in run.kept[key]), reverse=most)
        if found:
            cells = [f"{figure(value)} ({what})" for value, what in (found[-1], found[0])]
            rows.append([name, *cells])
    return table(["compared", "best", "worst"], rows)


def machine(command: str) -> str:
    """Return what was measured, on what, when and by which command."""
    config: Any = invdecay.show_config("dicts")
    try:
        text = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        text = ""
    lscpu = {key.strip(): value.strip() for key, _, value in map(_colon, text.splitlines())}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    caches = (f"{key[:-6]} {lscpu[key]}" for key in lscpu if key in _CACHES)
    rows = [
        ["processor", lscpu.get("Model name", platform.machine())],
        ["threads", config["num_threads"]],
        ["caches", ", ".join(caches)],
        ["memory", f"{memory:.0f} GiB"],
        ["SIMD target", f"{config['simd_target']} of {', '.join(config['available_targets'])}"],
        ["build", ", ".join(f"{key} {value}" for key, value in config["build"].items())],
        ["invdecay", config["invdecay"]],
        ["Python, NumPy", f"{config['python']}, {config['numpy']}"],
        ["peers", ", ".join(map(_version, ("numba", "numexpr", "jax", "torch", "keras")))],
        ["load average at the end", ", ".join(f"{load:.1f}" for load in os.getloadavg())],
        ["date", datetime.now(UTC).strftime("%Y-%m-%d")],
        ["command", f"`{command}`"],
    ]
    return f"## Measured on\n\n{table(['', ''], rows)}"


_CACHES = "L1d cache", "L2 cache", "L3 cache"


def _colon(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} missing"


SECTIONS: dict[str, tuple[str, Callable[[Run], Iterator[str]]]] = {
    "paths": ("One array or range beside a copy or fill", paths),
    "sweeps": ("Sweeps", sweeps),
    "float16": ("float16 results", float16),
    "calls": ("Small calls", calls),
    "peers": ("Peers on one array or range", peers_),
    "growth": ("Growth", growth),
}


def measured(name: str, run: Run) -> str:
    """Return a section, with the memory state before and after it."""
    title, section = SECTIONS[name]
    before = ceiling.state()
    run.fast = before < _FAST_STATE
    parts = list(section(run))
    state = f"Memory state: {before:.1f} ms before, {ceiling.state():.1f} ms after."
    return "\n\n".join([f"## {title}", state, *parts])


@click.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice(["all", *SECTIONS]))
@click.option("-n", type=float, default=1 << 26, show_default=True, help="Number of elements.")
@click.option("--rounds", type=int, default=ROUNDS, show_default=True, help="Rounds of a median.")
def main(names: tuple[str, ...], n: float, rounds: int) -> None:
    """Measure speed as ratios within one run; "all" writes RESULTS.md and its picture."""
    if invdecay.backend != "native":
        raise click.ClickException("the report measures the native backend")
    run = Run(int(n), rounds)
    if "all" not in names:
        for name in names:
            click.echo(measured(name, run) + "\n")
        return
    command = " ".join(["python benchmarks/report.py", *sys.argv[1:]])
    sections = []
    for name in SECTIONS:  # an interrupted run keeps the sections that it has measured
        sections.append(measured(name, run))
        parts = [_HEAD, summary(run), *busy(), _READING, *sections, machine(command)]
        (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


def busy() -> list[str]:
    """Return a warning where other programs used the machine during the run."""
    load, processors = os.getloadavg()[1], invdecay.get_num_threads()
    text = f"""Other programs used the machine during this run (load average {load:.0f} on
{processors} processors), so the figures are more scattered than those of a quiet machine."""
    return [text] if load > 2 * processors else []


_HEAD = "# How fast it is\n\n<!-- summary -->"
_READING = """<!-- details -->

All figures come from one run. Calls that are compared are interleaved, because the speed of virtual
processors changes from second to second. Every result is checked before it is timed. A figure with
a range is a median with the lowest and highest value. A bold figure misses its target. The memory
state is the time of a non-temporal copy of 2^28 bytes by two threads: on the machine below it is
about 11 ms in the slow state and 6.8 ms in the fast one. [How to run it](README.md)."""


if __name__ == "__main__":
    main()
