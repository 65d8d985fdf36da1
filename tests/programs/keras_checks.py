"""What holds on every Keras backend; test_keras.py runs this file once for each of them."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import invdecay
import keras
import numpy as np
import numpy.typing as npt
import pytest
from invdecay.keras import InverseTimeDecay

KERAS_CLASS = keras.optimizers.schedules.InverseTimeDecay
BACKEND = keras.backend.backend()
BITS_PROMISED = BACKEND in ("numpy", "torch", "tensorflow")
ULP_COMPILED = 4
"""The bound that the class's docstring states for XLA and graph compilers."""
CONFIGS = [(0.001, 20_000, 1, False), (0.1, 1.0, 0.5, False), (0.1, 1.0, 0.5, True)]

trains = pytest.mark.skipif(BACKEND == "numpy", reason="Keras's NumPy backend does not train")


def ulp_apart(a: npt.ArrayLike, b: npt.ArrayLike) -> int:
    bits_a, bits_b = (np.asarray(x, np.float32).view(np.int32).astype(np.int64) for x in (a, b))
    return int(np.abs(bits_a - bits_b).max())


class RecordedRates(keras.callbacks.Callback):
    """The optimizer's iteration and learning rate before each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, float]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        rate = np.float32(keras.ops.convert_to_numpy(optimizer.learning_rate))
        self.seen.append((int(optimizer.iterations), float(rate)))


def trained_model(schedule: Any, **compile_options: Any) -> tuple[keras.Model, RecordedRates]:
    """The example of Keras's reference page, with data to go with it."""
    rng = np.random.default_rng(0)
    data, labels = rng.normal(size=(64, 8)).astype(np.float32), rng.integers(0, 3, 64)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **compile_options,
    )
    rates = RecordedRates()
    model.fit(data, labels, epochs=5, batch_size=16, verbose=0, callbacks=[rates])
    return model, rates


def weights(model: keras.Model) -> list[Any]:
    return [np.asarray(w).tobytes() for w in model.get_weights()]


@trains
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"run_eagerly": True},
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=[pytest.mark.slow] if BACKEND == "torch" else []),
    ],
    ids=["defaults", "eager", "jit-off", "jit"],
)
def test_training_is_keras_s_own_and_follows_the_table(options: dict[str, bool]) -> None:
    schedule = InverseTimeDecay(0.1, 1.0, 0.5)
    model, rates = trained_model(schedule, **options)
    table = schedule.precompute(21)
    steps = [step for step, _ in rates.seen]
    assert steps == list(range(20))
    assert ulp_apart([rate for _, rate in rates.seen], table[:20]) <= (
        0 if BITS_PROMISED else ULP_COMPILED
    )
    final = keras.ops.convert_to_numpy(model.optimizer.learning_rate)
    assert ulp_apart(final, table[20]) <= (0 if BITS_PROMISED else ULP_COMPILED)
    reference, _ = trained_model(KERAS_CLASS(0.1, 1.0, 0.5), **options)
    assert weights(model) == weights(reference)


@pytest.mark.parametrize("config", CONFIGS)
def test_tensors_give_the_bits_of_the_table(config: tuple[Any, ...]) -> None:
    schedule = InverseTimeDecay(*config)
    steps = np.arange(0, 100_000, 7, dtype=np.int32)
    tensor = keras.ops.convert_to_tensor(steps)
    result = schedule(tensor)
    assert type(result) is type(tensor)
    ours = keras.ops.convert_to_numpy(result)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, keras.ops.convert_to_numpy(KERAS_CLASS(*config)(tensor)))
    table = schedule.precompute(range(0, 100_000, 7))
    if not config[3] or BITS_PROMISED:
        assert ulp_apart(ours, table) <= (0 if BITS_PROMISED else ULP_COMPILED)
    assert np.array_equal(schedule(steps), table)
    assert type(schedule(steps)) is np.ndarray


@pytest.mark.skipif(BACKEND not in ("tensorflow", "jax", "torch"), reason="compiles nothing")
def test_compiled_rates_stay_within_the_stated_bound() -> None:
    steps = np.random.default_rng(0).integers(0, 10**8, 20_000).astype(np.int32)
    tensor = keras.ops.convert_to_tensor(steps)
    for initial, decay_steps, rate in product((0.1, 0.001), (1.0, 7.0, 20_000.0), (0.5, 1.0, 33.3)):
        schedule = InverseTimeDecay(initial, decay_steps, rate)
        for compiled in compilations(schedule):
            rates = keras.ops.convert_to_numpy(compiled(tensor))
            assert ulp_apart(rates, schedule(steps)) <= ULP_COMPILED


def compilations(schedule: InverseTimeDecay) -> list[Any]:
    def call(step: Any) -> Any:
        return schedule(step)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        return [tf.function(call), tf.function(call, jit_compile=True)]
    if BACKEND == "jax":
        import jax

        return [jax.jit(call), jax.vmap(call)]
    import torch

    return [torch.compile(call, backend="aot_eager")]


def test_numbers_give_python_floats() -> None:
    schedule = InverseTimeDecay(0.1, 1.0, 0.5)
    assert type(schedule(3)) is float
    assert schedule(3) == float(schedule.precompute(range(3, 4))[0])


def test_symbolic_steps_are_traced() -> None:
    symbolic = InverseTimeDecay(0.1, 1.0, 0.5)(keras.KerasTensor((5,), dtype="int32"))
    assert isinstance(symbolic, keras.KerasTensor)
    assert symbolic.shape == (5,)


def test_serialises_by_its_registered_name() -> None:
    schedule = InverseTimeDecay(0.1, 1000, 0.5, staircase=True, name="decay")
    config = keras.optimizers.schedules.serialize(schedule)
    assert config["registered_name"] == "invdecay>InverseTimeDecay"
    back = keras.optimizers.schedules.deserialize(json.loads(json.dumps(config)))
    assert type(back) is InverseTimeDecay
    assert back.get_config() == schedule.get_config()


def test_keras_config_of_numpy_scalars_becomes_json() -> None:
    schedule = InverseTimeDecay(np.float32(0.1), np.int64(1000), np.float64(0.5))
    assert json.loads(json.dumps(schedule.get_config())) == schedule.get_config()


@trains
def test_a_compiled_model_is_saved_and_goes_on(tmp_path: Path) -> None:
    model, _ = trained_model(InverseTimeDecay(0.1, 1.0, 0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    schedule = loaded.optimizer._learning_rate
    assert type(schedule) is InverseTimeDecay
    assert schedule.get_config() == InverseTimeDecay(0.1, 1.0, 0.5).get_config()
    assert int(loaded.optimizer.iterations) == 20
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)


@trains
def test_a_model_saved_with_keras_s_class_goes_on_with_ours(tmp_path: Path) -> None:
    model, _ = trained_model(KERAS_CLASS(0.1, 1.0, 0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.optimizer.get_config()["learning_rate"]["config"]
    loaded.optimizer.learning_rate = InverseTimeDecay.from_config(config)
    assert type(loaded.optimizer._learning_rate) is InverseTimeDecay
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)


@trains
def test_a_model_saved_with_ours_loads_without_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = trained_model(InverseTimeDecay(0.1, 1.0, 0.5))
    model.save(tmp_path / "model.keras")
    name = "invdecay>InverseTimeDecay"
    monkeypatch.delitem(keras.saving.get_custom_objects(), name)  # as if never imported
    objects = {name: KERAS_CLASS}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=objects)
    assert type(loaded.optimizer._learning_rate) is KERAS_CLASS
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)


def test_a_config_of_the_bare_class_name_takes_custom_objects() -> None:
    config = {"class_name": "InverseTimeDecay", "config": KERAS_CLASS(0.1, 1.0, 0.5).get_config()}
    for cls in (InverseTimeDecay, KERAS_CLASS):
        objects = {"InverseTimeDecay": cls}
        schedule = keras.optimizers.schedules.deserialize(config, custom_objects=objects)
        assert type(schedule) is cls


def test_native_is_in_floatx() -> None:
    schedule = InverseTimeDecay(0.1, 1000, 0.5)
    assert schedule.native == invdecay.InverseTimeDecay(0.1, 1000, 0.5, dtype="float32")
    keras.config.set_floatx("float64")
    try:
        assert schedule.precompute(3).dtype == np.float64
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.1, 0, 0.5), ValueError, "decay_steps must be positive, got 0"),
        ((0.1, float("nan"), 0.5), ValueError, "decay_steps must be finite"),
        (("0.1", 1, 0.5), TypeError, "initial_learning_rate must be a real number, got '0.1'"),
        ((0.1, 1, True), TypeError, "decay_rate must be a real number, got True"),
    ],
)
def test_bad_hyperparameters_are_named(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        InverseTimeDecay(*arguments)
