"""Metrics: the accuracy, under the names that Keras knows it by."""

from collections.abc import Sequence

from fusednet import _names
from fusednet.losses import Loss

# Names that say which labels they expect, and the losses that have such labels.
_LOSSES = {
    "accuracy": None,
    "acc": None,
    "sparse_categorical_accuracy": "sparse_categorical_crossentropy",
    "categorical_accuracy": "categorical_crossentropy",
    "binary_accuracy": "binary_crossentropy",
}


def checked(owner: str, metrics: object, loss: Loss) -> list[str]:
    """The metrics' names as they will be reported.

    Raises:
        ValueError: for an unknown name or one that does not go with the loss.
        TypeError: for anything but a sequence of names.
    """
    if metrics is None:
        return []
    if isinstance(metrics, str) or not isinstance(metrics, Sequence):
        raise TypeError(f"[{owner}] metrics expects a list of names, got {metrics!r}")
    names: list[str] = []
    for metric in metrics:
        if not isinstance(metric, str):
            raise TypeError(f"[{owner}] metrics expects names, got {metric!r}")
        if metric not in _LOSSES:
            raise _names.unknown(owner, "metrics", metric, _LOSSES)
        wanted = _LOSSES[metric]
        if wanted is not None and wanted != loss.name:
            raise ValueError(f"[{owner}] metric {metric!r} goes with the loss {wanted}, got {loss.name}")
        if metric not in names:
            names.append(metric)
    return names
