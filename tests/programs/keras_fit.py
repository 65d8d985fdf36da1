"""The rates that Keras's model.fit really uses, against the table, bit for bit.

Every step moves a different weight, from zero and along a slope of exactly 1, by Keras's own
gradient descent: afterwards the weights are the rates. Run it with KERAS_BACKEND set:

    python keras_fit.py [--steps 2000] [--schedules 20] [--jit true|false] [--keras-too]

prints how many rates differ from the table: in the continuous form and by how many units in the
last place at most, and in the staircase form, where the rates that differ are on the wrong stair.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from invdecay.keras import InverseTimeDecay

KERAS_CLASS = keras.optimizers.schedules.InverseTimeDecay


def schedules(count: int) -> Iterator[tuple[float, float, float, bool]]:
    """Hyperparameters: the first ones are those that compilers are known to get wrong."""
    yield from [(0.1, 123.0, 0.5, True), (0.1, 49.0, 0.37, True)][:count]
    rng = np.random.default_rng(7)
    for i in range(2, count):
        rate, steps, initial = 10.0 ** rng.uniform((-2, 0, -4), (1.5, 3, 0)).round(3)
        yield float(initial), float(steps), float(rate), i % 2 == 0


def used_rates(schedule: Any, first: int, steps: int, **options: Any) -> npt.NDArray[Any]:
    """Train from step `first` on, and return the rate of each step."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((steps,)), layer])
    optimizer = keras.optimizers.SGD(learning_rate=schedule)
    model.compile(optimizer, loss=lambda _, output: keras.ops.mean(output), **options)
    optimizer.build(model.trainable_variables)
    optimizer.iterations.assign(first)
    one_hot = np.eye(steps, dtype=np.float32)
    model.fit(one_hot, np.zeros(steps), batch_size=1, shuffle=False, verbose=0)
    assert int(optimizer.iterations) == first + steps
    return -keras.ops.convert_to_numpy(layer.kernel)[:, 0]


def ulp_apart(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> int:
    return int(np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32)).max())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--begin", type=int, default=0, help="the first of these schedules")
    parser.add_argument("--first", type=int, default=0, help="the first step")
    parser.add_argument("--jit", choices=["true", "false"], default="true")
    parser.add_argument("--keras-too", action="store_true", help="Keras's own class beside it")
    asked = parser.parse_args()
    steps = range(asked.first, asked.first + asked.steps)
    found: dict[str, Any] = {"backend": keras.backend.backend(), "jit_compile": asked.jit}
    for cls in (InverseTimeDecay, KERAS_CLASS) if asked.keras_too else (InverseTimeDecay,):
        counts = {"rates": 0, "continuous": 0, "ulp": 0, "staircase": 0}
        for hyper in list(schedules(asked.schedules))[asked.begin :]:
            table = InverseTimeDecay(*hyper).precompute(steps)
            rates = used_rates(cls(*hyper), steps[0], len(steps), jit_compile=asked.jit == "true")
            counts["rates"] += len(rates)
            counts["staircase" if hyper[3] else "continuous"] += int((rates != table).sum())
            if not hyper[3]:
                counts["ulp"] = max(counts["ulp"], ulp_apart(rates, table))
            keras.backend.clear_session()
        found["ours" if cls is InverseTimeDecay else "keras"] = counts
    print(json.dumps(found))


if __name__ == "__main__":
    main()
