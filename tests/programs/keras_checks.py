"""What holds on every Keras backend; test_keras.py runs this file once for each of them."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import invdecay
import keras
import numpy as np
import pytest
from invdecay.keras import InverseTimeDecay
from programs.keras_fit import used_rates
from support.oracle import assert_same_bits, numpy_decay

KERAS_CLASS = keras.optimizers.schedules.InverseTimeDecay
BACKEND = keras.backend.backend()
CONFIGS = [
    (0.001, 20_000.0, 1.0, False),
    (0.1, 123.0, 0.5, True),  # XLA's and TensorFlow's rewriting: every hundredth step is wrong
    (0.1, 49.0, 0.37, False),
    (0.1, 1.0, 0.5, True),
]

trains = pytest.mark.skipif(BACKEND == "numpy", reason="Keras's NumPy backend does not train")
rounds_once = pytest.mark.skipif(BACKEND == "jax", reason="JAX's eager operations are XLA's too")


def trained_model(schedule: Any, **compile_options: Any) -> keras.Model:
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
    model.fit(data, labels, epochs=5, batch_size=16, verbose=0)
    return model


def to_numpy(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


def expected(steps: Any, config: tuple[Any, ...], dtype: str = "float32") -> Any:
    return numpy_decay(steps, *config, dtype)


# ---------------------------------------------------------------- training and the table


@trains
@pytest.mark.parametrize("config", CONFIGS[1:3], ids=["staircase", "continuous"])
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
def test_fit_uses_the_rates_of_the_table(options: dict[str, bool], config: tuple[Any, ...]) -> None:
    schedule = InverseTimeDecay(*config)
    table = schedule.precompute(range(100, 160))
    assert_same_bits(table, expected(np.arange(100, 160), config))
    assert_same_bits(used_rates(schedule, 100, 60, **options), table)


@trains
@rounds_once
def test_eager_training_is_keras_s_own() -> None:
    models = [
        trained_model(cls(0.1, 1.0, 0.5), run_eagerly=True)
        for cls in (InverseTimeDecay, KERAS_CLASS)
    ]
    ours, theirs = ([w.tobytes() for w in model.get_weights()] for model in models)
    assert ours == theirs


@trains
def test_the_optimizer_shows_the_rate_of_the_table() -> None:
    schedule = InverseTimeDecay(0.1, 1.0, 0.5)
    model = trained_model(schedule)
    assert int(model.optimizer.iterations) == 20
    assert float(model.optimizer.learning_rate) == schedule(20) == schedule.precompute(21)[20]


@pytest.mark.parametrize("config", CONFIGS)
def test_tensors_give_the_bits_of_the_table(config: tuple[Any, ...]) -> None:
    schedule = InverseTimeDecay(*config)
    steps = np.arange(0, 100_000, 7, dtype=np.int32)
    tensor = keras.ops.convert_to_tensor(steps)
    result = schedule(tensor)
    assert type(result) is type(tensor)
    table = schedule.precompute(range(0, 100_000, 7))
    assert_same_bits(table, expected(steps, config))
    assert_same_bits(to_numpy(result), table)
    assert_same_bits(schedule(steps), table)
    assert type(schedule(steps)) is np.ndarray
    if BACKEND != "jax":
        assert_same_bits(to_numpy(KERAS_CLASS(*config)(tensor)), table)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.skipif(BACKEND not in ("tensorflow", "jax", "torch"), reason="compiles nothing")
def test_compiled_rates_have_the_bits_of_the_table(config: tuple[Any, ...]) -> None:
    steps = np.random.default_rng(0).integers(0, 10**8, 50_000).astype(np.int32)
    steps[:10_000] %= 10_000
    schedule = InverseTimeDecay(*config)
    for compiled in compilations(schedule):
        rates = to_numpy(compiled(keras.ops.convert_to_tensor(steps)))
        assert_same_bits(rates, expected(steps, config))


def compilations(schedule: InverseTimeDecay) -> list[Callable[[Any], Any]]:
    def call(step: Any) -> Any:
        return schedule(step)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        return [tf.function(call), tf.function(call, jit_compile=True)]
    if BACKEND == "jax":
        import jax

        return [jax.jit(call), jax.jit(jax.vmap(call))]
    import torch

    torch.compiler.reset()
    return [torch.compile(call, backend="aot_eager", fullgraph=True)]


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's compiler")
def test_inductor_keeps_the_bits_of_the_table(config: tuple[Any, ...]) -> None:
    import torch

    torch.compiler.reset()
    schedule = InverseTimeDecay(*config)
    steps = np.random.default_rng(0).integers(0, 10**8, 50_000).astype(np.int32)
    compiled = torch.compile(lambda step: schedule(step), fullgraph=True)
    assert_same_bits(compiled(torch.from_numpy(steps)).numpy(), expected(steps, config))


# ---------------------------------------------------------------- steps and dtypes


def test_numbers_give_python_floats() -> None:
    schedule = InverseTimeDecay(0.1, 1.0, 0.5)
    assert type(schedule(3)) is float
    assert schedule(3) == float(schedule.precompute(range(3, 4))[0])


def test_variables_are_tensors() -> None:
    schedule = InverseTimeDecay(0.1, 123.0, 0.5, True)
    variable = keras.Variable(123, dtype="int32", trainable=False)
    rate = schedule(variable)
    assert type(rate) is not float
    assert_same_bits(np.asarray(to_numpy(rate)), expected(123, CONFIGS[1]))


def test_ranges_and_out() -> None:
    schedule = InverseTimeDecay(*CONFIGS[1])
    table = expected(np.arange(0, 999, 3), CONFIGS[1])
    assert_same_bits(schedule(range(0, 999, 3)), table)
    out = np.empty(333, np.float32)
    assert schedule.precompute(range(0, 999, 3), out=out) is out
    assert_same_bits(out, table)
    assert_same_bits(schedule([0, 3, 6]), table[:3])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "uint8", "int64"])
def test_steps_of_every_dtype_are_rounded_once_to_float32(dtype: str) -> None:
    if BACKEND == "numpy" and dtype == "bfloat16":
        pytest.skip("NumPy itself has no bfloat16")
    schedule = InverseTimeDecay(*CONFIGS[1])
    steps = keras.ops.cast(keras.ops.convert_to_tensor(np.arange(0, 256, 2, np.int32)), dtype)
    at = to_numpy(keras.ops.cast(steps, "float32"))
    assert_same_bits(to_numpy(schedule(steps)), expected(at, CONFIGS[1]))


@pytest.mark.parametrize("values", [[1j], ["1"]])
def test_tensors_that_are_not_real_are_refused(values: list[Any]) -> None:
    try:
        steps = keras.ops.convert_to_tensor(values)
    except (TypeError, ValueError):
        steps = np.array(values)  # the backend has no such tensors
    with pytest.raises(TypeError, match="step must hold real numbers"):
        InverseTimeDecay(0.1, 1.0, 0.5)(steps)


def test_symbolic_steps_become_an_operation_of_the_model(tmp_path: Path) -> None:
    config = CONFIGS[1]
    steps = np.arange(0, 999, 3, dtype=np.float32)[None]
    symbolic = keras.Input((333,))
    rates = InverseTimeDecay(*config)(symbolic)
    assert isinstance(rates, keras.KerasTensor)
    assert rates.shape == (None, 333)
    model = keras.Model(symbolic, rates)
    model.save(tmp_path / "model.keras")
    for each in model, keras.saving.load_model(tmp_path / "model.keras"):
        assert_same_bits(each.predict(steps, verbose=0), expected(steps, config))


def test_the_table_is_in_the_dtype_that_keras_computes_in() -> None:
    """Run under each floatx in a separate process, because Keras keeps dtypes that depend on it."""
    check_the_dtype_of_keras()


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's option")
def test_the_table_is_in_float64_with_jax_s_x64() -> None:
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        assert check_the_dtype_of_keras() == np.float64
    finally:
        jax.config.update("jax_enable_x64", before)


def check_the_dtype_of_keras() -> Any:
    """16 bits excepted: then Keras's class computes in them, and ours in float32."""
    config = CONFIGS[1]
    steps = np.arange(0, 999, 3, dtype=np.int32)
    tensor = keras.ops.convert_to_tensor(steps)
    theirs = keras.backend.standardize_dtype(KERAS_CLASS(*config)(tensor).dtype)
    dtype = "float32" if theirs.endswith("float16") else theirs
    schedule = InverseTimeDecay(*config)
    assert schedule.native == invdecay.InverseTimeDecay(*config, dtype=dtype)
    table = expected(steps, config, dtype)
    assert_same_bits(schedule.precompute(range(0, 999, 3)), table)
    assert_same_bits(to_numpy(schedule(tensor)), table)
    assert schedule(123) == expected(123, config, dtype)
    if BACKEND != "numpy":
        for compiled in compilations(schedule):
            assert_same_bits(to_numpy(compiled(tensor)), table)
    return np.dtype(dtype)


# ---------------------------------------------------------------- saving and loading


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
    model = trained_model(InverseTimeDecay(0.1, 1.0, 0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    schedule = loaded.optimizer._learning_rate
    assert type(schedule) is InverseTimeDecay
    assert schedule.get_config() == InverseTimeDecay(0.1, 1.0, 0.5).get_config()
    assert int(loaded.optimizer.iterations) == 20
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)


@trains
def test_a_model_saved_with_keras_s_class_goes_on_with_ours(tmp_path: Path) -> None:
    model = trained_model(KERAS_CLASS(0.1, 1.0, 0.5))
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
    model = trained_model(InverseTimeDecay(0.1, 1.0, 0.5))
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


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.1, 0, 0.5), ValueError, "decay_steps must be positive, got 0"),
        ((0.1, float("nan"), 0.5), ValueError, "decay_steps must be finite"),
        (("0.1", 1, 0.5), TypeError, "initial_learning_rate must be a real number, got '0.1'"),
        ((0.1, 1, True), TypeError, "decay_rate must be a real number, got True"),
        ((0.1, 1, 0.5, "no"), TypeError, "staircase must be a boolean, got 'no'"),
    ],
)
def test_bad_arguments_are_named(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        InverseTimeDecay(*arguments)


def test_a_call_without_a_step_is_keras_2_s() -> None:
    with pytest.raises(TypeError, match="Keras 3 only"):
        InverseTimeDecay(0.1, 1.0, 0.5)()


def test_keras_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "__version__", "2.15.0")
    with pytest.raises(ImportError, match=r"Keras 3 only, found Keras 2\.15\.0"):
        runpy.run_path(str(Path(invdecay.__file__).with_name("keras.py")), {}, "invdecay.again")
