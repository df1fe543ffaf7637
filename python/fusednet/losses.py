"""Losses, with Keras's names, defaults and reductions.

Targets t and outputs p of one sample give its loss; the reduction makes one number of a batch:
`"sum_over_batch_size"` is the mean over its samples, `"sum"` their sum. Gradients follow: with `"sum"` they are n
times as large, so the reduction matters to the learning rate and to clipping. Keras's third reduction,
"mean_with_sample_weight", is not offered: with sample weights, the mean here divides by the number of samples.

Each loss has a class (`losses.Huber(delta=2.0)`), a name (`"huber"`) and Keras's short names (`"mse"`, `"mae"`, ...).
Probabilities are clipped to 1e-7 .. 1 - 1e-7 before a logarithm, as in Keras. Where a loss has a kink, its derivative
there is 0.

    >>> from fusednet import losses
    >>> losses.get("mae") == losses.MeanAbsoluteError()
    True
    >>> losses.get("huber")
    Huber(delta=1.0, reduction='sum_over_batch_size')
"""

import math
from typing import TYPE_CHECKING, Any

from fusednet import _frozen, _loss
from fusednet._frozen import serialize
from fusednet._loss import REDUCTIONS, Crossentropy, Loss


class SparseCategoricalCrossentropy(Crossentropy):
    """-log(p_y) for an integer label y in 0 .. classes - 1.

    Args:
        from_logits: the model's outputs are logits, to which softmax is applied here. Otherwise they are
            probabilities; after a softmax layer the two are computed together from the logits.
        label_smoothing: the target is 1 - label_smoothing for the label, and label_smoothing / classes more for every
            class (Szegedy et al. 2016, section 7). Keras has it for one-hot rows only.
        reduction: see `Loss`.

    Raises:
        ValueError: label_smoothing outside [0, 1], or an unknown reduction.

    Example:
        >>> from fusednet import losses
        >>> losses.SparseCategoricalCrossentropy(from_logits=True).from_logits
        True
    """

    name = "sparse_categorical_crossentropy"
    takes_labels = True


class CategoricalCrossentropy(Crossentropy):
    """-sum_j t_j log(p_j) for a row t of target probabilities, usually one-hot.

    Args:
        from_logits, label_smoothing, reduction: see `SparseCategoricalCrossentropy`.

    Raises:
        ValueError: label_smoothing outside [0, 1], or an unknown reduction.

    Example:
        >>> from fusednet import losses
        >>> losses.CategoricalCrossentropy(label_smoothing=0.1).label_smoothing
        0.1
    """

    name = "categorical_crossentropy"
    domain = (0.0, math.inf)


class BinaryCrossentropy(Crossentropy):
    """mean_j -(t_j log(p_j) + (1 - t_j) log(1 - p_j)) for targets t in [0, 1].

    Args:
        from_logits: the model's outputs are logits, to which sigmoid is applied here. Otherwise they are
            probabilities; after a sigmoid the two are computed together from the logits.
        label_smoothing: t becomes (1 - label_smoothing) t + label_smoothing / 2.
        reduction: see `Loss`.

    Raises:
        ValueError: label_smoothing outside [0, 1], or an unknown reduction.

    Example:
        >>> from fusednet import losses
        >>> losses.get("bce") == losses.BinaryCrossentropy()
        True
    """

    name = "binary_crossentropy"
    aliases = ("bce", "BCE")


class BinaryFocalCrossentropy(Crossentropy):
    """mean_j w_j q_j**gamma times the binary cross-entropy, with q = t (1 - p) + (1 - t) p.

    What is right already (q near 0) counts little: Lin et al. 2017, eq. 4; with balancing eq. 5.

    Args:
        apply_class_balancing: w = t alpha + (1 - t)(1 - alpha); otherwise w = 1.
        alpha: weight of the class 1, that of the class 0 being 1 - alpha, in [0, 1].
        gamma: the focus, at least 0; 0 is the binary cross-entropy.
        from_logits, label_smoothing, reduction: see `BinaryCrossentropy`.

    Raises:
        ValueError: alpha or label_smoothing outside [0, 1], gamma below 0, or an unknown reduction.

    Example:
        >>> from fusednet import losses
        >>> losses.BinaryFocalCrossentropy(gamma=3).params["gamma"]
        3.0
    """

    name = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
    ) -> None:
        balancing, alpha = float(bool(apply_class_balancing)), _loss.number(type(self).__name__, "alpha", alpha, 0, 1)
        super().__init__(
            from_logits, label_smoothing, reduction, apply_class_balancing=balancing, alpha=alpha, gamma=gamma
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "apply_class_balancing": bool(self.params["apply_class_balancing"])}


class CategoricalFocalCrossentropy(Crossentropy):
    """-alpha sum_j t_j (1 - p_j)**gamma log(p_j) for a row t of target probabilities.

    Lin et al. 2017, eq. 5, for several classes with one alpha, as in Keras.

    Args:
        alpha: a factor of the whole, at least 0.
        gamma: the focus, at least 0; 0 is alpha times the cross-entropy.
        from_logits, label_smoothing, reduction: see `SparseCategoricalCrossentropy`.

    Raises:
        ValueError: a parameter out of range, or an unknown reduction.

    Example:
        >>> from fusednet import losses
        >>> losses.CategoricalFocalCrossentropy(0.5).params
        {'alpha': 0.5, 'gamma': 2.0}
    """

    name = "categorical_focal_crossentropy"
    domain = (0.0, math.inf)

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(from_logits, label_smoothing, reduction, alpha=alpha, gamma=gamma)


_KINDS: list[type[Loss]] = [
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryFocalCrossentropy,
]
# Those without a probability in them are their rows; the cross-entropies' rows come in pairs, one from logits.
_KINDS += [_loss.make(name) for name in _loss.ROWS if not name.endswith("crossentropy")]
_CLASSES: dict[str, type[Loss]] = {kind.__name__: kind for kind in _KINDS}
_BY_NAME: dict[str, type[Loss]] = {key: kind for kind in _KINDS for key in (kind.name, *kind.aliases)}
globals().update(_CLASSES)
__all__ = ["REDUCTIONS", "Loss", "deserialize", "get", "serialize"]
__all__.extend(_CLASSES)


def get(identifier: object, owner: str = "losses") -> Loss:
    """The loss that a name, a class, a configuration or a loss stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    return _frozen.resolve(identifier, Loss, _BY_NAME, owner, "loss", "a loss")


deserialize = get


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:

    def __getattr__(name: str) -> type[Loss]: ...
