"""`InverseTimeDecay`, the schedule as an object."""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, SupportsFloat, overload

import numpy as np
import numpy.typing as npt

from ._arguments import (
    arithmetic_dtype,
    boolean,
    finite,
    hyperparameter_in,
    is_python_number,
    output,
    python_number,
    step_range,
)
from ._backend import report_flags, ufunc_of
from ._evaluate import LARGE, NARROW, evaluate, fill
from ._formula import float_step, formula

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST_STEP, _MOST_STEP = 2.0**-20, 2**53
"""Between these, and at 0, a step of a plain schedule raises no floating-point flag."""

_PLAIN = {
    "float32": ((1e-10, 1e10), (1e-2, 1e15), (1e-8, 1e8)),
    "float64": ((1e-70, 1e70),) * 3,
}
"""Magnitudes of plain hyperparameters, in their order: nothing underflows or overflows."""

_ONE = np.float32(1)
"""Multiplied by this, a Python number is rounded to float32 sooner than by np.float32."""

_PROMOTES = {
    "float32": NARROW,
    "float64": dict.fromkeys(NARROW, True),
}
"""For steps as in NARROW, whether NumPy's promotion alone gives the schedule's dtype."""


@dataclass(frozen=True, init=False, repr=False, eq=False)
class InverseTimeDecay:
    """Inverse-time-decay learning-rate schedule with Keras's arguments.

    Parameters
    ----------
    initial_learning_rate : float
        The learning rate at step 0.
    decay_steps : float
        The number of steps over which the denominator grows by `decay_rate`; positive.
    decay_rate : float
        The growth of the denominator every `decay_steps` steps. With a rate of 1, the learning
        rate is a half after `decay_steps` steps, a third after twice as many, and so on.
    staircase : bool, optional
        Hold the rate for `decay_steps` steps at a time.
    name : str, optional
        A name, kept in the configuration.
    dtype : {"float32", "float64"} or dtype, optional
        The dtype of arithmetic and results. The default is that of `initial_learning_rate`; a
        Python number or an integer counts as float64. In float32, steps past 2**24 are rounded
        before they are used, as in Keras, so that a stair may begin some steps early or late. In
        float64 every integer step below 2**53 gets the rate of its own stair.

    Raises
    ------
    TypeError
        If a hyperparameter is not a real number, `staircase` is not a boolean, or `dtype` is
        neither float32 nor float64.
    ValueError
        If a hyperparameter is NaN or infinite, or `decay_steps` is not positive, in `dtype`.

    See Also
    --------
    inverse_time_decay : The same schedule as a function, with arrays of hyperparameters.

    Notes
    -----
    Schedules are immutable, comparable and hashable, and they pickle by their parameters. A
    schedule works unchanged as the ``lr_lambda`` of PyTorch's ``LambdaLR`` and as an optax
    schedule.

    Examples
    --------
    >>> from invdecay import InverseTimeDecay
    >>> schedule = InverseTimeDecay(0.1, decay_steps=1000, decay_rate=1.0)
    >>> schedule(1000)
    0.05
    >>> schedule.precompute(range(0, 4000, 1000))
    array([0.1       , 0.05      , 0.03333333, 0.025     ])
    """

    # PyTorch's LambdaLR saves a callable's __dict__ and, on loading, updates it. This one is empty
    # and without effect, so that a loaded state cannot change the schedule.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_arrays",
        "_floor",
        "_narrow",
        "_numbers",
        "_plain",
        "_promotes",
        "_ufunc",
        "decay_rate",
        "decay_steps",
        "dtype",
        "initial_learning_rate",
        "name",
        "staircase",
    )

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool
    name: str
    dtype: np.dtype[Any]
    """The dtype of arithmetic and results."""

    # What a call needs: the hyperparameters as operands of single numbers and of arrays, whether
    # plain steps raise no flag, and for each dtype of steps whether NumPy promotes to `dtype`.
    _numbers: tuple[Any, Any, Any]
    _arrays: tuple[npt.NDArray[Any], ...]
    _floor: Callable[[Any], Any] | None
    _plain: bool
    _narrow: bool
    _ufunc: Any
    _promotes: dict[Any, bool]

    def __init__(
        self,
        initial_learning_rate: SupportsFloat,
        decay_steps: SupportsFloat,
        decay_rate: SupportsFloat,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        arithmetic = arithmetic_dtype(initial_learning_rate, dtype)
        staircase = boolean("staircase", staircase)
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        hyper = (
            hyperparameter_in(arithmetic, "initial_learning_rate", initial_learning_rate),
            hyperparameter_in(arithmetic, "decay_steps", decay_steps),
            hyperparameter_in(arithmetic, "decay_rate", decay_rate),
        )
        narrow = arithmetic == np.float32
        with np.errstate(under="ignore"):  # a tiny hyperparameter may be zero in float32
            arrays = tuple(np.asarray(x, arithmetic) for x in hyper)
        for array in arrays:
            array.flags.writeable = False
        plain = all(
            x == 0 or least <= abs(x) <= most
            for x, (least, most) in zip(hyper, _PLAIN[arithmetic.name], strict=True)
        )
        values = {
            "initial_learning_rate": hyper[0],
            "decay_steps": hyper[1],
            "decay_rate": hyper[2],
            "staircase": staircase,
            "name": name,
            "dtype": arithmetic,
            "_numbers": tuple(array[()] for array in arrays) if narrow else hyper,
            "_arrays": arrays,
            "_floor": (_floor32 if narrow else math.floor) if staircase else None,
            "_plain": plain,
            "_ufunc": ufunc_of(staircase),
            "_narrow": narrow,
            "_promotes": _PROMOTES[arithmetic.name],
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.get_config())

    # ------------------------------------------------------------ evaluation

    @overload
    def __call__(self, step: np.integer[Any] | np.float16 | np.float32) -> np.floating[Any]: ...
    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(
        self, step: npt.NDArray[Any] | range | list[Any] | tuple[Any, ...]
    ) -> npt.NDArray[np.floating[Any]]: ...
    @overload
    def __call__(self, step: Any) -> Any: ...
    def __call__(self, step: Any) -> Any:
        """Return the learning rate at each step.

        Parameters
        ----------
        step : number, array_like or range
            Steps counted from 0, of any real dtype. A range means the same as ``numpy.arange``
            over it, but no array of steps is made.

        Returns
        -------
        float, scalar or array
            A Python float for a Python number. For a NumPy scalar, an array, an array-like or a
            range, the same shape in `dtype`. For an array of another library (PyTorch, JAX,
            CuPy, Dask), an array of that library on the device of `step`, in `dtype` where the
            device has it and else in float32.

        Raises
        ------
        TypeError
            If `step` holds anything but real numbers.
        OverflowError
            If a step of a range does not fit int64.

        Examples
        --------
        >>> schedule = InverseTimeDecay(0.1, 1000, 1.0, staircase=True)
        >>> schedule(1999)
        0.05
        >>> import numpy as np
        >>> schedule(np.array([999, 1000]))
        array([0.1 , 0.05])
        """
        kind = type(step)
        if kind is int or kind is float:
            if self._plain and (1 <= step <= _MOST_STEP or step == 0 or _LEAST_STEP <= step < 1):
                lr, decay_steps, rate = self._numbers
                try:
                    if self._narrow:
                        return float(formula(_ONE * step, lr, decay_steps, rate, self._floor))
                    return formula(step, lr, decay_steps, rate, self._floor)
                except ZeroDivisionError:
                    pass
            return self._at_number(step)
        # By type, because a subclass could change the schedule's own arrays, which NumPy hands it.
        natural = self._promotes.get(kind)
        if kind is np.ndarray and (step.ndim < 2 or step.size < LARGE):
            natural = self._promotes.get(step.dtype.char)
        if natural:
            return self._ufunc(step, *self._arrays)
        if natural is False:
            return self._ufunc(step, *self._arrays, dtype=self.dtype)
        if kind is range:
            steps = step_range(step)
            out = np.empty(len(steps), self.dtype)
            report_flags(self._ufunc.__name__, self._fill(out, steps))
            return out
        if is_python_number(step):
            return self._at_number(python_number(step))
        hyper = self.initial_learning_rate, self.decay_steps, self.decay_rate
        return evaluate(step, hyper, self.staircase, dtype=self.dtype)

    def _at_number(self, step: float) -> float:
        # NumPy knows what IEEE arithmetic gives, and reports its floating-point flags.
        at = self.dtype.type(float_step(step, self._narrow))
        return float(self._ufunc(at, *self._arrays))

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
            array of steps is made.

        Raises
        ------
        TypeError
            If `steps` is neither an integer nor a range, or `out` is not an array of a real
            floating dtype, or is a masked one.
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
            output(out, len(steps))
        report_flags("precompute", self._fill(out, steps))
        return out

    def _fill(self, out: npt.NDArray[Any], steps: range) -> int:
        """Store the rates at `steps` in `out` and return the floating-point flags, unreported."""
        hyper = self.initial_learning_rate, self.decay_steps, self.decay_rate
        return fill(out, steps, hyper, self.staircase, self.dtype)

    def step_at(self, learning_rate: float) -> int:
        """Return the first step from 0 on whose rate is `learning_rate` or below.

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
            If `learning_rate` is not a real number.
        ValueError
            If no int64 step reaches `learning_rate`, or the rate does not fall: a negative
            initial learning rate or decay rate.

        Examples
        --------
        >>> InverseTimeDecay(0.1, 1000, 1.0).step_at(0.05)
        1000
        """
        rate = float(self.dtype.type(finite("learning_rate", learning_rate)))
        if self.initial_learning_rate < 0 or self.decay_rate < 0:
            raise ValueError(f"step_at needs a schedule whose rate falls, got {self!r}")
        # Every rounded operation is monotonic, so that the rates are sorted.
        last = 2**63 - 1
        with np.errstate(all="ignore"):  # the search visits steps that nobody asked for
            step = bisect.bisect_left(range(last), True, key=lambda step: self(step) <= rate)
            never = step == last and self(last) > rate
        if never:
            raise ValueError(f"learning_rate is never reached, got {learning_rate!r}")
        return step

    def plot(self, stop: int, **options: Any) -> "Axes":
        """Draw the learning rate against the step; see `invdecay.plotting.plot`."""
        from .plotting import plot

        return plot(self, stop, **options)

    def _repr_html_(self) -> str:
        from ._drawings import to_html

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
        if self.dtype != np.float64:
            config["dtype"] = self.dtype.name
        return config

    @classmethod
    def from_endpoints(
        cls,
        initial: SupportsFloat,
        final: SupportsFloat,
        steps: SupportsFloat,
        *,
        name: str = "InverseTimeDecay",
        dtype: npt.DTypeLike | None = None,
    ) -> Self:
        """Return the continuous schedule that goes from `initial` to `final` in `steps` steps.

        Parameters
        ----------
        initial, final : float
            The learning rates at step 0 and at `steps`; positive.
        steps : float
            The schedule's ``decay_steps``.
        name, dtype
            As for the class.

        Returns
        -------
        InverseTimeDecay
            With ``decay_rate = initial / final - 1``. Its rate at `steps` is `final` but for the
            rounding of that ratio, a few units in the last place.

        Raises
        ------
        TypeError
            If an argument is not a real number.
        ValueError
            If one is not finite or not positive, or if ``initial / final`` is too large for the
            dtype.

        Examples
        --------
        >>> InverseTimeDecay.from_endpoints(0.1, 0.001, 10_000)(10_000)
        0.001
        """
        values = {
            label: finite(label, value, positive=True)
            for label, value in (("initial", initial), ("final", final), ("steps", steps))
        }
        ratio = values["initial"] / values["final"]
        if ratio - 1 > float(np.finfo(arithmetic_dtype(initial, dtype)).max):
            raise ValueError(f"initial / final must be finite, got {initial!r} / {final!r}")
        return cls(initial, steps, ratio - 1, name=name, dtype=dtype)

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
        return (self.dtype, self.get_config()) == (other.dtype, other.get_config())

    def __hash__(self) -> int:
        return hash((type(self), self.dtype, *self.get_config().values()))


def _restored(cls: type[InverseTimeDecay], config: dict[str, Any]) -> InverseTimeDecay:
    """Return a schedule from its pickled configuration."""
    return cls.from_config(config)


def _floor32(p: Any) -> np.float32:
    return np.float32(math.floor(p))
