"""`inverse_time_decay`, the drop-in function."""

from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ._arguments import boolean, hyperparameter_operand
from ._backend import evaluate as evaluate_grid
from ._backend import report_flags, ufunc_of
from ._evaluate import LARGE, NARROW, evaluate, kept_arrays


@overload
def inverse_time_decay(
    step: float | np.number[Any],
    initial_learning_rate: float,
    decay_steps: float,
    decay_rate: float,
    staircase: bool | np.bool_ = False,
) -> np.floating[Any]: ...
@overload
def inverse_time_decay(
    step: npt.NDArray[Any] | range | list[Any] | tuple[Any, ...],
    initial_learning_rate: npt.ArrayLike,
    decay_steps: npt.ArrayLike,
    decay_rate: npt.ArrayLike,
    staircase: bool | np.bool_ = False,
    *,
    out: npt.NDArray[Any] | None = None,
    **ufunc_kwargs: Any,
) -> npt.NDArray[Any]: ...
@overload
def inverse_time_decay(
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool | np.bool_ = False,
    *,
    out: Any = None,
    **ufunc_kwargs: Any,
) -> Any: ...
def inverse_time_decay(
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool | np.bool_ = False,
    *,
    out: Any = None,
    **ufunc_kwargs: Any,
) -> Any:
    """Return the learning rate of the inverse-time-decay schedule at each step.

    Parameters
    ----------
    step : array_like or range
        Optimizer steps, counted from 0, of any real dtype. A range means the same as
        ``numpy.arange`` over it, but no array of steps is made.
    initial_learning_rate : float or array_like
        The learning rate at step 0.
    decay_steps : float or array_like
        The number of steps over which the denominator grows by `decay_rate`; positive.
    decay_rate : float or array_like
        The growth of the denominator every `decay_steps` steps.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time instead of lowering it at each step.
    out : ndarray, optional
        Where to store the result, in any real floating dtype. Each value is computed in the
        arithmetic dtype and rounded once when it is stored.
    **ufunc_kwargs
        ``where``, ``casting``, ``order``, ``dtype`` and ``subok``, as for every NumPy ufunc.

    Returns
    -------
    ndarray or scalar
        The rates, in the broadcast shape of the arguments. The dtype is `dtype` or NumPy's
        promotion of the arguments. Integer steps with Python floats give float64, and float32
        steps give float32. 16-bit floats are promoted to float32. If an argument is an array of
        another library, so is the result, on that array's device.

    Raises
    ------
    TypeError
        If a hyperparameter or a step is not a real number (text, a boolean hyperparameter, a
        complex number, a date, None), or `staircase` is not a boolean.
    ValueError
        If a single hyperparameter is NaN or infinite, or `decay_steps` is not positive. Arrays
        of hyperparameters follow IEEE arithmetic and `numpy.errstate` instead.
    OverflowError
        If a step of a range does not fit int64.

    See Also
    --------
    InverseTimeDecay : The same schedule as an object.
    continuous_decay, staircase_decay : The two ufuncs behind this function.

    Notes
    -----
    The operations and their order are those of Keras's
    ``keras.optimizers.schedules.InverseTimeDecay``, each rounded once to the arithmetic dtype::

        initial_learning_rate / (1 + decay_rate * (step / decay_steps))

    The staircase form takes ``floor(step / decay_steps)``. A single Python integer too large for
    float64 counts as infinite. Large broadcast calls are split over threads by their total size.
    The ufuncs keep NumPy's own iteration instead.

    Examples
    --------
    >>> import numpy as np
    >>> from invdecay import inverse_time_decay
    >>> inverse_time_decay([0, 500, 1000], 0.1, decay_steps=1000, decay_rate=1.0)
    array([0.1       , 0.06666667, 0.05      ])
    >>> inverse_time_decay([0, 500, 1000], 0.1, 1000, 1.0, staircase=True)
    array([0.1 , 0.1 , 0.05])

    Evaluate three decay rates in one call, without an array of steps:

    >>> rates = np.array([0.5, 1.0, 2.0])
    >>> inverse_time_decay(range(0, 2000, 1000), 0.1, 1000, rates[:, None])
    array([[0.1       , 0.06666667],
           [0.1       , 0.05      ],
           [0.1       , 0.03333333]])
    """
    if type(staircase) is not bool:
        staircase = boolean("staircase", staircase)
    hyper = initial_learning_rate, decay_steps, decay_rate
    # The usual call, steps of NumPy or Python and three Python numbers, takes the shortest way.
    kind = step.__class__
    narrow = None
    if kind is np.ndarray:
        if step.ndim < 2 or step.size < LARGE:
            narrow = NARROW.get(step.dtype.char)
    elif kind is float or (kind is int and -(2**63) <= step < 2**63):
        narrow = False
    else:
        narrow = NARROW.get(kind)
    if narrow is not None and not ufunc_kwargs and (out is None or out.__class__ is np.ndarray):
        arrays = kept_arrays(narrow, hyper)
        if arrays is not None:
            ufunc = ufunc_of(staircase)
            if out is not None and out.dtype.itemsize < (4 if narrow else 8):
                # NumPy would cast a buffer at a time.
                name = "float32" if narrow else "float64"
                flags = evaluate_grid(out, step, *arrays, staircase, name)
                if flags is not None:
                    report_flags(ufunc.__name__, flags)
                    return out
            return ufunc(step, *arrays, out)
    names = "initial_learning_rate", "decay_steps", "decay_rate"
    checked = tuple(map(hyperparameter_operand, names, hyper))
    return evaluate(step, checked, staircase, out=out, **ufunc_kwargs)
