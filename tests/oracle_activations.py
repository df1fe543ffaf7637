"""Activations and their derivatives in float64 NumPy, from the papers and from Keras's and PyTorch's documentation.

Part of `oracle.py`; like it, nothing here is taken from csrc. Derivatives are functions of the input, as textbooks
state them; at a kink they are the limit from the left, at 6 (relu6) and 3 (hard_silu) that from the right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, eq. 14
SELU_ALPHA = 1.6732632423543772848170429916717
GELU_CUBIC = 0.044715  # Hendrycks and Gimpel 2016, section 2
ROOT_2_PI = np.sqrt(2 / np.pi)


def times(x, gate):
    """x * gate, where a gate that is shut keeps even an infinite x out."""
    return np.where(gate == 0, np.copysign(0.0, x), x * np.where(gate == 0, 1.0, gate))


def sigmoid(x):
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_derivative(x):
    return sigmoid(x) * sigmoid(-x)


def tanh_derivative(x):
    return np.where(np.abs(x) > 300, 0.0, 1 / np.cosh(np.clip(x, -300, 300)) ** 2)


def elu(x, alpha=1.0):  # Clevert et al. 2016, eq. 15
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0.0, x)))


def elu_derivative(x, alpha=1.0):
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def leaky(x, slope):  # Maas et al. 2013; He et al. 2015, eq. 1, with a learned slope; Xu et al. 2015 with a random one
    return np.where(x > 0, x, slope * x)


def leaky_derivative(x, slope):
    return np.where(x > 0, 1.0, slope)


_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def normal_distribution(x):
    return _erfc(-x / math.sqrt(2)) / 2


def gelu(x):  # Hendrycks and Gimpel 2016, section 2
    return times(x, normal_distribution(x))


def gelu_derivative(x):
    density = np.exp(-(np.clip(x, -40, 40) ** 2) / 2) / math.sqrt(2 * math.pi)
    return normal_distribution(x) + times(x, density)


def _gelu_inner(x):
    x = np.clip(x, -25, 25)
    return ROOT_2_PI * (x + GELU_CUBIC * x**3)


def gelu_tanh(x):
    u = np.clip(_gelu_inner(x), -700, 700)
    return times(x, np.exp(u - np.abs(u)) / (1 + np.exp(-2 * np.abs(u))))  # (1 + tanh u) / 2 = exp(u) / (2 cosh u)


def gelu_tanh_derivative(x):
    x = np.clip(x, -25, 25)
    u = _gelu_inner(x)
    return (1 + np.tanh(u)) / 2 + x / 2 * tanh_derivative(u) * ROOT_2_PI * (1 + 3 * GELU_CUBIC * x**2)


def silu(x):  # Elfwing et al. 2018
    return times(x, sigmoid(x))


def silu_derivative(x):
    return sigmoid(x) + times(x, sigmoid_derivative(x))


def softplus(x):  # Dugas et al. 2001
    return np.logaddexp(0.0, x)


def mish(x):  # Misra 2020
    return times(x, np.tanh(softplus(x)))


def mish_derivative(x):
    return np.tanh(softplus(x)) + times(x, tanh_derivative(softplus(x)) * sigmoid(x))


def softsign(x):  # Bergstra et al. 2009
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(np.where(np.isinf(x), 0.0, x))))


def relu6(x):  # Krizhevsky 2010
    return np.minimum(np.maximum(x, 0.0), 6.0)


# name -> (f, f'), both of x and the row's parameters, or of x and the slope where a row has one.
ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "linear": (lambda x: x + 0.0, np.ones_like),
    "sigmoid": (sigmoid, sigmoid_derivative),
    "tanh": (np.tanh, tanh_derivative),
    "relu": (lambda x: np.where(x > 0, x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "leaky_relu": (leaky, leaky_derivative),
    "elu": (elu, elu_derivative),
    "selu": (
        lambda x: SELU_SCALE * elu(x, SELU_ALPHA),
        lambda x: SELU_SCALE * elu_derivative(x, SELU_ALPHA),
    ),
    "prelu": (leaky, leaky_derivative),
    "rrelu": (leaky, leaky_derivative),
    "gelu": (gelu, gelu_derivative),
    "gelu_tanh": (gelu_tanh, gelu_tanh_derivative),
    "silu": (silu, silu_derivative),
    "mish": (mish, mish_derivative),
    "softplus": (softplus, sigmoid),
    "softsign": (softsign, lambda x: 1 / (1 + np.abs(x)) ** 2),
    "relu6": (relu6, lambda x: np.where((x > 0) & (x < 6), 1.0, 0.0)),
    # Howard et al. 2019, section 5.2
    "hard_sigmoid": (lambda x: relu6(x + 3) / 6, lambda x: np.where(np.abs(x) < 3, 1 / 6, 0.0)),
    "hard_silu": (
        lambda x: times(x, relu6(x + 3) / 6),
        lambda x: np.where(x < 3, np.where(x > -3, (2 * np.clip(x, -9, 9) + 3) / 6, 0.0), 1.0),
    ),
    "exponential": (np.exp, np.exp),
    "rescaling": (lambda x, scale, offset: scale * x + offset, lambda x, scale, offset: np.full_like(x, scale)),
}
KINKS = {"relu6": (0.0, 6.0), "hard_sigmoid": (-3.0, 3.0), "hard_silu": (-3.0, 3.0)}  # elsewhere at most at 0


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax(x):
    d = x - x.max(axis=-1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=-1, keepdims=True))


def log_softmax_backward(dy, y):
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


# name -> (f, the gradient from dy and y)
ROW_ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "softmax": (softmax, softmax_backward),
    "log_softmax": (log_softmax, log_softmax_backward),
}


def _row(name: str):
    if name not in ACTIVATIONS:
        raise LookupError(f"tests/oracle_activations.py has no activation {name!r}: write it from its paper")
    return ACTIVATIONS[name]


def activation(name, params, x, slope=None):
    if name in ROW_ACTIVATIONS:
        return ROW_ACTIVATIONS[name][0](x)
    return _row(name)[0](x, *(params if slope is None else [slope]))


def activation_backward(name, params, dy, x, slope=None):
    if name in ROW_ACTIVATIONS:
        value, gradient = ROW_ACTIVATIONS[name]
        return gradient(dy, value(x))
    return dy * _row(name)[1](x, *(params if slope is None else [slope]))


def slope_gradient(dy, x):
    """Of the learned slope of each column: dy/dslope is x where x is negative. He et al. 2015, eq. 2 and 3."""
    return (dy * np.minimum(x, 0)).sum(axis=0)
