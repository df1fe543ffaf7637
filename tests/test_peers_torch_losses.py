"""Our losses and weights of samples against those of PyTorch, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from fusednet import layers
from peers_torch import PEER, Theirs, nn, tensor, torch, train

ROWS, OUTPUTS = 12, 3
F = nn.functional


def probabilities(seed):
    return peers.generator(seed).dirichlet(np.ones(OUTPUTS), ROWS)


TARGETS = {
    "labels": lambda seed: peers.labels(seed=seed),
    "one-hot": lambda seed: peers.one_hot(peers.labels(seed=seed)),
    "probabilities": probabilities,
    "yes or no": lambda seed: peers.generator(seed).integers(0, 2, (ROWS, OUTPUTS)).astype(float),
    "shares": lambda seed: peers.generator(seed).uniform(0.0, 1.0, (ROWS, OUTPUTS)),
    "reals": lambda seed: peers.targets(seed=seed),
    "positive": lambda seed: peers.generator(seed).uniform(0.1, 3.0, (ROWS, OUTPUTS)),
}


def entropy(**options):
    return lambda out, y, reduction: F.cross_entropy(out, y, reduction=reduction, **options)


def cosine(out, y, reduction):
    each = -F.cosine_similarity(out, y, eps=1e-14)
    return {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]


def divergence(out, y, reduction):
    each = F.kl_div(F.log_softmax(out, -1), y, reduction="none").sum(1)
    return {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]


# Our loss and its options, our last layer's activation, the targets, PyTorch's loss of the last layer's sums.
LOSSES = [
    ("SparseCategoricalCrossentropy", {"from_logits": True}, None, "labels", entropy()),
    ("SparseCategoricalCrossentropy", {}, "softmax", "labels", entropy()),
    ("SparseCategoricalCrossentropy", {"label_smoothing": 0.1}, "softmax", "labels", entropy(label_smoothing=0.1)),
    ("CategoricalCrossentropy", {"from_logits": True}, None, "probabilities", entropy()),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "softmax", "one-hot", entropy(label_smoothing=0.2)),
    (
        *("BinaryCrossentropy", {"from_logits": True}, None, "shares"),
        lambda out, y, reduction: F.binary_cross_entropy_with_logits(out, y, reduction=reduction),
    ),
    (
        *("BinaryCrossentropy", {}, "sigmoid", "yes or no"),
        lambda out, y, reduction: F.binary_cross_entropy(out.sigmoid(), y, reduction=reduction),
    ),
    ("MeanSquaredError", {}, None, "reals", lambda out, y, reduction: F.mse_loss(out, y, reduction=reduction)),
    ("MeanAbsoluteError", {}, None, "reals", lambda out, y, reduction: F.l1_loss(out, y, reduction=reduction)),
    ("Huber", {}, None, "reals", lambda out, y, reduction: F.huber_loss(out, y, reduction=reduction)),
    ("Huber", {"delta": 0.4}, None, "reals", lambda out, y, reduction: F.huber_loss(out, y, reduction, delta=0.4)),
    (
        *("Poisson", {}, "sigmoid", "positive"),
        lambda out, y, reduction: F.poisson_nll_loss(
            out.sigmoid(), y, log_input=False, full=False, eps=1e-7, reduction=reduction
        ),
    ),
    ("KLDivergence", {}, "softmax", "probabilities", divergence),
    ("CosineSimilarity", {}, None, "reals", cosine),
]
ABSENT = {
    "BinaryFocalCrossentropy": "PyTorch has none",
    "CategoricalFocalCrossentropy": "PyTorch has none",
    "MeanAbsolutePercentageError": "PyTorch has none",
    "MeanSquaredLogarithmicError": "PyTorch has none",
    "LogCosh": "PyTorch has none",
    "Hinge": "PyTorch's hinges are of another kind",
    "SquaredHinge": "PyTorch's hinges are of another kind",
}


def named(case):
    name, options, activation, target, _ = case
    given = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{name}({given}) after {activation or 'linear'}, {target}"


def test_every_loss_is_compared():
    for name, why in ABSENT.items():
        peers.absent(f"loss {name}", PEER, why)
    assert {name for name, *_ in LOSSES} | set(ABSENT) == set(vars(fusednet.losses)["_CLASSES"])


@pytest.mark.parametrize("case", LOSSES, ids=named)
@pytest.mark.parametrize("variant", ["mean", "sum", "sample weights"])
def test_losses(case, variant):
    name, options, activation, target, function = case
    rowwise = target in ("labels", "one-hot", "probabilities") or name == "CosineSimilarity"
    convention = "" if rowwise or variant == "mean" else "features"

    def theirs_of(out, y, weight=None):
        if variant == "mean":
            return function(out, y, "mean")
        if variant == "sum":
            return function(out, y, "sum") / (1 if rowwise else OUTPUTS)
        each = function(out, y, "none")
        return (weight * (each if rowwise else each.mean(1))).mean()

    def batch(seed):
        values = peers.inputs(seed=seed), TARGETS[target](seed + 1)
        return (*values, peers.weights(seed=seed + 2)) if variant == "sample weights" else values

    if variant == "sum":
        options = options | {"reduction": "sum"}
    stack = [layers.Dense(6, "tanh"), layers.Dense(OUTPUTS, activation)]
    loss = getattr(fusednet.losses, name)(**options)
    ours = peers.Ours(stack, (5,), loss, fusednet.optimizers.SGD(0.02))
    modules = [nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, OUTPUTS)]
    theirs = Theirs(modules, theirs_of, ours.first)
    predict = {"softmax": lambda out: out.softmax(-1), "sigmoid": torch.sigmoid}.get(activation, lambda out: out)
    plain = theirs.predict
    theirs.predict = lambda x: predict(plain(x))
    train(f"loss {named(case)}, {variant}", ours, theirs, peers.batches(batch), convention=convention)


def test_class_weights():
    """PyTorch's mean over weighted classes divides by the sum of the weights, ours by the rows."""
    by_class = {0: 0.5, 1: 1.0, 2: 3.0}
    weight = tensor(np.array(list(by_class.values())))
    stack = [layers.Dense(OUTPUTS, "softmax")]
    ours = peers.Ours(stack, (5,), "sparse_categorical_crossentropy", fusednet.optimizers.SGD(0.02))
    loss = lambda out, y: F.cross_entropy(out, y, weight, reduction="sum") / ROWS  # noqa: E731
    theirs = Theirs([nn.Linear(5, OUTPUTS)], loss, ours.first)
    rows = peers.batches(lambda seed: (peers.inputs(seed=seed), peers.labels(seed=seed + 1)))
    got = [float(ours.model.train_on_batch(*row, class_weight=by_class)) for row in rows]
    want = theirs.steps(rows)
    after, expected = [*got, *ours.weights()], [*want, *theirs.weights()]
    peers.agree("class weights", PEER, after, expected, convention="class weights")


def test_saturated_outputs():
    """Both take the cross-entropy of the logits."""
    ours = peers.Ours([layers.Dense(OUTPUTS, "softmax")], (5,), "categorical_crossentropy")
    theirs = Theirs([nn.Linear(5, OUTPUTS)], F.cross_entropy, ours.first)
    rows = 300.0 * peers.inputs(), peers.one_hot(peers.labels())
    peers.agree(
        "loss CategoricalCrossentropy, saturated: gradients", PEER, ours.gradients(*rows), theirs.gradients(rows)
    )
    peers.agree(
        "loss CategoricalCrossentropy, saturated: loss", PEER, ours.steps([rows]), [float(theirs.value(rows).detach())]
    )
