"""Losses and metrics of the oracle, from their definitions: each loss gives (a sample's loss, gradient of their sum).

The conventions of epsilon and of averages are those that Keras documents.
"""

from __future__ import annotations

import numpy as np

KERAS_EPSILON = 1e-7


def one_hot(labels, columns):
    return np.eye(columns)[np.asarray(labels)]


def logistic(x):
    return 0.5 * (1 + np.tanh(x / 2))


def log_logistic(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def log_softmax(x):
    top = x.max(axis=-1, keepdims=True)
    return x - top - np.log(np.exp(x - top).sum(axis=-1, keepdims=True))


def mean(values, gradient):
    """The mean over the features of values by element."""
    return values.mean(axis=-1), gradient / values.shape[-1]


def clipped(x, low=KERAS_EPSILON, high=1 - KERAS_EPSILON):
    """x within bounds, and the derivative of that."""
    return np.clip(x, low, high), ((x >= low) & (x <= high)).astype(float)


# --- Regression ------------------------------------------------------------------------------------------------------


def mean_squared_error(x, t):
    return mean((x - t) ** 2, 2 * (x - t))


def mean_absolute_error(x, t):
    return mean(np.abs(x - t), np.sign(x - t))


def mean_absolute_percentage_error(x, t):
    percent = 100 / np.maximum(np.abs(t), KERAS_EPSILON)
    return mean(percent * np.abs(x - t), percent * np.sign(x - t))


def mean_squared_logarithmic_error(x, t):
    p, inside = clipped(x, KERAS_EPSILON, np.inf)
    d = np.log1p(p) - np.log1p(np.maximum(t, KERAS_EPSILON))
    return mean(d**2, 2 * d / (1 + p) * inside)


def huber(x, t, delta=1.0):  # Huber 1964, section 2
    e = x - t
    small = np.abs(e) <= delta
    return mean(np.where(small, e**2 / 2, delta * np.abs(e) - delta**2 / 2), np.where(small, e, delta * np.sign(e)))


def log_cosh(x, t):
    e = np.abs(x - t)
    with np.errstate(over="ignore"):
        value = np.where(e < 20, np.log1p(2 * np.sinh(np.minimum(e, 20) / 2) ** 2), e - np.log(2))
    return mean(value, np.tanh(x - t))


def cosine_similarity(x, t):
    def unit(v):
        norm = np.maximum(np.sqrt((v**2).sum(axis=-1, keepdims=True)), KERAS_EPSILON)
        return v / norm, norm

    (ux, norm), (ut, _) = unit(x), unit(t)
    cosine = (ux * ut).sum(axis=-1, keepdims=True)
    return -cosine[:, 0], np.where(norm > KERAS_EPSILON, cosine * ux - ut, -ut) / norm


# --- Probabilities ---------------------------------------------------------------------------------------------------


def poisson(x, t):
    with np.errstate(divide="ignore", invalid="ignore"):
        log_term = np.where(t == 0, 0, t * np.log(x + KERAS_EPSILON))
    return mean(x - log_term, 1 - t / (x + KERAS_EPSILON))


def kl_divergence(x, t):  # Kullback and Leibler 1951; summed over the classes
    t = np.clip(t, KERAS_EPSILON, 1)
    p, inside = clipped(x, KERAS_EPSILON, 1)
    return (t * (np.log(t) - np.log(p))).sum(axis=-1), -t / p * inside


def binary_crossentropy(x, t):
    p, inside = clipped(x)
    return mean(-(t * np.log(p) + (1 - t) * np.log1p(-p)), inside * ((1 - t) / (1 - p) - t / p))


def sigmoid_crossentropy(x, t):
    return mean(np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))), logistic(x) - t)


def softmax_crossentropy(x, t):
    log_p = log_softmax(x)
    with np.errstate(invalid="ignore"):
        terms = np.where(t == 0, 0, t * log_p)
    return -terms.sum(axis=-1), t.sum(axis=-1, keepdims=True) * np.exp(log_p) - t


def crossentropy(x, t):
    return categorical_focal_crossentropy(x, t, 1.0, 0.0)


# --- Focal losses: Lin et al. 2017, eq. 4 and 5 ----------------------------------------------------------------------


def binary_focal(p, t, log_p, log_rest, balancing, alpha, gamma):
    """Value and derivative in p of the focal loss of one element, from the logarithms of p and 1 - p."""
    w = t * alpha + (1 - t) * (1 - alpha) if balancing else np.ones_like(p)
    missing = t * (1 - p) + (1 - t) * p
    entropy = -(t * log_p + (1 - t) * log_rest)
    with np.errstate(all="ignore"):
        slope = gamma * missing ** (gamma - 1) * (1 - 2 * t) * entropy if gamma else 0.0
        return w * missing**gamma * entropy, w * (slope + missing**gamma * ((1 - t) / (1 - p) - t / p))


def binary_focal_crossentropy(x, t, apply_class_balancing=0.0, alpha=0.25, gamma=2.0):
    p, inside = clipped(x)
    value, slope = binary_focal(p, t, np.log(p), np.log1p(-p), apply_class_balancing, alpha, gamma)
    return mean(value, slope * inside)


def sigmoid_focal_crossentropy(x, t, apply_class_balancing=0.0, alpha=0.25, gamma=2.0):
    p = logistic(x)
    value, slope = binary_focal(p, t, log_logistic(x), log_logistic(-x), apply_class_balancing, alpha, gamma)
    return mean(value, slope * p * logistic(-x))


def categorical_focal_crossentropy(x, t, alpha=0.25, gamma=2.0):
    total = x.sum(axis=-1, keepdims=True)
    q, inside = clipped(x / total)
    value = -alpha * t * (1 - q) ** gamma * np.log(q)
    slope = alpha * t * (gamma * (1 - q) ** (gamma - 1) * np.log(q) - (1 - q) ** gamma / q) * inside
    return value.sum(axis=-1), (slope - (slope * x / total).sum(axis=-1, keepdims=True)) / total


def softmax_focal_crossentropy(x, t, alpha=0.25, gamma=2.0):
    log_p = log_softmax(x)
    p, rest = np.exp(log_p), -np.expm1(log_p)
    value = -alpha * t * rest**gamma * log_p
    quotient = np.where(rest > 0, log_p / np.where(rest > 0, rest, 1), -1)  # log p / (1 - p), with its limit at 1
    slope = alpha * t * rest**gamma * (gamma * p * quotient - 1)  # p times the derivative in p
    return value.sum(axis=-1), slope - p * slope.sum(axis=-1, keepdims=True)


# --- Margins ---------------------------------------------------------------------------------------------------------


def sides(t):
    """Targets of 0 and 1 as -1 and 1."""
    return np.where(t == 0, -1.0, t)


def hinge(x, t):
    s = sides(t)
    return mean(np.maximum(1 - s * x, 0), np.where(s * x < 1, -s, 0))


def squared_hinge(x, t):
    s = sides(t)
    margin = np.maximum(1 - s * x, 0)
    return mean(margin**2, -2 * s * margin)


LOSSES = {
    f.__name__: f
    for f in (
        mean_squared_error,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_logarithmic_error,
        huber,
        log_cosh,
        cosine_similarity,
        poisson,
        kl_divergence,
        binary_crossentropy,
        sigmoid_crossentropy,
        softmax_crossentropy,
        crossentropy,
        binary_focal_crossentropy,
        sigmoid_focal_crossentropy,
        categorical_focal_crossentropy,
        softmax_focal_crossentropy,
        hinge,
        squared_hinge,
    )
}


def loss(name, x, target, params=(), weights=None):
    """`target`: integer labels (n,), or targets of x's shape."""
    if name not in LOSSES:
        raise LookupError(f"tests/oracle_losses.py has no loss {name!r}: write it from its paper")
    target = np.asarray(target)
    if target.ndim == 1 and x.ndim == 2 and target.dtype.kind in "iu":
        target = one_hot(target, x.shape[-1])
    values, gradient = LOSSES[name](x, target, *params)
    if weights is None:
        return values, gradient
    return values * weights, gradient * np.asarray(weights)[:, None]


def smoothed(target, smoothing, columns, binary=False):
    """Szegedy et al. 2016, section 7: (1 - smoothing) t + smoothing / columns; binary: between 0 and 1."""
    target = np.asarray(target)
    if target.ndim == 1:
        target = one_hot(target, columns) if columns > 1 else target[:, None]
    return (1 - smoothing) * target + smoothing / (2 if binary else columns)


# --- Metrics: the reported value from all outputs x (n, c) and targets t (n, c) at once ------------------------------


def ratio(a, b):
    return a / b if b else 0.0


def accuracy(x, t, threshold=0.5):
    if x.shape[1] == 1:
        return ratio(((x > threshold) == (t > 0.5)).sum(), len(x))
    return ratio((x.argmax(axis=1) == t.argmax(axis=1)).sum(), len(x))


def top_k_accuracy(x, t, k=5):
    at_label = np.take_along_axis(x, t.argmax(axis=1)[:, None], axis=1)
    return ratio(((x > at_label).sum(axis=1) < k).sum(), len(x))  # equals do not push the label out


def binary_accuracy(x, t, threshold=0.5):
    return ratio(((x > threshold).astype(float) == t).sum(), x.size)


def precision(x, t, threshold=0.5):
    return ratio(((x > threshold) & (t != 0)).sum(), (x > threshold).sum())


def recall(x, t, threshold=0.5):
    return ratio(((x > threshold) & (t != 0)).sum(), (t != 0).sum())


def auc(x, t):
    """The trapezoids under (false positive rate, true positive rate) at 200 thresholds from 0 - eps to 1 + eps."""
    thresholds = np.array([-KERAS_EPSILON, *(i / 199 for i in range(1, 199)), 1 + KERAS_EPSILON])
    x, yes = np.clip(x, 0, 1), t != 0
    true = [ratio(((x > limit) & yes).sum(), yes.sum()) for limit in thresholds]
    false = [ratio(((x > limit) & ~yes).sum(), (~yes).sum()) for limit in thresholds]
    return sum((false[i] - false[i + 1]) * (true[i] + true[i + 1]) / 2 for i in range(199))


def r2_score(x, t):
    return np.mean(1 - ((x - t) ** 2).sum(axis=0) / ((t - t.mean(axis=0)) ** 2).sum(axis=0))


METRICS = {
    "accuracy": accuracy,
    "top_k_accuracy": top_k_accuracy,
    "binary_accuracy": binary_accuracy,
    "precision": precision,
    "recall": recall,
    "auc": auc,
    "mean_squared_error": lambda x, t: ratio(((x - t) ** 2).sum(), x.size),
    "mean_absolute_error": lambda x, t: ratio(np.abs(x - t).sum(), x.size),
    "r2_score": r2_score,
}


def metric(name, x, target, params=()):
    """`target`: integer labels (n,), or targets of x's shape."""
    if name not in METRICS:
        raise LookupError(f"tests/oracle_losses.py has no metric {name!r}: write it from its definition")
    target = np.asarray(target)
    if target.ndim == 1:
        target = one_hot(target, x.shape[1]) if x.shape[1] > 1 else target[:, None]
    return METRICS[name](x.astype(float), target.astype(float), *params)
