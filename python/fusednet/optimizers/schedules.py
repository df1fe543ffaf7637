"""Learning-rate schedules: Keras's names, formulas and defaults, and PyTorch's one-cycle policy.

A schedule gives the learning rate of an update from the number t of updates done before it, so a resumed training goes
on where it stood. It goes where a learning rate goes, and can be called:

    >>> from fusednet.optimizers import SGD, schedules
    >>> decay = schedules.ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.5)
    >>> decay(0), decay(2000)
    (0.1, 0.025)
    >>> SGD(decay).native()["schedule"]["name"]
    'exponential_decay'

Steps count updates, not batches, where gradients are accumulated.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from fusednet import _frozen
from fusednet._frozen import number, serialize
from fusednet.optimizers._cosine import CosineDecay, CosineDecayRestarts, OneCycle
from fusednet.optimizers._schedule import LearningRateSchedule, named


class _Decay(LearningRateSchedule):
    """Exponential and inverse-time decay take the same arguments."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False,
        name: str | None = None,
    ) -> None:  # fmt: skip
        self._rates(initial_learning_rate=initial_learning_rate)
        self._steps(decay_steps=decay_steps)
        self._rates(decay_rate=decay_rate)
        self._set(staircase=bool(staircase), name=named(self, name))

    def params(self) -> list[float]:
        return self._numbers()


class ExponentialDecay(_Decay):
    """initial_learning_rate * decay_rate**(t / decay_steps).

    Args:
        initial_learning_rate: the rate at t = 0, at least 0.
        decay_steps: positive.
        decay_rate: at least 0.
        staircase: round t / decay_steps down.
        name: anything.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.optimizers.schedules import ExponentialDecay
        >>> decay = ExponentialDecay(0.8, decay_steps=10, decay_rate=0.5, staircase=True)
        >>> decay(9), decay(10), decay(20)
        (0.8, 0.4, 0.2)
    """

    row = "exponential_decay"


class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate * t / decay_steps).

    Args:
        initial_learning_rate, decay_steps, decay_rate, staircase, name: see `ExponentialDecay`.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.optimizers.schedules import InverseTimeDecay
        >>> decay = InverseTimeDecay(0.8, decay_steps=10, decay_rate=1.0)
        >>> decay(0), decay(10), decay(30)
        (0.8, 0.4, 0.2)
    """

    row = "inverse_time_decay"


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with t = boundaries[0], then values[1] up to and with boundaries[1], and so on.

    Args:
        boundaries: steps of at least 0, each larger than the one before.
        values: rates, one more than boundaries.
        name: anything.

    Raises:
        ValueError, TypeError: for boundaries without order, another number of values, or a value below 0.

    Example:
        >>> from fusednet.optimizers.schedules import PiecewiseConstantDecay
        >>> schedule = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])
        >>> schedule(100), schedule(101), schedule(1000)
        (1.0, 0.5, 0.1)
    """

    row = "piecewise_constant_decay"

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None) -> None:
        kind = type(self).__name__
        steps = [number(kind, "boundaries", step) for step in _listed(kind, "boundaries", boundaries)]
        rates = [number(kind, "values", value) for value in _listed(kind, "values", values)]
        if any(after <= before for before, after in itertools.pairwise(steps)):
            raise ValueError(f"[{kind}] boundaries expects increasing steps, got {list(boundaries)}")
        if len(rates) != len(steps) + 1:
            raise ValueError(
                f"[{kind}] values expects {len(steps) + 1} rates, one more than boundaries, got {len(rates)}"
            )
        self._set(boundaries=steps, values=rates, name=named(self, name))

    def params(self) -> list[float]:
        return [*vars(self)["boundaries"], *vars(self)["values"]]


class PolynomialDecay(LearningRateSchedule):
    """end + (initial - end) * (1 - min(t / decay_steps, 1))**power.

    Args:
        initial_learning_rate, end_learning_rate: the rates at t = 0 and at t = decay_steps.
        decay_steps: positive.
        power: positive.
        cycle: in place of decay_steps take its first multiple that is not below t, so that the rate rises again.
        name: anything.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.optimizers.schedules import PolynomialDecay
        >>> decay = PolynomialDecay(1.0, decay_steps=4, end_learning_rate=0.0)
        >>> decay(0), decay(1), decay(4), decay(5)
        (1.0, 0.75, 0.0, 0.0)
    """

    row = "polynomial_decay"

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, end_learning_rate: float = 0.0001, power: float = 1.0,
        cycle: bool = False, name: str | None = None,
    ) -> None:  # fmt: skip
        self._rates(initial_learning_rate=initial_learning_rate)
        self._steps(decay_steps=decay_steps)
        self._rates(end_learning_rate=end_learning_rate)
        self._steps(power=power)
        self._set(cycle=bool(cycle), name=named(self, name))

    def params(self) -> list[float]:
        return self._numbers()


def _listed(owner: str, argument: str, values: object) -> list[Any]:
    try:
        return list(values)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        raise TypeError(f"[{owner}] {argument} expects a list of numbers, got {values!r}") from None


_KINDS = (
    *(ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay),
    *(CosineDecayRestarts, OneCycle),
)
_CLASSES: dict[str, type[LearningRateSchedule]] = {kind.__name__: kind for kind in _KINDS}


def get(identifier: object, owner: str = "schedules") -> LearningRateSchedule:
    """The schedule that a configuration or a schedule stands for.

    Raises:
        ValueError: for an unknown class; the message lists the known ones.
        TypeError: for anything else.
    """
    return _frozen.resolve(identifier, LearningRateSchedule, _CLASSES, owner, "learning_rate", "a schedule")


deserialize = get
__all__ = ["LearningRateSchedule", "deserialize", "get", "serialize"]
__all__.extend(_CLASSES)


def __dir__() -> list[str]:
    return sorted(__all__)
