"""Many cases in one test, and the hyperparameters that several test files share."""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

HYPER = 0.1, 1000.0, 0.5
"""An ordinary initial learning rate, decay_steps and decay rate."""


def every(**cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with every combination of the named cases, as one test.

    If each of thousands of small cases were a test, pytest itself would take most of the time. A
    mapping's keys name its cases where one fails.
    """
    named = [
        [(name, label, value) for label, value in _labelled(values)]
        for name, values in cases.items()
    ]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            for combination in itertools.product(*named):
                try:
                    test(**fixtures, **{name: value for name, _, value in combination})
                except BaseException as error:
                    error.add_note(", ".join(f"{name}={label}" for name, label, _ in combination))
                    raise

        signature = inspect.signature(test)
        kept = [p for p in signature.parameters.values() if p.name not in cases]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return run

    return decorate


def _labelled(values: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    if isinstance(values, Mapping):
        return values.items()
    return [(repr(value), value) for value in values]
