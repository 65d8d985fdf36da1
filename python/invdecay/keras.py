"""The schedule as a Keras ``LearningRateSchedule``."""

from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import schedule as _schedule
from ._arrayapi import decay, namespace
from ._exact import Exact, infinity_bits
from ._formula import formula

if int(keras.__version__.split(".")[0]) < 3:
    raise ImportError(f"invdecay.keras works with Keras 3 only, found Keras {keras.__version__}")


@keras.saving.register_keras_serializable(package="invdecay")
class InverseTimeDecay(keras.optimizers.schedules.InverseTimeDecay):  # type: ignore[misc]
    """Keras's ``InverseTimeDecay``, computed natively wherever the steps are plain numbers.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate, staircase, name
        As for `invdecay.InverseTimeDecay`, and kept as Python numbers.

    Raises
    ------
    TypeError
        If a hyperparameter is no real number.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` not positive.

    Notes
    -----
    Steps that are tensors, variables or symbolic go to Keras's own operations, so that training
    is exactly Keras's. Python numbers and NumPy arrays go to `native`, in the dtype that Keras
    computes in. Both give the same bits wherever Keras runs eagerly, on its NumPy, PyTorch and
    TensorFlow backends. XLA (JAX, always) and ``tf.function`` rewrite the formula: there Keras's
    float32 rate was up to 4 ulp from the native one, over 6 * 10**7 steps of 600 schedules; and
    where ``step / decay_steps`` is next to a whole number, a stair may begin a step late or early.

    The class is registered as ``"invdecay>InverseTimeDecay"``: models saved with it load where
    `invdecay.keras` is imported, and where it is not, with Keras's class given under that name in
    ``custom_objects``. Keras loads its own classes whatever ``custom_objects`` says; a model saved
    with Keras's class goes on with this one after
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
            return super().__call__(step)
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
