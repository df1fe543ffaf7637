"""Layers as descriptions: shapes, arrays, what the plan reads, configurations; and what is wrong is named."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import fusednet
from fusednet import _native, activations, initializers, layers, regularizers
from fusednet._layer import natives
from fusednet.layers import (
    BatchNormalization,
    Dense,
    DropConnect,
    Flatten,
    FractionalMaxPooling2D,
    Input,
    LayerNormalization,
    Maxout,
    MaxPooling2D,
    Normalization,
    Reshape,
    Residual,
    Whitening,
    noise,
)

COMMON = {"trainable": False, "learning_rate_multiplier": 0.25}
PENALISED = {"kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": "l1_l2"}
HALF = {"kernel_constraint": "non_neg", "kernel_initializer": "he_normal"}
MADE = {
    "flatten": lambda: Flatten(name="x", input_shape=(2, 3)),
    "reshape": lambda: Reshape((2, -1), name="x"),
    "dense": lambda: Dense(3, "elu", False, name="x", **PENALISED, **HALF, **COMMON),
    "drop connect": lambda: DropConnect(3, 0.25, "relu", name="x", **PENALISED, **HALF, **COMMON),
    "maxout": lambda: Maxout(3, 4, name="x", **PENALISED, **HALF, **COMMON),
    "batch": lambda: BatchNormalization(-1, 0.9, 0.1, False, gamma_regularizer="l2", name="x", **COMMON),
    "layer": lambda: LayerNormalization(-1, 0.1, scale=False, beta_constraint="non_neg", name="x", **COMMON),
    "dropout": lambda: layers.Dropout(0.25, name="x"),
    "pool": lambda: MaxPooling2D((2, 3), 1, "SAME", name="x"),
    "ratio": lambda: FractionalMaxPooling2D(1.5, overlapping=False, name="x"),
    "size": lambda: FractionalMaxPooling2D(output_size=(3, 2), pseudo_random=False, name="x"),
    "statistics": lambda: Normalization(axis=(1, 2), scale=False, name="x"),
    "known": lambda: Normalization(mean=[1, 2], variance=[0.0, 4.0], name="x"),
    "whitening": lambda: Whitening(epsilon=0.5, components=2, name="x"),
    "zca": lambda: Whitening("zca", name="x"),
    "activation": lambda: layers.LeakyReLU(0.2, name="x"),
    "residual": lambda: Residual([Dense(4, name="a"), layers.Dropout(0.1, name="b")], 0.5, True, name="x"),
}
NAMED = {
    "Reshape": lambda name: Reshape((2, 2), name=name),
    "Dense": lambda name: Dense(3, name=name),
    "LayerNormalization": lambda name: LayerNormalization(name=name),
    "Dropout": lambda name: layers.Dropout(0.5, name=name),
}


@pytest.mark.parametrize("case", MADE)
def test_a_configuration_makes_the_same_layer(case):
    layer = MADE[case]()
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert layers.deserialize(layers.serialize(layer)).get_config() == config
    assert pickle.loads(pickle.dumps(layer)).get_config() == config
    changed = {key for key, value in vars(layer).items() if repr(vars(again)[key]) != repr(value)}
    assert changed <= {
        "_statistics",
        "layers",
        *(key for key in vars(layer) if "regularizer" in key or "constr" in key),
    }


def test_every_class_has_a_case():
    made = {type(make()).__name__ for make in MADE.values()} | {"InputLayer", "Activation"}
    assert set(layers.CLASSES) == made | set(noise.CLASSES) | set(layers._activation_layers.CLASSES)


@pytest.mark.parametrize("case", MADE)
def test_descriptions_cannot_be_changed(case):
    layer = MADE[case]()
    with pytest.raises(AttributeError, match=r"\[\w+ 'x'\] is a description"):
        layer.name = "y"
    for role in ("kernel", "alpha", "mean", "weights"):
        with pytest.raises(AttributeError, match="holds no arrays"):
            getattr(layer, role)


@pytest.mark.parametrize("case", MADE)
def test_another_trainable_is_another_layer(case):
    layer = MADE[case]()
    other = layer.with_trainable(not layer.trainable)
    assert (other.name, other.trainable, layer.trainable) == ("x", not layer.trainable, layer.trainable)
    kept = {key: value for key, value in other.get_config().items() if key not in ("trainable", "layers")}
    assert kept.items() <= layer.get_config().items()


def test_the_arrays_of_a_dense_layer():
    layer = Dense(3, "relu", kernel_initializer="he_normal", bias_initializer="ones", name="d")
    kernel, bias = layer.weight_specs((5,))
    assert (kernel.role, kernel.shape, kernel.trainable) == ("kernel", (5, 3), True)
    assert (bias.role, bias.shape, bias.trainable) == ("bias", (3,), True)
    assert [type(spec.initializer).__name__ for spec in (kernel, bias)] == ["HeNormal", "Ones"]
    assert [spec.role for spec in Dense(3, use_bias=False).weight_specs((5,))] == ["kernel"]
    assert [spec.trainable for spec in Dense(3, trainable=False).weight_specs((5,))] == [False, False]
    assert [spec.shape for spec in Maxout(3, 4).weight_specs((5,))] == [(5, 12), (12,)]
    assert [spec.shape for spec in DropConnect(3, 0.5).weight_specs((5,))] == [(5, 3), (3,)]


LEARNED = [name for name in activations.names() if getattr(activations.get(name), "slope", "none") == "learned"]


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_slope_is_an_array_of_the_dense_layer(name):
    *_, alpha = Dense(3, name).weight_specs((5,))
    assert (alpha.role, alpha.shape, alpha.trainable) == ("alpha", (3,), True)
    np.testing.assert_array_equal(alpha.initializer.draw((3,), 0, 0), np.zeros(3))


@pytest.mark.parametrize("given", [{"shared": True}, {"alpha_initializer": initializers.Ones()}])
def test_slopes_of_another_kind_belong_to_a_layer_of_their_own(given):
    slopes = layers.Activation("relu", name="p")
    vars(slopes).update(given)
    with pytest.raises(ValueError, match=r"\[Dense\] activation expects slopes .* put \[Activation 'p'\]"):
        Dense(3, slopes)
    vars(slopes).update(shared=False, alpha_initializer=initializers.Zeros())
    assert Dense(3, slopes).activation == activations.relu


def test_what_the_plan_reads_of_a_dense_layer():
    linear = {"name": "linear", "params": []}
    plain = {"kind": "dense", "name": "d", "trainable": True, "units": 3, "use_bias": True, "activation": linear}
    assert Dense(3, name="d").native((5,)) == {**plain, "drop_rate": 0.0, "pieces": 1}
    assert Maxout(3, 4, name="d").native((5,)) == {**plain, "drop_rate": 0.0, "pieces": 4}
    assert DropConnect(3, 0.25, name="d").native((5,)) == {**plain, "drop_rate": 0.25, "pieces": 1}
    leaky = Dense(3, activations.leaky_relu.with_params(negative_slope=0.5)).native((5,))["activation"]
    assert leaky["params"] == [0.5]


def test_what_is_set_of_the_common_entries_reaches_the_plan():
    native = Dense(3, name="d", learning_rate_multiplier=0.0, bias_constraint="non_neg", **PENALISED).native((5,))
    assert native["learning_rate"] == 0.0
    assert native["penalties"] == {"kernel": [0.0, 0.01], "bias": [0.01, 0.0]}
    assert native["activity_penalty"] == [0.01, 0.01]
    assert native["constraints"] == {"bias": {"name": "non_negative", "params": []}}
    for shape, layer in (((4,), BatchNormalization(name="b")), ((4,), LayerNormalization(name="l"))):
        assert not {"learning_rate", "penalties", "constraints", "activity_penalty"} & set(layer.native(shape))
        given = type(layer)(gamma_regularizer="l1", beta_constraint="non_neg").native(shape)
        assert given["penalties"] == {"gamma": [0.01, 0.0]}
        assert list(given["constraints"]) == ["beta"]


def test_arrays_that_do_not_exist_are_not_penalised():
    assert "penalties" not in Dense(3, use_bias=False, bias_regularizer="l2").native((5,))
    assert "constraints" not in LayerNormalization(scale=False, gamma_constraint="non_neg").native((5,))


def test_layer_normalization():
    layer = LayerNormalization(epsilon=0.5, name="l")
    assert layer.native((4,)) == {
        "kind": "layer_normalization", "name": "l", "trainable": True, "epsilon": 0.5, "center": True, "scale": True,
    }  # fmt: skip
    gamma, beta = layer.weight_specs((4,))
    assert (gamma.role, gamma.shape, beta.role, beta.shape) == ("gamma", (4,), "beta", (4,))
    np.testing.assert_array_equal(gamma.initializer((4,)), np.ones(4))
    assert [spec.role for spec in LayerNormalization(center=False).weight_specs((4,))] == ["gamma"]
    assert LayerNormalization().get_config()["epsilon"] == 1e-3


@pytest.mark.parametrize("row", _native.noise_rows(), ids=lambda row: row["name"])
def test_every_noise_of_the_catalogue_is_a_layer(row):
    kind = next(kind for kind in noise.CLASSES.values() if kind._row["name"] == row["name"])
    assert getattr(layers, kind.__name__) is kind
    assert kind.__name__ in layers.__all__
    values = [0.25 + 0.125 * i for i in range(len(row["params"]))]
    for layer in (kind(*values, name="x"), kind(**dict(zip(dict(row["params"]), values, strict=True)), name="x")):
        assert layer.native((2, 3)) == {
            "kind": "noise", "name": "x", "trainable": True, "noise": {"name": row["name"], "params": values},
        }  # fmt: skip
        assert layer.output_shape((2, 3)) == (2, 3)
        assert layer.weight_specs((2, 3)) == []


def test_names_and_domains_of_noises():
    row = {"name": "gaussian_noise", "params": [("stddev", 1.0)], "formula": "x + stddev * z", "source": "Gauss 1809"}
    made = noise.make(row)
    assert made.__name__ == "GaussianNoise"
    assert made(3.0).native((2,))["noise"] == {"name": "gaussian_noise", "params": [3.0]}
    assert "x + stddev * z" in made.__doc__
    assert "Source: Gauss 1809.\n" in made.__doc__
    with pytest.raises(ValueError, match=r"\[GaussianNoise 'g'\] stddev expects a finite number of at least 0, got -1"):
        made(-1.0, name="g")
    two = noise.make({"name": "two_sides", "params": [("rate", 0.5), ("level", 0.0)], "formula": "x", "source": ""})
    assert "Source" not in two.__doc__
    assert two(0.5, level=-2).native((2,))["noise"]["params"] == [0.5, -2.0]
    with pytest.raises(TypeError, match=r"\[TwoSides\] got rate twice"):
        two(0.5, 1.0, rate=0.5)
    with pytest.raises(TypeError, match=r"\[TwoSides\] expects rate, level, got no level"):
        two(0.5)
    with pytest.raises(ValueError, match=r"level expects a finite number, got nan"):
        two(0.5, float("nan"))


def test_reshape():
    assert Reshape((-1, 4)).output_shape((2, 6)) == (3, 4)
    assert Reshape(12).output_shape((2, 6)) == (12,)
    assert Reshape(np.array([3, 4]).tolist()).output_shape((12,)) == (3, 4)
    assert natives(Reshape((3, 4)), (12,)) == []
    for target, shape in (((5, -1), (12,)), ((3, 5), (12,)), ((24, -1), (12,))):
        with pytest.raises(ValueError, match=r"\[Reshape 'r'\] expects samples that fit"):
            Reshape(target, name="r").output_shape(shape)


NUMBER = "a finite number of at least 0"
BAD = {
    "units": (lambda: Dense(0), ValueError, r"\[Dense\] units expects a positive integer"),
    "units with a name": (lambda: Dense(2.5, name="fc1"), TypeError, r"\[Dense 'fc1'\] units expects .*got 2\.5"),
    "activation": (lambda: Dense(3, "reluu"), ValueError, r"did you mean 'relu'"),
    "initializer": (lambda: Dense(3, kernel_initializer="he"), ValueError, r"kernel_initializer expects one of"),
    "regularizer": (lambda: Dense(3, bias_regularizer="l3"), ValueError, r"bias_regularizer expects one of .*'l3'"),
    "penalty": (lambda: Dense(3, activity_regularizer=3), TypeError, r"activity_regularizer expects"),
    "negative penalty": (lambda: Dense(3, kernel_regularizer=regularizers.L1L2(l2=-1.0)), ValueError, r"l2 expects?"),
    "constraint": (lambda: Dense(3, kernel_constraint="maxx"), ValueError, r"kernel_constraint expects one of"),
    "both shapes": (lambda: Dense(3, input_dim=2, input_shape=(2,)), ValueError, "input_shape or input_dim"),
    "unknown": (
        lambda: Dense(3, kernel_regulariser="l2"),
        TypeError,
        r"\[Dense\] arguments expected: units, .*lariser",
    ),
    "unknown in a flatten": (lambda: Flatten(units=3), TypeError, r"\[Flatten\] arguments expected: name, .*'units'"),
    "rate 1": (lambda: DropConnect(3, 1.0), ValueError, r"\[DropConnect\] rate expects a number in \[0, 1\), got 1\.0"),
    "rate 1.5": (lambda: layers.Dropout(1.5, name="d"), ValueError, r"\[Dropout 'd'\] rate .* \[0, 1\), got 1\.5"),
    "rate below 0": (lambda: layers.Dropout(-0.1), ValueError, r"got -0\.1"),
    "rate nan": (lambda: layers.Dropout(float("nan")), ValueError, r"got nan"),
    "rate text": (lambda: layers.Dropout("0.5"), TypeError, r"rate expects a number in \[0, 1\), got '0\.5'"),
    "rate bool": (lambda: layers.Dropout(False), TypeError, r"got False"),
    "rate missing": (lambda: layers.Dropout(), TypeError, r"\[Dropout\] expects rate, got no rate"),
    "rates": (lambda: layers.Dropout(0.1, 0.2), TypeError, r"got 2 positional"),
    "noise seed": (lambda: layers.Dropout(0.1, seed=1), TypeError, r"arguments expected: rate, name"),
    "pieces": (lambda: Maxout(3, 0), ValueError, r"\[Maxout\] pieces expects"),
    "too many pieces": (lambda: Maxout(1 << 20, 1 << 12), ValueError, r"units \* pieces"),
    "maxout activation": (lambda: Maxout(3, activation="relu"), TypeError, r"\[Maxout\] expects no activation"),
    "momentum": (lambda: BatchNormalization(momentum=1.1), ValueError, r"momentum expects a number in \[0, 1\]"),
    "epsilon": (lambda: LayerNormalization(epsilon=0.0), ValueError, r"epsilon expects a positive number, got 0\.0"),
    "axis": (lambda: LayerNormalization(axis=0), ValueError, r"axis expects -1"),
    "multiplier": (lambda: Dense(3, learning_rate_multiplier=-1), ValueError, f"multiplier expects {NUMBER}, got -1"),
    "multiplier inf": (lambda: Dense(3, learning_rate_multiplier=np.inf), ValueError, f"{NUMBER}, got inf"),
    "name": (lambda: Dense(3, name="a/b"), ValueError, "other than '/'"),
    "shape": (lambda: Dense(3, input_shape=(0,), name="d"), ValueError, r"\[Dense 'd'\] input_shape"),
    "two rests": (lambda: Reshape((-1, -1)), ValueError, "at most one -1"),
    "no target": (lambda: Reshape(()), ValueError, "at least one size"),
    "negative target": (lambda: Reshape((-2, 3)), ValueError, "target_shape expects a positive integer"),
    "text target": (lambda: Reshape("ab"), TypeError, "target_shape expects a positive integer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    make, error, match = BAD[case]
    with pytest.raises(error, match=match):
        make()


def test_a_refused_layer_takes_no_name():
    fusednet.utils.clear_session()
    for make in (lambda: Dense(0), lambda: Dense(3, foo=1), lambda: Dense(3, learning_rate_multiplier=-1)):
        with pytest.raises((TypeError, ValueError)):
            make()
    assert Dense(3).name == "dense"


@pytest.mark.parametrize("kind", NAMED)
def test_automatic_names(kind):
    fusednet.utils.clear_session()
    assert NAMED[kind](None).name == fusednet._names.snake_case(kind)
    assert NAMED[kind]("given").label == f"[{kind} 'given']"


@pytest.mark.parametrize("layer", [Dense(3), Maxout(3), BatchNormalization(), LayerNormalization(), Whitening()])
def test_flat_input_is_asked_for(layer):
    with pytest.raises(ValueError, match=r"expects \(n, features\), got \(n, 2, 3\): put Flatten"):
        layer.output_shape((2, 3))


def test_the_shape_is_told_in_a_model():
    model = fusednet.Sequential([Input((2, 6)), Reshape((3, -1)), layers.Dropout(0.5), Flatten(), Dense(5)])
    assert model.output_shape == (None, 5)
    assert [layer.output_shape for layer in model.layers[:2]] == [(None, 3, 4), (None, 3, 4)]


def test_layers_are_told_of_the_arrays_of_a_file(tmp_path, monkeypatch):
    model = fusednet.Sequential([Flatten(input_shape=[1, 3], name="f"), Dense(2, name="d")], seed=1)
    model.save(tmp_path / "model")
    told = {}
    monkeypatch.setattr(Dense, "restore", lambda self, shape, arrays: told.update({self.name: (shape, arrays)}))
    fusednet.load_model(tmp_path / "model")
    ((shape, arrays),) = told.values()
    assert (shape, list(arrays)) == ((3,), ["kernel", "bias"])
    np.testing.assert_array_equal(arrays["kernel"], model.get_weights()[0])


def test_the_shape_of_a_dense_layer_s_input():
    assert Dense(3, input_dim=5).input_shape == (5,)
    assert Dense(3, input_shape=[5]).input_shape == (5,)
    assert Dense(3).input_shape is None


def test_a_trained_model_keeps_its_arrays_when_a_layer_is_frozen():
    model = fusednet.Sequential([Dense(2, kernel_regularizer="l2", input_shape=[3], name="d")], seed=1)
    before = model.get_weights()
    model.get_layer("d").trainable = False
    assert model.trainable_weights == []
    assert model.get_layer("d").spec.get_config()["kernel_regularizer"] is not None
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
