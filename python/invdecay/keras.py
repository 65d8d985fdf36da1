"""The schedule as a Keras ``LearningRateSchedule``."""

from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import schedule as _schedule
from ._arrayapi import decay, namespace
from ._exact import Exact, infinity_bits
from ._formula import formula

if str(keras.__version__).startswith(("0.", "1.", "2.")):
    raise ImportError(f"invdecay.keras works with Keras 3 only, found Keras {keras.__version__}")


@keras.saving.register_keras_serializable(package="invdecay")
class InverseTimeDecay(keras.optimizers.schedules.InverseTimeDecay):  # type: ignore[misc]
    """Keras's ``InverseTimeDecay`` whose training uses the rates of the table, bit for bit.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate : float
        As for `invdecay.InverseTimeDecay`, and kept as Python numbers.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time.
    name : str, optional
        A name, kept in the configuration.

    Raises
    ------
    TypeError
        If a hyperparameter is not a real number, or `staircase` is not a boolean.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` is not positive.
    ImportError
        When the module is imported beside Keras 2.

    See Also
    --------
    invdecay.InverseTimeDecay : The same schedule without Keras.

    Notes
    -----
    Python numbers, NumPy arrays, lists and ranges are evaluated by `native`. Tensors and variables
    are evaluated in the backend, by operations that its compiler cannot rewrite. So `precompute`
    gives the rates that training uses, on TensorFlow, JAX and PyTorch, with ``jit_compile`` and
    without. Keras's own class gives the same bits where Keras runs eagerly on its NumPy, PyTorch
    and TensorFlow backends. Under XLA and ``tf.function`` it does not, and some steps get the
    rate of another stair. With a ``KerasTensor`` the schedule becomes an operation of the model.

    The dtype is that of ``keras.ops.convert_to_tensor(0.1)``, in which Keras's class computes:
    float32 on TensorFlow; float32 on JAX, and float64 with ``jax_enable_x64``; ``floatx`` on
    PyTorch; float32 on NumPy. Where Keras's class would compute in 16 bits (float16 or bfloat16
    as ``floatx`` on PyTorch, float16 on NumPy), this class computes in float32.

    The class is registered as ``"invdecay>InverseTimeDecay"``. A model saved with it loads where
    `invdecay.keras` is imported. It also loads elsewhere if ``custom_objects`` gives Keras's class
    for that name. Keras loads its own classes whatever ``custom_objects`` says. A model saved with
    Keras's class goes on with this one after
    ``optimizer.learning_rate = InverseTimeDecay.from_config(schedule_config)``.

    Examples
    --------
    >>> import keras
    >>> from invdecay.keras import InverseTimeDecay
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1.0, decay_rate=0.5)
    >>> optimizer = keras.optimizers.SGD(learning_rate=schedule)
    >>> schedule.precompute(3)
    array([0.1       , 0.06666667, 0.05      ], dtype=float32)
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        checked = _schedule.InverseTimeDecay(
            initial_learning_rate, decay_steps, decay_rate, staircase, name, dtype="float64"
        )
        super().__init__(**checked.get_config())

    @property
    def native(self) -> _schedule.InverseTimeDecay:
        """The same schedule as an `invdecay.InverseTimeDecay`, in the dtype of training."""
        return _schedule.InverseTimeDecay(**self.get_config(), dtype=self._arithmetic())

    def __call__(self, step: Any = None) -> Any:
        """Return the learning rate at `step`.

        Parameters
        ----------
        step : number, array_like, range, tensor or variable
            Steps counted from 0, of any real dtype.

        Returns
        -------
        float, scalar, array or tensor
            A tensor of the backend for its tensors, its variables and Keras's; else what `native`
            gives: a Python float for a number, an array for an array or a range.

        Raises
        ------
        TypeError
            If `step` holds anything but real numbers, or is missing: so Keras 2 calls it.
        """
        if step is None:
            raise TypeError(
                "the schedule was called without a step, as Keras 2 (tf_keras) does:"
                " invdecay.keras works with Keras 3 only"
            )
        if isinstance(step, keras.KerasTensor):
            return _Rates(self)(step)
        if isinstance(step, keras.Variable):
            step = step.value
        if isinstance(step, (np.ndarray, np.generic)) or not keras.ops.is_tensor(step):
            return self.native(step)
        evaluate = _EVALUATE.get(keras.backend.backend())
        if evaluate is None:
            return super().__call__(step)
        with keras.name_scope(self.name):
            return evaluate(
                step,
                self.initial_learning_rate,
                self.decay_steps,
                self.decay_rate,
                self.staircase,
                self._arithmetic(),
            )

    def _arithmetic(self) -> str:
        """Return the dtype that Keras makes of a Python float here, and float32 for 16 bits."""
        if keras.backend.backend() == "numpy":  # with bfloat16 as floatx it makes a float64
            made = super().__call__(0)
        else:
            made = keras.ops.convert_to_tensor(self.initial_learning_rate)
        return "float64" if keras.backend.standardize_dtype(made.dtype) == "float64" else "float32"

    def precompute(
        self, steps: int | range, *, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the table of the learning rates at a range of steps, by `native`.

        See Also
        --------
        invdecay.InverseTimeDecay.precompute : parameters, results and errors.
        """
        return self.native.precompute(steps, out=out)


@keras.saving.register_keras_serializable(package="invdecay")
class _Rates(keras.Operation):  # type: ignore[misc]
    """A schedule as an operation of a model, which is built of symbolic tensors."""

    def __init__(self, schedule: InverseTimeDecay, name: str | None = None) -> None:
        super().__init__(name=name)
        self.schedule = schedule

    def call(self, step: Any) -> Any:
        return self.schedule(step)

    def compute_output_spec(self, step: Any) -> Any:
        return keras.KerasTensor(step.shape, dtype=self.schedule.native.dtype.name)

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "_Rates":
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["name"])


# ---------------------------------------------------------------- the formula on each backend


def _by_array_api(step: Any, *arguments: Any) -> Any:
    return decay(namespace(step), step, *arguments)


def _in_tensorflow(
    step: Any,
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool,
    dtype: str,
) -> Any:
    import tensorflow as tf  # type: ignore[import-untyped]

    if not (step.dtype.is_floating or step.dtype.is_integer or step.dtype.is_bool):
        raise TypeError(f"step must hold real numbers, got a tensor of {step.dtype.name}")
    integers = {"float32": tf.int32, "float64": tf.int64}[dtype]
    infinity = infinity_bits(dtype)

    def guard(x: Any, value: Any) -> Any:
        not_nan = tf.bitcast(tf.abs(x), integers) <= infinity
        return tf.where(not_nan, value, -x)

    def exact(value: float) -> Exact:
        return Exact(tf.constant(value, dtype), guard)

    rate = formula(
        Exact(tf.cast(step, dtype), guard),
        exact(initial_learning_rate),
        exact(decay_steps),
        exact(decay_rate),
        (lambda p: p.map(tf.floor)) if staircase else None,
    )
    return rate.sealed


_EVALUATE = {"tensorflow": _in_tensorflow, "jax": _by_array_api, "torch": _by_array_api}
