from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

targets: Final[tuple[str, ...]]
build_info: Final[dict[str, str]]

@final
class Kernels:
    @property
    def continuous_decay(self) -> np.ufunc: ...
    @property
    def staircase_decay(self) -> np.ufunc: ...
    def fill_range(
        self,
        out: npt.NDArray[Any],
        start: int,
        step: int,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool,
        arithmetic: str,
    ) -> int: ...
    def evaluate(
        self,
        out: npt.NDArray[Any],
        step: npt.NDArray[Any] | tuple[int, int],
        initial_learning_rate: npt.NDArray[Any],
        decay_steps: npt.NDArray[Any],
        decay_rate: npt.NDArray[Any],
        staircase: bool,
        arithmetic: str,
    ) -> int | None: ...

def kernels(target: str) -> Kernels: ...
def report_flags(name: str, flags: int) -> None: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def limit_this_thread(n: int) -> int: ...
