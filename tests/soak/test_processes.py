"""Forks after threaded use, and Ctrl-C in the longest calls."""

import os
import signal
import threading
import time
import timeit

import invdecay
import numpy as np
import pytest
from invdecay import InverseTimeDecay
from support.oracle import assert_same_bits

SCHEDULE = InverseTimeDecay(0.1, 1000, 0.5, dtype="float32")


def exit_status_within(pid: int, seconds: float) -> int | None:
    """Exit status of a child; None where it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_thousand_forks_after_threaded_use():
    n = 1 << 19
    expected = SCHEDULE.precompute(n)
    with invdecay.num_threads(4):
        for _ in range(1000):
            assert_same_bits(SCHEDULE.precompute(n), expected)
            pid = os.fork()
            if pid == 0:
                same = np.array_equal(SCHEDULE.precompute(n), expected)
                os._exit(0 if same else 1)
            assert exit_status_within(pid, 60) == 0


@pytest.mark.slow
def test_a_hundred_interrupts_of_a_long_precompute(record_property):
    """Each stops before the table is done; how soon is measured, not asserted."""
    table = np.full(1 << 29, -1, np.float32)  # written once: no page is new in what follows
    random = np.random.default_rng(0)
    whole = min(timeit.repeat(lambda: SCHEDULE.precompute(len(table), out=table), number=1))
    latencies = []
    for delay in random.uniform(0.02, 0.4, 100) * whole:
        table[-1] = -1
        sent = []

        def interrupt(sent=sent):
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(delay, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            SCHEDULE.precompute(len(table), out=table)
        latencies.append(time.perf_counter() - sent[0])
        timer.join()
        assert table[-1] == -1
    record_property("seconds_for_the_table", whole)
    record_property("longest_latency_seconds", max(latencies))
    print(f"\n100 interrupts of a {whole:.2f} s call: longest {max(latencies):.3f} s,")
    print(f"median {np.median(latencies):.3f} s")
