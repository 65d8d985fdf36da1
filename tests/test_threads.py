"""Threads: counts, isolation, the same bits on any number, and forks after use."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import invdecay
import numpy as np
import pytest
from invdecay import threads
from support.kernels import ufunc
from support.oracle import assert_same_bits, numpy_decay

HYPER = 0.1, 1000.0, 0.5
LARGE = 2_000_003


@pytest.fixture(autouse=True)
def same_count_afterwards():
    before = invdecay.get_num_threads()
    yield
    invdecay.set_num_threads(before)


# ---------------------------------------------------------------- counts


def test_set_and_get():
    invdecay.set_num_threads(3)
    assert invdecay.get_num_threads() == 3
    invdecay.set_num_threads(np.int8(1))
    assert invdecay.get_num_threads() == 1


def test_blocks_nest_and_end_by_exceptions_too():
    invdecay.set_num_threads(5)
    with invdecay.num_threads(2):
        assert invdecay.get_num_threads() == 2
        with suppress(KeyError), invdecay.num_threads(7):
            assert invdecay.get_num_threads() == 7
            raise KeyError
        assert invdecay.get_num_threads() == 2
        invdecay.set_num_threads(4)
        assert invdecay.get_num_threads() == 2
    assert invdecay.get_num_threads() == 4


def test_one_block_object_is_entered_once_at_a_time():
    invdecay.set_num_threads(5)
    block = invdecay.num_threads(2)
    for _ in range(2):
        with block:
            with pytest.raises(RuntimeError, match="entered already"), block:
                pass
            with ThreadPoolExecutor(1) as pool:
                assert isinstance(pool.submit(block.__enter__).exception(), RuntimeError)
                left = pool.submit(block.__exit__, None, None, None)
                assert "another thread" in str(left.exception())
            assert invdecay.get_num_threads() == 2
        assert invdecay.get_num_threads() == 5


def test_overlapping_blocks_leave_no_limit_behind():
    """Generators and asyncio tasks of one thread leave their blocks in any order."""

    async def limited(n, seconds):
        with invdecay.num_threads(n):
            await asyncio.sleep(seconds)

    async def overlapping():
        await asyncio.gather(limited(2, 0.01), limited(3, 0.03), limited(4, 0.02))

    invdecay.set_num_threads(5)
    asyncio.run(overlapping())
    assert invdecay.get_num_threads() == 5
    first, second = invdecay.num_threads(2), invdecay.num_threads(3)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert invdecay.get_num_threads() == 3
    second.__exit__(None, None, None)
    assert invdecay.get_num_threads() == 5


@pytest.mark.parametrize("moment", ["entering", "leaving"])
def test_an_interrupted_block_leaves_no_limit_behind(monkeypatch, moment):
    """Ctrl-C may come inside of ``__enter__`` and ``__exit__``."""

    def interrupted(n):
        monkeypatch.undo()
        raise KeyboardInterrupt

    def interrupt():
        monkeypatch.setattr(threads.module, "limit_this_thread", interrupted)

    def run():
        if moment == "entering":
            interrupt()
        with invdecay.num_threads(2):
            interrupt()

    invdecay.set_num_threads(5)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert threads.module.get_num_threads() == 5


def test_a_block_in_a_generator_that_another_thread_closes():
    def limited():
        with invdecay.num_threads(2):
            yield

    invdecay.set_num_threads(5)
    generator = limited()
    next(generator)
    assert invdecay.get_num_threads() == 2
    with ThreadPoolExecutor(1) as pool:
        assert "another thread" in str(pool.submit(generator.close).exception())
    assert invdecay.get_num_threads() == 5


def test_a_block_is_left_once():
    block = invdecay.num_threads(2)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="is not entered"):
            block.__exit__(None, None, None)
        with block:
            pass


def test_blocks_hold_for_their_thread_only():
    invdecay.set_num_threads(5)
    with invdecay.num_threads(2), ThreadPoolExecutor(1) as pool:
        assert pool.submit(invdecay.get_num_threads).result() == 5
        assert invdecay.get_num_threads() == 2


@pytest.mark.parametrize("limit", [invdecay.set_num_threads, invdecay.num_threads])
@pytest.mark.parametrize(
    ("count", "error"),
    [
        *((count, ValueError) for count in (0, -1, 4097, 2**70)),
        *((count, TypeError) for count in (2.0, "2", True, None)),
    ],
    ids=lambda x: None if isinstance(x, type) else repr(x),
)
def test_bad_counts(limit, count, error):
    with pytest.raises(error, match=r"^n must be") as caught:
        limit(count)
    assert repr(count) in str(caught.value)


def run_python(script):
    """Output of a fresh interpreter, which has nothing to complain of."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_affinity_bounds_the_count():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import invdecay;"
        "print(invdecay.get_num_threads())"
    )
    assert run_python(script) == "1"


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize("steps", ["i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bits_do_not_depend_on_the_number_of_threads(kernels, staircase, steps, dtype):
    at = np.arange(LARGE).astype(steps)
    expected = numpy_decay(at, *HYPER, staircase, dtype)
    for count in (1, 2, 3, 8):
        with invdecay.num_threads(count):
            assert_same_bits(ufunc(kernels, staircase)(at, *HYPER, dtype=dtype), expected)


@pytest.mark.parametrize("layout", ["in place", "strided", "arrays"])
def test_other_layouts_on_several_threads(kernels, staircase, layout):
    steps = np.arange(2.0 * LARGE)
    expected = numpy_decay(steps, *HYPER, staircase, "f8")
    with invdecay.num_threads(3):
        if layout == "in place":
            ufunc(kernels, staircase)(steps, *HYPER, out=steps)
            assert_same_bits(steps, expected)
        elif layout == "strided":
            assert_same_bits(ufunc(kernels, staircase)(steps[::-2], *HYPER), expected[::-2])
        else:
            rates = np.full(steps.shape, HYPER[2])
            assert_same_bits(ufunc(kernels, staircase)(steps, *HYPER[:2], rates), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tables_do_not_depend_on_the_number_of_threads(staircase, dtype):
    schedule = invdecay.InverseTimeDecay(*HYPER, staircase, dtype=dtype)
    expected = numpy_decay(np.arange(LARGE), *HYPER, staircase, dtype)
    for count in (1, 2, 3, 8):
        with invdecay.num_threads(count):
            assert_same_bits(schedule.precompute(LARGE), expected)


def test_eight_python_threads_at_once(kernels, staircase):
    steps = np.arange(500_003.0)
    expected = numpy_decay(steps, *HYPER, staircase, "f8")
    start = threading.Barrier(8)

    def call(count):
        start.wait()
        with invdecay.num_threads(count):
            return [ufunc(kernels, staircase)(steps, *HYPER) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(call, range(1, 9)):
            for result in results:
                assert_same_bits(result, expected)


# ---------------------------------------------------------------- fork


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_children_forked_after_use_compute():
    """Fork in a separate interpreter: threads of other libraries would not survive a fork."""
    script = f"""if True:
        import multiprocessing, sys, warnings
        import invdecay, numpy as np
        sys.path.append({os.path.dirname(__file__)!r})
        from support.oracle import numpy_decay

        warnings.simplefilter("error")  # Python warns where a process with threads forks
        steps = np.arange({LARGE}.0)
        invdecay.set_num_threads(3)
        expected = numpy_decay(steps, *{HYPER}, False, "f8")

        def compute():
            sys.exit(not np.array_equal(invdecay.continuous_decay(steps, *{HYPER}), expected))

        invdecay.continuous_decay(steps, *{HYPER})
        context = multiprocessing.get_context("fork")
        for _ in range(5):
            child = context.Process(target=compute)
            child.start()
            child.join(60)
            print(child.exitcode)
            child.kill()
    """
    assert run_python(script).split() == ["0"] * 5


def test_no_thread_is_left(kernels):
    """Threads live for one call: none is there to be lost in a fork or to end at exit."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no /proc here")

    def tasks():
        return set(os.listdir("/proc/self/task"))

    before = tasks()
    with invdecay.num_threads(8):
        kernels.continuous_decay(np.arange(1.0 * LARGE), *HYPER)
    deadline = time.monotonic() + 10  # a joined thread is listed for a moment longer
    while tasks() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not tasks() - before
