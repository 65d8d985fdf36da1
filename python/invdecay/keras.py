"""The schedule as a Keras ``LearningRateSchedule``."""

import numbers
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import schedule as _schedule


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
        """The same schedule as an `invdecay.InverseTimeDecay`, in Keras's ``floatx``.

        Raises
        ------
        TypeError
            If ``keras.config.floatx()`` is neither float32 nor float64.
        """
        return _schedule.InverseTimeDecay(**self.get_config(), dtype=keras.config.floatx())

    def __call__(self, step: Any) -> Any:
        """Learning rate at `step`: a tensor for Keras's own steps, else as `native` gives it."""
        if isinstance(step, (numbers.Real, np.ndarray, np.generic)):
            return self.native(step)
        return super().__call__(step)

    def precompute(
        self, steps: int | range, *, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the table of the learning rates at a range of steps, by `native`.

        See Also
        --------
        invdecay.InverseTimeDecay.precompute : parameters, results and errors.
        """
        return self.native.precompute(steps, out=out)
