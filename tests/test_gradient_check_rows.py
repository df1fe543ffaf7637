"""Each row of the catalogue and each kind of layer by itself: backward pass against differences, below 1e-7."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
from fusednet import layers as all_layers
from fusednet import regularizers
from fusednet.layers import (
    Activation,
    BatchNormalization,
    Dense,
    DropConnect,
    Flatten,
    FractionalMaxPooling2D,
    LayerNormalization,
    Maxout,
    MaxPooling2D,
    Normalization,
    Residual,
    Whitening,
    noise,
)
from gradients import ACTIVATIONS, KINDS, LEARNED, assert_right, built, checked, head, parametrised

IMAGE = (4, 6, 2)
DATA = np.random.default_rng(5).normal(size=(40, 5)) * [1, 2, 3, 4, 5] + 1


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("place", ["dense", "layer", "first", "batch", "inputs", "residual"])
def test_activations(name, place):
    layers = {
        "dense": lambda: [Dense(7, name)],
        "layer": lambda: [Dense(7, "tanh"), Activation(name)],
        "first": lambda: [Activation(name)],
        "batch": lambda: [Dense(7, use_bias=False), BatchNormalization(), Activation(name)],
        "inputs": lambda: [BatchNormalization(center=False), Activation(name), LayerNormalization()],
        "residual": lambda: [Residual([Activation(name), Dense(5, name)])],
    }[place]()
    assert_right(checked(layers))


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("trainable", [True, False])
def test_slopes_shared_by_all_features(name, trainable):
    kind = next(kind for kind in vars(all_layers)["CLASSES"].values() if getattr(kind, "__name__", "").lower() == name)
    for before in ([], [Dense(7)], [Dense(7, use_bias=False), BatchNormalization()], [Dense(7, "tanh")]):
        assert_right(checked([*before, kind(shared=True, trainable=trainable)]))


NOISES = [(name, share) for name in noise.CLASSES for share in (0.1, 0.6)]


@pytest.mark.parametrize(("name", "amount"), NOISES)
@pytest.mark.parametrize("place", ["inputs", "hidden", "last", "batch"])
def test_noises(name, amount, place):
    make = noise.CLASSES[name]
    if place == "last":
        assert_right(checked([Dense(4, "tanh"), make(amount)], top=False))
        return
    before = {"inputs": [], "hidden": [Dense(6, "tanh")], "batch": [Dense(6), BatchNormalization()]}[place]
    report = checked([*before, make(amount)])
    assert_right(report)
    assert np.abs([check.analytic for check in report.tensors]).max() > 0


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("activation", ["linear", "tanh", "softmax"])
def test_drop_connect(rate, activation):
    assert_right(checked([DropConnect(7, rate, activation=activation), BatchNormalization()], rows=70))


@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize("after", [[], [BatchNormalization()], [Activation("tanh")]], ids=["none", "batch", "tanh"])
def test_maxout(pieces, after):
    assert_right(checked([Maxout(6, pieces), *after]))
    assert_right(checked([Maxout(4, pieces, use_bias=False)], top=False))


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}, {"center": False, "scale": False}])
@pytest.mark.parametrize("kind", [LayerNormalization, BatchNormalization])
@pytest.mark.parametrize("trainable", [True, False])
def test_normalizations(kind, options, trainable):
    options = {**options, "trainable": trainable}
    assert_right(checked([kind(**options), Dense(6, "tanh")]))
    assert_right(checked([Dense(6), kind(**options), Activation("tanh"), kind(**options)]))
    assert_right(checked([Dense(6), Dense(4), kind(**options)], top=False))


def test_one_row_and_one_feature():
    for kind in (LayerNormalization, BatchNormalization):
        assert checked([Dense(6), kind(), Activation("tanh")], rows=1)
        assert checked([Dense(1), kind(), Activation("tanh")], rows=5)


def test_more_rows_and_columns_than_one_task():
    block = Residual([Dense(70, "tanh"), all_layers.Dropout(0.2), LayerNormalization()], 0.7, True)
    layers = [DropConnect(70, 0.2, "tanh"), block, Maxout(33, 3), BatchNormalization()]
    assert_right(checked(layers, rows=150, features=20, max_elements=20))


@pytest.mark.parametrize("survival", [1.0, 0.6])
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("first", [True, False])
def test_residual(survival, per_sample, first):
    for seed in range(3):  # a block survives or not
        inner = Residual([Activation("tanh"), BatchNormalization(), Dense(5)], survival, per_sample)
        block = Residual([Dense(8, "elu"), all_layers.Dropout(0.3), Dense(5), inner], survival, per_sample)
        after = [Residual([all_layers.GaussianNoise(0.1)], survival), Activation("selu")]
        assert_right(checked([*([] if first else [Dense(5, "tanh")]), block, *after], seed=seed))


@pytest.mark.parametrize("frozen", ["inner", "outer", "below"])
def test_residual_with_frozen_layers(frozen):
    below = Dense(5, "tanh", trainable=frozen != "below")
    branch = [Dense(6, "tanh", trainable=frozen != "inner"), Dense(5)]
    assert_right(checked([below, Residual(branch, 0.9, trainable=frozen != "outer"), Dense(5, "elu")]))
    assert_right(checked([Residual([Dense(5, trainable=False)]), Residual([all_layers.Dropout(0.5)])]))
    assert_right(checked([Residual([Flatten()]), Residual([Flatten(), Residual([Flatten()])])]))


@pytest.mark.parametrize(("pool", "strides", "padding"), [(2, None, "valid"), ((3, 2), 1, "same"), (2, 3, "same")])
def test_max_pooling(pool, strides, padding):
    layers = [MaxPooling2D(pool, strides, padding, input_shape=IMAGE), Flatten()]
    assert_right(checked([*layers, Dense(6, "tanh")], features=IMAGE))
    assert_right(
        checked([Flatten(input_shape=IMAGE), Dense(48, "tanh"), all_layers.Reshape(IMAGE), *layers], features=IMAGE)
    )


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("pseudo_random", [True, False])
def test_fractional_max_pooling(overlapping, pseudo_random):
    for seed in range(3):
        pool = FractionalMaxPooling2D(1.5, overlapping=overlapping, pseudo_random=pseudo_random)
        below = [Flatten(input_shape=IMAGE), Dense(48, "tanh"), all_layers.Reshape(IMAGE)]
        assert_right(checked([*below, pool, Flatten()], features=IMAGE, seed=seed, max_elements=60))


def test_statistics_of_the_data():
    for layer in (Normalization(), Normalization(axis=None), Whitening(), Whitening("zca"), Whitening(components=3)):
        layer.adapt(DATA)
        assert_right(checked([layer, Dense(6, "tanh")]))
    layer = Normalization()
    layer.adapt(np.tanh(DATA))
    assert_right(checked([Dense(5, "tanh"), layer, Activation("tanh")]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("weights", [False, True])
def test_losses(kind, weights):
    for loss in parametrised(kind):
        assert_right(checked([Dense(6, "tanh")], loss, weights=weights))
        assert_right(
            checked(
                [Dense(6, "tanh"), Dense(4), BatchNormalization(), Activation(head(loss))],
                loss,
                top=False,
                weights=weights,
            )
        )


PENALTIES = [regularizers.L1(0.03), regularizers.L2(0.02), regularizers.L1L2(0.01, 0.04)]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_penalties(penalty, loss):
    dense = {f"{role}_regularizer": penalty for role in ("kernel", "bias", "activity")}
    norm = {f"{role}_regularizer": penalty for role in ("gamma", "beta")}
    layers = [
        BatchNormalization(**norm),
        Maxout(6, 2, **dense),
        LayerNormalization(**norm),
        DropConnect(6, 0.2, **dense),
    ]
    assert_right(checked([*layers, Residual([Dense(6, "tanh", **dense)], 0.9)], loss))
    assert_right(checked([Dense(4, head(fusednet.losses.get(loss)), **dense)], loss, top=False))
    assert_right(
        checked([Dense(6, "tanh", trainable=False, **dense), Dense(4, "softmax", activity_regularizer=penalty)])
    )


def test_penalties_are_part_of_the_loss_compared():
    penalty = regularizers.L1L2(0.1, 0.2)
    bare, full = (checked([Dense(6, "tanh", kernel_regularizer=r)]) for r in (None, penalty))
    model, _ = built([Dense(6, "tanh", kernel_regularizer=penalty)])
    kernel = model.weights[0].numpy()
    assert full.loss - bare.loss == pytest.approx(0.1 * np.abs(kernel).sum() + 0.2 * (kernel**2).sum(), rel=1e-6)


def test_multipliers_of_the_learning_rate_change_no_gradient():
    reports = [checked([Dense(6, "tanh", learning_rate_multiplier=m), Dense(4)], top=False) for m in (1.0, 0.0, 3.0)]
    for report in reports:
        assert_right(report)
        assert [check.analytic for check in report.tensors] == [check.analytic for check in reports[0].tensors]


def test_a_wrong_gradient_of_any_array_is_found_and_named():
    """One part in ten thousand off, of every array of a network of all kinds of layers."""
    slopes = [vars(all_layers)["CLASSES"][kind](shared=True) for kind in ("PReLU",) if LEARNED]
    stack = [
        *(
            Dense(8, "tanh", kernel_regularizer="l2"),
            LayerNormalization(),
            DropConnect(8, 0.3, activation=ACTIVATIONS[2]),
        ),
        *(Residual([Dense(8, "tanh"), BatchNormalization(), Dense(8)], 0.9, True), Maxout(6, 2), *slopes),
        *(all_layers.GaussianDropout(0.2), BatchNormalization(), Activation("sigmoid")),
    ]
    model, _ = built(stack)
    model = _in_float64(model)
    g = np.random.default_rng(3)
    x, y = g.normal(size=(12, 5)), g.normal(size=(12, 4))
    gradients = model.compute_gradients(x, y)
    assert fusednet.check_gradients(model, x, y, gradients=gradients)
    for name, values in gradients.items():
        if np.abs(values).max() < 1e-6:
            continue  # a bias before a BatchNormalization
        wrong = fusednet.check_gradients(model, x, y, gradients={name: values * (1 + 1e-4)})
        assert [check.name for check in wrong.failures] == [name]
        place = np.unravel_index(np.abs(values).argmax(), values.shape)
        one = values.copy()
        one[place] *= 1 + 1e-4
        wrong = fusednet.check_gradients(model, x, y, gradients={name: one}, max_elements=None)
        assert [(check.name, check.worst_index) for check in wrong.failures] == [(name, tuple(map(int, place)))]


def test_it_draws_what_the_next_step_of_training_draws():
    model = _in_float64(built([all_layers.Dropout(0.5), Dense(5, "tanh")])[0])
    g = np.random.default_rng(3)
    x, y = g.normal(size=(12, 5)), g.normal(size=(12, 4))
    model.fit(x, y, batch_size=4, verbose=0)
    gradients = model.compute_gradients(x, y)
    assert fusednet.check_gradients(model, x, y, gradients=gradients)
    model.fit(x, y, batch_size=4, verbose=0)
    assert not fusednet.check_gradients(model, x, y, gradients=gradients)


def _in_float64(model):
    double = fusednet.Sequential([layer.spec for layer in model.layers], dtype="float64", seed=1)
    double.build(model.input_shape)
    double.compile(loss=model.loss, optimizer="sgd")
    double.set_weights(model.get_weights())
    return double
