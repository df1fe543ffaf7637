"""The oracle of everything between a gradient and a new weight: clipping, optimizers, decay, averages, constraints,
penalties, schedules. Float64 NumPy, written from the papers and from the documentation of Keras and PyTorch, never
from csrc. Clarity before speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

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


def adagrad(w, g, slots, t, learning_rate, initial_accumulator_value, epsilon):
    # Duchi et al. 2011; Keras starts the sum of squares at 0.1 and has epsilon under the root.
    slots[0][...] = slots[0] + g**2
    return w - learning_rate * g / np.sqrt(slots[0] + epsilon)


def rmsprop(w, g, slots, t, learning_rate, rho, epsilon):
    slots[0][...] = rho * slots[0] + (1 - rho) * g**2
    return w - learning_rate * g / np.sqrt(slots[0] + epsilon)  # epsilon under the root


def rmsprop_momentum(w, g, slots, t, learning_rate, rho, epsilon, momentum):
    slots[0][...] = rho * slots[0] + (1 - rho) * g**2
    slots[1][...] = momentum * slots[1] + learning_rate * g / np.sqrt(slots[0] + epsilon)
    return w - slots[1]


def rmsprop_centered(w, g, slots, t, learning_rate, rho, epsilon):
    # Graves 2013, eq. 38 to 40: the root is that of the gradient's variance.
    slots[0][...] = rho * slots[0] + (1 - rho) * g**2
    slots[1][...] = rho * slots[1] + (1 - rho) * g
    return w - learning_rate * g / np.sqrt(slots[0] - slots[1] ** 2 + epsilon)


def rmsprop_centered_momentum(w, g, slots, t, learning_rate, rho, epsilon, momentum):
    slots[2][...] = momentum * slots[2] - rmsprop_centered(0.0, g, slots, t, learning_rate, rho, epsilon)
    return w - slots[2]


def adam(w, g, slots, t, learning_rate, beta_1, beta_2, epsilon):
    # Kingma and Ba 2015, the efficient form before section 2.1: epsilon beside the root of the raw second moment.
    slots[0][...] = beta_1 * slots[0] + (1 - beta_1) * g
    slots[1][...] = beta_2 * slots[1] + (1 - beta_2) * g**2
    rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - rate * slots[0] / (np.sqrt(slots[1]) + epsilon)


def amsgrad(w, g, slots, t, learning_rate, beta_1, beta_2, epsilon):
    # Reddi, Kale and Kumar 2018, algorithm 2, with Adam's corrections in the rate, as Keras has it.
    m, v, largest = slots
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g**2
    largest[...] = np.maximum(largest, v)
    rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - rate * m / (np.sqrt(largest) + epsilon)


def nadam(w, g, slots, t, learning_rate, beta_1, beta_2, epsilon):
    # Dozat 2016, algorithm 2, with the momentum schedule of section 3 and its decay of 0.96 a step.
    def mu(i):
        return beta_1 * (1 - 0.5 * 0.96**i)

    product = math.prod(mu(i) for i in range(1, t + 1))
    m, v = slots
    m[...] = beta_1 * m + (1 - beta_1) * g
    v[...] = beta_2 * v + (1 - beta_2) * g**2
    m_hat = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
    v_hat = v / (1 - beta_2**t)
    return w - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


def adamax(w, g, slots, t, learning_rate, beta_1, beta_2, epsilon):
    # Kingma and Ba 2015, algorithm 2; Keras adds epsilon to the norm.
    m, u = slots
    m[...] = beta_1 * m + (1 - beta_1) * g
    u[...] = np.maximum(beta_2 * u, np.abs(g))
    return w - learning_rate / (1 - beta_1**t) * m / (u + epsilon)


def adadelta(w, g, slots, t, learning_rate, rho, epsilon):
    # Zeiler 2012, algorithm 1, with Keras's learning rate.
    squares, steps = slots
    squares[...] = rho * squares + (1 - rho) * g**2
    step = -np.sqrt(steps + epsilon) / np.sqrt(squares + epsilon) * g
    steps[...] = rho * steps + (1 - rho) * step**2
    return w + learning_rate * step


def lion(w, g, slots, t, learning_rate, beta_1, beta_2):
    # Chen et al. 2023, algorithm 2, without its weight decay.
    direction = np.sign(beta_1 * slots[0] + (1 - beta_1) * g)
    slots[0][...] = beta_2 * slots[0] + (1 - beta_2) * g
    return w - learning_rate * direction


OPTIMIZERS = {
    f.__name__: f
    for f in (
        *(sgd, sgd_momentum, sgd_nesterov, adagrad, rmsprop, rmsprop_momentum, rmsprop_centered),
        *(rmsprop_centered_momentum, adam, amsgrad, nadam, adamax, adadelta, lion),
    )
}
SLOTS = {"sgd": 0, "sgd_momentum": 1, "sgd_nesterov": 1, "adagrad": 1, "rmsprop": 1, "lion": 1}
SLOTS |= {"rmsprop_centered_momentum": 3, "amsgrad": 3}  # of the others 2


def first_slots(name, w, hyper):
    """The state before the first step: zeros, but for AdaGrad's sum of squares."""
    first = hyper[1] if name == "adagrad" else 0.0
    return [np.full_like(w, first) for _ in range(SLOTS.get(name, 2))]


def update(name, w, g, slots, t, hyper):
    if name not in OPTIMIZERS:
        raise LookupError(f"tests/oracle_optimizers.py has no optimizer {name!r}: write it from its paper")
    return OPTIMIZERS[name](w, g, slots, t, *hyper)


def decayed(w, decay):
    """Loshchilov and Hutter 2019, algorithm 2, line 12: apart from the gradient; decay is rate times weight decay."""
    return w - decay * w


def averaged(average, w, momentum):
    """Polyak and Juditsky 1992, with exponential weights."""
    return momentum * average + (1 - momentum) * w


# --- Constraints: Keras's documentation; norms are those of columns ---------------------------------------------------


def constrain(name, w, params):
    norms = np.sqrt((w**2).sum(axis=0, keepdims=True))
    if name == "non_negative":
        return np.maximum(w, 0.0)
    if name == "max_norm":
        wanted = np.clip(norms, 0, params[0])
    elif name == "unit_norm":
        wanted = np.ones_like(norms)
    elif name == "min_max_norm":
        least, most, rate = params
        wanted = rate * np.clip(norms, least, most) + (1 - rate) * norms
    else:
        raise LookupError(f"tests/oracle_optimizers.py has no constraint {name!r}")
    return w * (wanted / (1e-7 + norms))


# --- Penalties: the elastic net of Zou and Hastie 2005, eq. 3 --------------------------------------------------------


def penalty(w, l1, l2):
    return l1 * np.abs(w).sum() + l2 * (w**2).sum()


def penalty_gradient(w, l1, l2):
    return l1 * np.sign(w) + 2 * l2 * w
