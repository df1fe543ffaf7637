"""Weights of samples: those given, those of their classes, or the product of both."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fusednet import _checks, _device
from fusednet.losses import Loss

Array = NDArray[Any]


def sample_weights(
    owner: str,
    sample_weight: object,
    class_weight: object,
    y: Array,
    loss: Loss,
    rows: int,
    dtype: str,
    outputs: int | None = None,
) -> Array | None:
    """What multiplies each sample's loss, (n,) of the model's type; None where neither argument is given.

    class_weight is {class: weight}; a class that is absent weighs 1, as in Keras. The class of a sample is its label,
    the largest entry of its row of targets, or 1 where its single target is above 0.5, else 0. With both arguments a
    sample weighs their product.

    Args:
        owner: named by errors.
        sample_weight: (n,) or (n, 1) numbers of at least 0, or None.
        class_weight: a mapping from classes 0 .. outputs - 1 to numbers of at least 0, or None.
        y: checked targets: labels (n,), or rows of targets (n, outputs).
        loss: what y goes with.
        rows: n.
        dtype: the model's type.
        outputs: how many outputs the model has; labels alone do not tell how many classes there are.

    Raises:
        TypeError: not a mapping, a class that is no integer, a weight that is no number.
        ValueError: negative, NaN or infinite weights, another length, a class that no target can have.

    Example:
        >>> import numpy as np
        >>> from fusednet import losses
        >>> from fusednet._weights import sample_weights
        >>> y, loss = np.array([0, 1, 2]), losses.get("sparse_categorical_crossentropy")
        >>> sample_weights("fit", [1, 1, 0.5], {1: 3, 2: 4}, y, loss, 3, "float64").tolist()
        [1.0, 3.0, 2.0]
    """
    result: Array | None = None
    if sample_weight is not None:
        result = _given(owner, sample_weight, rows, dtype)
    if class_weight is not None:
        y = cast(_device.DeviceArray, y).numpy() if _device.lies_there(y) else y
        by_class = _of_classes(owner, class_weight, y, loss, rows, outputs).astype(dtype)
        result = by_class if result is None else result * by_class
    return result


def _given(owner: str, value: object, rows: int, dtype: str) -> Array:
    there = _device.found(owner, "sample_weight", value)
    array = _checks.as_array(owner, "sample_weight", value if there is None else there.numpy())
    if array.shape == (rows, 1):
        array = array[:, 0]
    if array.shape != (rows,):
        raise ValueError(f"[{owner}] sample_weight expects shape ({rows},), got {array.shape}")
    weights = _checks.weight(owner, "sample_weight", array, (rows,), dtype)
    bad = ~((weights >= 0) & np.isfinite(weights))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"[{owner}] sample_weight expects finite numbers of at least 0, got {weights[row]:g} in row {row}"
        )
    return weights


def _of_classes(owner: str, value: object, y: Array, loss: Loss, rows: int, outputs: int | None) -> Array:
    if not isinstance(value, Mapping):
        raise TypeError(f"[{owner}] class_weight expects a dict from classes to weights, got {type(value).__name__}")
    single = y.ndim == 2 and y.shape[1] == 1
    top = 2 if single else y.shape[1] if y.ndim == 2 else None if outputs is None else outputs
    table: dict[int, float] = {}
    for key, given in value.items():
        if isinstance(key, bool) or not isinstance(key, (int, np.integer)):
            raise TypeError(f"[{owner}] class_weight expects integer classes, got {key!r}")
        if key < 0 or (top is not None and key >= top):
            known = "classes of at least 0" if top is None else f"classes in 0..{top - 1}"
            raise ValueError(f"[{owner}] class_weight expects {known} for {loss.name}, got {key}")
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise TypeError(f"[{owner}] class_weight expects numbers, got {given!r} for class {key}") from None
        if not 0.0 <= number < np.inf:
            raise ValueError(
                f"[{owner}] class_weight expects finite numbers of at least 0, got {given!r} for class {key}"
            )
        table[int(key)] = number
    classes = y.reshape(rows) if y.ndim == 1 else y[:, 0] > 0.5 if single else y.argmax(axis=1)
    found, place = np.unique(classes, return_inverse=True)
    return np.array([table.get(int(c), 1.0) for c in found])[place.reshape(-1)]
