"""Random models from the whole catalogue, everything random switched on: their gradients are right.

`--hypothesis-profile=long` tries many more models.
"""

from __future__ import annotations

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

import fusednet
from fusednet import layers, regularizers
from fusednet.layers import BatchNormalization, Dense, LayerNormalization, noise
from gradients import ACTIVATIONS, KINDS, checked, parametrised

share = st.sampled_from([0.1, 0.5])
maybe = st.booleans()
penalty = st.sampled_from([None, None, regularizers.L2(0.03), regularizers.L1L2(0.01, 0.02)])
activation = st.sampled_from(ACTIVATIONS)
units = st.integers(1, 9)


@st.composite
def dense(draw, width=None):
    size = draw(units) if width is None else width
    penalties = {f"{role}_regularizer": draw(penalty) for role in ("kernel", "bias", "activity")}
    options = {"use_bias": draw(maybe), "trainable": draw(st.sampled_from([True, True, True, False])), **penalties}
    kind = draw(st.sampled_from(["dense", "dense", "drop", "maxout"]))
    if kind == "maxout":
        return layers.Maxout(size, draw(st.integers(1, 3)), **options)
    if kind == "drop":
        return layers.DropConnect(size, draw(share), activation=draw(activation), **options)
    return Dense(size, draw(activation), **options)


@st.composite
def norm(draw):
    kind = draw(st.sampled_from([BatchNormalization, LayerNormalization]))
    penalties = {f"{role}_regularizer": draw(penalty) for role in ("gamma", "beta")}
    return kind(center=draw(maybe), scale=draw(maybe), trainable=draw(maybe), **penalties)


@st.composite
def same_width(draw):
    """A layer that keeps the number of features."""
    make = draw(st.sampled_from(["norm", "activation", "noise"]))
    if make == "norm":
        return draw(norm())
    if make == "activation":
        return layers.Activation(draw(activation))
    return draw(st.sampled_from(list(noise.CLASSES.values())))(draw(share))


@st.composite
def residual(draw, width):
    inner = [*draw(st.lists(same_width(), max_size=2)), draw(dense(width)), *draw(st.lists(same_width(), max_size=1))]
    return layers.Residual(inner, draw(st.sampled_from([1.0, 0.6])), draw(maybe))


@st.composite
def image(draw):
    """Features seen as an image, pooled and flat again."""
    below = [Dense(24, draw(activation)), layers.Reshape((3, 4, 2))]
    if draw(maybe):
        pool = layers.FractionalMaxPooling2D(1.4, overlapping=draw(maybe), pseudo_random=draw(maybe))
    else:
        pool = layers.MaxPooling2D(2, draw(st.integers(1, 2)), draw(st.sampled_from(["valid", "same"])))
    return [*below, pool, layers.Flatten()]


@st.composite
def stacks(draw):
    stack, width = [], 5
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["dense", "dense", "same", "same", "residual", "image"]))
        if kind == "image":
            stack += draw(image())
            width = None
        elif kind == "dense":
            stack.append(draw(dense()))
            width = stack[-1].units
        elif kind == "residual" and width is not None:
            stack.append(draw(residual(width)))
        else:
            stack.append(draw(same_width()))
    return stack


LOSSES = [loss for kind in KINDS for loss in parametrised(kind)]


@given(stacks(), st.sampled_from(LOSSES), maybe, st.integers(2, 12), st.integers(0, 9))
def test_random_models(stack, loss, weights, rows, seed):
    try:
        report = checked(stack, loss, rows=rows, weights=weights, seed=seed, max_elements=12)
    except fusednet.NonFiniteError:
        reject()  # the exponential of exponentials
    assert not report.failures, str(report)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_are_drawn_with_all_their_parameters(loss):
    assert loss.native()["name"] in {kind.name for kind in KINDS}
