"""Activations by name."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {
    row["name"]: {**row, "params": dict(row["params"])} for row in _native.activation_rows()
}
# What the short way wants of a row: its number and its parameters' defaults.
READY: dict[str, tuple[int, tuple[float, ...]]] = {
    name: (number, tuple(row["params"].values())) for number, (name, row) in enumerate(_ROWS.items())
}
UNKNOWN: tuple[int, tuple[float, ...]] = (-1, ())


def activation_forward(
    x: ArrayLike,
    activation: str,
    *,
    slope: ArrayLike | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """y = f(x), element by element; softmax and log_softmax over the last axis.

    Args:
        x: any shape, float32 or float64.
        activation: name of a row, for example "elu".
        slope: of "prelu": a number, (1,), or (c,) with c the last axis; of "rrelu" x's shape as well, and without it
            the mean of the bounds, as at inference.
        out: receives y, may be x.
        isa: see the module.
        **params: the row's parameters by name, for example alpha=1.0.

    Returns:
        y, of x's shape and type.

    Raises:
        ValueError: unknown activation, or `slope` or `out` of another shape.
        TypeError: unknown parameter, wrong type, a slope that is missing or not of this row.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.activation_forward(np.array([-2.0, 3.0]), "leaky_relu", negative_slope=0.1).tolist()
        [-0.2, 3.0]
        >>> ops.activation_forward(np.array([-2.0, -2.0]), "prelu", slope=np.array([0.25, -1.0])).tolist()
        [-0.5, 2.0]
    """
    if isa is None and not params:
        number, defaults = READY.get(activation, UNKNOWN)
        y = np.empty_like(x) if out is None and type(x) is np.ndarray else out
        if _native.ready_activation_forward(number, defaults, x, y, slope):
            return y  # type: ignore[return-value]
    op = "activation_forward"
    row = _row(op, activation)
    values = _arrays.parameters(row["name"], row["params"], params)
    x = _arrays.array(op, "x", x)
    slopes = _slopes(op, row, slope, x, values)
    out = _arrays.output(op, out, x.shape, x)
    if x.size == 0:
        return out
    if x.ndim > 2 or x.ndim == 0:
        x = _arrays.contiguous(op, "x", x)
    _native.activation_forward(_arrays.flat(op, "x", x), _arrays.flat(op, "out", out), row["name"], values, isa, slopes)
    return out


def activation_backward(
    dy: ArrayLike,
    saved: ArrayLike,
    activation: str,
    *,
    slope: ArrayLike | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array | tuple[Array, Array]:
    """dx = dy * f'(x), from what the row's formula reads: its output y, or its input x.

    Args:
        dy: gradient of y, any shape, float32 or float64.
        saved: y where `fusednet.ops.saves_output(activation)` holds, else x; of dy's shape.
        activation: name of a row; softmax and log_softmax work over the last axis.
        slope: as in the forward pass.
        out: receives dx, may be dy.
        isa: see the module.
        **params: as in the forward pass.

    Returns:
        dx, of dy's shape and type; for a learned slope dx and dslope = sum of dy * min(x, 0), of the slope's shape.

    Raises:
        ValueError, TypeError: as `activation_forward`.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y = ops.tanh_forward(np.array([0.5]))
        >>> dx = ops.activation_backward(np.ones(1), y, "tanh")
        >>> bool(abs(dx[0] - (1 - np.tanh(0.5) ** 2)) < 1e-15)
        True
        >>> x = np.array([[-2.0, 3.0], [-1.0, -4.0]])
        >>> dx, dslope = ops.activation_backward(np.ones((2, 2)), x, "prelu", slope=np.array([0.5, 0.25]))
        >>> dx.tolist(), dslope.tolist()
        ([[0.5, 1.0], [0.5, 0.25]], [-3.0, -4.0])
    """
    if isa is None and slope is None and not params:
        number, defaults = READY.get(activation, UNKNOWN)
        dx = np.empty_like(dy) if out is None and type(dy) is np.ndarray else out
        if _native.ready_activation_backward(number, defaults, dy, saved, dx):
            return dx  # type: ignore[return-value]
    op = "activation_backward"
    row = _row(op, activation)
    values = _arrays.parameters(row["name"], row["params"], params)
    dy = _arrays.array(op, "dy", dy)
    saved = _arrays.array(op, "saved", saved, dy.dtype)
    if saved.shape != dy.shape:
        raise ValueError(f"[{op}] 'saved' expects shape {dy.shape} as dy has, got {saved.shape}")
    slopes = _slopes(op, row, slope, dy, values)
    dslope = _arrays.full(dy, dy.shape[-1] if dy.ndim else 1, 0) if row["slope"] == "learned" else None
    out = _arrays.output(op, out, dy.shape, dy)
    if dy.size:
        if dy.ndim not in (1, 2):
            dy, saved = _arrays.contiguous(op, "dy", dy), _arrays.contiguous(op, "saved", saved)
        views = [_arrays.flat(op, name, value) for name, value in (("dy", dy), ("saved", saved), ("out", out))]
        _native.activation_backward(views[0], views[1], views[2], row["name"], values, isa, slopes, dslope)
    return out if dslope is None else (out, _of_shape(dslope, slope))


def saves_output(activation: str) -> bool:
    """Whether the backward pass of an activation reads the output (True) or the input (False)."""
    return bool(_row("saves_output", activation)["from_output"])


def _row(op: str, name: str) -> dict[str, Any]:
    row = _ROWS.get(name) or _ROWS.get(_names.ACTIVATION_ALIASES.get(name, name))
    if row is None:
        raise _names.unknown(op, "activation", name, _ROWS)
    return row


def _slopes(op: str, row: dict[str, Any], slope: ArrayLike | None, x: Array, values: list[float]) -> Array | None:
    """The slopes as the kernel reads them: (c,), or a row for each row of x."""
    if row["slope"] == "none":
        if slope is not None:
            raise TypeError(f"[{op}] 'slope' expects None for {row['name']}, got {type(slope).__name__}")
        return None
    columns = x.shape[-1] if x.ndim else 1
    if slope is None and row["slope"] == "random":
        slope = sum(values) / len(values)
    if slope is None:
        raise TypeError(f"[{op}] 'slope' expects an array for {row['name']}, got None")
    given = _arrays.array(
        op, "slope", x.dtype.type(slope) if isinstance(slope, (int, float, np.number)) else slope, x.dtype
    )
    if given.shape in ((), (1,)):
        return _arrays.full(x, columns, given)
    if given.shape == (columns,):
        return _arrays.contiguous(op, "slope", given)
    if given.shape != x.shape or row["slope"] == "learned":
        whole = "" if row["slope"] == "learned" else f" or {x.shape}"
        raise ValueError(f"[{op}] 'slope' expects shape (1,), ({columns},){whole}, got {given.shape}")
    return given if given.ndim == 2 else _arrays.flat(op, "slope", _arrays.contiguous(op, "slope", given))


def _of_shape(dslope: Array, slope: ArrayLike | None) -> Array:
    """The gradient of slopes of each column as that of the slope given, which may be one for all."""
    shape = _arrays.anywhere("slope", "slope", slope).shape
    if shape == dslope.shape:
        return dslope
    total = _arrays.on_host("slope", "dslope", dslope).sum(dtype=np.float64)
    return _arrays.beside(dslope, np.asarray(total, dslope.dtype).reshape(shape))
