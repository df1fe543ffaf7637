"""Losses with their gradients, and the accuracy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.loss_rows()}


def loss(
    name: str,
    x: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 1.0,
    gradient: bool = True,
    dx: Array | None = None,
    y: Array | None = None,
    isa: str | None = None,
) -> tuple[float, Array | None]:
    """The sum of the samples' losses, and scale times its gradient with respect to x.

    | name | a sample's loss | x |
    | --- | --- | --- |
    | `softmax_crossentropy` | sum_j t_j (logsumexp(x) - x_j) | logits |
    | `crossentropy` | -sum_j t_j log(x_j / sum(x)), the quotient within 1e-7 of 0 and 1 | probabilities |
    | `sigmoid_crossentropy` | mean_j max(x_j, 0) - x_j t_j + log(1 + exp(-abs(x_j))) | logits |
    | `binary_crossentropy` | mean_j -t_j log(x_j) - (1 - t_j) log(1 - x_j), x within 1e-7 of 0 and 1 | probabilities |
    | `mean_squared_error` | mean_j (x_j - t_j)**2 | any |

    Args:
        name: a row of the table.
        x: outputs (n, c), float32 or float64.
        target: (n, c) of x's type; or integer labels (n,) for the two losses over classes.
        scale: factor of the gradient: 1/n makes it that of the mean.
        gradient: whether dx is computed.
        dx: receives the gradient, may be x.
        y: receives the probabilities (softmax or sigmoid of x) for the losses from logits, may be x.
        isa: see the module.

    Returns:
        The unscaled sum in float64, and dx or None.

    Raises:
        ValueError, TypeError: unknown name, wrong shape or type, label out of range.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> value, dx = ops.loss("softmax_crossentropy", np.zeros((1, 2)), [1])
        >>> round(value, 6), dx.tolist()
        (0.693147, [[0.5, -0.5]])
    """
    if name not in _ROWS:
        raise _names.unknown("loss", "name", name, _ROWS)
    x = _arrays.matrix(name, "x", x)
    wanted = _target(name, target, x, _ROWS[name]["labels"])
    if y is not None:
        _arrays.output(name, y, x.shape, x.dtype, "y")
    if gradient or dx is not None:
        dx = _arrays.output(name, dx, x.shape, x.dtype, "dx")
    return float(_native.loss(name, x, wanted, y, dx, scale, isa)), dx


def accuracy(x: ArrayLike, target: ArrayLike, *, threshold: float = 0.5, isa: str | None = None) -> float:
    """Share of the rows whose largest output is at the label, or at the row's largest target.

    With one column it is the share of the rows where (x > threshold) agrees with (target > 0.5).

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), [1, 1])
        0.5
    """
    x = _arrays.matrix("accuracy", "x", x)
    if x.shape[0] == 0:
        raise ValueError(f"[accuracy] 'x' expects at least one row, got shape {x.shape}")
    correct = _native.accuracy(x, _target("accuracy", target, x, True), threshold, isa)
    return correct / int(x.shape[0])


def _target(op: str, target: ArrayLike, x: Array, takes_labels: bool) -> Array:
    values = np.asarray(target)
    if values.ndim == 1 and values.dtype.kind in "iub" and takes_labels:
        classes = max(x.shape[1], 2)
        if values.shape[0] != x.shape[0]:
            raise ValueError(f"[{op}] 'target' expects {x.shape[0]} labels, got {values.shape[0]}")
        bad = (values < 0) | (values >= classes)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"[{op}] 'target' expects labels in 0..{classes - 1}, got {values[row]} in row {row}")
        return np.ascontiguousarray(values, np.int32)
    result = _arrays.matrix(op, "target", values, x.dtype)
    if result.shape != x.shape:
        raise ValueError(f"[{op}] 'target' expects shape {x.shape} as x has, got {result.shape}")
    return result
