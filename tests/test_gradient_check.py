"""Every layer, activation and loss in combination below 1e-7, and a check that can fail and says where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fusednet
from fusednet import _native, recipes
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten

ROWS = [row["name"] for row in _native.activation_rows()]
LOSSES = ["sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mean_squared_error"]
BOUND = 1e-7


def targets(loss, rows, outputs, g):
    labels = g.integers(0, outputs, rows)
    if loss.startswith("sparse"):
        return labels
    return np.eye(outputs)[labels] if loss == "categorical_crossentropy" else g.random((rows, outputs))


def checked(layers, loss, *, features=5, outputs=4, reduction="sum_over_batch_size", from_logits=False, seed=0):
    g = np.random.default_rng(seed)
    model = fusednet.Sequential([Flatten(input_shape=[features]), *layers], seed=seed)
    name = "".join(part.title() for part in loss.split("_"))
    options = {} if loss == "mean_squared_error" else {"from_logits": from_logits}
    model.compile(loss=getattr(fusednet.losses, name)(reduction=reduction, **options), optimizer="sgd")
    # no parameter at its first value: a bias of exactly 0 can put a ReLU on its kink
    model.set_weights([w + 0.1 * g.normal(size=w.shape) ** 2 for w in model.get_weights()])
    x = g.normal(size=(9, features))
    return fusednet.check_gradients(model, x, targets(loss, 9, outputs, g), inputs=True)


def assert_right(report):
    assert report, str(report)
    assert report.worst.distance < BOUND, str(report)
    assert max(check.worst_distance for check in report.tensors) < BOUND, str(report)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("norm", ["none", "before", "after", "first"])
def test_every_activation_with_and_without_batchnorm(name, norm):
    layers = {
        "none": [Dense(7, activation=name)],
        "before": [Dense(7, use_bias=False), BatchNormalization(), Activation(name)],
        "after": [Dense(7, activation=name), BatchNormalization()],
        "first": [BatchNormalization(), Activation(name), Dense(7, activation=name)],
    }[norm]
    assert_right(checked([*layers, Dense(4, activation="softmax")], "sparse_categorical_crossentropy"))


@pytest.mark.parametrize(
    ("loss", "output", "from_logits"),
    [
        *itertools.product(LOSSES[:2], ["softmax", "sigmoid"], [False]),
        *itertools.product(LOSSES[:2], ["linear", "tanh"], [True]),
        ("binary_crossentropy", "sigmoid", False),
        ("binary_crossentropy", "softmax", False),
        ("binary_crossentropy", "linear", True),
        *itertools.product(LOSSES[3:], ROWS, [False]),
    ],
)
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_every_loss(loss, output, from_logits, reduction):
    layers = [Dense(6, activation="tanh"), Dense(4, activation=output)]
    assert_right(checked(layers, loss, reduction=reduction, from_logits=from_logits))


@pytest.mark.parametrize("loss", LOSSES)
def test_batchnorm_on_the_outputs(loss):
    last = "softmax" if "categorical" in loss else "sigmoid"
    layers = [Dense(6, activation="elu"), Dense(4, use_bias=False), BatchNormalization(), Activation(last)]
    assert_right(checked(layers, loss))


@pytest.mark.parametrize(("center", "scale"), [(True, False), (False, True), (False, False)])
def test_batchnorm_without_its_parameters(center, scale):
    layers = [Dense(6), BatchNormalization(center=center, scale=scale), Activation("tanh"), Dense(4)]
    assert_right(checked(layers, "mean_squared_error"))


@pytest.mark.parametrize("frozen", [(0,), (0, 1), (0, 1, 2, 3), (1,), (2, 3)])
@pytest.mark.parametrize("norm", [True, False])
def test_frozen_layers_pass_the_gradient_on(frozen, norm):
    stack = [
        lambda t: Dense(6, activation="tanh", trainable=t),
        lambda t: Dense(5, trainable=t),
        lambda t: BatchNormalization(trainable=t) if norm else Activation("selu", trainable=t),
        lambda t: Dense(4, activation="softmax", trainable=t),
    ]
    layers = [make(i not in frozen) for i, make in enumerate(stack)]
    assert_right(checked(layers, "sparse_categorical_crossentropy"))


def test_one_output():
    assert_right(
        checked([Dense(5, activation="selu"), Dense(1, activation="sigmoid")], "binary_crossentropy", outputs=1)
    )


def test_the_course_network_on_part_of_its_parameters():
    model = recipes.get("batchnorm").build((28, 28), seed=1)
    g = np.random.default_rng(1)
    x, y = g.random((10, 28, 28)), g.integers(0, 10, 10)
    before = model.get_weights()
    report = fusednet.check_gradients(model, x, y, max_elements=40)
    assert_right(report)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def network():
    model = fusednet.Sequential(
        [Dense(6, input_shape=[5], name="below"), BatchNormalization(name="norm"), Activation("elu"), Dense(3)], seed=2
    )
    model.compile(loss="mse", optimizer="sgd")
    g = np.random.default_rng(2)
    return model, g.normal(size=(8, 5)), g.normal(size=(8, 3))


def exact_gradients(model, x, y):
    double = fusednet.Sequential([layer.spec for layer in model.layers], dtype="float64")
    double.compile(loss="mse", optimizer="sgd")
    double.set_weights(model.get_weights())
    return double.compute_gradients(x, y)


@pytest.mark.parametrize("name", ["below/kernel", "norm/gamma", "norm/beta", "dense/kernel", "dense/bias"])
@pytest.mark.parametrize("how", ["sign", "scale", "one element"])
def test_a_wrong_gradient_is_found_and_named(name, how):
    fusednet.utils.clear_session()
    model, x, y = network()
    gradients = exact_gradients(model, x, y)
    assert fusednet.check_gradients(model, x, y, gradients=gradients)
    wrong = gradients[name].copy()
    place = tuple(n // 2 for n in wrong.shape)
    if how == "sign":
        wrong = -wrong
    elif how == "scale":
        wrong *= 1 + 1e-5
    else:
        wrong[place] += 1e-4 * np.abs(wrong).max()
    report = fusednet.check_gradients(model, x, y, gradients={name: wrong})
    assert not report
    assert [check.name for check in report.failures] == [name]
    assert "WRONG" in str(report)
    assert name in str(report)
    if how == "one element":
        assert report.worst.worst_index == place


def test_a_wrong_kernel_is_found():
    """tanh's derivative in the place of sigmoid's: what a slip in a formula would do."""
    x = np.linspace(-2, 2, 9)[None]
    y, dx = np.empty_like(x), np.empty_like(x)
    _native.activation_forward(x, y, "sigmoid")
    _native.activation_backward(np.ones_like(x), y, dx, "tanh")
    h = 1e-5
    above, below = np.empty_like(x), np.empty_like(x)
    _native.activation_forward(x + h, above, "sigmoid")
    _native.activation_forward(x - h, below, "sigmoid")
    numeric = (above - below) / (2 * h)
    assert np.linalg.norm(dx - numeric) / (np.linalg.norm(dx) + np.linalg.norm(numeric)) > 1e-5


def test_bad_arguments():
    model, x, y = network()
    with pytest.raises(ValueError, match="tolerance"):
        fusednet.check_gradients(model, x, y, tolerance=0.0)
    with pytest.raises(ValueError, match="names among"):
        fusednet.check_gradients(model, x, y, gradients={"nothing": np.zeros(3)})
    with pytest.raises(ValueError, match="expects shape"):
        fusednet.check_gradients(model, x[:, :3], y)
