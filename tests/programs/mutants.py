"""Seeded faults, each of which a test must catch: ``python tests/programs/mutants.py [NAME...]``.

Each fault is put into a copy of the tree, alone, and the test named beside it must fail there. The
kernels are built for AVX2 and the scalar target alone; faults in Python need no build.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent

# An editable install's finder would come before the copy's folder.
RUN_PYTEST = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "Redirect" not in type(finder).__name__]
sys.path.insert(0, sys.argv[1])
import invdecay, pytest
assert invdecay.__file__.startswith(sys.argv[1]), invdecay.__file__
sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


class Mutant(NamedTuple):
    """One fault, and the command of the test that must catch it."""

    name: str
    file: str
    old: str
    new: str
    test: str  # a program of tests/native with its arguments, or a pytest selection


KERNELS, EVALUATE, PARALLEL = "cpp/decay-inl.h", "cpp/evaluate-inl.h", "cpp/parallel.cc"
ARRAYS, RANGES = "cpp/ufunc_loops.cc", "cpp/range_loops.cc"
PACKAGE = "python/invdecay"
STORAGE = f"{PACKAGE}/storage.py"
ORDER = "tests/test_storage.py -k what_is_on_disk_when"

MUTANTS = [
    Mutant(
        "FMA in the denominator",
        KERNELS,
        "hn::Add(one, hn::Mul(decay_rate, p))",
        "hn::MulAdd(decay_rate, p, one)",
        "random 1e5",
    ),
    Mutant(
        "product not corrected",
        KERNELS,
        "return hn::MulAdd(hn::NegMulAdd(q, divisor, x), reciprocal, q);",
        "return q;",
        "division 256 1e4",
    ),
    Mutant(
        "reciprocal off by one ulp",
        KERNELS,
        "reciprocal = T{1} / divisor;",
        "reciprocal = std::nextafter(T{1} / divisor, T{0});",
        "division 256 1e4",
    ),
    Mutant(
        "known divisor in every rounding mode",
        KERNELS,
        "std::islessequal(divisor, kMax) && RoundsToNearest();",
        "std::islessequal(divisor, kMax);",
        "flags 20000",
    ),
    Mutant(
        "known divisor for every step",
        KERNELS,
        "by.usable && (kIntegers || AllBetweenBounds(d, x))",
        "by.usable",
        "flags 20000",
    ),
    Mutant(
        "floor of integers",
        KERNELS,
        "std::floor(hn::GetLane(v))",
        "std::ceil(hn::GetLane(v)) - 1",
        "random 1e5",
    ),
    Mutant(
        "no sticky bit", KERNELS, "hn::Set(di, Int{0x800})", "hn::Zero(di)", "conversions 4096 1e5"
    ),
    Mutant(
        "uint64 in halves",
        KERNELS,
        "hn::Set(d, 4294967296.0)",
        "hn::Set(d, 4294967295.0)",
        "conversions 4096 1e5",
    ),
    Mutant(
        "swapped halves",
        KERNELS,
        "Join(d, upper, lower);",
        "Join(d, lower, upper);",
        "conversions 4096 1e5",
    ),
    Mutant(
        "tail one short",
        EVALUATE,
        "constants, out + whole, tail);",
        "constants, out + whole, tail - 1);",
        "guard 40 37",
    ),
    Mutant("tail padded from beyond", EVALUATE, "std::min(lane, count - 1)", "lane", "guard 40 37"),
    Mutant(
        "stream stores not aligned",
        EVALUATE,
        "std::min(n, UntilAligned(OutTag<Out, decltype(d)>(), out));",
        "std::size_t{0};",
        "guard 1 1",
    ),
    Mutant(
        "backwards from one vector too far",
        EVALUATE,
        "backwards && whole > 0 ? whole - lanes : 0",
        "backwards && whole > 0 ? whole : 0",
        "guard 40 37",
    ),
    Mutant(
        "last block padded with zeros",
        ARRAYS,
        "block[copied - 1]);",
        "T{0});",
        "flags 20000",
    ),
    Mutant(
        "float16 without the sticky bit",
        KERNELS,
        "hn::AndNot(low, hn::Or(bits, carry))",
        "hn::AndNot(low, bits)",
        "float16 64 200",
    ),
    Mutant(
        "float16 with the processor's underflow",
        KERNELS,
        "if (HWY_UNLIKELY(!hn::AllFalse(du, missed))) RaiseOnce(FE_UNDERFLOW);",
        "(void)missed;",
        "float16 64 200",
    ),
    Mutant(
        "float16 ties away",
        "cpp/float16.h",
        "(value + half - 1 + (value >> shift & 1)) >> shift",
        "(value + half) >> shift",
        "float16 64 200",
    ),
    Mutant(
        "quota of the group alone",
        "cpp/processors.cc",
        "group.resize(slash);",
        "return quota;",
        "cgroups",
    ),
    Mutant(
        "stair's end not checked",
        RANGES,
        "if (stair_at(next - 1) != stair || (next < end && stair_at(next) == stair)) {",
        "if (false) {",
        "ranges 20000",
    ),
    Mutant("range halves alike", RANGES, "steps, i + lanes / 2)", "steps, i)", "ranges 2000"),
    Mutant(
        "axes joined that one operand does not join",
        "cpp/sweep.cc",
        "!std::all_of(sweep.operands",
        "!std::any_of(sweep.operands",
        "grids 300",
    ),
    Mutant(
        "a row's first columns not repeated",
        "cpp/sweep.cc",
        "more = std::min(lanes, grid.columns - end_column);",
        "more = lanes;",
        "grids 300",
    ),
    Mutant(
        "next row of a short row missed",
        "cpp/sweep_loops.cc",
        "row += whole_rows + (wraps ? 1 : 0);",
        "row += whole_rows;",
        "grids 300",
    ),
    Mutant(
        "a chunk one short",
        PARALLEL,
        "std::min(n, (c + 1) * chunk)",
        "std::min(n - 1, (c + 1) * chunk)",
        "concurrency 2000",
    ),
    Mutant(
        "workers' flags lost",
        PARALLEL,
        "std::feraiseexcept(call.raised.load(std::memory_order_relaxed));",
        "",
        "flags 400000",
    ),
    # POSIX threads inherit the modes, so that leaving them alone would be no fault there.
    Mutant(
        "workers' modes lost",
        PARALLEL,
        "std::fesetenv(&environment);",
        "std::fesetenv(FE_DFL_ENV);",
        "flags 400000",
    ),
    Mutant(
        "fallback's quotient by a reciprocal",
        f"{PACKAGE}/_formula.py",
        "p = step / decay_steps",
        "p = step * (1 / decay_steps)",
        "tests/test_kernels.py -k fallback",
    ),
    Mutant(
        "fallback's flags lost",
        f"{PACKAGE}/_fallback.py",
        "    report_flags(name, raised)",
        "    pass",
        "tests/test_flags.py -k one_element_reports",
    ),
    Mutant(
        "step rounded twice",
        f"{PACKAGE}/_formula.py",
        "if narrow and isinstance(step, int) and not -(2**53) <= step <= 2**53:",
        "if False:",
        "tests/test_schedule.py",
    ),
    Mutant(
        "every piece from the start",
        f"{PACKAGE}/_evaluate.py",
        "block, steps[i], steps.step",
        "block, steps[0], steps.step",
        "tests/test_range.py -k precompute",
    ),
    Mutant(
        "thread count not put back",
        f"{PACKAGE}/threads.py",
        "self._blocks.pop(id(self), None)",
        "pass",
        "tests/test_threads.py -k blocks",
    ),
    Mutant("table not synchronised", STORAGE, "os.fsync(self._file.fileno())", "pass", ORDER),
    Mutant(
        "folder not synchronised", f"{PACKAGE}/_files.py", "os.fsync(descriptor)", "pass", ORDER
    ),
    Mutant(
        "short write taken for whole",
        STORAGE,
        "data = data[self._file.write(data) :]",
        "data = data[self._file.write(data) + len(data) :]",
        "tests/test_storage.py -k short_writes",
    ),
]


def fails(command: list[str], cwd: Path) -> bool:
    """Whether a test fails, as it must: a time-out counts, a wrong call of pytest does not."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        return True
    if command[0] == sys.executable and (done.returncode > 1 or not done.stdout):
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.returncode != 0


def build(tree: Path) -> None:
    """Build the programs of tests/native in the copy."""
    native = [
        ["cmake", "-B", "build", "-G", "Ninja", "-DINVDECAY_TESTS=ON", "-DINVDECAY_FEW_TARGETS=ON"],
        ["cmake", "--build", "build"],
    ]
    for command in native:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the mutant does not build:\n{done.stdout}{done.stderr}")


def test_command(tree: Path, mutant: Mutant) -> list[str]:
    """Return the command that runs a mutant's test in the copy."""
    if mutant.file.startswith("cpp/"):
        program, *arguments = mutant.test.split()
        return [str(tree / "build" / "tests" / "native" / program), *arguments]
    return [sys.executable, "-B", "-c", RUN_PYTEST, str(tree / "python"), *mutant.test.split()]


def copy_tree(to: Path) -> None:
    """Copy the sources; in the Python package, the native module that is installed as well."""
    for name in ("cpp", "cmake", "tests", "python"):
        shutil.copytree(TREE / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CMakeLists.txt", "pyproject.toml"):
        shutil.copy2(TREE / name, to / name)
    import invdecay._core as core

    shutil.copy2(core.__file__, to / "python" / "invdecay")


def main() -> int:
    """Apply each mutant alone and report those that no test caught."""
    wanted = [m for m in MUTANTS if len(sys.argv) < 2 or m.name in sys.argv[1:]]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        if any(mutant.file.startswith("cpp/") for mutant in wanted):
            build(tree)
        for command in {tuple(test_command(tree, mutant)) for mutant in wanted}:
            if fails(list(command), tree):
                raise RuntimeError(f"{' '.join(command)} fails without a fault")
        for mutant in wanted:
            source = tree / mutant.file
            original = source.read_text()
            if mutant.old not in original:
                raise RuntimeError(f"{mutant.name}: {mutant.file} has no {mutant.old!r}")
            source.write_text(original.replace(mutant.old, mutant.new))
            if mutant.file.startswith("cpp/"):
                build(tree)
            caught = fails(test_command(tree, mutant), tree)
            missed += not caught
            source.write_text(original)
            print(f"{'caught' if caught else 'MISSED'}: {mutant.name} ({mutant.test})", flush=True)
    print(f"{len(wanted)} mutants, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
