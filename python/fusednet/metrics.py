"""Metrics, with Keras's names, defaults and formulas.

A metric is counted over a whole epoch or evaluation: the compiled code adds each batch to the sums of its row of the
catalogue, and `result` makes the reported number of them. Integer labels count as one-hot rows. Sample weights do not
enter. A ratio of nothing to nothing is 0; an output that is NaN counts as no answer, or makes the mean NaN.

    >>> import numpy as np
    >>> from fusednet import metrics, ops
    >>> auc = metrics.AUC()
    >>> sums = ops.metric("auc", np.array([[0.1], [0.4], [0.35], [0.8]]), [0, 0, 1, 1])
    >>> round(auc.result(sums, outputs=1), 6)
    0.75
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _metric, _names
from fusednet._frozen import serialize
from fusednet._loss import Loss, number
from fusednet._metric import Metric
from fusednet._metric_binary import AUC, BinaryAccuracy, Precision, Recall


class Accuracy(Metric):
    """The share of samples whose largest output is the label's; with one output, where (output > threshold) is right.

    What Keras makes of "accuracy". The first of equal outputs counts.

    Args:
        name: the reported name.
        threshold: what a single output must exceed to be a yes.

    Raises:
        TypeError, ValueError: for a threshold that is no finite number.

    Example:
        >>> from fusednet import metrics
        >>> metrics.get("acc").name
        'acc'
    """

    default, row = "accuracy", "accuracy"
    aliases: tuple[str, ...] = ("acc",)


class SparseCategoricalAccuracy(Accuracy):
    """`Accuracy` against integer labels.

    Args:
        name, threshold: see `Accuracy`.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> from fusednet import metrics
        >>> metrics.SparseCategoricalAccuracy().name
        'sparse_categorical_accuracy'
    """

    default, aliases, labels = "sparse_categorical_accuracy", (), True


class CategoricalAccuracy(Accuracy):
    """`Accuracy` against rows of targets.

    Args:
        name, threshold: see `Accuracy`.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> from fusednet import metrics
        >>> metrics.CategoricalAccuracy().name
        'categorical_accuracy'
    """

    default, aliases, labels = "categorical_accuracy", (), False


class TopKCategoricalAccuracy(Metric):
    """The share of samples with fewer than k outputs above that of the target's class, rows of targets.

    Outputs equal to it do not push it out, as in Keras on JAX; an output that is NaN there is wrong.

    Args:
        k: a whole number of at least 1.
        name: the reported name.

    Raises:
        TypeError, ValueError: for another k.

    Example:
        >>> from fusednet import metrics
        >>> metrics.TopKCategoricalAccuracy(k=3)
        TopKCategoricalAccuracy(k=3, name='top_k_categorical_accuracy')
    """

    default, row, labels = "top_k_categorical_accuracy", "top_k_accuracy", False

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        owner = type(self).__name__
        if number(owner, "k", k, 1) != int(k):
            raise ValueError(f"[{owner}] k expects a whole number of at least 1, got {k!r}")
        super().__init__(name, k=k)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"k": int(self.params["k"]), "name": self.name}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """`TopKCategoricalAccuracy` against integer labels.

    Args:
        k, name: see `TopKCategoricalAccuracy`.

    Raises:
        TypeError, ValueError: for another k.

    Example:
        >>> from fusednet import metrics
        >>> metrics.SparseTopKCategoricalAccuracy(k=2).params
        {'k': 2.0}
    """

    default, labels = "sparse_top_k_categorical_accuracy", True


class MeanSquaredError(Metric):
    """mean((output - target)**2).

    Args:
        name: the reported name.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> from fusednet import metrics
        >>> metrics.get("mse").result([10.0, 4.0], outputs=1)
        2.5
    """

    default, aliases, row = "mean_squared_error", ("mse", "MSE"), "mean_squared_error"


class RootMeanSquaredError(Metric):
    """sqrt(mean((output - target)**2)).

    Args:
        name: the reported name.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> from fusednet import metrics
        >>> metrics.RootMeanSquaredError().result([36.0, 4.0], outputs=1)
        3.0
    """

    default, row = "root_mean_squared_error", "mean_squared_error"

    def result(self, sums: NDArray[np.float64], outputs: int) -> float:
        """The root of the mean."""
        return math.sqrt(super().result(sums, outputs))


class MeanAbsoluteError(Metric):
    """mean(abs(output - target)).

    Args:
        name: the reported name.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> from fusednet import metrics
        >>> metrics.get("mae").result([10.0, 4.0], outputs=1)
        2.5
    """

    default, aliases, row = "mean_absolute_error", ("mae", "MAE"), "mean_absolute_error"


class R2Score(Metric):
    """1 - sum((output - target)**2) / sum((target - mean target)**2) of each output, and the mean of these.

    As in Keras, an output whose targets are all equal counts 0, or makes the mean NaN where it is exactly right.

    Args:
        name: the reported name.

    Raises:
        TypeError, ValueError: for a name that is no printable string.

    Example:
        >>> import numpy as np
        >>> from fusednet import metrics, ops
        >>> sums = ops.metric("r2_score", np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
        >>> metrics.R2Score().result(sums, outputs=1)
        0.5
    """

    default, row = "r2_score", "r2_score"

    def result(self, sums: NDArray[np.float64], outputs: int) -> float:
        """The mean score of the outputs."""
        total, squares, errors = np.reshape(sums[1:], (3, outputs))
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - errors / (squares - total * (total / sums[0]))
        return float(np.where(np.isinf(scores), 0.0, scores).mean())


_KINDS: list[type[Metric]] = [
    Accuracy,
    SparseCategoricalAccuracy,
    CategoricalAccuracy,
    TopKCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    BinaryAccuracy,
    Precision,
    Recall,
    AUC,
    MeanSquaredError,
    RootMeanSquaredError,
    MeanAbsoluteError,
    R2Score,
]
# A row without a class above reports the first of its sums over the second.
_KINDS += [_metric.make(row) for row in _metric.ROWS if not any(kind.row == row for kind in _KINDS)]
_CLASSES: dict[str, type[Metric]] = {kind.__name__: kind for kind in _KINDS}
_BY_NAME: dict[str, type[Metric]] = {key: kind for kind in _KINDS for key in (kind.default, *kind.aliases)}
globals().update(_CLASSES)
__all__ = ["Metric", "deserialize", "get", "get_all", "serialize"]
__all__.extend(_CLASSES)


def get(identifier: object, owner: str = "metrics") -> Metric:
    """The metric that a name, a class, a configuration or a metric stands for; it reports under the name given.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    config: dict[str, Any] | None = None
    if isinstance(identifier, Mapping) and set(identifier) == {"class", "config"}:
        config, identifier = dict(identifier["config"]), identifier["class"]
    if not isinstance(identifier, str):
        raise TypeError(f"[{owner}] metrics expects names or metrics, got {identifier!r}")
    kind = _BY_NAME.get(identifier) or _CLASSES.get(identifier)
    if kind is None:
        raise _names.unknown(owner, "metrics", identifier, _BY_NAME)
    return kind(**({"name": identifier} if config is None else config))


deserialize = get


def get_all(owner: str, metrics: object, loss: Loss) -> list[Metric]:
    """The metrics to report beside a loss, in the order given and each once.

    Raises:
        ValueError: for an unknown name, a metric that does not go with the loss's targets, or two of one name.
        TypeError: for anything but a sequence of names and metrics.
    """
    if metrics is None:
        return []
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"[{owner}] metrics expects a list of names or metrics, got {metrics!r}")
    found: dict[str, Metric] = {}
    for identifier in metrics:
        metric = get(identifier, owner)
        if metric.labels is not None and metric.labels != loss.takes_labels:
            wanted = "integer labels, as sparse_categorical_crossentropy" if metric.labels else "rows of targets"
            raise ValueError(f"[{owner}] metric {metric.name!r} expects a loss with {wanted}, got {loss.name}")
        if found.get(metric.name, metric) != metric:
            raise ValueError(f"[{owner}] metrics expects names of their own, got {metric.name!r} twice")
        if metric.name == "loss":
            raise ValueError(f"[{owner}] metrics expects a name other than 'loss', which reports the loss")
        found[metric.name] = metric
    return list(found.values())


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:

    def __getattr__(name: str) -> type[Metric]: ...
