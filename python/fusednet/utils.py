"""Seeds, labels and names."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _checks, _names, _native, _seeds


def set_random_seed(seed: int) -> None:
    """Make all models made from now on, and their training, the same on every run of the script.

    Sets the seeds of `random` and `numpy.random` too, as Keras does.

    Raises:
        TypeError, ValueError: if it is no integer in 0 .. 2**32 - 1, the range of `numpy.random.seed`.
    """
    import random

    value = _seeds.checked_seed("set_random_seed", seed)
    if value >= 1 << 32:
        raise ValueError(f"[set_random_seed] seed expects an integer in 0..2**32 - 1, got {seed!r}")
    _seeds.set_global_seed(value)
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float32]:
    """One-hot rows (n, num_classes) for integer labels (n,).

    Raises:
        ValueError: for a label outside 0 .. num_classes - 1.

    Example:
        >>> from fusednet.utils import to_categorical
        >>> to_categorical([0, 2]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    labels = _checks.as_array("to_categorical", "x", x)
    if labels.size == 0:
        raise ValueError("[to_categorical] x expects at least one label, got none")
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "iubf":
        raise TypeError(f"[to_categorical] x expects integer labels, got dtype {labels.dtype}")
    if num_classes is None:
        top = labels.max()
        classes = int(top) + 1 if np.isfinite(top) and top >= 0 else 1
    else:
        classes = _checks.integer("to_categorical", "num_classes", num_classes, 1)
    rows = np.zeros((labels.size, classes), np.float32)
    rows[np.arange(labels.size), _checks.labels("to_categorical", "x", labels, classes)] = 1.0
    return rows


def clear_session() -> None:
    """Start automatic names (`dense`, `dense_1`, ...) from the beginning again; give back what devices keep of memory
    that is no longer used, which other libraries may want.
    """
    _names.reset()
    _native.trim_devices()
