"""Dense and BatchNormalization, and the pieces that they are made of."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _native
from fusednet.ops import _arrays
from fusednet.ops._activations import _of_shape, _row, _slopes, activation_forward

Array = NDArray[Any]


def gemm(
    a: ArrayLike,
    b: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    accumulate: bool = False,
    out: Array | None = None,
    isa: str | None = None,
    precision: str = "highest",
) -> Array:
    """out = a b + bias, or out += a b + bias with `accumulate`.

    a is (m, k), b is (k, n), bias is (n,); transposed views are read in place. `precision`, of float32 products, is
    "highest", "high" or "medium" as in `set_float32_matmul_precision`, whose setting does not count here.

    Raises:
        ValueError, TypeError: shapes or types that do not fit, `accumulate` without `out`, or an unknown precision.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.gemm(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), bias=np.ones(2)).tolist()
        [[2.0, 3.0], [4.0, 5.0]]
    """
    left = np.asarray(a)
    left = left if left.ndim == 2 and left.flags.aligned else _arrays.matrix("gemm", "a", a)
    _arrays.array("gemm", "a", left[:0])
    right = np.asarray(b)
    if right.ndim != 2 or not right.flags.aligned or right.itemsize not in right.strides:
        right = _arrays.matrix("gemm", "b", b)
    _arrays.array("gemm", "b", right[:0], left.dtype)
    if left.shape[1] != right.shape[0]:
        raise ValueError(f"[gemm] 'b' expects shape ({left.shape[1]}, n), got {right.shape}")
    if accumulate and out is None:
        raise ValueError("[gemm] 'accumulate' expects 'out', got None")
    out = _arrays.output("gemm", out, (left.shape[0], right.shape[1]), left.dtype)
    row = _arrays.vector("gemm", "bias", bias, left.dtype)
    _native.gemm(left, right, out, row, accumulate, isa=isa, precision=precision)
    return out


def dense_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    activation: str | None = None,
    *,
    slope: ArrayLike | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """y = f(x w + b), the bias and the activation applied while the tile of the product is in cache.

    Args:
        x: (n, k). w: (k, c). b: (c,) or None. float32 or float64.
        activation: name of a row, or None for linear.
        slope: of an activation that has one, as in `activation_forward`.
        out: receives y (n, c).
        isa: see the module.
        **params: the activation's parameters by name.

    Raises:
        ValueError, TypeError: shapes, types or names that do not fit.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.dense_forward(np.ones((1, 2)), np.ones((2, 1)), np.array([-3.0]), "relu").tolist()
        [[0.0]]
    """
    op = "dense_forward"
    x = _arrays.matrix(op, "x", x)
    w = _arrays.matrix(op, "w", w, x.dtype)
    if x.shape[1] != w.shape[0]:
        raise ValueError(f"[{op}] 'x' expects (n, {w.shape[0]}), got {x.shape}")
    bias = _arrays.vector(op, "b", b, x.dtype)
    if bias is not None and bias.shape != w.shape[1:]:
        raise ValueError(f"[{op}] 'b' expects shape ({w.shape[1]},), got {bias.shape}")
    out = _arrays.output(op, out, (x.shape[0], w.shape[1]), x.dtype)
    row = _row(op, activation or "linear")
    values = _arrays.parameters(row["name"], row["params"], params)
    slopes = _slopes(op, row, slope, out, values)
    fused = None if row["row"] or activation is None else row["name"]
    _native.gemm(x, w, out, bias, False, fused, values, isa, slopes)
    return activation_forward(out, row["name"], out=out, isa=isa) if row["row"] else out


def dense_backward(dz: ArrayLike, x: ArrayLike, w: ArrayLike, *, isa: str | None = None) -> tuple[Array, Array, Array]:
    """dx = dz w^T, dw = x^T dz, db = the column sums of dz, for z = x w + b.

    dz is (n, c), x is (n, k), w is (k, c); returns dx (n, k), dw (k, c), db (c,).

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> dx, dw, db = ops.dense_backward(np.ones((2, 1)), np.ones((2, 3)), np.full((3, 1), 2.0))
        >>> dx[0].tolist(), dw[0].tolist(), db.tolist()
        ([2.0, 2.0, 2.0], [2.0], [2.0])
    """
    op = "dense_backward"
    dz = _arrays.matrix(op, "dz", dz)
    x = _arrays.matrix(op, "x", x, dz.dtype)
    w = _arrays.matrix(op, "w", w, dz.dtype)
    if x.shape[0] != dz.shape[0] or w.shape != (x.shape[1], dz.shape[1]):
        raise ValueError(f"[{op}] expects dz (n, c), x (n, k), w (k, c), got {dz.shape}, {x.shape}, {w.shape}")
    return gemm(dz, w.T, isa=isa), gemm(x.T, dz, isa=isa), column_sums(dz, isa=isa)


def column_sums(x: ArrayLike, *, out: Array | None = None, isa: str | None = None) -> Array:
    """sum over the rows of x (n, c): (c,)."""
    x = _arrays.matrix("column_sums", "x", x)
    out = _arrays.output("column_sums", out, x.shape[1:], x.dtype)
    _native.column_sums(x, out, isa)
    return out


def batchnorm_statistics(x: ArrayLike, *, isa: str | None = None) -> tuple[Array, Array]:
    """Mean and biased variance of each column of x (n, c), in two passes."""
    x = _arrays.matrix("batchnorm_statistics", "x", x)
    mean, variance = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    _native.batchnorm_statistics(x, mean, variance, isa)
    return mean, variance


def batchnorm_forward(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
    activation: str = "linear",
    *,
    slope: ArrayLike | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> tuple[Array, Array, Array]:
    """y = f(gamma (x - mean) / sqrt(variance + epsilon) + beta) with the batch's own statistics.

    Args:
        x: (n, c), float32 or float64, n of at least 1.
        gamma, beta: (c,), or None for ones and zeros.
        epsilon: added to the biased variance, inside the root.
        activation: name of an element-wise row.
        slope: of an activation that has one, as in `activation_forward`.
        out: receives y, may be x.
        isa: see the module.
        **params: the activation's parameters by name.

    Returns:
        y (n, c), mean (c,), variance (c,).

    Source: Ioffe & Szegedy 2015, algorithm 1.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y, mean, variance = ops.batchnorm_forward(np.array([[1.0], [3.0]]), epsilon=0.0)
        >>> y.tolist(), mean.tolist(), variance.tolist()
        ([[-1.0], [1.0]], [2.0], [1.0])
    """
    op = "batchnorm_forward"
    row, values = _elementwise(op, activation, params)
    if slope is None and _ready(row, (x, out), (gamma, beta)):
        given: list[Any] = [x, gamma, beta, out, None]
    else:
        x = _arrays.matrix(op, "x", x)
        affine = [_arrays.vector(op, name, value, x.dtype) for name, value in (("gamma", gamma), ("beta", beta))]
        given = [x, *affine, _arrays.output(op, out, x.shape, x.dtype), _slopes(op, row, slope, x, values)]
    of, factor, offset, y, slopes = given
    mean, variance = np.empty(of.shape[1], of.dtype), np.empty(of.shape[1], of.dtype)
    _native.batchnorm_forward(of, mean, variance, factor, offset, y, epsilon, row["name"], values, isa, slopes, True)
    return y, mean, variance


def batchnorm_inference(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
    activation: str = "linear",
    *,
    slope: ArrayLike | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """The same with given statistics, such as moving averages: mean (c,), variance (c,).

    Source: Ioffe & Szegedy 2015, algorithm 2.
    """
    op = "batchnorm_forward"
    x = _arrays.matrix(op, "x", x)
    given = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    vectors = {name: _arrays.vector(op, name, value, x.dtype) for name, value in given.items()}
    if vectors["mean"] is None or vectors["variance"] is None:
        raise TypeError(f"[{op}] expects a mean and a variance, got None")
    row, values = _elementwise(op, activation, params)
    slopes = _slopes(op, row, slope, x, values)
    out = _arrays.output(op, out, x.shape, x.dtype)
    _native.batchnorm_forward(
        x, vectors["mean"], vectors["variance"], vectors["gamma"], vectors["beta"], out, epsilon, row["name"], values,
        isa, slopes,
    )  # fmt: skip
    return out


def batchnorm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
    activation: str = "linear",
    *,
    slope: ArrayLike | None = None,
    training: bool = True,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> tuple[Array, ...]:
    """The gradients of `batchnorm_forward`, or with training=False those of `batchnorm_inference`.

    With g = dy f'(...) and x^ the normalised x, dbeta = sum g, dgamma = sum g x^, and
    dx = gamma / sqrt(variance + epsilon) (g - dbeta / n - x^ dgamma / n); without training the last two terms go.

    Args:
        dy, x: (n, c). y: the forward pass's output; None recomputes it.
        mean, variance: as the forward pass used them.
        gamma, beta, epsilon, activation, slope, params: as in the forward pass.
        training: whether mean and variance are the batch's own and depend on x.
        out: receives dx, may be dy.
        isa: see the module.

    Returns:
        dx (n, c), dgamma (c,), dbeta (c,), and for a learned slope dslope, of the slope's shape.

    Source: Ioffe & Szegedy 2015, section 3, after algorithm 1.
    """
    op = "batchnorm_backward"
    row, values = _elementwise(op, activation, params)
    if slope is None and _ready(row, (dy, x, y, out), (mean, variance, gamma, beta)):
        of: list[Any] = [dy, x, y, mean, variance, gamma, beta, out, np.empty_like(gamma), np.empty_like(gamma)]
        _native.batchnorm_backward(*of, epsilon, row["name"], values, training, isa)  # type: ignore[call-arg]
        return of[7], of[8], of[9]
    dy = _arrays.matrix(op, "dy", dy)
    x = _arrays.matrix(op, "x", x, dy.dtype)
    if y is None:
        y = batchnorm_inference(
            x, mean, variance, gamma, beta, epsilon, activation, slope=slope, out=None, isa=isa, **params
        )
    y = _arrays.matrix(op, "y", y, dy.dtype)
    given = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    vectors = {name: _arrays.vector(op, name, value, dy.dtype) for name, value in given.items()}
    if vectors["mean"] is None or vectors["variance"] is None:
        raise TypeError(f"[{op}] expects a mean and a variance, got None")
    slopes = _slopes(op, row, slope, dy, values)
    out = _arrays.output(op, out, dy.shape, dy.dtype)
    dgamma, dbeta, dslope = (np.empty(dy.shape[1], dy.dtype) for _ in range(3))
    learned = row["slope"] == "learned"
    _native.batchnorm_backward(
        dy, x, y, vectors["mean"], vectors["variance"], vectors["gamma"], vectors["beta"], out, dgamma, dbeta,
        epsilon, row["name"], values, training, isa, slopes, dslope if learned else None,
    )  # fmt: skip
    return (out, dgamma, dbeta, _of_shape(dslope, slope)) if learned else (out, dgamma, dbeta)


def moving_average(moving: Array, value: ArrayLike, momentum: float = 0.99, *, isa: str | None = None) -> None:
    """moving = momentum * moving + (1 - momentum) * value, in place; both are (c,)."""
    moving = _arrays.in_place("moving_average", "moving", moving)
    _native.moving_average(moving, _arrays.array("moving_average", "value", value, moving.dtype), momentum, isa)


def gather(
    src: Array,
    order: ArrayLike | None = None,
    *,
    out: Array | None = None,
    dtype: str = "float32",
    isa: str | None = None,
) -> Array:
    """Rows of src (n, c), of uint8, float32 or float64, in the given order, converted to float32 or float64."""
    if np.ndim(src) != 2:
        raise ValueError(f"[gather] 'src' expects shape (n, c), got {np.shape(src)}")
    indices = None if order is None else np.asarray(order)
    if indices is not None and indices.dtype.kind not in "iu" and indices.size:
        raise TypeError(f"[gather] 'order' expects integers, got {indices.dtype}")
    indices = None if indices is None else np.ascontiguousarray(indices, np.int64)
    rows = len(src) if indices is None else indices.size
    out = np.empty((rows, np.asarray(src).shape[-1]), dtype) if out is None else out
    _native.gather(src, indices, out, isa)
    return out


def _elementwise(op: str, activation: str, params: dict[str, float]) -> tuple[dict[str, Any], list[float]]:
    row = _row(op, activation)
    if row["row"]:
        raise ValueError(f"[{op}] activation expects an element-wise one, got {activation!r}")
    return row, _arrays.parameters(row["name"], row["params"], params)


def _ready(row: dict[str, Any], matrices: tuple[Any, ...], vectors: tuple[Any, ...]) -> bool:
    """Whether all are given, and as the kernels of a row without slopes take them."""
    return (
        row["slope"] == "none"
        and _arrays.ready(*matrices)
        and matrices[0].ndim == 2
        and _arrays.ready(*vectors)
        and vectors[0].ndim == 1
    )
