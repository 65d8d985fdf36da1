"""`inverse_time_decay`, the drop-in function, and what it shares with the schedule class."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ._backend import continuous_decay, staircase_decay
from ._fallback import formula


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
        _check_single("initial_learning_rate", initial_learning_rate)
        _check_single("decay_steps", decay_steps)
        _check_single("decay_rate", decay_rate)
        xp = foreign_namespace(step)
        if xp is not None:
            if out is not None or ufunc_kwargs:
                raise TypeError(f"out and ufunc keywords need NumPy steps, got {type(step)!r}")
            return foreign_decay(
                xp, step, initial_learning_rate, decay_steps, decay_rate, staircase
            )
    ufunc = staircase_decay if staircase else continuous_decay
    if ufunc_kwargs or out.__class__ is tuple:
        return ufunc(step, initial_learning_rate, decay_steps, decay_rate, out=out, **ufunc_kwargs)
    # By position, None is no out at all, and NumPy parses it in half the time of a keyword.
    return ufunc(step, initial_learning_rate, decay_steps, decay_rate, out)


# ---------------------------------------------------------------- hyperparameters


def kept_arrays(
    narrow: bool, initial_learning_rate: Any, decay_steps: Any, decay_rate: Any
) -> tuple[npt.NDArray[Any], ...] | None:
    """Return checked Python numbers as 0-d arrays of the dtype they take beside such steps.

    `narrow` is for float16 and float32 steps. NumPy takes longer to convert three numbers than to
    evaluate 1,000 steps, so the arrays are kept. None for whatever is not three good Python
    numbers, and for an initial learning rate of zero: 0.0 and -0.0 are one key.
    """
    try:
        return _kept_arrays(narrow, initial_learning_rate, decay_steps, decay_rate)
    except TypeError:  # not hashable: an array or a list
        return None


@lru_cache(maxsize=128, typed=True)
def _kept_arrays(narrow: bool, *numbers: Any) -> tuple[npt.NDArray[Any], ...] | None:
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        return None
    if numbers[0] == 0 or numbers[1] <= 0:
        return None
    with np.errstate(over="ignore", under="ignore"):
        arrays = [np.asarray(number, np.float32 if narrow else np.float64) for number in numbers]
    for array in arrays:
        array.flags.writeable = False
    return tuple(arrays)


_NO_NUMBERS = (str, bytes, bool, np.bool_, complex, np.complexfloating)


def check_hyperparameter(name: str, value: Any) -> float:
    """Return one hyperparameter as a Python float, or say by its name what is wrong with it.

    Raises
    ------
    TypeError
        If `value` is no single real number.
    ValueError
        If it is NaN, infinite or, for ``decay_steps``, not positive.
    """
    dtype = getattr(value, "dtype", None)
    is_array = isinstance(dtype, np.dtype) and (dtype.kind not in "iuf" or value.shape)
    if is_array or isinstance(value, _NO_NUMBERS):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if name == "decay_steps" and number <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def _check_single(name: str, value: Any) -> None:
    """Check a hyperparameter of `inverse_time_decay`: numbers by value, arrays only by kind.

    A 0-d array of another library is an array: it may be traced, or on a device far away.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        is_array = value.shape != ()
    else:
        is_array = hasattr(value, "shape") or isinstance(value, (list, tuple))
    if not is_array:
        check_hyperparameter(name, value)
        return
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got an array of {dtype}")


# ---------------------------------------------------------------- arrays of other libraries


def overrides_ufuncs(array: Any) -> bool:
    """Whether NumPy's ufuncs hand themselves over to `array` (Dask, xarray, pandas)."""
    return getattr(type(array), "__array_ufunc__", None) is not None


def foreign_namespace(array: Any) -> Any:
    """Return the array-API namespace of another library's array, None for all that NumPy takes."""
    if isinstance(array, (np.ndarray, np.generic)):
        return None
    import array_api_compat

    if not array_api_compat.is_array_api_obj(array):
        return None
    if overrides_ufuncs(array) and not array_api_compat.is_cupy_array(array):
        return None
    return array_api_compat.array_namespace(array)


def foreign_decay(
    xp: Any,
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool,
    dtype: str | None = None,
) -> Any:
    """Evaluate the formula in the array library `xp`, on the device of `step`.

    `dtype` is the name of the arithmetic dtype; a library or device without it uses its default
    float. None keeps a floating `step` as it is and takes that default for integers.
    """
    import array_api_compat

    # A traced JAX array has no device; weak Python scalars keep its dtype and recompile nothing.
    traced = array_api_compat.is_jax_array(step)
    device = None if traced else array_api_compat.device(step)
    info = xp.__array_namespace_info__()
    if dtype is not None and dtype in info.dtypes(device=device, kind="real floating"):
        arithmetic = getattr(xp, dtype)
    elif dtype is None and xp.isdtype(step.dtype, "real floating"):
        arithmetic = step.dtype
    else:
        arithmetic = info.default_dtypes(device=device)["real floating"]
    if not xp.isdtype(step.dtype, ("bool", "real floating", "integral")):
        raise TypeError(f"step must hold real numbers, got an array of {step.dtype}")
    hyper = initial_learning_rate, decay_steps, decay_rate
    if array_api_compat.is_torch_array(step) and not any(
        map(array_api_compat.is_torch_array, hyper)
    ):
        buffer = _torch_buffer(step)
        if buffer is not None and arithmetic in (xp.float32, xp.float64):
            loop = str(arithmetic).removeprefix("torch.")
            return xp.asarray(np.asarray(ufunc_of(staircase)(buffer, *hyper, dtype=loop)))

    def operand(value: Any) -> Any:
        if array_api_compat.is_array_api_obj(value):
            return xp.astype(value, arithmetic)
        # Off the CPU, dividing by a Python scalar may become a product with its reciprocal.
        return value if traced else xp.full((), value, dtype=arithmetic, device=device)

    lr, steps, rate = map(operand, hyper)
    return formula(xp.astype(step, arithmetic), lr, steps, rate, xp.floor if staircase else None)


def _torch_buffer(step: Any) -> npt.NDArray[Any] | None:
    """Return a CPU tensor's own memory as an array, None where PyTorch has to see the operations.

    It has to for gradients, transforms, tracing and compiling, and where a tensor is a subclass,
    elsewhere, sparse, or of a dtype that NumPy lacks.
    """
    import torch

    pytorch: Any = torch  # parts of it have no types
    if type(step) is not torch.Tensor or torch.compiler.is_compiling() or pytorch.jit.is_tracing():
        return None
    if pytorch.autograd.forward_ad.unpack_dual(step).tangent is not None:
        return None
    try:
        return step.numpy()
    except (RuntimeError, TypeError):
        return None


def ufunc_of(staircase: bool) -> np.ufunc:
    """Return the ufunc of one form of the schedule."""
    return staircase_decay if staircase else continuous_decay
