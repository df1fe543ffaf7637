"""BatchNormalization and moving averages."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _native
from fusednet.ops import _arrays
from fusednet.ops._activations import READY, UNKNOWN, _of_shape, _row, _slopes

Array = NDArray[Any]


def batchnorm_statistics(x: ArrayLike, *, isa: str | None = None) -> tuple[Array, Array]:
    """Mean and biased variance of each column of x (n, c), in two passes."""
    x = _arrays.matrix("batchnorm_statistics", "x", x)
    mean, variance = _arrays.empty(x, x.shape[1]), _arrays.empty(x, x.shape[1])
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
    if slope is None and isa is None and not params and type(x) is type(gamma) is np.ndarray:
        number, defaults = READY.get(activation, UNKNOWN)
        y: Any = np.empty_like(x) if out is None else out
        mean, variance = np.empty_like(gamma), np.empty_like(gamma)
        if _native.ready_batchnorm_forward(number, defaults, x, mean, variance, gamma, beta, y, epsilon):
            return y, mean, variance
    row, values = _elementwise(op, activation, params)
    x = _arrays.matrix(op, "x", x)
    factor, offset = (_arrays.vector(op, name, value, x.dtype) for name, value in (("gamma", gamma), ("beta", beta)))
    y, slopes = _arrays.output(op, out, x.shape, x), _slopes(op, row, slope, x, values)
    mean, variance = _arrays.empty(x, x.shape[1]), _arrays.empty(x, x.shape[1])
    _native.batchnorm_forward(x, mean, variance, factor, offset, y, epsilon, row["name"], values, isa, slopes, True)
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
    out = _arrays.output(op, out, x.shape, x)
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
    if slope is None and isa is None and training and not params and type(dy) is type(gamma) is np.ndarray:
        number, defaults = READY.get(activation, UNKNOWN)
        dx: Any = np.empty_like(dy) if out is None else out
        dgamma, dbeta = np.empty_like(gamma), np.empty_like(gamma)
        if _native.ready_batchnorm_backward(
            number, defaults, dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta, epsilon
        ):
            return dx, dgamma, dbeta
    row, values = _elementwise(op, activation, params)
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
    out = _arrays.output(op, out, dy.shape, dy)
    dgamma, dbeta, dslope = (_arrays.empty(dy, dy.shape[1]) for _ in range(3))
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


def _elementwise(op: str, activation: str, params: dict[str, float]) -> tuple[dict[str, Any], list[float]]:
    row = _row(op, activation)
    if row["row"]:
        raise ValueError(f"[{op}] activation expects an element-wise one, got {activation!r}")
    return row, _arrays.parameters(row["name"], row["params"], params)
