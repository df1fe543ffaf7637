"""What all optimizers share: the learning rate, clipping, weight decay, averages, accumulation."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from fusednet import _frozen, _names, _native
from fusednet.optimizers import schedules
from fusednet.optimizers.schedules import LearningRateSchedule

_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.optimizer_rows()}
_CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")


class Options(TypedDict, total=False):
    """Keyword arguments that every optimizer takes."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    weight_decay_excluded: Sequence[str]
    name: str | None
    lr: float | None


class Optimizer:
    """What all optimizers share.

    Args:
        learning_rate: size of a step, at least 0, or a `fusednet.optimizers.schedules` object, which gives it for each
            update.
        weight_decay: w = w - learning_rate * weight_decay * w before each update; None is without.
        clipvalue, clipnorm, global_clipnorm: at most one of them, positive; see the module.
        use_ema: keep an average of the weights, average = ema_momentum * average + (1 - ema_momentum) * w after each
            update; after the first it is a copy of them.
        ema_momentum: in [0, 1].
        ema_overwrite_frequency: every so many updates the weights become their average; None: when training ends.
        gradient_accumulation_steps: the mean gradient of so many batches makes one update, at least 2; None: of each.
        weight_decay_excluded: see `exclude_from_weight_decay`.
        name: anything.
        lr: former name of learning_rate.

    Raises:
        ValueError: for a value outside its domain or more than one way of clipping.
        TypeError: for a value of another type, or an argument that does not exist.

    Sources: Loshchilov & Hutter 2019, algorithm 2 (weight decay); Polyak & Juditsky 1992 (average); Pascanu et al.
    2013, algorithm 1 (clipping).

    Example:
        >>> from fusednet.optimizers import SGD
        >>> SGD(use_ema=True, gradient_accumulation_steps=4).slots
        ('average', 'accumulator')
    """

    learning_rate: "float | LearningRateSchedule"
    clipvalue: float | None
    clipnorm: float | None
    global_clipnorm: float | None
    weight_decay: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    weight_decay_excluded: tuple[str, ...]
    name: str

    def __init__(
        self, learning_rate: object, hyper: Mapping[str, object], weight_decay: object, options: Options
    ) -> None:
        kind = type(self).__name__
        known = Options.__annotations__
        for key in options:
            if key not in known:
                raise TypeError(f"[{kind}] expects options among {', '.join(known)}; got {key!r}")
        rate = options.get("lr")
        vars(self)["learning_rate"] = _rate(kind, learning_rate if rate is None else rate)
        vars(self).update(hyper)
        vars(self)["weight_decay"] = None if weight_decay is None else number(kind, "weight_decay", weight_decay)
        for key in _CLIPS:
            value = options.get(key)
            vars(self)[key] = None if value is None else number(kind, key, value, positive=True)
        given = [key for key in _CLIPS if vars(self)[key] is not None]
        if len(given) > 1:
            raise ValueError(f"[{kind}] expects at most one of {', '.join(_CLIPS)}; got {' and '.join(given)}")
        vars(self)["use_ema"] = bool(options.get("use_ema", False))
        vars(self)["ema_momentum"] = number(kind, "ema_momentum", options.get("ema_momentum", 0.99), most=1.0)
        for key, least in (("ema_overwrite_frequency", 1), ("gradient_accumulation_steps", 2)):
            vars(self)[key] = _count(kind, key, options.get(key), least)
        vars(self)["weight_decay_excluded"] = _words(
            kind, "weight_decay_excluded", options.get("weight_decay_excluded", ())
        )
        name = options.get("name")
        vars(self)["name"] = _names.snake_case(kind) if name is None else _names.checked(kind, name)

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        if name != "learning_rate":
            raise AttributeError(f"[{kind}] only learning_rate can be set; compile again with a new {kind}")
        if isinstance(self.learning_rate, LearningRateSchedule):
            raise TypeError(f"[{kind}] learning_rate cannot be set: it follows {self.learning_rate!r}")
        if isinstance(value, LearningRateSchedule):
            raise TypeError(f"[{kind}] learning_rate expects a number once made with one, got {value!r}")
        vars(self)["learning_rate"] = _rate(kind, value)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Spare the arrays whose name (`layer/role`) contains one of var_names from weight decay.

        Args:
            var_list: only None: arrays have names here.
            var_names: parts of names, for example ["bias", "gamma"]; they replace those given before.

        Raises:
            ValueError: once a model has compiled the optimizer.
            TypeError: for anything else than strings.

        Example:
            >>> from fusednet.optimizers import AdamW
            >>> optimizer = AdamW(0.001, weight_decay=0.01)
            >>> optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            >>> optimizer.weight_decay_excluded
            ('bias', 'gamma', 'beta')
        """
        kind = type(self).__name__
        if var_list is not None:
            raise TypeError(f"[{kind}] var_list expects None: give the arrays' names as var_names, got {var_list!r}")
        if vars(self).get("_compiled"):
            raise ValueError(
                f"[{kind}] exclude_from_weight_decay expects an optimizer that no model has compiled yet; "
                f"compile again with a new {kind}"
            )
        vars(self)["weight_decay_excluded"] = _words(kind, "var_names", () if var_names is None else var_names)

    @property
    def row(self) -> str:
        """Name of the compiled kernel that does the update."""
        raise NotImplementedError

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each weight, for example ("momentum", "velocity", "average")."""
        extra = ["average"] * self.use_ema + ["accumulator"] * (self.gradient_accumulation_steps is not None)
        return (*_ROWS[self.row]["slots"], *extra)

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        vars(self)["_compiled"] = True
        schedule = self.learning_rate if isinstance(self.learning_rate, LearningRateSchedule) else None
        rate = schedule(0) if schedule is not None else self.learning_rate
        return {
            "name": self.row,
            "hyper": [rate, *(float(vars(self)[key]) for key, _ in _ROWS[self.row]["hyper"][1:])],
            **{key: vars(self)[key] for key in _CLIPS},
            "weight_decay": self.weight_decay or 0.0,
            "weight_decay_excluded": list(self.weight_decay_excluded),
            "ema_momentum": self.ema_momentum if self.use_ema else None,
            "ema_overwrite_frequency": self.ema_overwrite_frequency if self.use_ema else None,
            "gradient_accumulation_steps": self.gradient_accumulation_steps or 1,
            "schedule": None if schedule is None else schedule.native(),
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        config = {key: value for key, value in vars(self).items() if key != "_compiled"}
        if isinstance(self.learning_rate, LearningRateSchedule):
            config["learning_rate"] = schedules.serialize(self.learning_rate)
        config["weight_decay_excluded"] = list(self.weight_decay_excluded)
        return config

    def __repr__(self) -> str:
        usual = {"use_ema": False, "weight_decay_excluded": (), "name": _names.snake_case(type(self).__name__)}
        usual |= {} if self.use_ema else {"ema_momentum": self.ema_momentum}
        given = {k: v for k, v in vars(self).items() if v is not None and k != "_compiled"}
        shown = (f"{k}={v!r}" for k, v in given.items() if k not in usual or usual[k] != v)
        return f"{type(self).__name__}({', '.join(shown)})"


def number(owner: str, argument: str, value: object, *, most: float = math.inf, positive: bool = False) -> float:
    """A finite number of at least 0, or above it, and up to `most`; `most` of 1 is for discounts."""
    wanted = "a positive finite number" if positive else "a finite number of at least 0"
    if most < math.inf:
        wanted = f"a number in [0, {most:g}]"
    return _frozen.number(owner, argument, value, wanted, lambda x: 0.0 <= x <= most and (x > 0.0 or not positive))


def stabilizer(owner: str, value: object) -> float:
    """Epsilon, which keeps a division by a root that may be 0 finite: at least float32's smallest normal number."""
    wanted = "a finite number of at least 1.2e-38"
    return _frozen.number(owner, "epsilon", value, wanted, lambda x: x >= 1.1754943508222875e-38)


def discount(owner: str, argument: str, value: object) -> float:
    """A discount by whose powers the update divides, 1 - beta**t: below 1."""
    result = number(owner, argument, value, most=1.0)
    if result == 1.0:
        raise ValueError(f"[{owner}] {argument} expects a number in [0, 1), got {value!r}")
    return result


def _rate(owner: str, value: object) -> "float | LearningRateSchedule":
    if isinstance(value, LearningRateSchedule):
        return value
    if isinstance(value, dict):
        return schedules.get(value, owner)
    return number(owner, "learning_rate", value)


def _count(owner: str, argument: str, value: object, least: int) -> int | None:
    if value is None:
        return None
    wanted = f"an integer of at least {least} or None"
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}") from None
    if isinstance(value, bool) or not least <= count < 1 << 31:
        raise ValueError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return count


def _words(owner: str, argument: str, value: object) -> tuple[str, ...]:
    wanted = "a list of strings that are not empty"
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    if not all(isinstance(word, str) and word for word in value):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return tuple(value)
