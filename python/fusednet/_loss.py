"""What a loss is: a row of the compiled catalogue with its parameters, a reduction and what its targets may be."""

import math
from collections.abc import Mapping
from typing import Any

from fusednet import _names, _native

ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.loss_rows()}
REDUCTIONS = ("sum_over_batch_size", "sum")


def number(owner: str, key: str, value: object, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number within bounds."""
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {key} expects a number, got {value!r}") from None
    if not math.isfinite(result) or not least <= result <= most:
        if most < math.inf:
            bounds = f"in [{least:g}, {most:g}]"
        elif least > -math.inf:
            bounds = f"of at least {least:g}"
        else:
            bounds = "that is finite"
        raise ValueError(f"[{owner}] {key} expects a number {bounds}, got {value!r}")
    return result


class Loss:
    """A loss and how a batch's samples are reduced to one number; it cannot be changed.

    Args:
        reduction: "sum_over_batch_size" (the mean over the samples) or "sum".
        **params: the parameters of its row of the catalogue.

    Raises:
        ValueError: for an unknown reduction or a parameter out of range.
        TypeError: for an unknown parameter, or one that is no number.

    Attributes:
        name: as errors and `get` have it, for example "huber".
        params: its parameters by name.
        takes_labels: whether targets are integer labels (n,), not one row of targets a sample.
        domain: the least and the greatest target that the loss has a meaning for.
        from_logits: whether the model's outputs are logits, not probabilities.
        label_smoothing: the share of each target that is spread over the classes.

    Example:
        >>> from fusednet import losses
        >>> losses.Huber(delta=2.0, reduction="sum")
        Huber(delta=2.0, reduction='sum')
    """

    name: str
    aliases: tuple[str, ...] = ()
    params: Mapping[str, float]
    reduction: str
    from_logits: bool = False
    label_smoothing: float = 0.0
    takes_labels: bool = False
    domain: tuple[float, float] = (-math.inf, math.inf)

    def __init__(self, reduction: str = "sum_over_batch_size", **params: float) -> None:
        owner = type(self).__name__
        if reduction not in REDUCTIONS:
            raise _names.unknown(owner, "reduction", reduction, REDUCTIONS)
        values = dict(ROWS[self.name]["params"]) if self.name in ROWS else {}
        for key, value in params.items():
            if key not in values:
                known = ", ".join([*values, "reduction"])
                raise TypeError(f"[{owner}] arguments expected: {known}; got {key!r}")
            values[key] = number(owner, key, value, 0.0)
        object.__setattr__(self, "reduction", reduction)
        object.__setattr__(self, "params", values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"[{type(self).__name__}] a loss cannot be changed; make a new one")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**self.params, "reduction": self.reduction}

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {
            "name": self.name,
            "from_logits": self.from_logits,
            "reduction": self.reduction,
            "params": list(self.params.values()),
            "label_smoothing": self.label_smoothing,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and self.native() == other.native()

    def __hash__(self) -> int:
        return hash(repr(self.native()))


class Crossentropy(Loss):
    """A loss over probabilities, computed from them or from logits."""

    domain = (0.0, 1.0)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        **params: float,
    ) -> None:
        smoothing = number(type(self).__name__, "label_smoothing", label_smoothing, 0.0, 1.0)
        super().__init__(reduction, **params)
        object.__setattr__(self, "from_logits", bool(from_logits))
        object.__setattr__(self, "label_smoothing", smoothing)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **self.params,
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "reduction": self.reduction,
        }


# Keras's class names where they are not the row's words joined, and its short names.
_CLASS_NAMES = {"kl_divergence": "KLDivergence"}
_ALIASES = {
    "mean_squared_error": ("mse", "MSE"),
    "mean_absolute_error": ("mae", "MAE"),
    "mean_absolute_percentage_error": ("mape", "MAPE"),
    "mean_squared_logarithmic_error": ("msle", "MSLE"),
    "kl_divergence": ("kld", "KLD", "kullback_leibler_divergence"),
    "huber": ("huber_loss",),
    "log_cosh": ("logcosh",),
}


def make(name: str) -> type[Loss]:
    """The class of a row: its parameters and the reduction, by position or name."""
    row = ROWS[name]
    kind = _CLASS_NAMES.get(name) or "".join(part.capitalize() for part in name.split("_"))
    params = dict(row["params"])
    order = [*params, "reduction"]

    def init(self: Loss, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(order):
            raise TypeError(f"[{kind}] expects at most {len(order)} positional arguments, got {len(args)}")
        given = dict(zip(order, args, strict=False))
        for key, value in kwargs.items():
            if key in given:
                raise TypeError(f"[{kind}] got {key} twice")
            given[key] = value
        Loss.__init__(self, **given)

    arguments = [f"{key}={value:g}" for key, value in params.items()]
    members = {
        "name": name,
        "aliases": _ALIASES.get(name, ()),
        "__init__": init,
        "__module__": "fusednet.losses",
        "__doc__": f"{kind}({', '.join([*arguments, 'reduction=' + repr(REDUCTIONS[0])])}): {row['formula']}.\n\n"
        "x is the model's output, t the target, both (n, c).\n\nArgs:\n"
        + "".join(f"    {key}: at least 0.\n" for key in params)
        + "    reduction: see `Loss`.\n\nRaises:\n"
        "    ValueError, TypeError: for a parameter out of range or an unknown reduction.\n\n"
        + _names.sourced(row)
        + f"Example:\n    >>> from fusednet import losses\n    >>> losses.get({name!r}) == losses.{kind}()\n    True\n",
    }
    return type(kind, (Loss,), members)
