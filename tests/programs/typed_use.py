"""Typed use of the public interface: checked by mypy and pyright, never run."""

from pathlib import Path
from typing import Any, assert_type

import invdecay
import invdecay.dask
import numpy as np
import numpy.typing as npt
from invdecay import InverseTimeDecay
from invdecay.torch import InverseTimeDecayLR
from matplotlib.axes import Axes
from torch.nn import Parameter
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR


def schedules(rate: np.float32) -> None:
    schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=0.5, staircase=True)
    assert_type(schedule.initial_learning_rate, float)
    assert_type(schedule.staircase, bool)
    assert_type(schedule.dtype, np.dtype[Any])
    assert_type(schedule.get_config(), dict[str, Any])
    assert_type(InverseTimeDecay.from_config(schedule.get_config()), InverseTimeDecay)
    assert_type(InverseTimeDecay.from_endpoints(0.1, 0.001, 10_000), InverseTimeDecay)
    assert_type(schedule.step_at(0.05), int)
    assert_type(schedule == InverseTimeDecay(rate, 10, 1, dtype="float32"), bool)
    assert_type({schedule: 1}[schedule], int)
    InverseTimeDecay(rate, 10, 1, dtype=np.float64)
    InverseTimeDecay(rate, 10, 1, dtype=np.dtype(np.float32))


def tables(schedule: InverseTimeDecay, out: npt.NDArray[np.float16], path: Path) -> None:
    assert_type(schedule.precompute(1000), npt.NDArray[Any])
    schedule.precompute(range(0, 1000, 10))
    schedule.precompute(range(1000), out=out)
    invdecay.save_table(schedule, path, 10**9)
    invdecay.save_table(schedule, str(path), range(10**9))
    invdecay.dask.precompute(schedule, 10**12, chunks="64 MiB")


def rates(schedule: InverseTimeDecay, steps: npt.NDArray[np.int64]) -> None:
    def lr(step: int) -> float:
        return schedule(step)

    assert_type(schedule(1.5), float)
    assert_type(schedule(steps), npt.NDArray[np.floating[Any]])
    assert_type(schedule(range(10)), npt.NDArray[np.floating[Any]])
    assert_type(schedule([1, 2]), npt.NDArray[np.floating[Any]])
    assert_type(schedule(np.int64(5)), np.floating[Any])
    assert_type(invdecay.inverse_time_decay(5, 0.1, 1000, 0.5), np.floating[Any])
    assert_type(invdecay.inverse_time_decay(steps, 0.1, 1000, 0.5), npt.NDArray[Any])
    assert_type(invdecay.inverse_time_decay(range(5), 0.1, 1000, [0.5]), npt.NDArray[Any])
    lr(5)


def functions(steps: npt.NDArray[np.int64], out: npt.NDArray[np.float64]) -> None:
    invdecay.inverse_time_decay(steps, 0.1, decay_steps=1000, decay_rate=0.5, staircase=True)
    invdecay.inverse_time_decay(steps, 0.1, 1000, [0.5, 1.0], out=out, where=steps > 3)
    assert_type(invdecay.continuous_decay, np.ufunc)
    invdecay.staircase_decay(steps, 0.1, 1000, 0.5, out=out)


def threads() -> None:
    invdecay.set_num_threads(2)
    assert_type(invdecay.get_num_threads(), int)
    with invdecay.num_threads(1):
        pass


def about() -> None:
    assert_type(invdecay.__version__, str)
    assert_type(invdecay.simd_target, str | None)
    assert_type(invdecay.available_targets, tuple[str, ...])
    invdecay.show_config()


def pictures(schedule: InverseTimeDecay) -> None:
    ax = schedule.plot(5000, xscale="log", label="decay")
    assert_type(ax, Axes)
    assert_type(schedule.plot(5000, ax=ax), Axes)


def training(parameter: Parameter) -> None:
    optimizer = SGD([parameter], lr=0.1)
    scheduler = InverseTimeDecayLR(optimizer, decay_steps=1000, decay_rate=0.5)
    scheduler.load_state_dict(scheduler.state_dict())
    scheduler.step()
    LambdaLR(optimizer, InverseTimeDecay(1.0, 1000, 0.5))
