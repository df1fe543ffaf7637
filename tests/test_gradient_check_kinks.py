"""Where the loss has no derivative: elements are left out, layers are named, and the rest is still compared."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
from fusednet import layers, regularizers
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten, Maxout, MaxPooling2D, Residual
from gradients import LEARNED, assert_right, checked

G = np.random.default_rng(0)
X = G.normal(size=(6, 4))
T = G.normal(size=(6, 3))
BENT = [
    "relu",
    "leaky_relu",
    "selu",
    *(name for name in ("relu6", "hard_sigmoid") if hasattr(fusednet.activations, name)),
]


def report_of(stack, x=X, t=T, loss="mse", change=None, features=4):
    shape = features if isinstance(features, tuple) else (features,)
    model = fusednet.Sequential([layers.Input(shape), *stack], seed=1)
    model.compile(loss=loss, optimizer="sgd")
    for name, values in (change or {}).items():
        next(v for v in model.weights if v.name == name).assign(values)
    return fusednet.check_gradients(model, x, t, inputs=True)


def at_bend(name):
    """An input of 0 for the functions that bend there, of 3 for those that bend at 3 and at -3."""
    return 3.0 if name == "hard_sigmoid" else 0.0


@pytest.mark.parametrize("name", BENT)
@pytest.mark.parametrize("place", ["dense", "layer", "inputs", "batch", "residual"])
def test_activations_on_their_bend(name, place):
    x = X.copy()
    x[2, 1] = at_bend(name)
    eye = {"d/kernel": np.eye(4), "d/bias": np.zeros(4)}
    top = Dense(3, name="top")
    if place == "dense":
        report = report_of([Dense(4, name, name="d"), top], x, change=eye)
    elif place == "layer":
        report = report_of([Dense(4, name="d"), Activation(name, name="a"), top], x, change=eye)
    elif place == "inputs":
        report = report_of([Activation(name, name="a"), top], x)
    elif place == "batch":
        norm = BatchNormalization(name="b", trainable=False, center=False, scale=False)
        moved = {"b/moving_mean": np.full(4, 0.25), "b/moving_variance": np.full(4, 1 - 1e-3)}
        report = report_of([norm, Activation(name, name="a"), top], x + 0.25, change=moved)
    else:
        report = report_of([Residual([Dense(4, name="d"), Activation(name, name="a")]), top], x, change=eye)
    assert report, str(report)
    assert report.kinks == (("d" if place == "dense" else "a", 1),)
    assert sum(check.kinks for check in report.tensors) >= 1
    assert f"on kinks: {report.kinks[0][0]} (1)" in str(report).splitlines()[-1]
    assert_right(report)


def test_smooth_functions_have_no_kinks_and_kinks_out_of_reach_are_none():
    for name in fusednet.activations.names():
        report = checked([Dense(7, name), Dense(4, "tanh")])
        assert report.kinks == ()
        assert "on kinks" not in str(report)
    x = X.copy()
    x[2, 1] = 1e-4
    report = report_of([Activation("relu", name="a"), Dense(3)], x)
    assert report.kinks == ()
    assert_right(report)


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_slope_of_one_has_no_bend(name):
    x = X.copy()
    x[2, 1] = 0.0
    for slope, count in ((1.0, 0), (0.5, 1)):
        report = report_of([Activation(name, name="a"), Dense(3)], x, change={"a/alpha": np.full(4, slope)})
        assert report, str(report)
        assert [found for found, _ in report.kinks] == ["a"] * count


def test_equal_maxima_of_maxout():
    kernel = G.normal(size=(4, 6))
    kernel[:, 3:] = kernel[:, :3]
    bias = np.array([0, 0, 0, 0, 1.0, 2.0])
    report = report_of([Maxout(3, 2, name="m"), Dense(3)], change={"m/kernel": kernel, "m/bias": bias})
    assert report, str(report)
    assert report.kinks == (("m", 6),)
    counts = {check.name: check.kinks for check in report.tensors}
    assert counts["m/bias"] == 2  # pieces 0 and 3


def test_equal_maxima_of_a_region():
    x = G.normal(size=(3, 4, 4, 1))
    x[1, 2, 2, 0] = x[1, 3, 3, 0] = x.max() + 1
    stack = [MaxPooling2D(2, name="p"), Flatten(), Dense(3)]
    report = report_of(stack, x, T[:3], features=(4, 4, 1))
    assert report, str(report)
    assert report.kinks == (("p", 1),)
    assert {check.name: check.kinks for check in report.tensors}["inputs"] == 2


@pytest.mark.parametrize("loss", ["mae", "hinge", "mape"])
def test_losses_on_their_bend(loss):
    kernel = np.eye(4)[:, :3]
    t = np.sign(T) if loss == "hinge" else T.copy()
    x = X.copy()
    x[2, 1] = t[2, 1]  # an error of 0; a margin of 1
    report = report_of([Dense(3, name="d")], x, t, loss, {"d/kernel": kernel, "d/bias": np.zeros(3)})
    assert report, str(report)
    assert report.kinks == (("loss", 1),)


def test_parameters_on_the_bend_of_their_penalty():
    report = report_of([Dense(3, name="d", kernel_regularizer=regularizers.L1(0.1), bias_regularizer="l1_l2")])
    assert report, str(report)
    assert report.kinks == (("d/bias", 3),)
    counts = {check.name: (check.checked, check.kinks) for check in report.tensors}
    assert counts == {"d/kernel": (12, 0), "d/bias": (0, 3), "inputs": (24, 0)}
    smooth = report_of([Dense(3, name="d", bias_regularizer="l2")])
    assert smooth.kinks == ()
    assert_right(smooth)


def test_an_error_beside_kinks_is_found():
    x = X.copy()
    x[2, 1] = 0.0
    model = fusednet.Sequential([layers.Input([4]), Activation("relu"), Dense(3, name="d")], seed=1, dtype="float64")
    model.compile(loss="mse", optimizer="sgd")
    gradients = model.compute_gradients(x, T)
    gradients["d/kernel"][3, 2] *= 1 + 1e-4
    report = fusednet.check_gradients(model, x, T, inputs=True, gradients=gradients)
    assert not report
    assert report.kinks
    assert [check.name for check in report.failures] == ["d/kernel"]
    assert report.worst.worst_index == (3, 2)
