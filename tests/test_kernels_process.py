"""What must not hang or abort a process: exit during a call, subinterpreters, lack of memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from invdecay import _backend
from support.processes import shared_library

pytestmark = pytest.mark.skipif(
    _backend.backend != "native", reason="these are dangers of native code"
)

# A daemon thread that is in a long call when the interpreter exits, at another moment in each run.
EXIT_DURING_A_CALL = """
import sys, threading, time
import numpy as np
from invdecay import _backend
out = np.empty(4_000_000)
steps = np.arange(4_000_000)
started = threading.Event()
def work():
    while True:
        started.set()
        {call}
threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(float(sys.argv[1]))
"""
CALLS = {
    "range": "_backend.fill_range(out, 0, 1, 0.1, 1000.0, 0.5, False, 'float64')",
    "ufunc": "_backend.continuous_decay(steps, 0.1, 1000.0, 0.5, out=out)",
    "sweep": (
        "_backend.evaluate(out.reshape(40, -1), (0, 1), np.array(0.1), np.array(1000.0),"
        " np.ones((40, 1)), False, 'float64')"
    ),
}

IN_A_SUBINTERPRETER = """
import warnings
warnings.simplefilter("ignore")  # NumPy's own warning about subinterpreters
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
code = '''
import warnings
warnings.simplefilter("ignore")
try:
    import invdecay._core
except ImportError as error:
    print("ImportError", error, flush=True)
'''
run(interpreters.create(), code)
"""

# Half of the address space that the process has by then: large calls start, threads cannot.
WITHOUT_MEMORY_FOR_THREADS = """
import resource
import numpy as np
from invdecay import _backend
out = np.empty(4_000_000)
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 16), resource.RLIM_INFINITY))
_backend.module.set_num_threads(64)
_backend.fill_range(out, 0, 1, 0.1, 1000.0, 0.5, False, "float64")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert out[-1] == 0.1 / (1 + 0.5 * ((len(out) - 1) / 1000.0))
print("done")
"""

# Some allocations of the first large call fail: one, or all from it on. Each child is a process
# that has made no large call before.
WITH_FAILING_ALLOCATIONS = """
import ctypes, os
import numpy as np
from invdecay import _backend
out = np.empty(4_000_000)
steps = np.arange(4_000_000)
shim = ctypes.CDLL(None)
arm, disarm = shim.failing_mallocs_arm, shim.failing_mallocs_disarm
arm.argtypes = [ctypes.c_long, ctypes.c_long]

def some_fail(first, last):
    arm(first, last)
    try:
        {call}
        assert out[-1]
    except MemoryError:
        pass
    return disarm() > 0

failed = 0
for lasting in False, True:
    first = 1
    while True:
        child = os.fork()
        if child == 0:
            os._exit(7 if some_fail(first, 2**62 if lasting else first) else 0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        assert status == 7, (lasting, first, status)
        failed += 1
        first += 1 if first < 40 else 9
print(failed)
"""


def python(
    program: str, *arguments: str, preload: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in a separate interpreter."""
    command = [sys.executable, "-c", program, *arguments]
    environment = {**os.environ, "LD_PRELOAD": str(preload)} if preload else None
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("seconds", ["0.001", "0.003", "0.006", "0.011", "0.02"])
def test_exit_during_a_call(call: str, seconds: str) -> None:
    done = python(EXIT_DURING_A_CALL.format(call=call), seconds)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_subinterpreter_is_refused() -> None:
    done = python(IN_A_SUBINTERPRETER)
    assert done.returncode == 0, done.stderr
    assert "ImportError" in done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_without_memory_for_threads_one_thread_works() -> None:
    done = python(WITHOUT_MEMORY_FOR_THREADS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.fixture(scope="module")
def failing_mallocs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that lets allocations fail."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the shim is for glibc")
    return shared_library("failing_mallocs", tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_failing_allocation_of_the_first_large_call_aborts(
    call: str, failing_mallocs: Path
) -> None:
    done = python(WITH_FAILING_ALLOCATIONS.format(call=call), preload=failing_mallocs)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10
