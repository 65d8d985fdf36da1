"""`InverseTimeDecay`, the schedule as an object."""

import bisect
import math
import numbers
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ._arguments import (
    arithmetic_dtype,
    check_output,
    hyperparameter,
    representable_hyperparameter,
    step_range,
)
from ._arrayapi import decay, namespace, overrides_ufuncs
from ._backend import fill_range, report_flags, ufunc_of
from ._evaluate import kept_arrays
from ._flags import gathered_flags
from ._formula import float_step, formula

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PIECE = 1 << 25
"""Elements filled between two looks at pending signals (Ctrl-C): tens of milliseconds."""
_PYTHON_NUMBERS = frozenset((int, float))
_BLOCK = 1 << 15
"""Elements computed at once where `out` needs a conversion that the kernels do not store."""


class InverseTimeDecay:
    """The inverse-time-decay learning-rate schedule, as in Keras.

    Parameters
    ----------
    initial_learning_rate : float
        The learning rate at step 0.
    decay_steps : float
        Over how many steps the denominator grows by `decay_rate`; positive.
    decay_rate : float
        How much the denominator grows every `decay_steps` steps. With a rate of 1, the learning
        rate is a half after `decay_steps` steps, a third after twice as many, and so on.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time.
    name : str, optional
        A name, kept in the configuration.
    dtype : {"float32", "float64"} or dtype, optional
        The dtype of arithmetic and results. Default: that of `initial_learning_rate`, where a
        Python number or an integer counts as float64. In float32, steps past 2**24 are rounded
        before they are used, as in Keras, so that stairs may begin some steps off; in float64
        every integer step below 2**53 is on its stair.

    Raises
    ------
    TypeError
        If a hyperparameter is no real number, or `dtype` is neither float32 nor float64.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` not positive, in `dtype`.

    See Also
    --------
    inverse_time_decay : the same as a function, with arrays of hyperparameters.

    Notes
    -----
    Schedules are immutable, comparable and hashable, and pickle by their parameters. Called with
    a step, a schedule is a PyTorch ``lr_lambda`` and an optax schedule as it is.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> schedule(1000)
    0.05
    >>> schedule.precompute(range(0, 4000, 1000))
    array([0.1       , 0.05      , 0.03333333, 0.025     ])
    """

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool
    name: str
    _dtype: str

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        arithmetic = arithmetic_dtype(initial_learning_rate, dtype)
        if not isinstance(staircase, (bool, np.bool_, int)):
            raise TypeError(f"staircase must be a boolean, got {staircase!r}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        # Plain Python values only: LambdaLR saves this __dict__, json the configuration.
        vars(self).update(
            initial_learning_rate=representable_hyperparameter(
                "initial_learning_rate", initial_learning_rate, arithmetic
            ),
            decay_steps=representable_hyperparameter("decay_steps", decay_steps, arithmetic),
            decay_rate=representable_hyperparameter("decay_rate", decay_rate, arithmetic),
            staircase=bool(staircase),
            name=name,
            _dtype=arithmetic.name,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; cannot delete {name!r}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of arithmetic and results."""
        return np.dtype(self._dtype)

    # ------------------------------------------------------------ evaluation

    def __call__(self, step: Any) -> Any:
        """Learning rate at `step`.

        Parameters
        ----------
        step : number or array_like
            Steps counted from 0, of any real dtype.

        Returns
        -------
        float, scalar or array
            For a Python number a Python float; for a NumPy scalar, array or array-like the same
            shape in `dtype`; for any other array-API array (PyTorch, JAX, CuPy, Dask) that
            library's array on its device, in `dtype` where the library has it, else in its
            default float.

        Raises
        ------
        TypeError
            If `step` holds anything but real numbers.

        Examples
        --------
        >>> schedule = InverseTimeDecay(0.1, 1000, 1.0, staircase=True)
        >>> schedule(1999)
        0.05
        >>> import numpy as np
        >>> schedule(np.array([999, 1000]))
        array([0.1 , 0.05])
        """
        if type(step) in _PYTHON_NUMBERS:
            return self._at_number(step)
        if _is_python_number(step):
            return self._at_number(int(step) if isinstance(step, int) else float(step))
        xp = namespace(step)
        hyper = self.initial_learning_rate, self.decay_steps, self.decay_rate
        if xp is not None:
            return decay(xp, step, *hyper, self.staircase, self._dtype)
        ufunc = ufunc_of(self.staircase)
        if overrides_ufuncs(step) and not isinstance(step, (np.ndarray, np.generic)):
            # Dask takes a ufunc's dtype= as a mere label, so the operands carry the dtype.
            scalar = self.dtype.type
            return ufunc(step.astype(self.dtype), *map(scalar, hyper))
        if not isinstance(step, (np.ndarray, np.generic)):
            step = np.asarray(step)
        if step.dtype.kind not in "biuf":
            raise TypeError(f"step must hold real numbers, got {step!r}")
        narrow = self._dtype == "float32"
        arrays = kept_arrays(narrow, *hyper) or hyper
        if step.dtype.char in "ef" if narrow else step.dtype.char != "g":
            return ufunc(step, *arrays)  # promotion alone gives the dtype
        return ufunc(step, *arrays, dtype=self.dtype)

    def _at_number(self, step: float) -> float:
        lr, steps, rate = self.initial_learning_rate, self.decay_steps, self.decay_rate
        result: float
        try:
            if self._dtype == "float64":
                result = formula(step, lr, steps, rate, math.floor if self.staircase else None)
            else:
                at = np.float32(float_step(step, narrow=True))
                result = formula(at, lr, steps, rate, _floor32 if self.staircase else None).item()
            return result
        except (ArithmeticError, ValueError):
            pass  # a zero denominator, an infinite or NaN step: the ufunc knows what IEEE says
        at = self.dtype.type(float_step(step, narrow=self._dtype == "float32"))
        return float(ufunc_of(self.staircase)(at, lr, steps, rate, dtype=self.dtype))

    def precompute(
        self, steps: int | range, *, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the table of the learning rates at a range of steps.

        Parameters
        ----------
        steps : int or range
            The steps; an integer ``n`` means ``range(n)``. Every step must fit int64.
        out : ndarray, optional
            Where to store the table: any writable one-dimensional array of a real floating dtype
            and the range's length, strided, memory-mapped or narrower too. The arithmetic stays
            in `dtype`; each element is rounded once on store.

        Returns
        -------
        ndarray
            `out`, or a new array of `dtype`, with the bits of ``self(numpy.arange(...))``. No
            buffer of steps is made.

        Raises
        ------
        TypeError
            If `steps` is neither an integer nor a range, or `out` is not an array of a real
            floating dtype.
        ValueError
            If `out` is read-only or has another shape.
        OverflowError
            If a step does not fit int64.

        Examples
        --------
        >>> schedule = InverseTimeDecay(0.1, 1000, 1.0, dtype="float32")
        >>> schedule.precompute(3)
        array([0.1      , 0.0999001, 0.0998004], dtype=float32)
        """
        steps = step_range(steps)
        if out is None:
            out = np.empty(len(steps), self.dtype)
        else:
            check_output(out, len(steps))
        report_flags("precompute", self._fill(out, steps))
        return out

    def _fill(self, out: npt.NDArray[Any], steps: range) -> int:
        """Store the learning rates at `steps` in `out`; return the floating-point flags raised.

        The flags are NumPy's (1 divide, 2 over, 4 under, 8 invalid); nothing is reported. This
        is `precompute` for callers that fill a table piece by piece.
        """
        hyper = self.initial_learning_rate, self.decay_steps, self.decay_rate
        flags = 0
        stored = out.dtype if out.dtype in (np.float32, np.float64) else self.dtype
        direct = out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative
        if direct and out.dtype == stored and stored.itemsize <= self.dtype.itemsize:
            for i in range(0, len(steps), _PIECE):
                piece = out[i : i + _PIECE]
                flags |= fill_range(
                    piece, steps[i], steps.step, *hyper, self.staircase, self._dtype
                )
            return flags
        buffer = np.empty(min(_BLOCK, len(steps)), self.dtype)
        for i in range(0, len(steps), _BLOCK):
            block = buffer[: len(steps) - i]
            flags |= fill_range(block, steps[i], steps.step, *hyper, self.staircase, self._dtype)
            with gathered_flags() as stored_flags:
                out[i : i + _BLOCK] = block
            flags |= stored_flags.value
        return flags

    def step_at(self, learning_rate: float) -> int:
        """First step from 0 on at which the rate has come down to `learning_rate` or below.

        Parameters
        ----------
        learning_rate : float
            The rate to reach; rounded to `dtype` before it is compared.

        Returns
        -------
        int
            Exact for the schedule's own arithmetic: ``self(step)`` is at or below
            `learning_rate`, and ``self(step - 1)`` above.

        Raises
        ------
        TypeError
            If `learning_rate` is no real number.
        ValueError
            If no int64 step reaches `learning_rate`, or the rate does not fall: a negative
            initial learning rate or decay rate.

        Examples
        --------
        >>> InverseTimeDecay(0.1, 1000, 1.0).step_at(0.05)
        1000
        """
        rate = float(self.dtype.type(hyperparameter("learning_rate", learning_rate)))
        if self.initial_learning_rate < 0 or self.decay_rate < 0:
            raise ValueError(f"step_at needs a schedule whose rate falls, got {self!r}")
        # Every rounded operation is monotonic, so that the rates are sorted.
        last = 2**63 - 1
        step = bisect.bisect_left(range(last), True, key=lambda step: self(step) <= rate)
        if step == last and self(last) > rate:
            raise ValueError(f"learning_rate is never reached, got {learning_rate!r}")
        return step

    def plot(self, stop: int, **options: Any) -> "Axes":
        """Draw the learning rate against the step; see `invdecay.plotting.plot`."""
        from .plotting import plot

        return plot(self, stop, **options)

    def _repr_html_(self) -> str:
        from .plotting import to_html

        return to_html(self)

    # ------------------------------------------------------------ configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types.

        Returns
        -------
        dict
            Keras's five keys, and ``"dtype"`` where it is not float64.

        Examples
        --------
        >>> InverseTimeDecay(0.1, 1000, 0.5).get_config()["decay_steps"]
        1000.0
        """
        keys = "initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name"
        config = {key: getattr(self, key) for key in keys}
        if self._dtype != "float64":
            config["dtype"] = self._dtype
        return config

    @classmethod
    def from_endpoints(cls, initial: float, final: float, steps: float, **options: Any) -> Self:
        """Make the continuous schedule that goes from `initial` to `final` in `steps` steps.

        Parameters
        ----------
        initial, final : float
            The learning rates at step 0 and at `steps`; positive.
        steps : float
            The schedule's ``decay_steps``.
        **options
            ``name`` and ``dtype``, as for the class.

        Returns
        -------
        InverseTimeDecay
            With ``decay_rate = initial / final - 1``. Its rate at `steps` is `final` but for the
            rounding of that ratio, a few units in the last place.

        Raises
        ------
        TypeError
            If an argument is no real number.
        ValueError
            If one is not finite or not positive.

        Examples
        --------
        >>> InverseTimeDecay.from_endpoints(0.1, 0.001, 10_000)(10_000)
        0.001
        """
        for name, value in ("initial", initial), ("final", final), ("steps", steps):
            if hyperparameter(name, value) <= 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        return cls(initial, steps, float(initial) / float(final) - 1, **options)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a schedule from what `get_config` returned.

        Examples
        --------
        >>> schedule = InverseTimeDecay(0.1, 1000, 0.5)
        >>> InverseTimeDecay.from_config(schedule.get_config()) == schedule
        True
        """
        return cls(**config)

    def __repr__(self) -> str:
        config = self.get_config()
        if not config["staircase"]:
            del config["staircase"]
        if config["name"] == "InverseTimeDecay":
            del config["name"]
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(vars(self).items())))


# ---------------------------------------------------------------- single numbers


def _is_python_number(step: Any) -> bool:
    return isinstance(step, numbers.Real) and not isinstance(step, np.generic)


def _floor32(p: Any) -> np.float32:
    return np.float32(math.floor(p))
