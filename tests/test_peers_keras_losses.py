"""Our losses, metrics and weights of samples against those of Keras, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from peers_keras import PEER, keras, pair, train

ROWS, OUTPUTS = 12, 3


def probabilities(seed):
    return peers.generator(seed).dirichlet(np.ones(OUTPUTS), ROWS)


TARGETS = {
    "labels": lambda seed: peers.labels(seed=seed),
    "one-hot": lambda seed: peers.one_hot(peers.labels(seed=seed)),
    "probabilities": probabilities,
    "yes or no": lambda seed: peers.generator(seed).integers(0, 2, (ROWS, OUTPUTS)).astype(float),
    "shares": lambda seed: peers.generator(seed).uniform(0.0, 1.0, (ROWS, OUTPUTS)),
    "signs": lambda seed: peers.generator(seed).choice([-1.0, 1.0], (ROWS, OUTPUTS)),
    "reals": lambda seed: peers.targets(seed=seed),
    "positive": lambda seed: peers.generator(seed).uniform(0.1, 3.0, (ROWS, OUTPUTS)),
}


def loss(name, *args, **kwargs):
    return lambda k, **more: getattr(k.losses, name)(*args, **kwargs, **more)


# A loss from a namespace, the last layer's activation, the targets.
LOSSES = [
    (loss("SparseCategoricalCrossentropy"), "softmax", "labels"),
    (loss("SparseCategoricalCrossentropy"), "sigmoid", "labels"),
    (loss("SparseCategoricalCrossentropy", from_logits=True), None, "labels"),
    (loss("CategoricalCrossentropy"), "softmax", "one-hot"),
    (loss("CategoricalCrossentropy"), "sigmoid", "one-hot"),
    (loss("CategoricalCrossentropy", from_logits=True), None, "probabilities"),
    (loss("CategoricalCrossentropy", label_smoothing=0.1), "softmax", "one-hot"),
    (loss("CategoricalCrossentropy", from_logits=True, label_smoothing=0.3), None, "one-hot"),
    (loss("BinaryCrossentropy"), "sigmoid", "yes or no"),
    (loss("BinaryCrossentropy"), "softmax", "shares"),
    (loss("BinaryCrossentropy", from_logits=True), None, "shares"),
    (loss("BinaryCrossentropy", label_smoothing=0.2), "sigmoid", "yes or no"),
    (loss("BinaryCrossentropy", from_logits=True, label_smoothing=0.2), None, "yes or no"),
    (loss("BinaryFocalCrossentropy"), "sigmoid", "yes or no"),
    (loss("BinaryFocalCrossentropy"), "softmax", "yes or no"),
    (loss("BinaryFocalCrossentropy", apply_class_balancing=True, alpha=0.7, gamma=1.5), "sigmoid", "yes or no"),
    (loss("BinaryFocalCrossentropy", from_logits=True, gamma=3.0), None, "yes or no"),
    (loss("BinaryFocalCrossentropy", label_smoothing=0.1), "sigmoid", "yes or no"),
    (loss("CategoricalFocalCrossentropy"), "softmax", "one-hot"),
    (loss("CategoricalFocalCrossentropy", alpha=0.6, gamma=1.5), "sigmoid", "one-hot"),
    (loss("CategoricalFocalCrossentropy", from_logits=True, gamma=3.0), None, "one-hot"),
    (loss("CategoricalFocalCrossentropy", label_smoothing=0.1), "softmax", "one-hot"),
    (loss("MeanSquaredError"), None, "reals"),
    (loss("MeanAbsoluteError"), None, "reals"),
    (loss("MeanAbsolutePercentageError"), None, "positive"),
    (loss("MeanAbsolutePercentageError"), "tanh", "signs"),
    (loss("MeanSquaredLogarithmicError"), "sigmoid", "positive"),
    (loss("MeanSquaredLogarithmicError"), None, "positive"),
    (loss("Huber"), None, "reals"),
    (loss("Huber", delta=0.4), None, "reals"),
    (loss("LogCosh"), None, "reals"),
    (loss("Poisson"), "sigmoid", "positive"),
    (loss("KLDivergence"), "softmax", "probabilities"),
    (loss("KLDivergence"), "sigmoid", "one-hot"),
    (loss("Hinge"), "tanh", "signs"),
    (loss("Hinge"), None, "yes or no"),
    (loss("SquaredHinge"), "tanh", "signs"),
    (loss("SquaredHinge"), None, "yes or no"),
    (loss("CosineSimilarity"), None, "reals"),
    (loss("CosineSimilarity"), "softmax", "one-hot"),
]


def named(case):
    make, activation, target = case
    return f"{make(fusednet)!r} after {activation or 'linear'}, {target}".replace(
        ", reduction='sum_over_batch_size'", ""
    )


def test_every_loss_is_compared():
    assert {type(make(fusednet)).__name__ for make, *_ in LOSSES} == set(vars(fusednet.losses)["_CLASSES"])


@pytest.mark.parametrize("case", LOSSES, ids=named)
@pytest.mark.parametrize("variant", ["mean", "sum", "sample weights"])
def test_losses(case, variant):
    make, activation, target = case

    def reduced(k):
        return make(k, reduction="sum") if variant == "sum" else make(k)

    def batch(seed):
        x = peers.inputs(seed=seed)
        values = x, TARGETS[target](seed + 1)
        return (*values, peers.weights(seed=seed + 2)) if variant == "sample weights" else values

    stack = lambda k: [k.layers.Dense(6, "tanh"), k.layers.Dense(OUTPUTS, activation)]  # noqa: E731
    rate = 0.01 if variant == "sum" or "Percentage" in named(case) else 0.1
    ours, theirs = pair(stack, (5,), reduced, lambda k: k.optimizers.SGD(rate))
    convention = "hinge" if "Hinge" in named(case) else ""
    train(
        f"loss {named(case)}, {variant}",
        ours,
        theirs,
        peers.batches(batch, 10 if variant == "mean" else 2),
        convention=convention,
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_saturated_outputs(activation):
    """Logits of some hundreds: ours is what Keras makes of the logits."""
    plain = "CategoricalCrossentropy" if activation == "softmax" else "BinaryCrossentropy"
    y = TARGETS["one-hot" if activation == "softmax" else "yes or no"](3)
    ours, theirs = pair(
        lambda k: [k.layers.Dense(OUTPUTS, activation if k is fusednet else None)],
        (5,),
        lambda k: getattr(k.losses, plain)(from_logits=k is keras),
    )
    x = 300.0 * peers.inputs()
    value, gradients, _ = theirs.value_and_gradients((x, y))
    subject = f"loss {plain}, saturated"
    peers.agree(f"{subject}: gradients", PEER, ours.gradients(x, y), gradients, convention="saturated")
    peers.agree(f"{subject}: loss", PEER, ours.steps([(x, y)]), [value], convention="saturated")


def test_smoothed_labels():
    ours, theirs = pair(
        lambda k: [k.layers.Dense(OUTPUTS, "softmax")],
        (5,),
        lambda k: (
            k.losses.SparseCategoricalCrossentropy(label_smoothing=0.2)
            if k is fusednet
            else k.losses.CategoricalCrossentropy(label_smoothing=0.2)
        ),
    )
    x, y = peers.inputs(), peers.labels()
    gradients = theirs.value_and_gradients((x, peers.one_hot(y)))[1]
    peers.agree(
        "loss SparseCategoricalCrossentropy, smoothed: gradients",
        PEER,
        ours.gradients(x, y),
        gradients,
        convention="smoothing",
    )


# A metric from a namespace, the targets; outputs are a softmax's for those of classes, else within [0, 1].
METRICS = {
    "Accuracy, labels": (
        lambda k: (k.metrics.Accuracy if k is fusednet else k.metrics.SparseCategoricalAccuracy)(),
        "labels",
    ),
    "Accuracy, one-hot": (
        lambda k: (k.metrics.Accuracy if k is fusednet else k.metrics.CategoricalAccuracy)(),
        "one-hot",
    ),
    "SparseCategoricalAccuracy": (lambda k: k.metrics.SparseCategoricalAccuracy(), "labels"),
    "CategoricalAccuracy": (lambda k: k.metrics.CategoricalAccuracy(), "one-hot"),
    "TopKCategoricalAccuracy": (lambda k: k.metrics.TopKCategoricalAccuracy(k=2), "one-hot"),
    "SparseTopKCategoricalAccuracy": (lambda k: k.metrics.SparseTopKCategoricalAccuracy(k=2), "labels"),
    "BinaryAccuracy": (lambda k: k.metrics.BinaryAccuracy(threshold=0.4), "yes or no"),
    "Precision": (lambda k: k.metrics.Precision(), "yes or no"),
    "Precision, threshold": (lambda k: k.metrics.Precision(thresholds=0.3), "yes or no"),
    "Recall": (lambda k: k.metrics.Recall(), "yes or no"),
    "Recall, threshold": (lambda k: k.metrics.Recall(thresholds=0.7), "yes or no"),
    "AUC": (lambda k: k.metrics.AUC(), "yes or no"),
    "MeanSquaredError": (lambda k: k.metrics.MeanSquaredError(), "reals"),
    "RootMeanSquaredError": (lambda k: k.metrics.RootMeanSquaredError(), "reals"),
    "MeanAbsoluteError": (lambda k: k.metrics.MeanAbsoluteError(), "reals"),
    "R2Score": (lambda k: k.metrics.R2Score(), "reals"),
}


def test_every_metric_is_compared():
    assert {type(make(fusednet)).__name__ for make, _ in METRICS.values()} == set(vars(fusednet.metrics)["_CLASSES"])


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name):
    """Over batches of 5, 5 and 2 rows."""
    make, target = METRICS[name]
    activation = {"labels": "softmax", "one-hot": "softmax", "yes or no": "sigmoid"}.get(target)
    kind = {"labels": "sparse_categorical_crossentropy", "one-hot": "categorical_crossentropy"}.get(target, "mse")
    ours = peers.Ours([fusednet.layers.Dense(OUTPUTS, activation)], (5,), kind, metrics=[make(fusednet)])
    x, y = peers.inputs(), TARGETS[target](1)
    got = ours.model.evaluate(x, y, batch_size=5, verbose=0)[1]
    theirs, outputs = make(keras), ours.model.predict(x)
    for begin in range(0, ROWS, 5):
        theirs.update_state(y[begin : begin + 5], outputs[begin : begin + 5])
    want = float(theirs.result())
    assert abs(want) > 0.0
    assert want != 1.0
    convention = "accuracy" if name.startswith("Accuracy") else ""
    peers.agree(f"metric {name}", PEER, got, want, convention=convention)


FITS = {
    "plain": {},
    "sample_weight": {"sample_weight": peers.weights()},
    "class_weight": {"class_weight": {0: 0.5, 2: 3.0}},
}


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("options", FITS)
def test_fit(options, reduction):
    """What fit and evaluate report, the last batch smaller than the others, and the weights that fit leaves."""

    def stack(k):
        return [
            k.layers.Dense(6, use_bias=False, kernel_regularizer="l2"),
            k.layers.BatchNormalization(momentum=0.9),
            k.layers.Activation("elu"),
            k.layers.Dense(OUTPUTS, "softmax"),
        ]

    ours, theirs = pair(stack, (5,), loss("SparseCategoricalCrossentropy", reduction=reduction))
    ours.model.compile(fusednet.optimizers.SGD(0.02), ours.model.loss, ["accuracy"])
    ours.model.set_weights(ours.first)
    theirs.model.compile(keras.optimizers.SGD(0.02), theirs.loss, metrics=["accuracy"], run_eagerly=True)
    held = peers.inputs(seed=20), peers.labels(seed=21), peers.weights(seed=22)
    arguments = {"batch_size": 5, "epochs": 3, "verbose": 0, "shuffle": False, "validation_batch_size": 5}
    histories = [
        side.model.fit(peers.inputs(), peers.labels(), **arguments, **FITS[options], validation_data=held).history
        for side in (ours, theirs)
    ]
    keys = ("loss", "accuracy", "val_loss", "val_accuracy")
    got, want = ([history[key] for key in keys] for history in histories)
    subject = f"fit, {options}, {reduction}"
    peers.agree(f"{subject}: history", PEER, got, want)
    peers.agree(f"{subject}: weights", PEER, ours.weights(), theirs.weights())
