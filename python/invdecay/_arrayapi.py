"""Evaluation in other array libraries, through the array API standard."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import is_override
from ._backend import ufunc_of
from ._formula import formula


def namespace(*operands: Any) -> Any:
    """Return the array-API namespace of another library's array, None where NumPy takes all."""
    for array in operands:
        if isinstance(array, (np.ndarray, np.generic, int, float, range)):
            continue
        import array_api_compat

        if not array_api_compat.is_array_api_obj(array):
            continue
        if is_override(array) and not array_api_compat.is_cupy_array(array):
            continue
        return array_api_compat.array_namespace(array)
    return None


def decay(
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
