"""An independent oracle in float64 NumPy, written from the papers and from Keras's documentation.

Nothing here is taken from csrc: it is the one deliberate duplication, so that a wrong formula there cannot agree with
itself. Derivatives are functions of the input, as textbooks state them. Clarity before speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Under one name with the rest.
from oracle_activations import activation as activation
from oracle_activations import activation_backward as activation_backward
from oracle_activations import sigmoid as sigmoid
from oracle_activations import slope_gradient as slope_gradient
from oracle_activations import softmax as softmax
from oracle_activations import softmax_backward as softmax_backward
from oracle_losses import loss as loss
from oracle_losses import one_hot as one_hot
from oracle_optimizers import clip as clip
from oracle_optimizers import update as update


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
