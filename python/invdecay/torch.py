"""The schedule as a PyTorch learning-rate scheduler."""

import math
from typing import Any

from torch import Tensor, where
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._arguments import hyperparameter
from ._formula import formula


class InverseTimeDecayLR(LRScheduler):
    """Inverse time decay of every parameter group's learning rate.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups' learning rates, floats or tensors, are the initial ones.
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
        If a hyperparameter is no real number.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` not positive.
    ZeroDivisionError
        At a step where a negative `decay_rate` brings the denominator to 0.

    See Also
    --------
    invdecay.InverseTimeDecay : works as the ``lr_lambda`` of PyTorch's ``LambdaLR``.

    Notes
    -----
    The rate is computed from the step's number, so that it has the bits of
    ``invdecay.InverseTimeDecay(lr, ...)(step)`` after any number of steps and after a resume.
    A rate that something else has changed since the last step, such as a warm-up beside this
    scheduler in ``ChainedScheduler`` or a line of yours, is decayed on from there: the change is
    taken as one of the initial rate. ``SequentialLR`` starts the decay at its milestone, from
    each group's ``initial_lr``.

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
        staircase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.decay_steps = hyperparameter("decay_steps", decay_steps)
        self.decay_rate = hyperparameter("decay_rate", decay_rate)
        self.staircase = bool(staircase)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Rates for `last_epoch`, one for each parameter group; for `step` to call."""
        if self._is_initial:
            if self.last_epoch > 0:
                return self._get_closed_form_lr()
            self._initial_lrs = [_copied(group["lr"]) for group in self.optimizer.param_groups]
        else:
            self._take_over_changes()
        return self._decayed(self._initial_lrs)

    def state_dict(self) -> dict[str, Any]:
        """State as plain numbers (tensors where the rates are), rates of the groups included."""
        lrs = [_copied(group["lr"]) for group in self.optimizer.param_groups]
        return {**super().state_dict(), "lrs": lrs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state, and give each parameter group the rate that it had.

        Raises
        ------
        ValueError
            If the optimizer has another number of parameter groups.
        """
        state = dict(state_dict)
        lrs, groups = state.pop("lrs"), self.optimizer.param_groups
        if len(lrs) != len(groups):
            msg = f"state_dict has {len(lrs)} parameter groups, the optimizer has {len(groups)}"
            raise ValueError(msg)
        super().load_state_dict(state)
        for group, lr in zip(groups, lrs, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _get_closed_form_lr(self) -> list[Any]:
        """Start anew at `last_epoch`: what PyTorch calls for ``step(epoch)`` and at milestones."""
        self._initial_lrs = [_copied(lr) for lr in self.base_lrs]
        return self._decayed(self._initial_lrs)

    def _take_over_changes(self) -> None:
        """Let the initial rates be those that lead to the groups' present rates."""
        (factor,) = self._decayed([1.0], self.last_epoch - 1)
        for i, group in enumerate(self.optimizer.param_groups):
            lr, own, initial = group["lr"], self._last_lr[i], self._initial_lrs[i]
            if isinstance(lr, Tensor):  # without waiting for the device
                self._initial_lrs[i] = where(lr == own, initial, lr / factor)
            elif lr != own:
                self._initial_lrs[i] = lr / factor

    def _decayed(self, initial_lrs: list[Any], step: int | None = None) -> list[Any]:
        at = self.last_epoch if step is None else step
        floor = math.floor if self.staircase else None
        return [formula(at, lr, self.decay_steps, self.decay_rate, floor) for lr in initial_lrs]


def _copied(lr: Any) -> Any:
    return lr.clone() if isinstance(lr, Tensor) else lr
