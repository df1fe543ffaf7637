"""Our layers, activations, regularizers, constraints and initializers against those of Keras, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from fusednet import _native
from peers_keras import PEER, keras, pair, train

FLAT, IMAGE = (5,), (6, 7, 2)


def head(k, units=3):
    return [k.layers.Dense(units, name="head")]


# Each is a stack from a namespace, ours or Keras's.
STACKS = {
    "Dense": lambda k: [k.layers.Dense(6, activation="tanh"), *head(k)],
    "Dense without bias": lambda k: [k.layers.Dense(6, use_bias=False), k.layers.Activation("sigmoid"), *head(k)],
    "BatchNormalization": lambda k: [
        k.layers.Dense(6, use_bias=False),
        k.layers.BatchNormalization(),
        k.layers.Activation("tanh"),
        *head(k),
    ],
    "BatchNormalization, first": lambda k: [k.layers.BatchNormalization(momentum=0.9, epsilon=0.01), *head(k)],
    "BatchNormalization, only centred": lambda k: [k.layers.BatchNormalization(scale=False), *head(k)],
    "BatchNormalization, only scaled": lambda k: [k.layers.BatchNormalization(center=False), *head(k)],
    "BatchNormalization, frozen": lambda k: [k.layers.BatchNormalization(trainable=False), *head(k)],
    "BatchNormalization on the logits": lambda k: [
        k.layers.Dense(6, activation="elu"),
        k.layers.Dense(3, use_bias=False),
        k.layers.BatchNormalization(momentum=0.999),
    ],
    "LayerNormalization": lambda k: [k.layers.LayerNormalization(), *head(k)],
    "LayerNormalization, plain": lambda k: [
        k.layers.LayerNormalization(center=False, scale=False, epsilon=0.01),
        *head(k),
    ],
    "Dense, frozen": lambda k: [k.layers.Dense(6, activation="tanh", trainable=False), *head(k)],
    "random layers at rate 0": lambda k: [
        k.layers.Dropout(0.0),
        k.layers.AlphaDropout(0.0),
        k.layers.GaussianDropout(0.0),
        k.layers.GaussianNoise(0.0),
        *head(k),
    ],
}
IMAGES = {
    "MaxPooling2D": lambda k: [k.layers.MaxPooling2D(), k.layers.Flatten(), *head(k)],
    "MaxPooling2D, strides": lambda k: [k.layers.MaxPooling2D((3, 2), strides=(1, 2)), k.layers.Flatten(), *head(k)],
    "MaxPooling2D, same": lambda k: [k.layers.MaxPooling2D(3, padding="same"), k.layers.Flatten(), *head(k)],
    "MaxPooling2D after Dense": lambda k: [
        k.layers.Flatten(),
        k.layers.Dense(60),
        k.layers.Reshape((6, 5, 2)),
        k.layers.MaxPooling2D((2, 3), strides=1),
        k.layers.Flatten(),
        *head(k),
    ],
}


def batch(shape):
    def make(seed):
        return peers.generator(seed).normal(size=(12, *shape)), peers.targets(seed=seed + 1)

    return make


@pytest.mark.parametrize("name", [*STACKS, *IMAGES])
def test_layers(name):
    shape, stack = (IMAGE, IMAGES[name]) if name in IMAGES else (FLAT, STACKS[name])
    ours, theirs = pair(stack, shape)
    train(name, ours, theirs, peers.batches(batch(shape)))


@pytest.mark.parametrize("name", [row["name"] for row in _native.noise_rows()])
def test_random_layers_do_nothing_at_inference(name):
    kind = "".join(part.capitalize() for part in name.split("_"))
    ours, theirs = pair(lambda k: [getattr(k.layers, kind)(0.4), *head(k)], FLAT)
    x = peers.inputs()
    peers.agree(f"{kind} at inference", PEER, ours.model.predict(x), theirs.model(x, training=False))


def test_known_statistics():
    """Keras holds them as constants, we as arrays."""
    x = peers.inputs()
    made = [k.layers.Normalization(mean=np.arange(5.0), variance=[4.0, 1.0, 0.5, 0.0, 2.0]) for k in (fusednet, keras)]
    model = fusednet.Sequential([made[0]], dtype="float64")
    peers.agree("Normalization", PEER, model.predict(x), made[1](x))


def test_adapted_normalization():
    x = 3.0 * peers.generator(7).normal(size=(200, 5)) + 10.0
    made = []
    for k in (fusednet, keras):
        layer = k.layers.Normalization()
        layer.adapt(x)
        made.append(layer)
    model = fusednet.Sequential([made[0]], dtype="float64")
    peers.agree("Normalization, adapted", PEER, model.predict(x), made[1](x), tolerance=3e-7, convention="adapt")


# What Keras calls a row where it is another word, with the row's parameters in Keras's names.
ACTIVATIONS = {
    "gelu": lambda k, x: k.activations.gelu(x, approximate=False),
    "gelu_tanh": lambda k, x: k.activations.gelu(x, approximate=True),
    "leaky_relu": lambda k, x: k.activations.leaky_relu(x, negative_slope=0.01),
    "elu": lambda k, x: k.activations.elu(x, alpha=1.0),
    "rescaling": lambda k, x: k.layers.Rescaling(1.0, 0.0)(x),
}
PARAMETERS = {
    "leaky_relu": ({"negative_slope": 0.3}, lambda k, x: k.activations.leaky_relu(x, negative_slope=0.3)),
    "elu": ({"alpha": 0.4}, lambda k, x: k.activations.elu(x, alpha=0.4)),
    "rescaling": ({"scale": 0.5, "offset": -2.0}, lambda k, x: k.layers.Rescaling(0.5, -2.0)(x)),
}
SLOPES = {"prelu": "as a layer, below", "rrelu": "Keras has no layer with a random slope"}


def activation_cases():
    for row in _native.activation_rows():
        yield row["name"], {}
        if row["name"] in PARAMETERS:
            yield row["name"], PARAMETERS[row["name"]][0]


@pytest.mark.parametrize(("name", "params"), list(activation_cases()))
def test_activations(name, params):
    """The value, and the derivative as it changes the gradient of a layer below."""
    if name in SLOPES:
        peers.absent(f"activation {name}", PEER, SLOPES[name])
        return
    function = PARAMETERS[name][1] if params else ACTIVATIONS.get(name)
    if function is None:
        function = lambda k, x: getattr(k.activations, name)(x)  # noqa: E731
    ours_function = getattr(fusednet.activations, name).with_params(**params)
    x = np.concatenate([4.0 * peers.inputs(30), np.full((1, 5), -0.0), np.full((1, 5), 1e-3), np.full((1, 5), 40.0)])
    subject = f"activation {name}" + "".join(f", {key}={value:g}" for key, value in params.items())
    peers.agree(f"{subject}: outputs", PEER, ours_function(x), function(keras, x))

    def stack(k):
        mine = ours_function if k is fusednet else lambda values: function(k, values)
        return [k.layers.Dense(6), k.layers.Activation(mine), *head(k)]

    ours, theirs = pair(stack, FLAT)
    train(subject, ours, theirs, peers.batches(batch(FLAT)))


@pytest.mark.parametrize("shared", [False, True])
def test_learned_slopes(shared):
    if not hasattr(fusednet.layers, "PReLU"):
        assert "prelu" not in [row["name"] for row in _native.activation_rows()]
        pytest.skip("the catalogue has no prelu")
    axes = [1] if shared else None
    ours, theirs = pair(lambda k: [k.layers.Dense(6), k.layers.PReLU(shared_axes=axes), *head(k)], FLAT)
    train("PReLU, one slope" if shared else "PReLU", ours, theirs, peers.batches(batch(FLAT)))


REGULARIZERS = {
    "L1": lambda k: k.regularizers.L1(0.02),
    "L2": lambda k: k.regularizers.L2(0.03),
    "L1L2": lambda k: k.regularizers.L1L2(0.01, 0.02),
    "L2, by name": lambda k: "l2",
}
PLACES = {
    "kernel_regularizer": lambda k, r: [k.layers.Dense(6, "tanh", kernel_regularizer=r), *head(k)],
    "bias_regularizer": lambda k, r: [k.layers.Dense(6, "tanh", bias_regularizer=r), *head(k)],
    "activity_regularizer": lambda k, r: [k.layers.Dense(6, "tanh", activity_regularizer=r), *head(k)],
    "gamma and beta": lambda k, r: [k.layers.BatchNormalization(gamma_regularizer=r, beta_regularizer=r), *head(k)],
}


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("place", PLACES)
def test_regularizers(name, place):
    ours, theirs = pair(lambda k: PLACES[place](k, REGULARIZERS[name](k)), FLAT)
    train(f"{name}, {place}", ours, theirs, peers.batches(batch(FLAT)))


CONSTRAINTS = {
    "NonNeg": lambda k: k.constraints.NonNeg(),
    "MaxNorm": lambda k: k.constraints.MaxNorm(0.8),
    "UnitNorm": lambda k: k.constraints.UnitNorm(),
    "MinMaxNorm": lambda k: k.constraints.MinMaxNorm(0.9, 1.1, rate=0.6),
}


def test_every_constraint_is_compared():
    assert {make(fusednet).row for make in CONSTRAINTS.values()} == {r["name"] for r in _native.constraint_rows()}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name):
    w = np.concatenate([peers.inputs(6, 5), np.zeros((6, 1))], axis=1)
    peers.agree(f"{name}: projection", PEER, CONSTRAINTS[name](fusednet)(w), CONSTRAINTS[name](keras)(w))

    def stack(k):
        made = CONSTRAINTS[name](k)
        return [k.layers.Dense(6, "tanh", kernel_constraint=made, bias_constraint=made), *head(k)]

    ours, theirs = pair(stack, FLAT)
    train(name, ours, theirs, peers.batches(batch(FLAT)))


BOUNDED = ["GlorotUniform", "HeUniform", "LecunUniform", "GlorotNormal", "HeNormal", "LecunNormal"]
DRAWN = {
    **{name: (lambda k, name=name: getattr(k.initializers, name)(seed=3)) for name in BOUNDED},
    "RandomNormal": lambda k: k.initializers.RandomNormal(0.1, 0.3, seed=3),
    "RandomUniform": lambda k: k.initializers.RandomUniform(-0.2, 0.7, seed=3),
    "TruncatedNormal": lambda k: k.initializers.TruncatedNormal(0.1, 0.3, seed=3),
    "VarianceScaling": lambda k: k.initializers.VarianceScaling(1.7, "fan_out", "untruncated_normal", seed=3),
}
EXACT = {
    "Zeros": lambda k: k.initializers.Zeros(),
    "Ones": lambda k: k.initializers.Ones(),
    "Constant": lambda k: k.initializers.Constant(0.3),
    "Identity": lambda k: k.initializers.Identity(0.5),
}


@pytest.mark.parametrize("name", [*DRAWN, *EXACT, "Orthogonal"])
def test_initializers(name):
    """The numbers are each library's own where they are drawn: their mean, spread and bounds are compared."""
    if name == "Orthogonal":
        grams = []
        for k in (fusednet, keras):
            w = np.asarray(k.initializers.Orthogonal(gain=1.5, seed=3)((60, 40), dtype="float64"))
            grams.append(w.T @ w)
        peers.agree("Orthogonal: inner products", PEER, *grams)
        return
    ours, theirs = (
        np.asarray({**DRAWN, **EXACT}[name](k)((400, 300), dtype="float64"), np.float64) for k in (fusednet, keras)
    )
    if name in EXACT:
        peers.agree(f"{name}: values", PEER, ours, theirs)
        return
    peers.agree(f"{name}: standard deviation", PEER, ours.std(), theirs.std(), tolerance=0.01)
    assert abs(ours.mean() - theirs.mean()) < 0.02 * theirs.std()
    if "untruncated" not in name and name not in ("RandomNormal", "VarianceScaling"):
        peers.agree(
            f"{name}: least and largest", PEER, [ours.min(), ours.max()], [theirs.min(), theirs.max()], tolerance=0.01
        )


def test_every_initializer_is_compared():
    kinds = set(vars(fusednet.initializers)["_CLASSES"])
    assert kinds == {*DRAWN, *EXACT, "Orthogonal"}


def test_what_keras_does_not_have():
    """So that no layer is left out without a word; those of activations are compared as functions."""
    ours = set(fusednet.layers.CLASSES) - set(vars(fusednet._activation_layers)["CLASSES"])
    theirs = {kind for kind in ours if hasattr(keras.layers, kind)}
    compared = "Dense BatchNormalization LayerNormalization Normalization MaxPooling2D Flatten Reshape Activation"
    noises = {"".join(part.capitalize() for part in row["name"].split("_")) for row in _native.noise_rows()}
    assert theirs == {*compared.split(), *noises, "InputLayer"}
    for kind in sorted(ours - theirs):
        peers.absent(kind, PEER, "Keras has none")
