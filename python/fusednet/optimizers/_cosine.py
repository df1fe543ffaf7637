"""Learning-rate schedules whose pieces are half cosines."""

import math

from fusednet import _names
from fusednet._frozen import number
from fusednet.optimizers._schedule import LearningRateSchedule, named

_SHARE = ("a number in [0, 1]", lambda x: 0.0 <= x <= 1.0)


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

    Raises:
        ValueError, TypeError: for an argument outside its domain.

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
        self._set(alpha=number(kind, "alpha", alpha, *_SHARE), name=named(self, name), warmup_target=None)
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

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Loshchilov & Hutter 2017, eq. 5 and section 3.

    Example:
        >>> from fusednet.optimizers.schedules import CosineDecayRestarts
        >>> schedule = CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5)
        >>> [round(schedule(t), 4) for t in (0, 5, 10, 20, 30)]
        [1.0, 0.5, 0.5, 0.25, 0.25]
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
        self._set(alpha=number(kind, "alpha", alpha, *_SHARE), name=named(self, name))

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

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Smith & Topin 2019, section 3.

    Example:
        >>> from fusednet.optimizers.schedules import OneCycle
        >>> schedule = OneCycle(1.0, total_steps=11, pct_start=0.5, anneal_strategy="linear", div_factor=10.0)
        >>> [round(schedule(t), 3) for t in (0, 4.5, 10)]
        [0.1, 1.0, 0.0]
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
        self._set(name=named(self, name))

    def params(self) -> list[float]:
        return self._numbers(linear=vars(self)["anneal_strategy"] == "linear")
