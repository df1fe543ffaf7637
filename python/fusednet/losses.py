"""Losses, with Keras's names, defaults and reductions.

Labels y and outputs p of one sample give its loss; the reduction makes one number of a batch:
`"sum_over_batch_size"` is the mean over its samples, `"sum"` their sum. Gradients follow: with `"sum"` they are n
times as large, so the reduction matters to the learning rate and to clipping.
"""

from collections.abc import Mapping
from typing import Any

from fusednet import _names

REDUCTIONS = ("sum_over_batch_size", "sum")


class Loss:
    """A loss and how a batch's samples are reduced to one number; it cannot be changed.

    Args:
        reduction: "sum_over_batch_size" (the mean over the samples) or "sum".

    Raises:
        ValueError: for an unknown reduction.
    """

    name: str
    aliases: tuple[str, ...] = ()
    reduction: str
    from_logits: bool = False

    def __init__(self, reduction: str = "sum_over_batch_size") -> None:
        if reduction not in REDUCTIONS:
            raise _names.unknown(type(self).__name__, "reduction", reduction, REDUCTIONS)
        object.__setattr__(self, "reduction", reduction)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"[{type(self).__name__}] a loss cannot be changed; make a new one")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"reduction": self.reduction}

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": self.name, "from_logits": self.from_logits, "reduction": self.reduction}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and self.native() == other.native()

    def __hash__(self) -> int:
        return hash(tuple(self.native().items()))


class _Crossentropy(Loss):
    def __init__(self, from_logits: bool = False, reduction: str = "sum_over_batch_size") -> None:
        super().__init__(reduction)
        object.__setattr__(self, "from_logits", bool(from_logits))

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, "reduction": self.reduction}


class SparseCategoricalCrossentropy(_Crossentropy):
    """-log(p_y) for an integer label y in 0 .. classes - 1.

    Args:
        from_logits: the model's outputs are logits, to which softmax is applied here. Otherwise they are
            probabilities; after a softmax layer the two are computed together from the logits.
        reduction: see `Loss`.
    """

    name = "sparse_categorical_crossentropy"


class CategoricalCrossentropy(_Crossentropy):
    """-sum_j t_j log(p_j) for a row t of target probabilities, usually one-hot.

    Args:
        from_logits, reduction: see `SparseCategoricalCrossentropy`.
    """

    name = "categorical_crossentropy"


class BinaryCrossentropy(_Crossentropy):
    """mean_j -(t_j log(p_j) + (1 - t_j) log(1 - p_j)) for targets t in [0, 1].

    Args:
        from_logits: the model's outputs are logits, to which sigmoid is applied here. Otherwise they are
            probabilities; after a sigmoid the two are computed together from the logits.
        reduction: see `Loss`.
    """

    name = "binary_crossentropy"


class MeanSquaredError(Loss):
    """mean_j (p_j - t_j)**2."""

    name = "mean_squared_error"
    aliases = ("mse",)


_KINDS = (SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError)
_CLASSES: dict[str, type[Loss]] = {kind.__name__: kind for kind in _KINDS}
_BY_NAME: dict[str, type[Loss]] = {key: kind for kind in _KINDS for key in (kind.name, *kind.aliases)}


def get(identifier: object, owner: str = "losses") -> Loss:
    """The loss that a name, a class, a configuration or a loss stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    config: dict[str, Any] = {}
    if isinstance(identifier, Mapping) and set(identifier) == {"class", "config"}:
        config = dict(identifier["config"])
        identifier = identifier["class"]
    if not isinstance(identifier, str):
        raise TypeError(f"[{owner}] loss expects a name or a loss, got {identifier!r}")
    kind = _BY_NAME.get(identifier) or _CLASSES.get(identifier) or _BY_NAME.get(identifier.lower())
    if kind is None:
        raise _names.unknown(owner, "loss", identifier, _BY_NAME)
    return kind(**config)


def serialize(loss: Loss) -> dict[str, Any]:
    """The configuration that `get` turns back into the same loss."""
    return {"class": type(loss).__name__, "config": loss.get_config()}
