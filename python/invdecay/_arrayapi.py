"""Evaluation in other array libraries, through the array API standard."""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ._arguments import (
    NUMPYS_OWN,
    hyperparameter_operand,
    is_override,
    step_array,
    step_operand,
    step_range,
)
from ._backend import ufunc_of
from ._exact import Exact, infinity_bits
from ._formula import float_step, formula

# ---------------------------------------------------------------- whose call it is


def namespace(*operands: Any) -> Any:
    """Return the array-API namespace of the operands that are another library's arrays.

    Returns
    -------
    module or None
        None where NumPy takes the call: for numbers, NumPy's arrays and what becomes one, and
        for arrays that override NumPy's ufuncs.

    Raises
    ------
    TypeError
        If the arrays are of several libraries.
    """
    for operand in operands:
        if type(operand) not in NUMPYS_OWN:
            break
    else:
        return None
    foreign = [operand for operand in operands if _is_foreign(operand)]
    if not foreign:
        return None
    if all(map(_is_tensor, foreign)):
        import array_api_compat.torch

        return array_api_compat.torch
    import array_api_compat

    return array_api_compat.array_namespace(*foreign)


def _is_tensor(operand: Any) -> bool:
    """Whether this is a PyTorch tensor: torch.compile warns of the caches in array_api_compat."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(operand, torch.Tensor)


def _is_foreign(operand: Any) -> bool:
    if type(operand) in NUMPYS_OWN or isinstance(operand, (np.ndarray, np.generic)):
        return False
    if _is_tensor(operand):
        return True
    import array_api_compat

    if not array_api_compat.is_array_api_obj(operand):
        return False
    return not is_override(operand) or array_api_compat.is_cupy_array(operand)


# ---------------------------------------------------------------- evaluation


def decay(
    xp: Any,
    step: Any,
    initial_learning_rate: Any,
    decay_steps: Any,
    decay_rate: Any,
    staircase: bool,
    dtype: str | None = None,
) -> Any:
    """Evaluate the formula in the array library `xp`.

    Parameters
    ----------
    xp : module
        What `namespace` returned for the operands.
    step, initial_learning_rate, decay_steps, decay_rate
        Arrays of `xp`, NumPy's arrays or what becomes one, checked numbers; `step` may be a range.
    dtype : {"float32", "float64"}, optional
        The arithmetic dtype. Default: float64 if an array among the operands is of a floating
        dtype of more than 32 bits, else float32; if none is floating, the library's default
        float decides in the same way. Without float64 on the device, float32.

    Returns
    -------
    array
        On the device of `step` if that is an array of `xp`, else on that of the first such operand.

    Raises
    ------
    TypeError
        If an operand is neither of `xp` nor of NumPy, or does not hold real numbers.
    """
    if dtype not in (None, "float32", "float64"):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    operands = (
        _operand(xp, "step", step),
        _operand(xp, "initial_learning_rate", initial_learning_rate),
        _operand(xp, "decay_steps", decay_steps),
        _operand(xp, "decay_rate", decay_rate),
    )
    in_jax = xp.__name__ == "jax.numpy"
    # A traced JAX array has no device; JAX takes numbers to where the arrays are.
    device = None if in_jax else _device(next(filter(_is_foreign, operands)))
    arithmetic = _arithmetic(xp, dtype, operands, device)
    if type(operands[0]) in (int, float):
        operands = (float_step(operands[0], arithmetic == "float32"), *operands[1:])
    if in_jax:
        values = [x if _is_foreign(x) else np.asarray(x, arithmetic) for x in operands]
        return _jax_decay()(*values, staircase=staircase, dtype=arithmetic)
    if xp.__name__ == "array_api_compat.torch":
        result = _in_torch_memory(operands, staircase, arithmetic)
        if result is not None:
            return result
    converted = getattr(xp, arithmetic)

    def convert(value: Any) -> Any:
        if _is_foreign(value):
            return xp.astype(value, converted)
        if isinstance(value, float):
            return xp.full((), value, dtype=converted, device=device)
        return xp.asarray(value.astype(arithmetic), device=device)

    # Arrays, not numbers: a GPU may divide by a number through its reciprocal.
    at, lr, steps, rate = map(convert, operands)
    return formula(at, lr, steps, rate, xp.floor if staircase else None)


def _operand(xp: Any, name: str, value: Any) -> Any:
    """Return an operand as a number, a NumPy array or an array of `xp`, if it is real.

    Hyperparameters that are Python numbers become floats.
    """
    of_step = name == "step"
    if type(value) in (int, float):
        return value if of_step else float(value)
    if _is_foreign(value):
        kinds = ("real floating", "integral", "bool") if of_step else ("real floating", "integral")
        if not _is_dtype(xp, value.dtype, kinds):
            raise TypeError(f"{name} must hold real numbers, got an array of {value.dtype}")
        return value
    if of_step and isinstance(value, range):
        return step_array(step_range(value))
    value = step_operand(value) if of_step else hyperparameter_operand(name, value)
    if is_override(value):
        raise TypeError(f"{name} must be a number or an array of {xp.__name__}, got {value!r}")
    return value


def _is_dtype(xp: Any, dtype: Any, kinds: tuple[str, ...]) -> bool:
    try:
        return bool(xp.isdtype(dtype, kinds))
    except TypeError:  # JAX's keys have a dtype that it does not know itself
        return False


def _device(array: Any) -> Any:
    if _is_tensor(array):
        return array.device
    import array_api_compat

    return array_api_compat.device(array)


def _arithmetic(xp: Any, dtype: str | None, operands: Any, device: Any) -> str:
    """Return the name of the arithmetic dtype: see `decay`."""
    info = xp.__array_namespace_info__()
    if dtype is None:
        widths = []
        for value in operands:
            if _is_foreign(value):
                if xp.isdtype(value.dtype, "real floating"):
                    widths.append(xp.finfo(value.dtype).bits)
            elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
                widths.append(8 * value.dtype.itemsize)
        if not widths:
            default = info.default_dtypes(device=device)["real floating"]
            widths.append(xp.finfo(default).bits)
        dtype = "float64" if max(widths) > 32 else "float32"
    if dtype == "float64" and dtype not in info.dtypes(device=device, kind="real floating"):
        return "float32"
    return dtype


# ---------------------------------------------------------------- JAX


@cache
def _jax_decay() -> Any:
    """Return the formula in JAX, compiled, so that a call outside of jit is one dispatch."""
    import jax
    import jax.numpy as jnp

    barrier: Callable[[Any], Any] = jax.lax.optimization_barrier
    integers = {"float32": jnp.int32, "float64": jnp.int64}

    def guard(x: Any, value: Any) -> Any:
        bits = jax.lax.bitcast_convert_type(jnp.abs(x), integers[x.dtype.name])
        not_nan = bits <= infinity_bits(x.dtype)
        # Without the barrier the test is left out where x is constant, and the guard with it.
        return barrier(jnp.where(not_nan, value, -x))

    def decay(*operands: Any, staircase: bool, dtype: str) -> Any:
        at, lr, steps, rate = (Exact(operand.astype(dtype), guard) for operand in operands)
        floor = (lambda p: p.map(jnp.floor)) if staircase else None
        return formula(at, lr, steps, rate, floor).sealed

    return jax.jit(decay, static_argnames=("staircase", "dtype"), inline=True)


# ---------------------------------------------------------------- PyTorch


def _in_torch_memory(operands: Any, staircase: bool, arithmetic: str) -> Any:
    """Evaluate natively in the tensors' own memory, None where PyTorch has to see the operations.

    It has to for gradients, transforms, tracing and compiling, and where a tensor is a subclass,
    elsewhere, sparse, or of a dtype that NumPy lacks. NumPy's floating-point flags are not
    reported, because PyTorch's own operations report none.
    """
    import torch

    pytorch: Any = torch  # parts of it have no types
    if torch.compiler.is_compiling() or pytorch.jit.is_tracing():
        return None
    if pytorch._C._len_torch_dispatch_stack():  # a mode, such as make_fx's, records operations
        return None
    arrays = []
    for operand in operands:
        if isinstance(operand, torch.Tensor):
            if type(operand) is not torch.Tensor:
                return None
            if pytorch.autograd.forward_ad.unpack_dual(operand).tangent is not None:
                return None
            try:
                operand = operand.numpy()
            except (RuntimeError, TypeError):
                return None
        arrays.append(operand)
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(ufunc_of(staircase)(*arrays, dtype=arithmetic)))
