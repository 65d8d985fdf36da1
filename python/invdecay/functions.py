"""`inverse_time_decay`, the drop-in function."""

from typing import Any

import numpy as np

from ._arguments import check_hyperparameter
from ._arrayapi import decay, namespace
from ._backend import ufunc_of
from ._evaluate import kept_arrays


def inverse_time_decay(
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool = False,
    *,
    out: Any = None,
    **ufunc_kwargs: Any,
) -> Any:
    r"""Learning rate of the inverse-time-decay schedule at each step.

    Parameters
    ----------
    step : array_like
        Optimizer steps, counted from 0, of any real dtype.
    initial_learning_rate : float or array_like
        The learning rate at step 0.
    decay_steps : float or array_like
        Over how many steps the denominator grows by `decay_rate`; positive.
    decay_rate : float or array_like
        How much the denominator grows every `decay_steps` steps.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time instead of lowering it at each step.
    out : ndarray, optional
        Where to store the result; any real floating dtype, rounded once on store.
    **ufunc_kwargs
        ``where``, ``casting``, ``order``, ``dtype``, ``subok``: see :ref:`ufuncs.kwargs`.

    Returns
    -------
    ndarray or scalar
        Shape: the arguments' broadcast shape. Dtype: NumPy's promotion of the arguments
        (float32 steps give float32, integer steps with Python floats give float64), or `dtype`.
        For a step of another array-API library: an array of that library, on its device.

    Raises
    ------
    TypeError
        If a hyperparameter is no real number (a string, a boolean, a complex number, None).
    ValueError
        If a single hyperparameter is NaN or infinite, or `decay_steps` is not positive.
        Arrays of hyperparameters follow IEEE arithmetic and `numpy.errstate` instead.

    See Also
    --------
    InverseTimeDecay : the same as an object; precomputes ranges without a step buffer.
    continuous_decay, staircase_decay : the two ufuncs behind this function.

    Notes
    -----
    The operations and their order are those of Keras's ``InverseTimeDecay`` [1]_, each rounded
    to the result's dtype:

    .. math:: lr(step) = \frac{initial\_learning\_rate}{1 + decay\_rate \cdot (step / decay\_steps)}

    with ``floor(step / decay_steps)`` in the staircase form.

    References
    ----------
    .. [1] Keras, ``keras.optimizers.schedules.InverseTimeDecay``.

    Examples
    --------
    >>> from invdecay import inverse_time_decay
    >>> inverse_time_decay([0, 500, 1000], 0.1, decay_steps=1000, decay_rate=1.0)
    array([0.1       , 0.06666667, 0.05      ])
    >>> inverse_time_decay([0, 500, 1000], 0.1, 1000, 1.0, staircase=True)
    array([0.1 , 0.1 , 0.05])
    """
    arrays = None
    if step.__class__ is np.ndarray and not ufunc_kwargs:
        narrow = step.dtype.char in "ef"
        arrays = kept_arrays(narrow, initial_learning_rate, decay_steps, decay_rate)
    if arrays is not None:
        initial_learning_rate, decay_steps, decay_rate = arrays
    else:
        check_hyperparameter("initial_learning_rate", initial_learning_rate)
        check_hyperparameter("decay_steps", decay_steps)
        check_hyperparameter("decay_rate", decay_rate)
        xp = namespace(step, initial_learning_rate, decay_steps, decay_rate)
        if xp is not None:
            if out is not None or ufunc_kwargs:
                raise TypeError(f"out and ufunc keywords need NumPy steps, got {type(step)!r}")
            return decay(xp, step, initial_learning_rate, decay_steps, decay_rate, staircase)
    ufunc = ufunc_of(staircase)
    if ufunc_kwargs or out.__class__ is tuple:
        return ufunc(step, initial_learning_rate, decay_steps, decay_rate, out=out, **ufunc_kwargs)
    # By position, None is no out at all, and NumPy parses it in half the time of a keyword.
    return ufunc(step, initial_learning_rate, decay_steps, decay_rate, out)
