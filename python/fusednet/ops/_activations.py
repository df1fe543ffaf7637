"""Activations by name."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.activation_rows()}


def activation_forward(
    x: ArrayLike, activation: str, *, out: Array | None = None, isa: str | None = None, **params: float
) -> Array:
    """y = f(x), element by element; softmax over the last axis.

    Args:
        x: any shape, float32 or float64.
        activation: name of a row, for example "elu".
        out: receives y, may be x.
        isa: see the module.
        **params: the row's parameters by name, for example alpha=1.0.

    Returns:
        y, of x's shape and type.

    Raises:
        ValueError: unknown activation, or `out` of another shape.
        TypeError: unknown parameter or wrong type.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.activation_forward(np.array([-2.0, 3.0]), "leaky_relu", negative_slope=0.1).tolist()
        [-0.2, 3.0]
    """
    op = "activation_forward"
    row = _row(op, activation)
    values = _arrays.parameters(activation, dict(row["params"]), params)
    x = _arrays.array(op, "x", x)
    out = _arrays.output(op, out, x.shape, x.dtype)
    if x.size == 0:
        return out
    if x.ndim > 2 or x.ndim == 0:
        x = np.ascontiguousarray(x)
    if row["row"]:
        _native.softmax_forward(_arrays.flat(op, "x", x), _arrays.flat(op, "out", out), isa)
    else:
        _native.activation_forward(_arrays.flat(op, "x", x), _arrays.flat(op, "out", out), activation, values, isa)
    return out


def activation_backward(
    dy: ArrayLike,
    saved: ArrayLike,
    activation: str,
    *,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """dx = dy * f'(x), from what the row's formula reads: its output y, or its input x.

    Args:
        dy: gradient of y, any shape, float32 or float64.
        saved: y where `fusednet.ops.saves_output(activation)` holds, else x; of dy's shape.
        activation: name of a row; softmax works over the last axis.
        out: receives dx, may be dy.
        isa: see the module.
        **params: as in the forward pass.

    Returns:
        dx, of dy's shape and type.

    Raises:
        ValueError, TypeError: as `activation_forward`.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y = ops.tanh_forward(np.array([0.5]))
        >>> dx = ops.activation_backward(np.ones(1), y, "tanh")
        >>> bool(abs(dx[0] - (1 - np.tanh(0.5) ** 2)) < 1e-15)
        True
    """
    op = "activation_backward"
    row = _row(op, activation)
    values = _arrays.parameters(activation, dict(row["params"]), params)
    dy = _arrays.array(op, "dy", dy)
    saved = _arrays.array(op, "saved", saved, dy.dtype)
    if saved.shape != dy.shape:
        raise ValueError(f"[{op}] 'saved' expects shape {dy.shape} as dy has, got {saved.shape}")
    out = _arrays.output(op, out, dy.shape, dy.dtype)
    if dy.size == 0:
        return out
    if dy.ndim not in (1, 2):
        dy, saved = np.ascontiguousarray(dy), np.ascontiguousarray(saved)
    views = [_arrays.flat(op, name, value) for name, value in (("dy", dy), ("saved", saved), ("out", out))]
    if row["row"]:
        _native.softmax_backward(views[0], views[1], views[2], isa)
    else:
        _native.activation_backward(views[0], views[1], views[2], activation, values, isa)
    return out


def saves_output(activation: str) -> bool:
    """Whether the backward pass of an activation reads the output (True) or the input (False)."""
    return bool(_row("saves_output", activation)["from_output"])


def softmax_forward(x: ArrayLike, *, out: Array | None = None, isa: str | None = None) -> Array:
    """y_j = exp(x_j - max x) / sum_k exp(x_k - max x) over the last axis.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.softmax_forward(np.zeros((1, 4))).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    return activation_forward(x, "softmax", out=out, isa=isa)


def softmax_backward(dy: ArrayLike, y: ArrayLike, *, out: Array | None = None, isa: str | None = None) -> Array:
    """dx_j = y_j (dy_j - sum_k dy_k y_k), with y the output of `softmax_forward`."""
    return activation_backward(dy, y, "softmax", out=out, isa=isa)


def _row(op: str, name: str) -> dict[str, Any]:
    if name not in _ROWS:
        raise _names.unknown(op, "activation", name, _ROWS)
    return _ROWS[name]
