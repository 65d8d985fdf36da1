"""The speed report: every path against its ceiling, every peer against ours, and how cost grows.

``python benchmarks/report.py all`` writes RESULTS.md and its picture in about ten minutes; the
other commands print one part of it.
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import ceiling
import click
import invdecay
import numpy as np
import numpy.typing as npt
import peers
from invdecay import InverseTimeDecay, _fallback
from paths import HYPER, PATHS, Path
from peers import Job
from picture import Growth, Series, draw
from timing import PAIRS, Ratio, figure, interleaved, speed_ratio

HERE = FilePath(__file__).parent
FULL = 1 << 26
"""Elements of the target table."""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def verdict(reached: float, target: float | None) -> str:
    """Say whether a target is met."""
    return "" if target is None else "met" if reached >= target else "**not met**"


def progress(text: str) -> None:
    """Tell the terminal what is being measured."""
    click.echo(f"... {text}", err=True)


# ---------------------------------------------------------------- paths against their ceiling


def measure_path(path: Path, n: int, pairs: int) -> tuple[str, Ratio]:
    """Return the ceiling's method and how much of its speed the path reaches."""
    progress(path.name)
    steps, out = path.operands(n)
    method, move = ceiling.fastest(out, _traffic_of(path, steps))
    call = path.call(steps, out)
    call()
    path.check(steps, out)
    return method, speed_ratio(call, move, pairs)


def _traffic_of(path: Path, steps: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """The source of the ceiling's copy: the steps, or as many of their bytes as are no narrower."""
    return steps if steps is None or path.traffic[0] >= path.traffic[1] else None


def paths_section(n: int, pairs: int) -> tuple[str, dict[str, tuple[Ratio, float | None]]]:
    """Every path as a fraction of the copy or fill with the same traffic."""
    reached: dict[str, tuple[Ratio, float | None]] = {}
    rows = []
    for path in PATHS:
        if path.traffic[0] not in (0, path.traffic[1], 2 * path.traffic[1]):
            continue  # the ceiling widens nothing
        method, ratio = measure_path(path, n, pairs)
        reached[path.name] = ratio, path.target
        kind = "copy" if path.step else "fill"
        gigabytes = sum(path.traffic) * n / ratio.other_seconds / 1e9
        rows.append(
            [
                path.name,
                f"{kind}, {sum(path.traffic)} B: {method}, {gigabytes:.0f} GB/s",
                ratio,
                path.target or "",
                verdict(ratio.median, path.target),
            ]
        )
    text = f"""## Paths against the ceiling

{n:,} elements, {invdecay.get_num_threads()} threads. Reached: the fraction of the ceiling's speed,
median (lowest to highest) of {pairs} pairs.

"""
    return text + table(["path", "ceiling", "reached", "target", ""], rows), reached


# ---------------------------------------------------------------- peers

_PEER_TARGETS = {
    "numba prange": 1.2,
    "numba prange, fastmath": 1.2,
    "numexpr": 5.0,
    "JAX jit": 5.0,
    "NumPy expression": 8.0,
}


def prepared(make: Callable[[Job], peers.Call], job: Job) -> peers.Call | str:
    """Return the peer's call, run once, or why there is none."""
    try:
        call = make(job)
        call()
    except ImportError as error:
        return f"missing ({error.name})"
    except Exception as error:  # a peer that does not work here is reported, not a failure
        return f"does not work here ({type(error).__name__})"
    return call


def peer_rows(
    ours: peers.Call, makers: dict[str, Callable[[Job], peers.Call]], job: Job, pairs: int
) -> list[list[object]]:
    """Compare our table, once computed, with each peer's, then the times."""
    rows: list[list[object]] = []
    own_table = ours()
    for name, make in makers.items():
        progress(f"{job.out.dtype}: {name}")
        call = prepared(make, job)
        if isinstance(call, str):
            rows.append([name, call, "", "", ""])
            continue
        agreement = peers.difference(own_table, call())
        if name in peers.TAKES_NO_OUT:
            agreement += "; takes no out"
        ratio = speed_ratio(ours, call, pairs)
        target = _PEER_TARGETS.get(name)
        rows.append([name, agreement, ratio, target or "", verdict(ratio.median, target)])
    return rows


def peers_section(n: int, pairs: int) -> str:
    """How many times as fast as each peer, over buffers and tables."""
    header = ["peer", "its result", "times as fast", "target", ""]
    parts = [
        f"""## Peers

{n:,} elements. Times as fast: the peer's time over ours, median (lowest to highest) of {pairs}
pairs. Each peer writes into a given array where it can take one, in its fastest documented form."""
    ]
    for dtype in "float32", "float64":
        steps = np.arange(n, dtype=dtype)
        own, job = np.zeros(n, dtype), Job(steps, np.zeros(n, dtype))
        ours = partial(invdecay.inverse_time_decay, steps, *HYPER, out=own)
        rows = peer_rows(ours, peers.BUFFER_PEERS, job, pairs)
        parts.append(f"### A buffer of {dtype} steps\n\n{table(header, rows)}")
        ours = partial(InverseTimeDecay(*HYPER, dtype=dtype).precompute, n, out=own)
        rows = peer_rows(ours, peers.TABLE_PEERS, job, pairs)
        rows.append(_concatenation_row(n, dtype, pairs))
        parts.append(f"### A {dtype} table of {n:,} steps\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def _concatenation_row(n: int, dtype: str, pairs: int) -> list[object]:
    ours, theirs = peers.precomputed_table(n, dtype), peers.concatenated_table(n, dtype)
    agreement = peers.difference(ours(), theirs())
    ratio = speed_ratio(ours, theirs, pairs)
    return ["np.concatenate of a warm-up and NumPy's", agreement, ratio, "", ""]


# ---------------------------------------------------------------- small calls


def calls_section(pairs: int) -> str:
    """What a single step, a thousand steps and the keyword front cost."""
    pairs *= 5  # microseconds: a disturbed pair weighs much, and another costs nothing
    rows = []

    def row(what: str, ratio: Ratio, unit: str, target: str, met: bool) -> None:
        rows.append([what, unit, ratio, target, "met" if met else "**not met**"])

    schedule = InverseTimeDecay(*HYPER)
    try:
        theirs = peers.keras_schedule()
    except ImportError:
        rows.append(["`schedule(int)` against Keras's eager call", "Keras is missing", "", "", ""])
    else:
        own_value, their_value = InverseTimeDecay(*HYPER, dtype="float32")(12345), theirs(12345)
        if own_value != float(their_value):
            raise AssertionError(f"Keras gives {their_value}, we {own_value}")
        progress("schedule(int)")
        ratio = speed_ratio(partial(schedule, 12345), partial(theirs, 12345), pairs)
        backend = f"Keras on {os.environ['KERAS_BACKEND']}"
        unit = f"{ratio.seconds * 1e6:.2f} µs; {backend}: {ratio.other_seconds * 1e6:.0f} µs"
        met = ratio.median >= 200 and ratio.seconds <= 0.5e-6
        row("`schedule(int)` against Keras's eager call", ratio, unit, "200; 0.5 µs", met)

    progress("1,000 steps")
    steps = np.arange(1000, dtype=np.float32)
    out = np.empty_like(steps)
    ufunc = invdecay.continuous_decay
    call = partial(ufunc, steps, *HYPER, out=out)
    ratio = speed_ratio(call, partial(np.add, steps, steps, out=out), pairs)
    times = 1 / ratio.median
    unit = f"{ratio.seconds * 1e6:.2f} µs; {times:.2f} of np.add's time"
    row("ufunc, 1,000 float32 steps, out=, against np.add", ratio, unit, "0.67", times <= 1.5)

    front = partial(invdecay.inverse_time_decay, steps, *HYPER, out=out)
    ratio = speed_ratio(front, call, pairs)
    over = (ratio.seconds - ratio.other_seconds) * 1e6
    unit = f"{over:.2f} µs more"
    row("`inverse_time_decay` over its ufunc, same call", ratio, unit, "0.4 µs more", over <= 0.4)
    header = ["call", "time", "times as fast", "target", ""]
    return f"## Small calls\n\nMedian of {pairs} pairs.\n\n{table(header, rows)}"


# ---------------------------------------------------------------- growth


def growth_section(n_max: float, reached: dict[str, tuple[Ratio, float | None]]) -> str:
    """Throughput against length, threads and path, as tables and as one picture."""
    sizes = [10**k for k in range(1, 10) if 10**k <= n_max]
    by_length, beaten = _growth_of_peers(sizes)
    by_threads = _growth_by_threads(min(FULL, sizes[-1]))
    by_path = _growth_of_paths(sizes)
    draw(HERE / "results" / "growth", Growth(by_length, by_threads, reached))
    return f"""## How cost grows

![Throughput against length, threads and path](results/growth.svg)

### Against length: a buffer of float32 steps

10^6 elements per second; every column is one interleaved run.

{_series_table("n", by_length)}

Peers faster than the native kernels, in three rounds of four at least:
{beaten or "none at any length"}.

### Against length: every native path

10^6 elements per second.

{_series_table("n", by_path)}

### Against threads

10^6 elements per second, {min(FULL, sizes[-1]):,} elements.

{_series_table("threads", by_threads)}"""


def _series_table(axis: str, series: list[Series]) -> str:
    positions = sorted(series[0].points)
    rows = [[line.name, *(figure(line.points[x] / 1e6) for x in positions)] for line in series]
    return table([axis, *(f"{x:,}" for x in positions)], rows)


def _growth_of_peers(sizes: list[int]) -> tuple[list[Series], str]:
    path = PATHS[0]
    series: dict[str, Series] = {}
    beaten = []
    for n in sizes:
        progress(f"growth: {n:,} elements")
        steps, out = path.operands(n)
        assert steps is not None
        job = Job(steps, np.zeros_like(out))
        native, fallback = (
            path.call(steps, out),
            partial(path.evaluate, _fallback, steps, out),
        )
        native()
        path.check(steps, out)
        calls: dict[str, Callable[[], object]] = {"native": native, "fallback": fallback}
        for name, make in peers.BUFFER_PEERS.items():
            call = prepared(make, job)
            if not isinstance(call, str):
                calls[name] = call
        calls["ceiling"] = ceiling.fastest(np.zeros_like(out), steps)[1]
        times = interleaved(calls, rounds=15 if n < 10**6 else 7 if n < 10**7 else 5)
        for name, seconds in times.items():
            series.setdefault(name, Series(name)).points[n] = n / float(np.median(seconds))
            faster = times["native"] / seconds
            if name not in ("native", "fallback", "ceiling") and np.quantile(faster, 0.25) > 1:
                beaten.append(f"{name} at {n:,} ({figure(float(np.median(faster)))} times)")
    return list(series.values()), ", ".join(beaten)


def _growth_of_paths(sizes: list[int]) -> list[Series]:
    series = [Series(path.name) for path in PATHS]
    for n in sizes:
        progress(f"growth of every path: {n:,} elements")
        for path, line in zip(PATHS, series, strict=True):
            steps, out = path.operands(n)
            call = path.call(steps, out)
            line.points[n] = n / float(np.median(interleaved({"native": call}, 3)["native"]))
    return series


def _growth_by_threads(n: int) -> list[Series]:
    measured = [path for path in PATHS if path.name in ("float32 -> float32", "range -> float64")]
    series: dict[str, Series] = {}
    for path in measured:
        steps, out = path.operands(n)
        for threads in range(1, invdecay.get_num_threads() + 1):
            progress(f"growth: {path.name}, {threads} threads")
            move = ceiling.fastest(out, _traffic_of(path, steps), threads)[1]
            with invdecay.num_threads(threads):
                times = interleaved({"native": path.call(steps, out), "ceiling": move}, 7)
            for who, seconds in times.items():
                name = f"{path.name}, {who}"
                series.setdefault(name, Series(name)).points[threads] = n / float(
                    np.median(seconds)
                )
    return list(series.values())


# ---------------------------------------------------------------- memory

# The peak of a process of its own; VmHWM, as ru_maxrss begins at the parent's on Linux.
_PEAK = """
import re, sys
n = int(sys.argv[1])
import numpy as np, invdecay
from invdecay import InverseTimeDecay, inverse_time_decay, _fallback
schedule, staircase = InverseTimeDecay(0.1, 1000, 0.5), InverseTimeDecay(0.1, 1000, 0.5, True)
steps = np.arange(n if "steps" in sys.argv[2] else 1, dtype=np.float64)
{code}
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""

_MEMORY: dict[str, tuple[str, int]] = {
    "precompute, float64": ("schedule.precompute(n)", 8),
    "precompute, float64, staircase": ("staircase.precompute(n)", 8),
    "precompute, float64 stored as float32": ("schedule.precompute(n, out=np.empty(n, 'f4'))", 4),
    "precompute, float64 stored as float16": ("schedule.precompute(n, out=np.empty(n, 'f2'))", 2),
    "inverse_time_decay of a float64 buffer": ("inverse_time_decay(steps, 0.1, 1000, 0.5)", 16),
    "fallback of a float64 buffer": ("_fallback.continuous_decay(steps, 0.1, 1000, 0.5)", 16),
    "NumPy expression over a float64 buffer": ("0.1 / (1 + 0.5 * (steps / 1000))", 16),
}
"""What is run, and the bytes per element of its operands: what nobody can do without."""


def memory_section(n: int) -> str:
    """Peak memory beyond the operands, against the same process with a small array."""
    if not FilePath("/proc/self/status").exists():
        return "## Peak memory\n\nNot measured: this system has no /proc."
    rows = []
    for name, (code, width) in _MEMORY.items():
        progress(f"memory: {name}")
        # Long enough to start the threads and touch all code, short enough to weigh nothing.
        small = 1 << 18
        extra = (_peak(code, n) - _peak(code, small)) - (n - small) * width / 2**20
        rows.append([name, f"{n * width / 2**20:.0f} MiB", f"{extra:.1f} MiB", ""])
        if name.startswith("precompute"):
            rows[-1][-1] = "16 MiB: " + verdict(-extra, -16)
    header = ["path", "operands", "beyond them", "target"]
    return f"## Peak memory\n\n{n:,} elements.\n\n{table(header, rows)}"


def _peak(code: str, n: int) -> float:
    """Peak memory in MiB of a process that runs `code`."""
    program = _PEAK.format(code=code)
    done = subprocess.run(
        [sys.executable, "-c", program, str(n), code], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


# ---------------------------------------------------------------- storage


def storage_section(n: int, pairs: int, folder: FilePath) -> str:
    """save_table against a plain sequential write and fsync of the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = FilePath(name)
        for dtype in "float32", "float64":
            progress(f"save_table, {dtype}")
            rows.append(_storage_row(path, n, dtype, pairs))
    header = ["table", "save_table", "plain write", "times as fast", "same bits"]
    return f"""## Tables on disk

{n:,} steps. `save_table` computes, checksums, writes and syncs; the plain write has the finished
table in memory and only writes and syncs it. Median (lowest to highest) of {pairs} pairs.

{table(header, rows)}"""


def _storage_row(folder: FilePath, n: int, dtype: str, pairs: int) -> list[object]:
    schedule = InverseTimeDecay(*HYPER, dtype=dtype)
    values = schedule.precompute(n)

    def save() -> None:
        (folder / "saved.npy").unlink(missing_ok=True)
        invdecay.save_table(schedule, folder / "saved.npy", n)

    def write() -> None:
        (folder / "plain").unlink(missing_ok=True)
        with open(folder / "plain", "wb") as file:
            file.write(values.data)
            file.flush()
            os.fsync(file.fileno())

    save()
    saved = np.load(folder / "saved.npy", mmap_mode="r")
    if not np.array_equal(saved.view(np.uint8), values.view(np.uint8)):
        raise AssertionError("save_table stored other bits than precompute gives")
    ratio = speed_ratio(save, write, pairs)
    cells = [
        f"{seconds:.2f} s, {values.nbytes / seconds / 1e6:.0f} MB/s"
        for seconds in (ratio.seconds, ratio.other_seconds)
    ]
    return [f"{dtype}, {values.nbytes / 1e6:.0f} MB", *cells, ratio, "yes"]


# ---------------------------------------------------------------- the machine


def machine_section(command: str) -> str:
    """What was measured, on what, when and by which command."""
    config = invdecay.show_config("dicts")
    assert config is not None
    described = _lscpu()
    rows = [
        ["processor", described.get("Model name", platform.processor() or platform.machine())],
        ["processors used", config["num_threads"]],
        *(
            [key, described[key]]
            for key in ("L1d cache", "L2 cache", "L3 cache")
            if key in described
        ),
        ["memory", f"{_memory_gib():.0f} GiB"],
        ["SIMD target", f"{config['simd_target']} of {', '.join(config['available_targets'])}"],
        ["build", ", ".join(f"{key} {value}" for key, value in config["build"].items())],
        ["invdecay", config["invdecay"]],
        ["Python, NumPy", f"{config['python']}, {config['numpy']}"],
        ["peers", _peer_versions()],
        ["date", datetime.now(UTC).strftime("%Y-%m-%d")],
        ["command", f"`{command}`"],
    ]
    return f"## Measured on\n\n{table(['', ''], rows)}"


def _lscpu() -> dict[str, str]:
    try:
        text = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {
        key.strip(): value.strip()
        for key, _, value in (x.partition(":") for x in text.splitlines())
    }


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _peer_versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in "numba", "numexpr", "jax", "torch", "keras":
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


# ---------------------------------------------------------------- commands

_INTRODUCTION = """All figures are of one run. Calls that are compared are interleaved, because the
speed of virtual processors changes from second to second, and every result is checked before it is
timed. How to run it: [README.md](README.md)."""


@click.group()
def main() -> None:
    """Measure speed as ratios in one run."""
    if invdecay.backend != "native":
        raise click.ClickException("the native backend is what this report is about")


def _length(default: int = FULL) -> Any:
    return click.option(
        "-n", type=float, default=default, show_default=True, help="Number of elements."
    )


_pairs = click.option(
    "--pairs", type=int, default=PAIRS, show_default=True, help="Pairs of each median."
)
_n_max = click.option(
    "--n-max",
    type=float,
    default=1e8,
    show_default=True,
    help="Largest length of the curves.",
)
_folder = click.option(
    "--folder",
    type=click.Path(path_type=FilePath, file_okay=False),
    default=HERE.parent / "build" / "benchmarks",
    help="Where tables are written, on the disk to be measured [default: build/benchmarks].",
)


@main.command()
@_length()
@_pairs
def paths(n: float, pairs: int) -> None:
    """Every path against its ceiling."""
    click.echo(paths_section(int(n), pairs)[0])


@main.command(name="peers")
@_length()
@_pairs
def peers_command(n: float, pairs: int) -> None:
    """Every peer against ours."""
    click.echo(peers_section(int(n), pairs))


@main.command()
@_pairs
def calls(pairs: int) -> None:
    """Small calls."""
    click.echo(calls_section(pairs))


@main.command()
@_length()
@_pairs
@_n_max
def growth(n: float, pairs: int, n_max: float) -> None:
    """Throughput against length, threads and path; draws the picture."""
    reached = paths_section(int(n), pairs)[1]
    click.echo(growth_section(n_max, reached))


@main.command()
@_length(1 << 25)
def memory(n: float) -> None:
    """Peak memory of each path."""
    click.echo(memory_section(int(n)))


@main.command()
@_length()
@click.option("--pairs", type=int, default=3, show_default=True, help="Pairs of each median.")
@_folder
def storage(n: float, pairs: int, folder: FilePath) -> None:
    """save_table against a plain write."""
    click.echo(storage_section(int(n), pairs, folder))


@main.command(name="all")
@_length()
@_pairs
@_n_max
@_folder
def all_parts(n: float, pairs: int, n_max: float, folder: FilePath) -> None:
    """Measure everything and write RESULTS.md and its picture."""
    length = int(n)
    paths_text, reached = paths_section(length, pairs)
    parts = [
        "# How fast it is",
        _INTRODUCTION,
        paths_text,
        peers_section(length, pairs),
        calls_section(pairs),
        growth_section(n_max, reached),
        memory_section(length // 2),
        storage_section(length, 3, folder),
        machine_section("python benchmarks/report.py " + " ".join(sys.argv[1:])),
    ]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
    progress("wrote benchmarks/RESULTS.md")


if __name__ == "__main__":
    main()
