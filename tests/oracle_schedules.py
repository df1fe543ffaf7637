"""The oracle of learning-rate schedules, from the documentation of Keras and PyTorch and from the papers they cite.

Each takes the number of updates done before and the arguments by name, as Python's classes have them.
"""

from __future__ import annotations

import math


def exponential_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase=False):
    p = t / decay_steps
    return initial_learning_rate * decay_rate ** (math.floor(p) if staircase else p)


def inverse_time_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase=False):
    p = t / decay_steps
    return initial_learning_rate / (1 + decay_rate * (math.floor(p) if staircase else p))


def piecewise_constant_decay(t, boundaries, values):
    return values[sum(t > b for b in boundaries)]


def polynomial_decay(t, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False):
    if cycle:  # the first multiple of decay_steps that t does not exceed
        decay_steps *= max(1, math.ceil(t / decay_steps))
    t = min(t, decay_steps)
    return (initial_learning_rate - end_learning_rate) * (1 - t / decay_steps) ** power + end_learning_rate


def cosine_decay(t, initial_learning_rate, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0):
    top = initial_learning_rate
    if warmup_target is not None:
        if t < warmup_steps:
            return initial_learning_rate + (warmup_target - initial_learning_rate) * t / warmup_steps
        t, top = t - warmup_steps, warmup_target
    # Loshchilov and Hutter 2017, eq. 5
    return top * ((1 - alpha) * (1 + math.cos(math.pi * min(t, decay_steps) / decay_steps)) / 2 + alpha)


def cosine_decay_restarts(t, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0):
    length, height = first_decay_steps, 1.0
    while t >= length:  # one cycle after the other
        t -= length
        length *= t_mul
        height *= m_mul
    return initial_learning_rate * ((1 - alpha) * height * (1 + math.cos(math.pi * t / length)) / 2 + alpha)


def one_cycle(t, max_lr, total_steps, pct_start=0.3, anneal_strategy="cos", div_factor=25.0, final_div_factor=1e4):
    """Smith and Topin 2019 in the form of PyTorch's OneCycleLR with two phases; flat after the last step."""
    low = max_lr / div_factor
    end = low / final_div_factor
    top, last = pct_start * total_steps - 1, total_steps - 1
    t = min(t, last)
    if t <= top:
        start, stop, share = low, max_lr, t / top
    else:
        start, stop, share = max_lr, end, (t - top) / (last - top)
    if anneal_strategy == "linear":
        return start + (stop - start) * share
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {
    f.__name__: f
    for f in (
        *(exponential_decay, inverse_time_decay, piecewise_constant_decay, polynomial_decay, cosine_decay),
        *(cosine_decay_restarts, one_cycle),
    )
}
