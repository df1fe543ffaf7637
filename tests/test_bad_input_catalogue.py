"""What the catalogue's layers, rules and weights refuse, with the object named and the model left as it was."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
from fusednet import constraints, layers, losses, metrics, models, optimizers, regularizers
from fusednet.layers import BatchNormalization, Dense, Dropout, Input, Normalization, Residual, Whitening
from fusednet.optimizers import SGD, schedules
from test_bad_input import X, Y, unchanged


def build(*stack, loss="sparse_categorical_crossentropy", optimizer="adam", metrics=None):
    fusednet.utils.clear_session()
    model = fusednet.Sequential([Input([6]), *stack], seed=0)
    model.compile(optimizer, loss, metrics)
    return model


@pytest.fixture
def model():
    branch = [
        Dense(8, "relu", name="a"),
        Dropout(0.3, name="b"),
        Residual([Dense(8, name="d")], name="inner"),
        Dense(6),
    ]
    model = build(Residual(branch, 0.7, name="block"), BatchNormalization(name="norm"), Dense(3, "softmax", name="top"))
    model.fit(X, Y, batch_size=20, verbose=0)
    return model


UNKNOWN = {
    "regularizer": (lambda: Dense(3, kernel_regularizer="l3", name="x"), r"\[Dense 'x'\].*l1, l2, l1_l2"),
    "activity": (lambda: Dense(3, activity_regularizer="l0"), r"\[Dense\] activity_regularizer"),
    "constraint": (lambda: Dense(3, bias_constraint="max_nrom"), r"max_norm"),
    "schedule": (lambda: SGD({"class": "CosinDecay", "config": {}}), r"CosineDecay"),
    "metric": (lambda: build(Dense(3), metrics=["precison"]), "precision"),
    "loss": (lambda: build(Dense(3), loss="hubre"), "huber"),
    "layer class": (lambda: layers.deserialize({"class": "Dropuot", "config": {}}), "Dropout"),
    "activation": (lambda: layers.DropConnect(3, 0.5, activation="tahn"), "tanh"),
    "inner layer": (
        lambda: build(Residual([Dense(6, name="in")], name="r")).get_layer("ni"),
        r"one of r, in;",
    ),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_names_list_what_exists(what):
    make, known = UNKNOWN[what]
    with pytest.raises(ValueError, match=known) as caught:
        make()
    assert "expects one of" in str(caught.value)


BAD = {
    "rate": lambda: Dropout(1.0, name="x"),
    "negative rate": lambda: layers.GaussianDropout(-0.1),
    "rate nan": lambda: layers.AlphaDropout(float("nan")),
    "rate text": lambda: Dropout("half"),
    "rate missing": lambda: Dropout(),
    "rate of connections": lambda: layers.DropConnect(3, 1.0),
    "stddev": lambda: layers.GaussianNoise(-1.0),
    "pieces": lambda: layers.Maxout(3, 0),
    "survival": lambda: Residual([Dense(3)], 1.2),
    "penalty": lambda: regularizers.L2(-0.1),
    "penalty nan": lambda: regularizers.L1L2(float("nan"), 0.1),
    "norm": lambda: constraints.MaxNorm(-1.0),
    "norms": lambda: constraints.MinMaxNorm(2.0, 1.0),
    "boundaries": lambda: schedules.PiecewiseConstantDecay([5, 3], [0.1, 0.2, 0.3]),
    "values": lambda: schedules.PiecewiseConstantDecay([3, 5], [0.1, 0.2]),
    "steps": lambda: schedules.ExponentialDecay(0.1, 0, 0.9),
    "multiplier of a block": lambda: Residual([Dense(3)], learning_rate_multiplier=2.0),
    "multiplier": lambda: Dense(3, learning_rate_multiplier=-1.0),
    "accumulation": lambda: SGD(0.1, gradient_accumulation_steps=1),
    "average": lambda: SGD(0.1, use_ema=True, ema_momentum=1.5),
    "decay": lambda: SGD(0.1, weight_decay=-1.0),
    "smoothing": lambda: losses.CategoricalCrossentropy(label_smoothing=1.5),
    "delta": lambda: losses.Huber(delta=-1.0),
    "gamma": lambda: losses.BinaryFocalCrossentropy(gamma=-1.0),
    "k": lambda: metrics.TopKCategoricalAccuracy(k=0),
    "threshold": lambda: metrics.Precision(thresholds=2.0),
    "pooling of flat inputs": lambda: build(layers.MaxPooling2D(2, name="p")),
    "fractional pooling of flat inputs": lambda: build(layers.FractionalMaxPooling2D(1.5)),
    "branch of another width": lambda: build(Residual([Dense(5, name="a")], name="r")),
    "normalization": lambda: build(Normalization(name="n"), Dense(3)),
    "whitening": lambda: build(Whitening(name="w"), Dense(3)),
    "normalization inside": lambda: build(Residual([Normalization(name="n")]), Dense(3)),
    "metric of labels": lambda: build(Dense(3), loss="mse", metrics=[metrics.SparseCategoricalAccuracy()]),
    "metric of rows": lambda: build(Dense(3), metrics=["categorical_accuracy"]),
    "two metrics of one name": lambda: build(Dense(3), metrics=["accuracy", metrics.Precision(name="accuracy")]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_descriptions(case):
    with pytest.raises((ValueError, TypeError), match=r"^\[[A-Z]\w*( '\w+')?\] .*expects") as caught:
        BAD[case]()
    assert "got" in str(caught.value) or "before it is used" in str(caught.value)


def test_layers_are_named_where_they_do_not_fit():
    for make, match in (
        (BAD["normalization"], r"\[Normalization 'n'\] expects adapt"),
        (BAD["normalization inside"], r"\[Normalization 'n'\] expects adapt"),
        (BAD["pooling of flat inputs"], r"\[MaxPooling2D 'p'\].*\(n, 6\)"),
        (BAD["branch of another width"], r"\[Residual 'r'\].*\(n, 6\), got \(n, 5\) after \[Dense 'a'\]"),
    ):
        with pytest.raises(ValueError, match=match):
            make()


WEIGHTS = {
    "short": ({"sample_weight": np.ones(39)}, ValueError, r"sample_weight expects shape \(40,\), got \(39,\)"),
    "wide": ({"sample_weight": np.ones((40, 2))}, ValueError, r"got \(40, 2\)"),
    "nan": ({"sample_weight": np.where(np.arange(40) == 7, np.nan, 1)}, ValueError, "nan"),
    "infinite": ({"sample_weight": np.where(np.arange(40) == 7, np.inf, 1)}, ValueError, "inf"),
    "negative": ({"sample_weight": np.where(np.arange(40) == 7, -1, 1)}, ValueError, "at least 0, got -1 in row 7"),
    "text": ({"sample_weight": ["a"] * 40}, TypeError, "sample_weight"),
    "absent class": ({"class_weight": {3: 1.0}}, ValueError, r"classes in 0\.\.2.*got 3"),
    "negative class": ({"class_weight": {-1: 1.0}}, ValueError, "got -1"),
    "class of a half": ({"class_weight": {0.5: 1.0}}, TypeError, "integer classes"),
    "negative weight": ({"class_weight": {0: -1.0}}, ValueError, "at least 0"),
    "list": ({"class_weight": [1.0, 2.0, 3.0]}, TypeError, "dict"),
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "compute_gradients"])
def test_bad_weights(model, case, method):
    options, error, match = WEIGHTS[case]
    if "class_weight" in options and method in ("evaluate", "compute_gradients"):
        error, match = TypeError, "class_weight"  # no argument of theirs
    silent = {"verbose": 0} if method in ("fit", "evaluate") else {}
    with unchanged(model), pytest.raises(error, match=match):
        getattr(model, method)(X, Y, **options, **silent)


def test_bad_weights_of_validation_and_gradient_checks(model):
    with unchanged(model), pytest.raises(ValueError, match=r"\(40,\), got \(5,\)"):
        model.fit(X, Y, validation_data=(X, Y, np.ones(5)), verbose=0)
    with unchanged(model), pytest.raises(ValueError, match="at least 0"):
        fusednet.check_gradients(model, X, Y, -np.ones(40))


def test_a_refused_compile_leaves_the_model_compiled_as_it_was(model):
    loss, rule = model.loss, model.optimizer
    for options in ({"metrics": ["categorical_accuracy"]}, {"loss": "mseee"}, {"optimizer": "sdg"}):
        with unchanged(model), pytest.raises(ValueError, match="expects"):
            model.compile(**{"loss": "sparse_categorical_crossentropy", "optimizer": "sgd", **options})
    assert (model.loss, model.optimizer) == (loss, rule)
    with unchanged(model):
        model.add(Normalization(name="late"))
        with pytest.raises(ValueError, match=r"\[Normalization 'late'\] expects adapt"):
            model.compile("sgd", "mse")
        model.pop()
    assert (model.loss, model.optimizer) == (loss, rule)


def test_a_multiplier_that_would_overflow_the_weights_is_refused():
    model = build(Dense(3, learning_rate_multiplier=1e38, name="d"), loss="mse", optimizer=SGD(1.0))
    with unchanged(model), pytest.raises(fusednet.NonFiniteError, match="too large for an update, in 'd/kernel'"):
        model.fit(X, 10 * X[:, :3], batch_size=40, verbose=0)


# --- layers inside of residual blocks --------------------------------------------------------------------------------


def test_layers_inside_are_found_and_have_shapes_and_arrays(model):
    inner = model.get_layer("d")
    assert inner.input_shape == inner.output_shape == (None, 8)
    assert [v.name for v in inner.weights] == ["d/kernel", "d/bias"]
    assert model.get_layer("a").output_shape == (None, 8)
    assert [v.name for v in model.get_layer("inner").weights] == ["d/kernel", "d/bias"]
    assert inner.count_params() == 72
    inner.set_weights([np.zeros((8, 8)), np.ones(8)])
    np.testing.assert_array_equal(model.get_layer("block").get_weights()[3], np.ones(8))
    with pytest.raises(ValueError, match=r"\[Dense 'd'\] expects 2 arrays, got 1"):
        inner.set_weights([np.zeros((8, 8))])


def test_freezing_a_layer_inside(model):
    inner, block, outer = model.get_layer("d"), model.get_layer("inner"), model.get_layer("block")
    inner.trainable = False
    assert not model.get_layer("d").trainable
    assert [v.name for v in block.trainable_weights] == []
    kept = inner.get_weights()
    others = model.get_layer("a").get_weights()
    model.fit(X, Y, batch_size=20, verbose=0)
    np.testing.assert_array_equal(inner.get_weights()[0], kept[0])
    assert (model.get_layer("a").get_weights()[0] != others[0]).any()
    outer.trainable = True  # all inside, those frozen by themselves too
    assert inner.trainable
    model.fit(X, Y, batch_size=20, verbose=0)
    assert (inner.get_weights()[0] != kept[0]).any()
    outer.trainable = False
    assert not inner.trainable
    assert not block.trainable
    assert {v.name.partition("/")[0] for v in model.trainable_weights} == {"norm", "top"}


def test_a_layer_seen_twice_is_one_layer(model):
    one, other = model.get_layer("top"), model.layers[-1]
    assert one == other
    one.trainable = False
    assert not other.trainable
    other.trainable = True
    assert one.trainable
    assert one == other
    assert model.get_layer("top").spec is one.spec


def test_clones_have_the_same_layers_inside(model):
    clone = models.clone_model(model)
    assert [v.name for v in clone.weights] == [v.name for v in model.weights]
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X), model.predict(X))
    clone.get_layer("d").trainable = False
    assert model.get_layer("d").trainable
    lines: list[str] = []
    clone.summary(print_fn=lines.append)
    assert "d (Dense)" in lines[0]
    assert model.get_layer("inner").spec.layers[0] is model.get_layer("d").spec
    assert optimizers.get("sgd").name == "sgd"
