"""Losses with their gradients, and metrics."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.loss_rows()}
_METRICS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.metric_rows()}


def loss(
    name: str,
    x: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 1.0,
    gradient: bool = True,
    dx: Array | None = None,
    y: Array | None = None,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    isa: str | None = None,
    **params: float,
) -> tuple[float, Array | None]:
    """The sum of the samples' losses, and scale times its gradient with respect to x.

    Rows whose name begins with `softmax` or `sigmoid` take logits and contain that function. A sample's loss, with
    the defaults of the parameters:

    {rows}

    Args:
        name: a row of this list.
        x: outputs (n, c), float32 or float64.
        target: (n, c) of x's type; or integer labels (n,) for the losses over classes.
        scale: factor of the gradient: 1/n makes it that of the mean.
        gradient: whether dx is computed.
        dx: receives the gradient, may be x.
        y: receives the probabilities (softmax or sigmoid of x) for the losses from logits, may be x.
        sample_weight: (n,) of x's type, multiplies the samples' losses and gradients.
        label_smoothing: targets become (1 - label_smoothing) target + label_smoothing / c, labels one-hot rows
            before; for binary and sigmoid rows label_smoothing / 2 in place of the last term.
        isa: see the module.
        **params: the row's parameters by name, for example delta=1.0.

    Returns:
        The unscaled sum in float64, and dx or None.

    Raises:
        ValueError, TypeError: unknown name or parameter, wrong shape or type, label out of range.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> value, dx = ops.loss("softmax_crossentropy", np.zeros((1, 2)), [1])
        >>> round(value, 6), dx.tolist()
        (0.693147, [[0.5, -0.5]])
        >>> ops.loss("huber", np.array([[3.0]]), np.array([[0.0]]), delta=2.0)
        (4.0, array([[2.]]))
    """
    if name not in _ROWS:
        raise _names.unknown("loss", "name", name, _ROWS)
    values = _arrays.parameters(name, dict(_ROWS[name]["params"]), params)
    x = _arrays.matrix(name, "x", x)
    wanted = _target(name, target, x, _ROWS[name]["labels"])
    if label_smoothing:
        wanted = _smoothed(name, wanted, x, label_smoothing, isa)
    weights = _arrays.vector(name, "sample_weight", sample_weight, x.dtype)
    if weights is not None:
        if weights.shape != x.shape[:1]:
            raise ValueError(f"[{name}] 'sample_weight' expects shape {x.shape[:1]}, got {weights.shape}")
        weights = _arrays.contiguous(name, "sample_weight", weights)
    if y is not None:
        _arrays.output(name, y, x.shape, x, "y")
    if gradient or dx is not None:
        dx = _arrays.output(name, dx, x.shape, x, "dx")
    return float(_native.loss(name, x, wanted, y, dx, scale, values, weights, isa)), dx


def _line(row: dict[str, Any]) -> str:
    params = "".join(f", {key}={value:g}" for key, value in row["params"])
    return f"- `{row['name']}{params}`: {row['formula']}"


_LIST = "\n    ".join(map(_line, _ROWS.values()))
loss.__doc__ = (loss.__doc__ or "").replace("{rows}", _LIST)


def metric(
    name: str,
    x: ArrayLike,
    target: ArrayLike,
    *,
    sums: NDArray[np.float64] | None = None,
    isa: str | None = None,
    **params: float,
) -> NDArray[np.float64]:
    """Adds a batch to the sums of a metric; `fusednet.metrics` makes the reported number of them.

    Args:
        name: accuracy, top_k_accuracy, binary_accuracy, precision, recall, auc, mean_squared_error,
            mean_absolute_error or r2_score.
        x: outputs (n, c), float32 or float64.
        target: (n, c) of x's type; or integer labels (n,), which count as one-hot rows (one column: as 0 or 1).
        sums: what earlier batches gave, updated in place; without it the sums begin at 0.
        isa: see the module.
        **params: the row's parameters by name, for example threshold=0.5 or k=5.

    Returns:
        The sums, in float64.

    Raises:
        ValueError, TypeError: unknown name or parameter, wrong shape or type, label out of range.

    Example:
        >>> import numpy as np
        >>> from fusednet import metrics, ops
        >>> sums = ops.metric("precision", np.array([[0.9], [0.8], [0.1]]), [1, 0, 1])
        >>> sums.tolist(), metrics.Precision().result(sums, outputs=1)
        ([1.0, 2.0], 0.5)
    """
    if name not in _METRICS:
        raise _names.unknown("metric", "name", name, _METRICS)
    row = _METRICS[name]
    values = _arrays.parameters(name, dict(row["params"]), params)
    x = _arrays.matrix(name, "x", x)
    fixed, per_output = row["sums"]
    shape = (fixed + per_output * x.shape[1],)
    if sums is None:
        sums = np.zeros(shape)
    _arrays.fitting(name, sums, shape, np.float64, "sums")
    _native.metric(name, x, _target(name, target, x, True), sums, values, isa)
    return sums


def accuracy(x: ArrayLike, target: ArrayLike, *, threshold: float = 0.5, isa: str | None = None) -> float:
    """Share of the rows whose largest output is at the label, or at the row's largest target.

    With one column it is the share of the rows where (x > threshold) agrees with (target > 0.5).

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), [1, 1])
        0.5
    """
    sums = metric("accuracy", x, target, isa=isa, threshold=threshold)
    if sums[1] == 0:
        raise ValueError(
            f"[accuracy] 'x' expects at least one row, got shape {_arrays.anywhere('accuracy', 'x', x).shape}"
        )
    return float(sums[0] / sums[1])


def _smoothed(op: str, target: Array, x: Array, smoothing: float, isa: str | None) -> Array:
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"[{op}] 'label_smoothing' expects a number in [0, 1], got {smoothing!r}")
    labels = target if target.ndim == 1 else None
    rows = _arrays.empty(x, x.shape)
    if labels is None:
        _native.scaled_add(None, target, None, rows)  # a copy
    _native.smooth_targets(rows, smoothing, op.startswith(("binary", "sigmoid")), labels, isa)
    return rows


def _target(op: str, target: ArrayLike, x: Array, takes_labels: bool) -> Array:
    values = _arrays.anywhere(op, "target", target)
    if values.dtype.kind in "iub":
        values = _arrays.on_host(op, "target", values)
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
