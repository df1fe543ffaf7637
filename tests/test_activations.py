"""Activations in Python: objects, second names, layers, and `ops` with slopes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native, activations, layers, ops
from fusednet.initializers import Constant

ROWS = {row["name"]: row for row in _native.activation_rows()}
SLOPED = [n for n, r in ROWS.items() if r["slope"] != "none"]
CLASSES = {
    "relu": "ReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU", "prelu": "PReLU", "rrelu": "RReLU",
    "gelu": "GELU", "gelu_tanh": "GELUTanh", "silu": "SiLU", "mish": "Mish", "softplus": "Softplus",
    "softsign": "Softsign", "relu6": "ReLU6", "hard_sigmoid": "HardSigmoid", "hard_silu": "HardSiLU",
    "exponential": "Exponential", "rescaling": "Rescaling", "softmax": "Softmax", "log_softmax": "LogSoftmax",
}  # fmt: skip


def sample(shape=(4, 3), seed=0):
    return helpers.rng(31, seed).normal(0, 2, shape)


# --- objects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_an_object_computes_its_row(name):
    function, x = getattr(activations, name), sample()
    slope = np.array([0.5, -1.0, 0.0]) if ROWS[name]["slope"] != "none" else None
    params = list(function.params.values())
    helpers.assert_close(function(x, slope=slope), oracle.activation(name, params, x, slope), 1e-12, name)
    assert function.slope == ROWS[name]["slope"]
    assert function.over_rows == ROWS[name]["row"]
    assert pickle.loads(pickle.dumps(function)) == function
    assert activations.get({"name": name, "params": dict(function.params)}) == function


@pytest.mark.parametrize(("alias", "name"), [("swish", "silu"), ("hard_swish", "hard_silu"), ("logistic", "sigmoid")])
def test_second_names(alias, name):
    assert activations.get(alias) == getattr(activations, alias) == getattr(activations, name)
    assert activations.get(alias).name == name
    np.testing.assert_array_equal(ops.activation_forward(sample(), alias), ops.activation_forward(sample(), name))
    assert layers.Dense(2, activation=alias).activation.name == name


def test_gelu_is_exact_unless_told():
    assert activations.get("gelu").name == "gelu"
    assert activations.gelu.with_params(approximate=True) == activations.gelu_tanh
    assert activations.gelu.with_params(approximate=False) == activations.gelu
    np.testing.assert_array_equal(activations.gelu(sample(), approximate=True), activations.gelu_tanh(sample()))
    layer = layers.GELU(approximate=True)
    assert layer.activation == activations.gelu_tanh
    assert layers.GELU.from_config(layer.get_config()).activation == activations.gelu_tanh
    with pytest.raises(ValueError, match="approximate"):
        activations.silu.with_params(approximate=True)


def test_native_says_where_a_slope_is_shared():
    assert activations.relu.native() == {"name": "relu", "params": []}
    assert activations.prelu.native() == {"name": "prelu", "params": [], "shared": False}
    assert activations.prelu.native(shared=True)["shared"] is True
    assert activations.rrelu.native() == {"name": "rrelu", "params": [1 / 8, 1 / 3]}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: activations.elu.with_params(alpha=-1), ["elu", "alpha", "at least 0", "-1"]),
        (lambda: activations.rrelu.with_params(lower=0.5, upper=0.2), ["rrelu", "lower", "0.2", "0.5"]),
        (lambda: activations.rescaling.with_params(scale=np.inf), ["rescaling", "scale", "finite", "inf"]),
        (lambda: activations.rescaling.with_params(slope=1), ["rescaling", "scale, offset", "slope"]),
        (lambda: activations.get("gleu"), ["gelu", "gleu"]),
    ],
)
def test_errors_of_objects(make, words):
    with pytest.raises(ValueError, match=words[0]) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_parameters_may_be_negative_where_the_sign_is_not_read_off_the_output():
    assert activations.rescaling.with_params(scale=-2, offset=-1)(np.array([3.0])).tolist() == [-7.0]
    assert activations.rrelu.with_params(lower=-1)(np.array([-3.0])).tolist() == [pytest.approx(-3 * (-1 + 1 / 3) / 2)]


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), CLASSES.items())
def test_a_layer_of_each_row(name, kind):
    layer = getattr(layers, kind)(name="a")
    assert layer.activation == getattr(activations, name)
    config = json.loads(json.dumps(layer.get_config()))
    assert type(layer).from_config(config).get_config() == layer.get_config()
    native = layer.native((4,))
    assert (native["kind"], native["name"], native["trainable"]) == ("activation", "a", True)
    assert native["activation"] == layer.activation.native()
    assert layer.output_shape((5,)) == (5,)
    if ROWS[name]["row"] or ROWS[name]["slope"] == "learned":
        with pytest.raises(ValueError, match="Flatten"):
            layer.output_shape((2, 5))
    else:
        assert layer.output_shape((2, 5)) == (2, 5)
        assert layer.weight_specs((2, 5)) == []


def test_layers_take_their_parameters_by_position_or_name():
    assert layers.Rescaling(1 / 255, -0.5).activation.params == {"scale": 1 / 255, "offset": -0.5}
    assert layers.RReLU(upper=0.5).activation.params == {"lower": 1 / 8, "upper": 0.5}
    with pytest.raises(TypeError, match="at most 2 positional"):
        layers.Rescaling(1, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "shape", "first"),
    [
        ({}, (6,), 0.0),
        ({"shared": True}, (1,), 0.0),
        ({"shared_axes": [1]}, (1,), 0.0),
        ({"alpha_initializer": Constant(0.25)}, (6,), 0.25),
    ],
)
def test_prelu_has_slopes(arguments, shape, first):
    layer = layers.PReLU(**arguments)
    (spec,) = layer.weight_specs((6,))
    assert (spec.role, spec.shape, spec.trainable) == ("alpha", shape, True)
    assert spec.initializer(shape).tolist() == [first] * shape[0]
    assert layer.native((4,))["activation"]["shared"] == (shape == (1,))
    again = layers.PReLU.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.weight_specs((6,)) == [spec]
    assert layers.PReLU(trainable=False).weight_specs((6,))[0].trainable is False
    assert layers.Activation("prelu").weight_specs((6,))[0].shape == (6,)


@pytest.mark.parametrize("arguments", [{"shared_axes": [2]}, {"shared_axes": [1, 2]}, {"alpha_initializer": "zeroes"}])
def test_prelu_refuses(arguments):
    with pytest.raises(ValueError, match=rf"\[PReLU\] {next(iter(arguments))} expects .*got"):
        layers.PReLU(**arguments)


# --- ops with slopes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3)])
@pytest.mark.parametrize("given", [0.25, np.array([0.5]), np.array([0.5, -1.0, 0.0])])
def test_prelu_slopes_of_every_shape(shape, given):
    x, dy = sample(shape), sample(shape, 1)
    helpers.assert_close(ops.prelu_forward(x, slope=given), np.where(x > 0, x, given * x), 1e-15)
    dx, dslope = ops.prelu_backward(dy, x, slope=given)
    helpers.assert_close(dx, dy * np.where(x > 0, 1, given), 1e-15)
    by_column = (dy * np.minimum(x, 0)).reshape(-1, 3).sum(axis=0)
    want = by_column if np.size(given) == 3 else np.reshape(by_column.sum(), np.shape(given))
    helpers.assert_close(dslope, want, 1e-13)


def test_rrelu_slopes_of_each_element_or_their_mean():
    for shape in ((5, 3), (3,), (2, 4, 3)):
        x, slope = sample(shape), np.abs(sample(shape, 2))
        helpers.assert_close(ops.rrelu_forward(x, slope=slope), np.where(x > 0, x, slope * x), 1e-15)
        helpers.assert_close(ops.rrelu_backward(np.ones(shape), x, slope=slope), np.where(x > 0, 1, slope), 1e-15)
        mean = np.where(x > 0, x, 0.3 * x)
        helpers.assert_close(ops.rrelu_forward(x, lower=0.2, upper=0.4), mean, 1e-15)


@pytest.mark.parametrize("name", SLOPED)
def test_dense_and_batchnorm_take_slopes(name):
    x, w, dy, slope = sample((6, 4)), sample((4, 3), 1), sample((6, 3), 2), np.array([0.5, -1.0, 0.1])
    z = x @ w
    helpers.assert_close(ops.dense_forward(x, w, None, name, slope=slope), np.where(z > 0, z, slope * z), 1e-13)
    gamma, beta = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.0, -0.2])
    y, mean, variance = ops.batchnorm_forward(z, gamma, beta, activation=name, slope=slope)
    u = oracle.batchnorm(z, mean, variance, gamma, beta, 1e-3)
    helpers.assert_close(y, np.where(u > 0, u, slope * u), 1e-13)
    got = ops.batchnorm_backward(dy, z, None, mean, variance, gamma, beta, activation=name, slope=slope)
    want = oracle.batchnorm_backward(dy * np.where(u > 0, 1, slope), z, mean, variance, gamma, 1e-3, True)
    want = (*want, oracle.slope_gradient(dy, u)) if ROWS[name]["slope"] == "learned" else want
    for g, e in zip(got, want, strict=True):
        helpers.assert_close(g, e, 1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: ops.prelu_forward(x), TypeError, ["slope", "prelu", "None"]),
        (lambda x: ops.relu_forward(x, slope=0.1), TypeError, ["slope"]),
        (lambda x: ops.prelu_forward(x, slope=np.ones(4)), ValueError, ["slope", "(3,)", "(4,)"]),
        (lambda x: ops.prelu_forward(x, slope=np.ones((5, 3))), ValueError, ["slope", "(3,)", "(5, 3)"]),
        (lambda x: ops.rrelu_forward(x, slope=np.ones((5, 2))), ValueError, ["slope", "(5, 3)", "(5, 2)"]),
        (lambda x: ops.prelu_forward(x, slope=np.ones(3, np.float32)), TypeError, ["slope", "float64", "float32"]),
        (lambda x: ops.dense_forward(x, np.ones((3, 2)), None, "prelu"), TypeError, ["dense_forward", "slope"]),
    ],
)
def test_errors_of_slopes(call, error, words):
    with pytest.raises(error) as caught:
        call(sample((5, 3)))
    for word in words:
        assert word in str(caught.value)
