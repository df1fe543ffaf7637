"""An independent oracle in float64 NumPy, written from the papers and from Keras's documentation.

Nothing here is taken from csrc: it is the one deliberate duplication, so that a wrong formula there cannot agree with
itself. Derivatives are functions of the input, as textbooks state them. Clarity before speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oracle_activations import (  # noqa: F401
    activation,
    activation_backward,
    sigmoid,
    slope_gradient,
    softmax,
    softmax_backward,
)


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


# --- Losses: each returns (loss of each sample, gradient of their sum) -----------------------------------------------

KERAS_EPSILON = 1e-7


def one_hot(labels, columns):
    return np.eye(columns)[np.asarray(labels)]


def mean_squared_error(x, t):
    return ((x - t) ** 2).mean(axis=-1), 2 * (x - t) / x.shape[-1]


def binary_crossentropy(x, t):
    p = np.clip(x, KERAS_EPSILON, 1 - KERAS_EPSILON)
    inside = p == x  # clipping is flat outside
    value = -(t * np.log(p) + (1 - t) * np.log1p(-p)).mean(axis=-1)
    return value, inside * ((1 - t) / (1 - p) - t / p) / x.shape[-1]


def sigmoid_crossentropy(x, t):
    value = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    return value.mean(axis=-1), (sigmoid(x) - t) / x.shape[-1]


def softmax_crossentropy(x, t):
    top = x.max(axis=-1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True))
    return (t * (lse - x)).sum(axis=-1), t.sum(axis=-1, keepdims=True) * softmax(x) - t


def crossentropy(x, t):
    total = x.sum(axis=-1, keepdims=True)
    q = np.clip(x / total, KERAS_EPSILON, 1 - KERAS_EPSILON)
    dq = np.where(q == x / total, -t / q, 0.0)
    return -(t * np.log(q)).sum(axis=-1), (dq - (dq * x / total).sum(axis=-1, keepdims=True)) / total


LOSSES = {
    f.__name__: f
    for f in (mean_squared_error, binary_crossentropy, sigmoid_crossentropy, softmax_crossentropy, crossentropy)
}


def loss(name, x, target):
    """`target`: integer labels (n,), or targets of x's shape."""
    target = np.asarray(target)
    if target.ndim == 1 and x.ndim == 2 and target.dtype.kind in "iu":
        target = one_hot(target, x.shape[-1])
    return _row(LOSSES, "loss", name)(x, target)


# --- Gradient clipping: Keras's clipvalue, clipnorm (a tensor at a time), global_clipnorm ----------------------------


def clip(gradients: Sequence[np.ndarray], clipvalue=None, clipnorm=None, global_clipnorm=None) -> list[np.ndarray]:
    if clipvalue is not None:
        return [np.clip(g, -clipvalue, clipvalue) for g in gradients]
    if clipnorm is not None:
        return [g * clipnorm / max(np.linalg.norm(g), clipnorm) for g in gradients]
    if global_clipnorm is not None:
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        return [g * global_clipnorm / max(norm, global_clipnorm) for g in gradients]
    return list(gradients)


# --- Optimizers: Keras's documented updates. slots is changed in place; t counts from 1 ------------------------------


def sgd(w, g, slots, t, learning_rate):
    return w - learning_rate * g


def sgd_momentum(w, g, slots, t, learning_rate, momentum):
    slots[0][...] = momentum * slots[0] - learning_rate * g
    return w + slots[0]


def sgd_nesterov(w, g, slots, t, learning_rate, momentum):
    slots[0][...] = momentum * slots[0] - learning_rate * g
    return w + momentum * slots[0] - learning_rate * g


def rmsprop(w, g, slots, t, learning_rate, rho, epsilon):
    slots[0][...] = rho * slots[0] + (1 - rho) * g**2
    return w - learning_rate * g / np.sqrt(slots[0] + epsilon)  # epsilon under the root


def rmsprop_momentum(w, g, slots, t, learning_rate, rho, epsilon, momentum):
    slots[0][...] = rho * slots[0] + (1 - rho) * g**2
    slots[1][...] = momentum * slots[1] + learning_rate * g / np.sqrt(slots[0] + epsilon)
    return w - slots[1]


def adam(w, g, slots, t, learning_rate, beta_1, beta_2, epsilon):
    # Kingma and Ba 2015, the efficient form before section 2.1: epsilon beside the root of the raw second moment.
    slots[0][...] = beta_1 * slots[0] + (1 - beta_1) * g
    slots[1][...] = beta_2 * slots[1] + (1 - beta_2) * g**2
    rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - rate * slots[0] / (np.sqrt(slots[1]) + epsilon)


OPTIMIZERS = {f.__name__: f for f in (sgd, sgd_momentum, sgd_nesterov, rmsprop, rmsprop_momentum, adam)}


def update(name, w, g, slots, t, hyper):
    return _row(OPTIMIZERS, "optimizer", name)(w, g, slots, t, *hyper)


# --- Initializers ----------------------------------------------------------------------------------------------------


def initializer_variance(name: str, fan_in: int, fan_out: int) -> float:
    """Glorot and Bengio 2010, eq. 16; He et al. 2015, eq. 10; LeCun et al. 1998, section 4.6."""
    family = name.split("_")[0]
    return {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]


def initializer_limit(name: str, fan_in: int, fan_out: int) -> float:
    """The bound of the uniform ones: a uniform variable on ±a has variance a²/3."""
    return float(np.sqrt(3 * initializer_variance(name, fan_in, fan_out)))
