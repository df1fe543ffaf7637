"""Optimizers, with Keras's names, defaults and conventions, and gradient clipping.

Each takes at most one of

- `clipvalue`: every gradient element is clamped to [-clipvalue, clipvalue];
- `clipnorm`: each tensor's gradient g is scaled by min(1, clipnorm / ||g||);
- `global_clipnorm`: all gradients are scaled by min(1, global_clipnorm / ||all of them||).

`learning_rate` can be set at any time, also while the model trains; everything else is fixed.
"""

import math
from collections.abc import Mapping
from typing import Any

from fusednet import _names, _native

_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.optimizer_rows()}
_CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")


class Optimizer:
    """What all optimizers share.

    Args:
        learning_rate: size of a step, at least 0.
        clipvalue, clipnorm, global_clipnorm: at most one of them, positive.

    Raises:
        ValueError: for a value outside its domain or more than one way of clipping.
        TypeError: for a value that is no number, learning-rate schedules included.
    """

    learning_rate: float
    clipvalue: float | None
    clipnorm: float | None
    global_clipnorm: float | None

    def __init__(
        self,
        learning_rate: object,
        clipvalue: float | None,
        clipnorm: float | None,
        global_clipnorm: float | None,
        name: str | None,
        **hyper: float,
    ) -> None:
        kind = type(self).__name__
        self.learning_rate = learning_rate  # type: ignore[assignment]
        for key, value in zip(_CLIPS, (clipvalue, clipnorm, global_clipnorm), strict=True):
            vars(self)[key] = None if value is None else _number(kind, key, value, positive=True)
        given = [key for key in _CLIPS if vars(self)[key] is not None]
        if len(given) > 1:
            raise ValueError(f"[{kind}] expects at most one of {', '.join(_CLIPS)}; got {' and '.join(given)}")
        vars(self).update(hyper)
        vars(self)["name"] = _names.snake_case(kind) if name is None else _names.checked(kind, name)

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        if name != "learning_rate":
            raise AttributeError(f"[{kind}] only learning_rate can be set; compile again with a new {kind}")
        vars(self)["learning_rate"] = _number(kind, "learning_rate", value)

    @property
    def row(self) -> str:
        """Name of the compiled kernel that does the update."""
        raise NotImplementedError

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays that are kept for each weight, for example ("momentum", "velocity")."""
        return tuple(_ROWS[self.row]["slots"])

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        row = _ROWS[self.row]
        return {
            "name": self.row,
            "hyper": [float(vars(self)[key]) for key, _ in row["hyper"]],
            **{key: vars(self)[key] for key in _CLIPS},
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(vars(self))

    def __repr__(self) -> str:
        given = {key: value for key, value in self.get_config().items() if value is not None and key != "name"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"


class SGD(Optimizer):
    """Gradient descent, plain, with momentum or with Nesterov's momentum.

    Plain: w = w - learning_rate * g. With momentum: v = momentum * v - learning_rate * g, w = w + v.
    With Nesterov: v as before, w = w + momentum * v - learning_rate * g.

    Args:
        learning_rate: size of a step.
        momentum: in [0, 1]; 0 is plain.
        nesterov: look ahead; without momentum it changes nothing.
        clipvalue, clipnorm, global_clipnorm: see the module.
        name: anything.
        lr: former name of learning_rate.

    Sources: Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013, eq. 3 and 4.

    Example:
        >>> from fusednet.optimizers import SGD
        >>> SGD(0.1, momentum=0.9, clipvalue=1.0)
        SGD(learning_rate=0.1, clipvalue=1.0, momentum=0.9, nesterov=False)
    """

    momentum: float
    nesterov: bool

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        lr: float | None = None,
    ) -> None:
        rate = learning_rate if lr is None else lr
        momentum = _number("SGD", "momentum", momentum, most=1.0)
        super().__init__(rate, clipvalue, clipnorm, global_clipnorm, name, momentum=momentum, nesterov=bool(nesterov))

    @property
    def row(self) -> str:
        if self.momentum == 0.0:
            return "sgd"
        return "sgd_nesterov" if self.nesterov else "sgd_momentum"


class RMSprop(Optimizer):
    """Divides the gradient by a moving root mean square of it.

    v = rho * v + (1 - rho) * g**2, w = w - learning_rate * g / sqrt(v + epsilon). With momentum,
    m = momentum * m + learning_rate * g / sqrt(v + epsilon), w = w - m. Epsilon is inside the root, as in Keras.

    Args:
        learning_rate: size of a step.
        rho: discount of the moving average, in [0, 1].
        momentum: in [0, 1]; 0 is without.
        epsilon: at least 0.
        centered: only False; the centred variant does not exist here.
        clipvalue, clipnorm, global_clipnorm: see the module.
        name: anything.
        lr: former name of learning_rate.

    Source: Tieleman & Hinton 2012, lecture 6.5.
    """

    rho: float
    momentum: float
    epsilon: float

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        lr: float | None = None,
    ) -> None:
        if centered:
            raise ValueError("[RMSprop] centered expects False (the centred variant does not exist here), got True")
        super().__init__(
            learning_rate if lr is None else lr,
            clipvalue,
            clipnorm,
            global_clipnorm,
            name,
            rho=_number("RMSprop", "rho", rho, most=1.0),
            momentum=_number("RMSprop", "momentum", momentum, most=1.0),
            epsilon=_number("RMSprop", "epsilon", epsilon),
        )

    @property
    def row(self) -> str:
        return "rmsprop_momentum" if self.momentum > 0.0 else "rmsprop"


class Adam(Optimizer):
    """Adaptive moments: momentum divided by a moving root mean square, both corrected for their start at zero.

    m = beta_1 * m + (1 - beta_1) * g, v = beta_2 * v + (1 - beta_2) * g**2,
    w = w - learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon) at step t = 1, 2, ...
    Epsilon is outside the root and not corrected ("epsilon hat" of the paper), as in Keras.

    Args:
        learning_rate: size of a step.
        beta_1, beta_2: discounts of the moving averages, in [0, 1).
        epsilon: at least 0.
        amsgrad: only False; AMSGrad does not exist here.
        clipvalue, clipnorm, global_clipnorm: see the module.
        name: anything.
        lr: former name of learning_rate.

    Source: Kingma & Ba 2015, algorithm 1 with the reordering at the end of section 2.
    """

    beta_1: float
    beta_2: float
    epsilon: float

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        lr: float | None = None,
    ) -> None:
        if amsgrad:
            raise ValueError("[Adam] amsgrad expects False (AMSGrad does not exist here), got True")
        super().__init__(
            learning_rate if lr is None else lr,
            clipvalue,
            clipnorm,
            global_clipnorm,
            name,
            beta_1=_discount("beta_1", beta_1),
            beta_2=_discount("beta_2", beta_2),
            epsilon=_number("Adam", "epsilon", epsilon),
        )

    @property
    def row(self) -> str:
        return "adam"


def _number(owner: str, argument: str, value: object, *, most: float = math.inf, positive: bool = False) -> float:
    """A finite number of at least 0, or above it, and up to `most`; `most` of 1 is for discounts."""
    wanted = "a positive finite number" if positive else "a finite number of at least 0"
    if most < math.inf:
        wanted = f"a number in [0, {most:g}]"
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}") from None
    if not (0.0 <= number <= most and math.isfinite(number)) or (positive and number == 0.0):
        raise ValueError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return number


def _discount(argument: str, value: float) -> float:
    """Adam divides by 1 - beta**t: beta is below 1."""
    number = _number("Adam", argument, value, most=1.0)
    if number == 1.0:
        raise ValueError(f"[Adam] {argument} expects a number in [0, 1), got {value!r}")
    return number


_CLASSES: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, RMSprop, Adam)}
_BY_NAME = {name.lower(): kind for name, kind in _CLASSES.items()}


def get(identifier: object, owner: str = "optimizers") -> Optimizer:
    """The optimizer that a name, a class, a configuration or an optimizer stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer) and identifier is not Optimizer:
        return identifier()  # type: ignore[call-arg]
    config: dict[str, Any] = {}
    if isinstance(identifier, Mapping) and set(identifier) == {"class", "config"}:
        config = dict(identifier["config"])
        identifier = identifier["class"]
    if not isinstance(identifier, str):
        raise TypeError(f"[{owner}] optimizer expects a name or an optimizer, got {identifier!r}")
    kind = _BY_NAME.get(identifier.lower())
    if kind is None:
        raise _names.unknown(owner, "optimizer", identifier, _BY_NAME)
    return kind(**config)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The configuration that `get` turns back into the same optimizer."""
    return {"class": type(optimizer).__name__, "config": optimizer.get_config()}
