"""Dense, and the pieces that it is made of."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusednet import _native
from fusednet._device import lies_there
from fusednet.ops import _arrays
from fusednet.ops._activations import _row, _slopes, activation_forward

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
    plain = isa is None and not accumulate and precision == "highest"
    if (
        plain
        and type(a) is type(b) is np.ndarray
        and a.ndim == b.ndim == 2
        and (a.shape[1], a.dtype) == (len(b), b.dtype)
    ):
        c: Array = np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
        if _native.ready_gemm(a, b, bias, c):
            return c
    left = _strided("a", a)
    right = _strided("b", b, left.dtype)
    if left.shape[1] != right.shape[0]:
        raise ValueError(f"[gemm] 'b' expects shape ({left.shape[1]}, n), got {right.shape}")
    if accumulate and out is None:
        raise ValueError("[gemm] 'accumulate' expects 'out', got None")
    out = _arrays.output("gemm", out, (left.shape[0], right.shape[1]), left)
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
    out = _arrays.output(op, out, (x.shape[0], w.shape[1]), x)
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
    out = _arrays.output("column_sums", out, x.shape[1:], x)
    _native.column_sums(x, out, isa)
    return out


def gather(
    src: Array,
    order: ArrayLike | None = None,
    *,
    out: Array | None = None,
    dtype: str = "float32",
    isa: str | None = None,
) -> Array:
    """Rows of src (n, c), of uint8, float32 or float64, in the given order, converted to float32 or float64."""
    src = _arrays.anywhere("gather", "src", src)
    if src.ndim != 2:
        raise ValueError(f"[gather] 'src' expects shape (n, c), got {src.shape}")
    indices = None if order is None else _arrays.on_host("gather", "order", order)
    if indices is not None and indices.dtype.kind not in "iu" and indices.size:
        raise TypeError(f"[gather] 'order' expects integers, got {indices.dtype}")
    indices = None if indices is None else np.ascontiguousarray(indices, np.int64)
    rows = len(src) if indices is None else indices.size
    out = _arrays.empty(src, (rows, src.shape[1]), dtype) if out is None else _arrays.anywhere("gather", "out", out)
    _native.gather(src, indices, out, isa)
    return out


def _strided(name: str, value: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """A factor of a product: (n, c) with either axis contiguous; a copy where neither is."""
    given = _arrays.anywhere("gemm", name, value)
    fits = given.ndim == 2 and (name == "a" or given.itemsize in given.strides)
    if lies_there(given) and given.ndim == 2:
        fits = True  # the compiled code says what it cannot read
    elif fits:
        fits = given.flags.aligned
    return _arrays.checked_type("gemm", name, given, dtype) if fits else _arrays.matrix("gemm", name, given, dtype)
