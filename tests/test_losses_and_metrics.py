"""Losses, metrics and weights of samples as Python describes them: names, configurations, errors, results."""

from __future__ import annotations

import inspect
import json
import pickle

import numpy as np
import pytest

import oracle_losses
from fusednet import _checks, _native, losses, metrics, ops
from fusednet._weights import sample_weights

LOSSES = [getattr(losses, name) for name in losses.__all__ if isinstance(getattr(losses, name), type)]
LOSSES.remove(losses.Loss)
METRICS = [getattr(metrics, name) for name in metrics.__all__ if isinstance(getattr(metrics, name), type)]
METRICS.remove(metrics.Metric)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_every_row_has_a_class_or_belongs_to_one():
    """A cross-entropy's rows come in pairs; every other row is a class of its own."""
    rows = {row["name"] for row in _native.loss_rows()}
    named = {kind.name for kind in LOSSES}
    assert {name for name in rows if not name.endswith("crossentropy")} <= named
    pairs = {"softmax_crossentropy", "crossentropy", "sigmoid_crossentropy"}
    pairs |= {"softmax_focal_crossentropy", "sigmoid_focal_crossentropy"}
    assert rows - named == pairs


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_come_back_from_their_configuration(kind):
    assert kind.__doc__
    default = kind()
    other = kind(
        reduction="sum", **{key: value / 2 for key, value in default.params.items() if key != "apply_class_balancing"}
    )
    assert other != default
    for loss in (default, other):
        again = losses.get(json.loads(json.dumps(losses.serialize(loss))))
        assert again == loss
        assert hash(again) == hash(loss)
        assert pickle.loads(pickle.dumps(loss)) == loss
        assert again.native() == loss.native()
        assert repr(loss) == repr(again)
    for name in (kind.__name__, kind.name, *kind.aliases, kind):
        assert losses.get(name) == default
    with pytest.raises(AttributeError, match="cannot be changed"):
        default.reduction = "sum"


def test_names_and_defaults_are_keras_s():
    for name, kind in {
        "mse": "MeanSquaredError",
        "MSE": "MeanSquaredError",
        "mae": "MeanAbsoluteError",
        "mape": "MeanAbsolutePercentageError",
        "msle": "MeanSquaredLogarithmicError",
        "kld": "KLDivergence",
        "bce": "BinaryCrossentropy",
        "huber": "Huber",
        "log_cosh": "LogCosh",
        "logcosh": "LogCosh",
        "poisson": "Poisson",
        "hinge": "Hinge",
        "squared_hinge": "SquaredHinge",
        "cosine_similarity": "CosineSimilarity",
    }.items():
        assert type(losses.get(name)).__name__ == kind
    assert losses.Huber().params == {"delta": 1.0}
    assert losses.Huber(2, "sum").get_config() == {"delta": 2.0, "reduction": "sum"}
    assert losses.BinaryFocalCrossentropy(True, 0.4).native() == {
        "name": "binary_focal_crossentropy",
        "from_logits": False,
        "reduction": "sum_over_batch_size",
        "params": [1.0, 0.4, 2.0],
        "label_smoothing": 0.0,
    }
    assert losses.CategoricalFocalCrossentropy().params == {"alpha": 0.25, "gamma": 2.0}
    first = list(inspect.signature(losses.SparseCategoricalCrossentropy).parameters)[:2]
    assert first == ["from_logits", "label_smoothing"]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: losses.get("hube"), ValueError, ["losses", "hube", "did you mean 'huber'"]),
        (lambda: losses.get(3), TypeError, ["losses", "3"]),
        (lambda: losses.Huber(delta=-1), ValueError, ["Huber", "delta", "at least 0", "-1"]),
        (lambda: losses.Huber(delta="x"), TypeError, ["Huber", "delta", "number", "'x'"]),
        (lambda: losses.Huber(delta=float("nan")), ValueError, ["Huber", "delta", "nan"]),
        (lambda: losses.Huber(alpha=1), TypeError, ["Huber", "delta, reduction", "'alpha'"]),
        (lambda: losses.Huber(1, delta=1), TypeError, ["Huber", "delta twice"]),
        (lambda: losses.Huber(1, "sum", 3), TypeError, ["Huber", "at most 2", "3"]),
        (lambda: losses.LogCosh(reduction="mean_with_sample_weight"), ValueError, ["LogCosh", "reduction", "sum"]),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), ValueError, ["label_smoothing", "[0, 1]", "1.5"]),
        (lambda: losses.BinaryFocalCrossentropy(alpha=2), ValueError, ["BinaryFocal", "alpha", "[0, 1]", "2"]),
        (lambda: losses.CategoricalFocalCrossentropy(gamma=-1), ValueError, ["gamma", "at least 0", "-1"]),
    ],
)
def test_errors_of_losses(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"


def test_targets_outside_the_domain_are_refused():
    y = np.array([[0.5, 0.5], [0.0, 2.0]])
    for name in ("binary_focal_crossentropy", "bce"):
        with pytest.raises(ValueError, match=r"targets in \[0, 1\].*got 2 in row 1"):
            _checks.targets("fit", "y", y, 2, losses.get(name), 2, "float32")
    with pytest.raises(ValueError, match=r"at least 0.*got -0.5 in row 0"):
        _checks.targets("fit", "y", -y, 2, losses.get("categorical_focal_crossentropy"), 2, "float32")
    assert (_checks.targets("fit", "y", -y, 2, losses.get("mae"), 2, "float64") == -y).all()


def test_ops_loss_takes_parameters_weights_and_smoothing():
    g = np.random.default_rng(5)
    x, labels, w = g.normal(size=(6, 4)), g.integers(0, 4, 6), g.uniform(0, 2, 6)
    t = oracle_losses.one_hot(labels, 4)
    for name, target, binary in [
        ("softmax_crossentropy", labels, False),
        ("softmax_crossentropy", t, False),
        ("sigmoid_focal_crossentropy", t, True),
    ]:
        value, dx = ops.loss(name, x, target, sample_weight=w, label_smoothing=0.2)
        smooth = oracle_losses.smoothed(target, 0.2, 4, binary)
        values, gradient = oracle_losses.loss(name, x, smooth, weights=w)
        assert value == pytest.approx(values.sum(), rel=1e-12)
        np.testing.assert_allclose(dx, gradient, rtol=1e-10, atol=1e-14)
    assert (t == oracle_losses.one_hot(labels, 4)).all()  # smoothing works on a copy
    assert ops.loss("huber", x, t, delta=0.2)[0] == pytest.approx(oracle_losses.huber(x, t, 0.2)[0].sum())
    with pytest.raises(TypeError, match=r"\[huber\] parameters expected: delta; got 'gamma'"):
        ops.loss("huber", x, t, gamma=2.0)
    with pytest.raises(ValueError, match=r"'sample_weight' expects shape \(6,\), got \(5,\)"):
        ops.loss("huber", x, t, sample_weight=w[:5])
    with pytest.raises(ValueError, match=r"'label_smoothing' expects a number in \[0, 1\], got 2"):
        ops.loss("huber", x, t, label_smoothing=2)
    for row in _native.loss_rows():
        assert f"`{row['name']}" in ops.loss.__doc__


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", METRICS)
def test_metrics_come_back_from_their_configuration(kind):
    assert kind.__doc__
    for metric in (kind(), kind(name="mine")):
        again = metrics.get(json.loads(json.dumps(metrics.serialize(metric))))
        assert again == metric
        assert again.native() == metric.native()
        assert pickle.loads(pickle.dumps(metric)) == metric
    assert kind(name="mine") != kind()
    assert kind().name == kind.default
    for name in (kind.default, *kind.aliases, kind.__name__):
        assert type(metrics.get(name)) is kind
        assert metrics.get(name).name == name  # as Keras, a name given is the name reported
    with pytest.raises(AttributeError, match="cannot be changed"):
        kind().name = "x"


def test_every_metric_row_has_a_class():
    assert {kind.row for kind in METRICS} == {row["name"] for row in _native.metric_rows()}


def test_results():
    assert metrics.Precision().result(np.array([1.0, 4.0]), 1) == 0.25
    assert metrics.Recall().result(np.zeros(2), 1) == 0.0
    assert metrics.RootMeanSquaredError().result(np.array([18.0, 2.0]), 1) == 3.0
    assert metrics.AUC().result(np.zeros(400), 1) == 0.0
    assert metrics.Precision(0.7).native() == {"name": "precision", "params": [0.7]}
    assert metrics.TopKCategoricalAccuracy(3).native() == {"name": "top_k_accuracy", "params": [3.0]}


def test_get_all_keeps_the_order_and_checks_the_loss():
    sparse, rows = losses.get("sparse_categorical_crossentropy"), losses.get("mse")
    found = metrics.get_all("m", ["acc", metrics.Recall(name="r"), "mae", "acc"], rows)
    assert [metric.name for metric in found] == ["acc", "r", "mae"]
    assert metrics.get_all("m", None, rows) == []
    assert metrics.get_all("m", ["sparse_top_k_categorical_accuracy"], sparse)[0].params["k"] == 5
    for given, loss, error, words in [
        (["categorical_accuracy"], sparse, ValueError, ["m", "categorical_accuracy", "rows of targets", sparse.name]),
        (["sparse_categorical_accuracy"], rows, ValueError, ["m", "integer labels", "mean_squared_error"]),
        ("accuracy", rows, TypeError, ["m", "list", "accuracy"]),
        ([3], rows, TypeError, ["m", "3"]),
        (["acuracy"], rows, ValueError, ["m", "accuracy", "acuracy"]),
        ([metrics.Recall(0.1, "r"), metrics.Recall(0.2, "r")], rows, ValueError, ["m", "'r' twice"]),
        ([metrics.Recall(name="loss")], rows, ValueError, ["m", "'loss'"]),
    ]:
        with pytest.raises(error) as caught:
            metrics.get_all("m", given, loss)
        for word in words:
            assert word in str(caught.value), f"{word!r} not in {caught.value}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.AUC(num_thresholds=100),
        lambda: metrics.TopKCategoricalAccuracy(k=2.5),
        lambda: metrics.TopKCategoricalAccuracy(k=0),
        lambda: metrics.Precision(thresholds=[0.1, 0.5]),
        lambda: metrics.Precision(thresholds=1.5),
        lambda: metrics.BinaryAccuracy(thresh=0.5),
        lambda: metrics.Accuracy(name=""),
        lambda: ops.metric("recall", np.zeros((2, 1)), [0, 1], k=3),
        lambda: ops.metric("recall", np.zeros((2, 1)), [0, 1], sums=np.zeros(3)),
    ],
)
def test_errors_of_metrics(make):
    with pytest.raises((TypeError, ValueError), match=r"\[\w+\] .*expect"):
        make()


# --- weights of samples ----------------------------------------------------------------------------------------------

SPARSE, MSE = losses.get("sparse_categorical_crossentropy"), losses.get("mse")
LABELS = np.array([0, 2, 1, 2], np.int32)


@pytest.mark.parametrize(
    ("sample_weight", "class_weight", "y", "want"),
    [
        (None, None, LABELS, None),
        ([1, 0, 2, 0.5], None, LABELS, [1, 0, 2, 0.5]),
        (np.ones((4, 1)), None, LABELS, [1, 1, 1, 1]),
        (None, {0: 3, 2: 0.5}, LABELS, [3, 0.5, 1, 0.5]),
        ([1, 0, 2, 3], {2: 0.5}, LABELS, [1, 0, 2, 1.5]),
        (None, {0: 3, 2: 0.5}, oracle_losses.one_hot(LABELS, 3), [3, 0.5, 1, 0.5]),
        (None, {1: 4}, np.array([[0.0], [1.0], [1.0], [-1.0]]), [1, 4, 4, 1]),
    ],
)
def test_weights(sample_weight, class_weight, y, want):
    loss = SPARSE if y.ndim == 1 else MSE
    got = sample_weights("fit", sample_weight, class_weight, y, loss, 4, "float32", 3)
    if want is None:
        assert got is None
    else:
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, np.float32(want))


@pytest.mark.parametrize(
    ("sample_weight", "class_weight", "error", "words"),
    [
        ([1, 1, -1, 1], None, ValueError, "sample_weight expects .*at least 0, got -1 in row 2"),
        ([1, np.nan, 1, 1], None, ValueError, "sample_weight .*nan in row 1"),
        ([1, 1, 1], None, ValueError, r"sample_weight expects shape \(4,\), got \(3,\)"),
        (["a"] * 4, None, TypeError, "sample_weight"),
        (None, [1, 2, 3], TypeError, "class_weight expects a dict"),
        (None, {3: 1.0}, ValueError, r"class_weight expects classes in 0\.\.2 .*, got 3"),
        (None, {-1: 1.0}, ValueError, "class_weight expects classes .*, got -1"),
        (None, {"0": 1.0}, TypeError, "class_weight expects integer classes, got '0'"),
        (None, {0: "x"}, TypeError, "class_weight expects numbers, got 'x' for class 0"),
        (None, {0: -1.0}, ValueError, "class_weight .*at least 0, got -1.0 for class 0"),
    ],
)
def test_errors_of_weights(sample_weight, class_weight, error, words):
    with pytest.raises(error, match=r"\[fit\] " + words):
        sample_weights("fit", sample_weight, class_weight, LABELS, SPARSE, 4, "float32", 3)
