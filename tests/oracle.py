"""An independent oracle in float64 NumPy, written from the papers and from Keras's documentation.

Nothing here is taken from csrc: it is the one deliberate duplication, so that a wrong formula there cannot agree with
itself. Derivatives are functions of the input, as textbooks state them. Clarity before speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from oracle_losses import loss as loss
from oracle_losses import one_hot as one_hot

# Under one name with the rest.
from oracle_optimizers import clip as clip
from oracle_optimizers import update as update

# --- Activations -----------------------------------------------------------------------------------------------------

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, eq. 14
SELU_ALPHA = 1.6732632423543772848170429916717


def sigmoid(x):
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def elu(x, alpha=1.0):  # Clevert et al. 2016, eq. 15
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_derivative(x, alpha=1.0):
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


# name -> (f, f'), both of x and the row's parameters. f'(0) is the limit from the left.
ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "linear": (lambda x: x + 0.0, np.ones_like),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2),
    "relu": (lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "leaky_relu": (lambda x, slope: np.where(x > 0, x, slope * x), lambda x, slope: np.where(x > 0, 1.0, slope)),
    "elu": (elu, elu_derivative),
    "selu": (
        lambda x: SELU_SCALE * elu(x, SELU_ALPHA),
        lambda x: SELU_SCALE * elu_derivative(x, SELU_ALPHA),
    ),
}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def activation(name, params, x):
    if name == "softmax":
        return softmax(x)
    return _row(ACTIVATIONS, "activation", name)[0](x, *params)


def activation_backward(name, params, dy, x):
    if name == "softmax":
        return softmax_backward(dy, softmax(x))
    return dy * _row(ACTIVATIONS, "activation", name)[1](x, *params)


def _row(table: Mapping[str, Any], kind: str, name: str):
    if name not in table:
        raise LookupError(f"tests/oracle.py has no {kind} {name!r}: write it from its paper")
    return table[name]


# --- Dense -----------------------------------------------------------------------------------------------------------


def dense(x, kernel, bias=None):
    return x @ kernel + (0 if bias is None else bias)


def dense_backward(dy, x, kernel):
    """dx, dkernel, dbias."""
    return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


# --- Batch normalization: Ioffe and Szegedy 2015, algorithm 1 --------------------------------------------------------


def batchnorm_statistics(x):
    mean = x.mean(axis=0)
    return mean, ((x - mean) ** 2).mean(axis=0)  # biased, as in the paper and in Keras


def batchnorm(x, mean, variance, gamma, beta, epsilon):
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def batchnorm_backward(dz, x, mean, variance, gamma, epsilon, training):
    """dx, dgamma, dbeta. In training the chain rule passes through the mean and the variance (section 3 there)."""
    m = len(x)
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat = (x - mean) * inverse
    dgamma, dbeta = (dz * x_hat).sum(axis=0), dz.sum(axis=0)
    dx_hat = dz * gamma
    if not training:
        return dx_hat * inverse, dgamma, dbeta
    dvariance = (dx_hat * (x - mean)).sum(axis=0) * -0.5 * inverse**3
    dmean = -(dx_hat * inverse).sum(axis=0) + dvariance * (-2 * (x - mean)).sum(axis=0) / m
    return dx_hat * inverse + dvariance * 2 * (x - mean) / m + dmean / m, dgamma, dbeta


def moving_average(moving, value, momentum):
    return moving * momentum + value * (1 - momentum)


# --- Initializers ----------------------------------------------------------------------------------------------------


def initializer_variance(name: str, fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio 2010, eq. 16; He et al. 2015, eq. 10; LeCun et al. 1998, section 4.6."""
    family = name.split("_")[0]
    return {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]


def initializer_limit(name: str, fan_in: int, fan_out: int) -> float:
    """The bound of the uniform ones: a uniform variable on ±a has variance a²/3."""
    return float(np.sqrt(3 * initializer_variance(name, fan_in, fan_out)))
