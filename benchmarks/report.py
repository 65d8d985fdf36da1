"""The speed report: what each call takes, beside the speed of memory and beside its peers.

``python benchmarks/report.py all`` measures everything and writes RESULTS.md and its picture.
With names of sections instead of "all" it prints those sections.
"""

import os
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
import cpuinfo  # type: ignore[import-untyped]
import invdecay
import numpy as np
import peers
from invdecay import InverseTimeDecay
from paths import HYPER, PATHS, Path
from peers import ARRAY_PEERS, RANGE_PEERS, SWEEP_PEERS, Job
from timing import PAUSE, Times, figure, interleaved

HERE = FilePath(__file__).parent
_FAST_STATE = 9.0
"""Milliseconds of the copy in `ceiling.state` below which memory is in its fast state."""

Call = Callable[[], Any]
decay: Callable[..., Any] = invdecay.inverse_time_decay


@dataclass
class Run:
    """What one run measures, and what its summary keeps."""

    n: int
    rounds: int
    fast: bool = False
    """Whether memory was in its fast state when the present section began."""
    kept: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """Figures for the summary, each with the call that it belongs to."""

    def keep(self, row: str, ratios: Times, what: str) -> Times:
        """Keep the median of some ratios for the summary."""
        self.kept[row].append((float(np.median(ratios)), what))
        return ratios


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table. A row may leave out its last cells."""
    lines = [header, ["---"] * len(header), *([*row, *[""] * len(header)] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line[: len(header)]))} |" for line in lines)


def cell(values: Any, target: float | None = None, most: bool = False) -> str:
    """Return a figure, or the median and range of several, bold where it misses its target.

    The target is the least that it may be, or the `most`.
    """
    low, middle, high = np.percentile(values, [0, 50, 100])
    text = figure(middle) + (f" ({figure(low)} to {figure(high)})" if np.ndim(values) else "")
    missed = target is not None and (middle > target if most else middle < target)
    return f"**{text}**" if missed else text


def progress(text: str) -> None:
    """Tell the terminal what is being measured."""
    click.echo(f"... {text}", err=True)


def paths(run: Run) -> Iterator[str]:
    """Each path beside a copy or fill of the same bytes, and at other offsets within a page."""
    rows = []
    for path in PATHS:
        read, written = path.sizes
        if read not in (0, written, 2 * written):
            continue  # the ceiling's copies do not widen
        progress(path.name)
        steps, out, call = path.checked(run.n)
        method, move = ceiling.fastest(out, steps)
        times = interleaved({"call": call, "move": move}, run.rounds)
        kind = "copy" if path.step else "fill"
        reached = run.keep(kind, times["move"] / times["call"], path.name)
        speed = (read + written) * run.n / np.median(times["move"]) / 1e9
        offsets = []
        for where, n, rounds in (
            ("streamed", run.n, run.rounds),
            ("cached", (1 << 15) // written, 5 * run.rounds),
        ):
            if path.step and not path.staircase:
                slowness, pair = path.worst_offset(n, rounds)
                run.keep("offset", np.array(slowness), f"{path.name}, {where}")
                offsets.append(f"{cell(slowness, 1.15, most=True)} ({pair})")
        move_text = f"{kind}, {method} stores, {speed:.0f} GB/s"
        rows.append([path.name, move_text, cell(reached, path.target), path.target or "", *offsets])
    yield f"""{run.n:,} elements, {invdecay.get_num_threads()} threads. "Reached" is the speed as a
fraction of that of the fastest copy or fill. "Worst offset" is the time at the slowest pair of
offsets in bytes within a page, over the time at equal offsets; the target is at most 1.15.
"Streamed" has {run.n:,} elements, "cached" has 2^15 bytes of results."""
    header = ["path", "copy or fill", "reached", "target"]
    yield table([*header, "worst offset, streamed", "worst offset, cached"], rows)


def beside_peers(
    run: Run, name: str, ours: dict[str, Call], job: Job, names: list[str], **targets: float
) -> tuple[dict[str, Times], list[str]]:
    """Time calls beside their peers, and return all times and a cell for each peer."""
    progress(name)
    calls = peers.prepared(names, job)
    result = ours["ours"]()
    apart = {peer: peers.ulps(result, call()) for peer, call in calls.items()}
    if apart["NumPy expression"] != 0:
        raise AssertionError(f"{name}: other bits than the NumPy expression")
    times = interleaved({**ours, **calls}, run.rounds, PAUSE)
    cells = []
    for peer in names:
        if peer in calls:
            faster = run.keep(peer, times[peer] / times["ours"], name)
            text = cell(np.median(faster), targets.get(peer.split()[0]))
            cells.append(text + f" ({apart[peer]} ulp)" if apart[peer] else text)
        else:
            cells.append("")
    return times, cells


def peers_(run: Run) -> Iterator[str]:
    """Each peer on one array, and on one range."""
    numba = 1.0 if run.fast else 1.2
    yield f"""{run.n:,} elements. A figure is the peer's time over that of invdecay, and in brackets
by how many ulp the peer's results differ, where they do. Each peer writes into a given array where
it can take one. Keras and the NumPy expression cannot. The targets are {numba} for numba, 4 for
numexpr and 8 for the NumPy expression."""
    rows = []
    targets = {"numba": numba, "numexpr": 4.0, "NumPy": 8.0}
    for dtype in "float32", "float64":
        steps, own, out = (np.arange(run.n, dtype=dtype) for _ in range(3))
        of_array = partial(decay, steps, *HYPER, out=own)
        of_range = partial(InverseTimeDecay(*HYPER, dtype=dtype).precompute, run.n, out=own)
        for name, call, job, names in (
            (f"array to {dtype}", of_array, Job(steps, out), ARRAY_PEERS),
            (f"range to {dtype}", of_range, Job(None, out), RANGE_PEERS),
        ):
            rows.append([name, *beside_peers(run, name, {"ours": call}, job, names, **targets)[1]])
    yield table(["", *ARRAY_PEERS], rows)


_SWEEPS = [
    (50_000, 1_009, "rows"),
    (400_000, 129, "rows"),
    (3_000_000, 11, "rows"),
    (60, 1_000_000, "rows"),
    (50_000, 1_009, "columns"),
    (60, 1_000_000, "columns"),
]
"""Schedules, of 2^26 elements in all; steps; whether a schedule is a row or a column."""


def sweeps(run: Run) -> Iterator[str]:
    """Many schedules at once."""
    numba = 1.2 if run.fast else 0.95
    yield f"""Every schedule has another decay rate, and the result is two-dimensional. "Of the
fill" is the speed as a fraction of that of the fastest fill of the same bytes. "Over a range" is
the time with an array of steps over that with a range. The last columns are each peer's time over
that of invdecay, as among the peers below. The targets are 0.90 of the fill (0.80 in float64 in the
fast state), 1.0 for the range, of which 0.05 is left to noise, and {numba} for numba."""
    rows = []
    for dtype in "float32", "float64":
        for schedules, n, axis in _SWEEPS:
            schedules = max(2, schedules * run.n >> 26)
            steps, rates = np.arange(n, dtype=dtype), np.linspace(0.1, 1, schedules, dtype=dtype)
            if axis == "columns":
                steps = steps[:, None]
            else:
                rates = rates[:, None]
            own, out = (np.zeros(np.broadcast(steps, rates).shape, dtype) for _ in range(2))
            ours: dict[str, Call] = {"ours": partial(decay, steps, *HYPER[:2], rates, out=own)}
            if axis == "rows":
                ours["range"] = partial(decay, range(n), *HYPER[:2], rates, out=out, dtype=dtype)
                if peers.ulps(ours["ours"](), ours["range"]()):
                    raise AssertionError(f"{n} steps: other bits over a range")
            ours["fill"] = ceiling.fastest(out, None)[1]
            what = f"{schedules:,} x {n:,} {dtype} {axis}"
            job = Job(steps, out, rates)
            times, cells = beside_peers(run, f"sweep {what}", ours, job, SWEEP_PEERS, numba=numba)
            fill = run.keep("sweep", times["fill"] / times["ours"], what)
            least = 0.8 if run.fast and dtype == "float64" else 0.9
            ranged = cell(times["ours"] / times["range"], 0.95) if axis == "rows" else ""
            rows.append([what, cell(fill, least), ranged, *cells])
    yield table(["schedules x steps", "of the fill", "over a range", *SWEEP_PEERS], rows)


def float16(run: Run) -> Iterator[str]:
    """Results stored as float16 beside the same call with float32 results."""
    yield f"""{run.n:,} elements. "Time" is that of float16 results over that of float32 results of
the same arithmetic, which are twice the bytes."""
    rows = []
    for arithmetic, most in ("float32", 1.05), ("float64", 1.3):
        for step in arithmetic, None:
            halves, singles = (Path(step, arithmetic, out) for out in ("float16", "float32"))
            progress(halves.name)
            calls = {path.out: path.checked(run.n)[2] for path in (halves, singles)}
            times = interleaved(calls, run.rounds)
            slower = times["float16"] / times["float32"]
            rows.append([halves.name, cell(slower, most, most=True), most])
    yield table(["path", "time", "at most"], rows)


def calls(run: Run) -> Iterator[str]:
    """One step, and a thousand steps."""
    yield f"""The lowest of {5 * run.rounds} rounds. Arrays have 1,000 float32 steps. "Over the
ufunc" is the time beyond that of the same call of `continuous_decay`."""
    double, single = (InverseTimeDecay(*HYPER, dtype=dtype) for dtype in ("float64", "float32"))
    keras = peers.prepared(["Keras"], Job(12345, np.zeros(1, np.float32)))
    if any(single(12345) != float(call()) for call in keras.values()):
        raise AssertionError("schedule(int) differs from Keras's schedule")
    steps = np.arange(1000, dtype=np.float32)
    out = np.empty_like(steps)
    function, ufunc = (partial(of, steps, *HYPER) for of in (decay, invdecay.continuous_decay))
    timed: list[tuple[str, Call, Call | None, float | None]] = [
        ("`schedule(int)`, float64", partial(double, 12345), None, 0.3),
        ("`schedule(int)`, float32", partial(single, 12345), None, 0.8),
        ("`schedule(numpy.int64)`, float64", partial(double, np.int64(12345)), None, 1.0),
        ("`schedule(numpy.float32)`, float32", partial(single, np.float32(12345)), None, 1.0),
        ("`schedule(array)` over the ufunc", partial(single, steps), ufunc, 0.3),
        ("`inverse_time_decay(array)` over the ufunc", function, ufunc, 0.3),
        ("the same with `out=`", partial(function, out=out), partial(ufunc, out=out), 0.3),
        ("the ufunc itself", ufunc, None, None),
        ("`numpy.add`", partial(np.add, steps, steps), None, None),
        *(("Keras's schedule, one integer, eager", call, None, None) for call in keras.values()),
    ]
    rows = []
    for name, call, base, most in timed:
        progress(name)
        # Whatever disturbs a call this short makes it longer.
        times = interleaved({"call": call, "base": base or call}, 5 * run.rounds)
        micro = float(times["call"].min() - (times["base"].min() if base else 0)) * 1e6
        rows.append([name, f"{cell(micro, most, most=True)} µs", f"{most} µs" if most else ""])
    yield table(["call", "time", "at most"], rows)


def growth(run: Run) -> Iterator[str]:
    """Throughput against the number of elements, and of threads."""
    speeds: dict[str, dict[int, float]] = defaultdict(dict)
    for n in [*(10**k for k in range(1, 9) if 10**k < run.n), run.n]:
        progress(f"growth: {n:,} elements")
        steps, own, out = (np.arange(n, dtype=np.float32) for _ in range(3))
        by_name: dict[str, Call] = {
            "invdecay": partial(decay, steps, *HYPER, out=own),
            **peers.prepared(ARRAY_PEERS, Job(steps, out)),
            "copy": ceiling.fastest(out, steps)[1],
        }
        for name, seconds in interleaved(by_name, 3, PAUSE).items():
            speeds[name][n] = n / float(np.median(seconds)) / 1e6
    draw(HERE / "results" / "growth.svg", speeds)
    yield "![Throughput against length](results/growth.svg)"
    yield "10^6 elements per second of float32 steps to float32 results."
    yield _growth_table("elements", speeds)
    speeds = defaultdict(dict)
    most = invdecay.get_num_threads()
    for threads in sorted({1, most // 2 or 1, most}):
        progress(f"growth: {threads} threads")
        for path in Path("float32", "float32", "float32"), Path(None, "float64", "float64"):
            at, rates, call = path.checked(run.n)
            move = ceiling.fastest(rates, at, threads)[1]
            by_name = {path.name: call, "a copy" if path.step else "a fill": move}
            with invdecay.num_threads(threads):
                for name, seconds in interleaved(by_name, run.rounds).items():
                    speeds[name][threads] = run.n / float(np.median(seconds)) / 1e6
    yield _growth_table("threads", speeds)


def _growth_table(axis: str, speeds: dict[str, dict[int, float]]) -> str:
    places = list(speeds["invdecay" if axis == "elements" else "a copy"])
    rows = [[name, *(figure(line.get(x, np.nan)) for x in places)] for name, line in speeds.items()]
    return table([axis, *(f"{x:,}" for x in places)], rows)


def draw(path: FilePath, speeds: dict[str, dict[int, float]]) -> None:
    """Write the picture of throughput against length; without matplotlib, write nothing."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return
    with mpl.rc_context({"svg.hashsalt": "invdecay", "svg.fonttype": "none"}):
        picture = Figure(figsize=(8, 5), layout="constrained")
        axes = picture.add_subplot(
            xscale="log", yscale="log", xlabel="elements", ylabel="$10^6$ elements per second"
        )
        for name, line in speeds.items():
            width = 2.6 if name == "invdecay" else 1.2
            style = "--" if name == "copy" else "-"
            axes.plot(list(line), list(line.values()), style, linewidth=width, label=name)
        axes.grid(visible=True, color="#e5e5e5", linewidth=0.6)
        axes.legend()
        picture.savefig(path, metadata={"Date": None})


def summary(run: Run) -> str:
    """Return the best and the worst figure of each kind."""
    rows = []
    for name, key in (
        ("an array, speed of a copy of the same bytes", "copy"),
        ("an array at other offsets, time at equal offsets", "offset"),
        ("a range, speed of a fill", "fill"),
        ("a sweep, speed of a fill", "sweep"),
        ("array, range or sweep, speed of numba prange", "numba prange"),
        ("array, range or sweep, speed of the NumPy expression", "NumPy expression"),
    ):
        found = sorted(run.kept[key], reverse=key != "offset")
        rows.append(
            [name, *(f"{figure(value)} ({what})" for value, what in found[:1] + found[-1:])]
        )
    return table(["compared", "best", "worst"], rows)


def machine() -> str:
    """Return what was measured, on what, when and by which command."""
    cpu = cpuinfo.get_cpu_info()
    config: dict[str, Any] = invdecay.show_config("dicts") or {}
    rows = [
        ["processor", cpu.get("brand_raw", "unknown")],
        ["last-level cache", f"{cpu.get('l3_cache_size', 0) / 2**20:.0f} MiB"],
        *([key.replace("_", " "), _text(value)] for key, value in config.items()),
        ["peers", ", ".join(map(_version, ("numba", "numexpr", "jax", "torch", "keras")))],
        [
            "load average at the end, 1 and 15 minutes",
            "{:.1f}, {:.1f}".format(*os.getloadavg()[::2]),
        ],
        ["date", datetime.now(UTC).strftime("%Y-%m-%d")],
        ["command", f"`{' '.join(['python benchmarks/report.py', *sys.argv[1:]])}`"],
    ]
    return f"## Measured on\n\n{table(['', ''], rows)}"


def _text(value: Any) -> str:
    parts = map(" ".join, value.items()) if isinstance(value, dict) else value
    return ", ".join(parts) if isinstance(value, dict | list) else str(value)


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
@click.option("--rounds", type=int, default=7, show_default=True, help="Rounds of a median.")
def main(names: tuple[str, ...], n: float, rounds: int) -> None:
    """Measure speed as ratios within one run; "all" writes RESULTS.md and its picture."""
    if invdecay.backend != "native":
        raise click.ClickException("the report measures the native backend")
    run = Run(int(n), rounds)
    sections = []
    for name in SECTIONS if "all" in names else names:
        sections.append(measured(name, run))
        if "all" in names:  # an interrupted run keeps the sections that it has measured
            parts = [_HEAD, summary(run), _READING, *sections, machine()]
            (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
        else:
            click.echo(sections[-1] + "\n")


_HEAD = "# How fast it is\n\n<!-- summary -->"
_READING = """<!-- details -->

All figures come from one run. Calls that are compared are interleaved, because the speed of virtual
processors changes from second to second. Every result is checked before it is timed. A figure with
a range is a median with the lowest and highest value. A bold figure misses its target. The memory
state is the time of a non-temporal copy of 2^28 bytes by two threads: on the machine below it is
about 11 ms in the slow state and 6.8 ms in the fast one. Where the load average below is above the
number of threads, other programs made the figures more scattered. [How to run it](README.md)."""


if __name__ == "__main__":
    main()
