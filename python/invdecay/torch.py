"""The schedule as a PyTorch learning-rate scheduler."""

import math
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._arguments import boolean, hyperparameter, integer
from ._formula import denominator


class InverseTimeDecayLR(LRScheduler):
    """Inverse time decay of every parameter group's learning rate.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups' learning rates, numbers or tensors, are the initial ones.
    decay_steps : float
        Over how many steps the denominator grows by `decay_rate`; positive.
    decay_rate : float
        How much the denominator grows every `decay_steps` steps.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time.
    last_epoch : int, optional
        The step before the one to begin with, as in every PyTorch scheduler.

    Raises
    ------
    TypeError
        If a hyperparameter is not a real number, `staircase` not a boolean, `last_epoch` not an
        integer, or a group's rate a tensor of integers, which would become 0.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` not positive.

    See Also
    --------
    invdecay.InverseTimeDecay : works as the ``lr_lambda`` of PyTorch's ``LambdaLR``.

    Notes
    -----
    The scheduler computes each rate from the number of the step. The rate therefore has the bits
    of ``invdecay.InverseTimeDecay(lr, ...)(step)`` after any number of steps and after a resume.
    A float32 rate, a tensor or NumPy's, has the bits of the float32 schedule. A 16-bit tensor is
    computed in float32 and rounded once.

    A group may have another rate than the one this scheduler set: a warm-up beside it in
    ``ChainedScheduler``, a line of yours, or a group added later. Such a rate is decayed on from
    where it is, by the ratio of this step's factor to the one before. ``SequentialLR`` starts the
    decay at its milestone, from each group's initial rate.

    A negative `decay_rate` may bring the denominator to 0. The rate at that step is infinite, as
    in the schedule, and NumPy warns of it unless the rate is a tensor.

    Examples
    --------
    >>> import torch
    >>> from invdecay.torch import InverseTimeDecayLR
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> scheduler = InverseTimeDecayLR(optimizer, decay_steps=2, decay_rate=1.0)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_steps: float,
        decay_rate: float,
        *,
        staircase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.decay_steps = hyperparameter("decay_steps", decay_steps)
        self.decay_rate = hyperparameter("decay_rate", decay_rate)
        self.staircase = boolean("staircase", staircase)
        last_epoch = integer("last_epoch", last_epoch)
        for group in getattr(optimizer, "param_groups", ()):
            lr = _copied(group["lr"])
            # Python's floats, because torch.load(weights_only=True) refuses NumPy's float64.
            if not isinstance(lr, Tensor):
                group["lr"] = lr
            # A copy, because the rate's own tensor changes at each step.
            if "initial_lr" in group:
                group["initial_lr"] = _copied(group["initial_lr"])
        super().__init__(optimizer, last_epoch)
        # Copies, because SequentialLR before PyTorch 2.10 writes to the groups' tensors.
        self.base_lrs = [_copied(lr) for lr in self.base_lrs]

    def get_lr(self) -> list[Any]:
        """Return the rates for `last_epoch` to `step`, and the present rates to anyone else."""
        in_step = getattr(self, "_get_lr_called_within_step", True)
        if self.last_epoch <= 0 or not in_step:
            return [lr for lr, _ in self._rates()]
        return [self._next_rate(lr, base) for lr, base in self._rates()]

    def state_dict(self) -> dict[str, Any]:
        """Return the state, which shares nothing with the scheduler.

        Returns
        -------
        dict
            What every PyTorch scheduler keeps, and the hyperparameters: plain Python numbers, and
            tensors where the rates are tensors. The last rates are those of the groups.
        """
        # Beside another scheduler the groups' rates are not the ones that this scheduler set.
        rates = [group["lr"] for group in self.optimizer.param_groups]
        state = {**super().state_dict(), "_last_lr": rates}
        # A step taken to an epoch of NumPy's, or a line of the user's, leaves NumPy's numbers.
        state = {k: v.item() if isinstance(v, np.generic) else v for k, v in state.items()}
        return _with_own_rates(state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state, and give each parameter group the rate that it had.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` returned, of this scheduler or another one. It is not changed.

        Raises
        ------
        TypeError, ValueError
            If the state is of a scheduler of another class, if its hyperparameters are none, or if
            the optimizer has another number of parameter groups.
        """
        own = "decay_steps", "decay_rate", "staircase", "last_epoch", *_RATES
        missing = [key for key in own if key not in state_dict]
        if missing:
            raise ValueError(
                f"state_dict is not that of an {type(self).__name__}: "
                f"it has no {', '.join(missing)}, got {', '.join(map(str, state_dict))}"
            )
        rates, groups = state_dict["_last_lr"], self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"state_dict has {len(rates)} parameter groups, the optimizer has {len(groups)}"
            )
        state = {
            **_with_own_rates(state_dict),
            "decay_steps": hyperparameter("decay_steps", state_dict["decay_steps"]),
            "decay_rate": hyperparameter("decay_rate", state_dict["decay_rate"]),
            "staircase": boolean("staircase", state_dict["staircase"]),
        }
        super().load_state_dict(state)
        for group, rate in zip(groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):  # the same tensor, which compiled steps hold
                group["lr"].copy_(_number(rate, group["lr"]))
            else:
                group["lr"] = _stored(_number(rate, group["lr"]), group["lr"])
        self._last_lr = [_copied(group["lr"]) for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        """Return the closed form at `last_epoch`, for ``step(epoch)`` and SequentialLR."""
        return [
            lr if base is None else self._closed_form(lr, base, self._denominator(lr, 0))
            for lr, base in self._rates()
        ]

    def _rates(self) -> Iterator[tuple[Any, Any]]:
        """Yield each group's present and initial rate; a group added later has no initial one."""
        lrs = [_copied(group["lr"]) for group in self.optimizer.param_groups]
        return zip(lrs, chain(self.base_lrs, repeat(None)), strict=False)

    def _next_rate(self, lr: Any, base: Any) -> Any:
        """Return the rate at `last_epoch` of a group whose rate has been `lr` until now."""
        before, now = self._denominator(lr, -1), self._denominator(lr, 0)
        # In the constructor, with a last_epoch, the groups may have the rates of that step already.
        resuming = not hasattr(self, "_last_lr")
        changed = lr if resuming else _stored(_number(lr, lr) * _divided(before, now), lr)
        if base is None:
            return changed
        follows = lr == self._closed_form(lr, base, before)
        if resuming:
            follows |= lr == _stored(_number(base, lr), lr)
        closed = self._closed_form(lr, base, now)
        if isinstance(lr, Tensor):  # Python's `if` would wait for the tensor's device.
            return torch.where(follows, closed, changed)
        return closed if follows else changed

    def _closed_form(self, lr: Any, base: Any, denominator: Any) -> Any:
        """Return the rate that follows from the initial rate `base`, of the kind of `lr`."""
        return _stored(_divided(_number(base, lr), denominator), lr)

    def _denominator(self, lr: Any, steps: int) -> Any:
        """Return the formula's denominator `steps` after `last_epoch`, as a number for `lr`."""
        at, decay_steps, decay_rate = (
            _number(value, lr)
            for value in (self.last_epoch + steps, self.decay_steps, self.decay_rate)
        )
        floor = torch.floor if isinstance(lr, Tensor) else _floor
        return denominator(at, decay_steps, decay_rate, floor if self.staircase else None)


_RATES = ("base_lrs", "_last_lr")
"""The lists of rates in every scheduler's state."""


def _number(value: Any, lr: Any) -> Any:
    """Return `value` as a number of the dtype, and on the device, that computes the rate `lr`."""
    if isinstance(lr, Tensor):
        dtype = torch.float64 if lr.dtype == torch.float64 else torch.float32
        if isinstance(value, Tensor):
            return value.to(lr.device, dtype)
        return torch.full((), value, dtype=dtype, device=lr.device)
    narrow = getattr(lr, "dtype", None) in (np.float16, np.float32)
    return np.float32(float(value)) if narrow else float(value)


def _divided(number: Any, by: Any) -> Any:
    """Return a quotient as IEEE defines it: Python would raise an error for a zero."""
    return number / by if isinstance(by, Tensor) or by else type(number)(np.divide(number, by))


def _floor(p: Any) -> Any:
    return type(p)(math.floor(p)) if math.isfinite(p) else p


def _stored(number: Any, lr: Any) -> Any:
    """Return a number as a group that has the rate `lr` keeps it."""
    if isinstance(lr, Tensor):
        return number.to(lr.dtype)
    return number if isinstance(number, np.float32) else float(number)


def _copied(lr: Any) -> Any:
    """Return a copy of a rate: a tensor, NumPy's float32 or a Python float."""
    if not isinstance(lr, Tensor):
        return _stored(_number(lr, lr), lr)
    if not lr.is_floating_point():
        raise TypeError(f"lr must be a tensor of a floating dtype, got {lr!r}")
    return lr.detach().clone()


def _with_own_rates(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state that shares no rate with `state`, with Python numbers for NumPy's."""
    rates = {
        key: [_copied(lr) if isinstance(lr, Tensor) else float(lr) for lr in state[key]]
        for key in _RATES
    }
    return {**state, **rates}
