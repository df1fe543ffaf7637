"""Layer normalization and residual sums."""

import math

from numpy.typing import ArrayLike

from fusednet import _native
from fusednet.ops import _arrays
from fusednet.ops._arrays import Array


def layer_norm_forward(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    epsilon: float = 1e-3,
    *,
    out: Array | None = None,
    isa: str | None = None,
) -> tuple[Array, Array, Array]:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta over the features of each sample.

    The variance is biased and taken in two passes, its sums in float64. One feature gives y = beta.

    Args:
        x: (n, c), float32 or float64.
        gamma, beta: (c,), or None for ones and zeros.
        epsilon: added to the variance, inside the root; Keras's default.
        out: receives y (n, c), may be x.
        isa: see the module.

    Returns:
        y, and for the backward pass the mean (n,) and 1 / sqrt(variance + epsilon) (n,).

    Raises:
        ValueError, TypeError: shapes or types that do not fit, or a negative epsilon.

    Source: Ba, Kiros and Hinton 2016, eq. 3.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y, mean, inverse = ops.layer_norm_forward(np.array([[1.0, 3.0]]), epsilon=0.0)
        >>> y.tolist(), mean.tolist(), inverse.tolist()
        ([[-1.0, 1.0]], [2.0], [1.0])
    """
    op = "layer_norm_forward"
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"[{op}] epsilon expects a finite number of at least 0, got {epsilon}")
    x = _arrays.matrix(op, "x", x)
    weights = [_vector(op, name, value, x.shape[1], x) for name, value in (("gamma", gamma), ("beta", beta))]
    out = _arrays.output(op, out, x.shape, x)
    mean, inverse = _arrays.empty(x, x.shape[0]), _arrays.empty(x, x.shape[0])
    _native.layernorm_forward(x, weights[0], weights[1], out, mean, inverse, epsilon, isa)
    return out, mean, inverse


def layer_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    inverse: ArrayLike,
    gamma: ArrayLike | None = None,
    *,
    out: Array | None = None,
    isa: str | None = None,
) -> tuple[Array, Array, Array]:
    """dx = inverse (g - mean(g) - x_hat mean(g x_hat)), dgamma = sum(dy x_hat), dbeta = sum(dy).

    Here g = dy gamma and x_hat = (x - mean) inverse; the means are over the features, the sums over the samples.

    Args:
        dy, x: (n, c), float32 or float64.
        mean, inverse: (n,), of the forward pass.
        gamma: (c,), or None for ones.
        out: receives dx (n, c), may be dy.
        isa: see the module.

    Returns:
        dx (n, c), dgamma (c,), dbeta (c,).

    Raises:
        ValueError, TypeError: shapes or types that do not fit.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> x = np.array([[1.0, 3.0, 8.0]])
        >>> y, mean, inverse = ops.layer_norm_forward(x)
        >>> dx, dgamma, dbeta = ops.layer_norm_backward(np.ones((1, 3)), x, mean, inverse)
        >>> bool((abs(dx) < 1e-12).all()), dbeta.tolist()
        (True, [1.0, 1.0, 1.0])
    """
    op = "layer_norm_backward"
    dy = _arrays.matrix(op, "dy", dy)
    x = _like(op, "x", x, dy)
    rows = [_vector(op, name, value, dy.shape[0], dy) for name, value in (("mean", mean), ("inverse", inverse))]
    if rows[0] is None or rows[1] is None:
        raise TypeError(f"[{op}] expects a mean and an inverse, got None")
    weights = _vector(op, "gamma", gamma, dy.shape[1], dy)
    out = _arrays.output(op, out, dy.shape, dy)
    dgamma, dbeta = _arrays.empty(dy, dy.shape[1]), _arrays.empty(dy, dy.shape[1])
    _native.layernorm_gradients(dy, x, rows[0], rows[1], dgamma, dbeta, isa)  # first: dx may be dy
    _native.layernorm_backward(dy, x, weights, rows[0], rows[1], out, isa)
    return out, dgamma, dbeta


def scaled_add(
    a: ArrayLike | None,
    b: ArrayLike,
    scale: ArrayLike | None = None,
    *,
    out: Array | None = None,
    isa: str | None = None,
) -> Array:
    """y = a + scale_i b, row by row: where a residual block's branches meet.

    Args:
        a: (n, c), or None for zeros.
        b: (n, c), float32 or float64.
        scale: (n,), or None for ones.
        out: receives y (n, c), may be a or b.
        isa: see the module.

    Raises:
        ValueError, TypeError: shapes or types that do not fit.

    Source: Huang et al. 2016, "Deep Networks with Stochastic Depth", eq. 2, with scale the draws.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.scaled_add(np.ones((2, 1)), np.full((2, 1), 3.0), np.array([0.0, 2.0])).tolist()
        [[1.0], [7.0]]
    """
    op = "scaled_add"
    b = _arrays.matrix(op, "b", b)
    left = None if a is None else _like(op, "a", a, b)
    factors = _vector(op, "scale", scale, b.shape[0], b)
    out = _arrays.output(op, out, b.shape, b)
    _native.scaled_add(left, b, factors, out, isa)
    return out


def _like(op: str, name: str, value: ArrayLike, other: Array) -> Array:
    result = _arrays.matrix(op, name, value, other.dtype)
    if result.shape != other.shape:
        raise ValueError(f"[{op}] {name!r} expects shape {other.shape}, got {result.shape}")
    return result


def _vector(op: str, name: str, value: ArrayLike | None, size: int, other: Array) -> Array | None:
    result = _arrays.vector(op, name, value, other.dtype)
    if result is not None and result.shape != (size,):
        raise ValueError(f"[{op}] {name!r} expects shape ({size},), got {result.shape}")
    return result
