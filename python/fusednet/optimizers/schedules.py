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
import math
from collections.abc import Sequence
from typing import Any

from fusednet import _frozen, _names, _native
from fusednet._frozen import Frozen, number, serialize

_POSITIVE = ("a positive number", lambda x: x > 0.0)
_SHARE = ("a number in [0, 1]", lambda x: 0.0 <= x <= 1.0)


class LearningRateSchedule(Frozen):
    """What all schedules share: they are called with a step and cannot be changed."""

    row: str  # name of the compiled function

    def params(self) -> list[float]:
        """The row's parameters in its order."""
        raise NotImplementedError

    def __call__(self, step: float) -> float:
        """The learning rate after `step` updates.

        Raises:
            ValueError, TypeError: for a step that is no number of at least 0.
        """
        t = number(type(self).__name__, "step", step)
        return _native.schedule_value(self.row, self.params(), t)

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": self.row, "params": self.params()}

    def _numbers(self, **values: Any) -> list[float]:
        return [float({**vars(self), **values}[key]) for key in _PARAMS[self.row]]

    def _steps(self, **values: object) -> None:
        for key, value in values.items():
            self._set(**{key: number(type(self).__name__, key, value, *_POSITIVE)})

    def _rates(self, **values: object) -> None:
        for key, value in values.items():
            self._set(**{key: number(type(self).__name__, key, value)})


class _Decay(LearningRateSchedule):
    """Exponential and inverse-time decay take the same arguments."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False,
        name: str | None = None,
    ) -> None:  # fmt: skip
        self._rates(initial_learning_rate=initial_learning_rate)
        self._steps(decay_steps=decay_steps)
        self._rates(decay_rate=decay_rate)
        self._set(staircase=bool(staircase), name=_named(self, name))

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
    """

    row = "exponential_decay"


class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate * t / decay_steps).

    Args:
        initial_learning_rate, decay_steps, decay_rate, staircase, name: see `ExponentialDecay`.
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
        self._set(boundaries=steps, values=rates, name=_named(self, name))

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
        self._set(cycle=bool(cycle), name=_named(self, name))

    def params(self) -> list[float]:
        return self._numbers()


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to alpha times it, after a linear warm-up if there is one.

    rate * (alpha + (1 - alpha) * (1 + cos(pi * t / decay_steps)) / 2) up to t = decay_steps, constant then. With
    warmup_target, warmup_steps lead linearly from the initial rate to the target, from which the cosine starts.

    Args:
        initial_learning_rate: the rate at t = 0.
        decay_steps: of the cosine, positive; the warm-up's come before.
        alpha: the last rate as a share of the highest, in [0, 1].
        name: anything.
        warmup_target: the rate after the warm-up; None is without a warm-up.
        warmup_steps: at least 0.

    Source: Loshchilov & Hutter 2017, eq. 5.

    Example:
        >>> from fusednet.optimizers.schedules import CosineDecay
        >>> schedule = CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)
        >>> [round(schedule(t), 4) for t in (0, 5, 10, 60, 110)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    row = "cosine_decay"

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, alpha: float = 0.0, name: str | None = None,
        warmup_target: float | None = None, warmup_steps: float = 0,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self._rates(initial_learning_rate=initial_learning_rate)
        self._steps(decay_steps=decay_steps)
        self._set(alpha=number(kind, "alpha", alpha, *_SHARE), name=_named(self, name), warmup_target=None)
        if warmup_target is not None:
            self._rates(warmup_target=warmup_target)
        self._rates(warmup_steps=warmup_steps)

    def params(self) -> list[float]:
        if vars(self)["warmup_target"] is None:
            return self._numbers(warmup_target=vars(self)["initial_learning_rate"], warmup_steps=0.0)
        return self._numbers()


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each starting at the top again.

    Cycle i takes first_decay_steps * t_mul**i steps and falls from initial_learning_rate * m_mul**i (alpha = 0).

    Args:
        initial_learning_rate: the rate at t = 0.
        first_decay_steps: of the first cycle, positive.
        t_mul: how much longer each cycle is than the one before, at least 1.
        m_mul: how much higher it starts, at least 0.
        alpha: the last rate of a cycle as a share of the initial one, in [0, 1].
        name: anything.

    Source: Loshchilov & Hutter 2017, eq. 5 and section 3.
    """

    row = "cosine_decay_restarts"

    def __init__(
        self, initial_learning_rate: float, first_decay_steps: float, t_mul: float = 2.0, m_mul: float = 1.0,
        alpha: float = 0.0, name: str | None = None,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self._rates(initial_learning_rate=initial_learning_rate)
        self._steps(first_decay_steps=first_decay_steps)
        self._set(t_mul=number(kind, "t_mul", t_mul, "a finite number of at least 1", lambda x: x >= 1.0))
        self._rates(m_mul=m_mul)
        self._set(alpha=number(kind, "alpha", alpha, *_SHARE), name=_named(self, name))

    def params(self) -> list[float]:
        return self._numbers()


class OneCycle(LearningRateSchedule):
    """Up from max_lr / div_factor to max_lr, then down to max_lr / (div_factor * final_div_factor).

    The top is at t = pct_start * total_steps - 1, the end at t = total_steps - 1, after which the rate stays. Names,
    defaults and formula of PyTorch's OneCycleLR with two phases; momentum is left alone.

    Args:
        max_lr: the highest rate.
        total_steps: updates in all, at least 1.
        pct_start: share of them on the way up, in [0, 1].
        anneal_strategy: "cos" or "linear".
        div_factor, final_div_factor: positive.
        name: anything.

    Source: Smith & Topin 2019, section 3.
    """

    row = "one_cycle"

    def __init__(
        self, max_lr: float, total_steps: int, pct_start: float = 0.3, anneal_strategy: str = "cos",
        div_factor: float = 25.0, final_div_factor: float = 1e4, name: str | None = None,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self._rates(max_lr=max_lr)
        steps = number(
            kind, "total_steps", total_steps, "a positive integer", lambda x: x >= 1.0 and x == math.floor(x)
        )
        self._set(total_steps=int(steps), pct_start=number(kind, "pct_start", pct_start, *_SHARE))
        if anneal_strategy not in ("cos", "linear"):
            raise _names.unknown(kind, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self._set(anneal_strategy=anneal_strategy)
        self._steps(div_factor=div_factor, final_div_factor=final_div_factor)
        self._set(name=_named(self, name))

    def params(self) -> list[float]:
        return self._numbers(linear=vars(self)["anneal_strategy"] == "linear")


def _named(schedule: LearningRateSchedule, name: str | None) -> str:
    kind = type(schedule).__name__
    return kind if name is None else _names.checked(kind, name)


def _listed(owner: str, argument: str, values: object) -> list[Any]:
    try:
        return list(values)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        raise TypeError(f"[{owner}] {argument} expects a list of numbers, got {values!r}") from None


_KINDS = (
    *(ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay),
    *(CosineDecayRestarts, OneCycle),
)
_PARAMS: dict[str, list[str]] = {row["name"]: row["params"] for row in _native.schedule_rows()}
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
