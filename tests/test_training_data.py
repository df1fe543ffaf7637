"""What goes into training and comes out: weights of samples and classes, metrics, exact and folded statistics."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import oracle
import oracle_losses
from fusednet import layers, losses, metrics
from fusednet.layers import Activation, BatchNormalization, Dense, Dropout, LayerNormalization, Residual
from fusednet.optimizers import SGD
from fusednet.regularizers import L1L2
from gradients import KINDS, head, targets
from oracle_optimizers import penalty

X = np.random.default_rng(0).normal(size=(90, 6))
Y = np.random.default_rng(1).integers(0, 3, 90)


def build(*stack, loss="sparse_categorical_crossentropy", metrics=None, rate=0.0, dtype="float64"):
    model = fusednet.Sequential([layers.Input([6]), *stack], seed=3, dtype=dtype)
    model.compile(SGD(rate), loss, metrics)
    return model


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_a_sample_of_weight_0_is_absent_but_for_the_divisor(kind, reduction):
    loss = kind(reduction=reduction)
    model = build(Dense(5, "tanh"), LayerNormalization(), Dense(3, head(loss)), loss=loss)
    y = targets(loss, 40, 3, np.random.default_rng(2))
    there = np.random.default_rng(3).random(40) < 0.6
    whole = model.compute_gradients(X[:40], y, sample_weight=there.astype(float))
    part = model.compute_gradients(X[:40][there], y[there])
    scale = 1.0 if reduction == "sum" else there.mean()
    for name, g in part.items():
        np.testing.assert_allclose(whole[name], g * scale, rtol=1e-10, atol=1e-14, err_msg=name)
    alone, weighted = (
        model.evaluate(X[:40][there], y[there], 40, 0),
        model.evaluate(X[:40], y, 40, 0, sample_weight=there.astype(float)),
    )
    assert weighted == pytest.approx(alone * scale, rel=1e-11)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_whole_number_of_weight_is_so_many_samples(kind):
    loss = kind(reduction="sum")
    model = build(Dense(3, head(loss)), loss=loss)
    y = targets(loss, 20, 3, np.random.default_rng(2))
    times = np.random.default_rng(3).integers(0, 4, 20)
    whole = model.compute_gradients(X[:20], y, sample_weight=times)
    repeated = model.compute_gradients(np.repeat(X[:20], times, axis=0), np.repeat(y, times, axis=0))
    for name, g in repeated.items():
        np.testing.assert_allclose(whole[name], g, rtol=1e-10, atol=1e-13, err_msg=name)


def test_class_weights_are_those_of_the_samples():
    table = {0: 0.5, 2: 3.0}
    by_sample = np.array([0.5, 1.0, 3.0])[Y]
    for y, loss in ((Y, "sparse_categorical_crossentropy"), (np.eye(3)[Y], "categorical_crossentropy")):
        runs = [build(Dense(5, "elu"), Dense(3, "softmax"), loss=loss, rate=0.1) for _ in range(3)]
        given = [{"class_weight": table}, {"sample_weight": by_sample}]
        given.append({"class_weight": {0: 1.0, 2: 6.0}, "sample_weight": by_sample / np.array([1.0, 1.0, 6.0])[Y]})
        losses_of = [m.fit(X, y, 20, 2, 0, **more).history["loss"] for m, more in zip(runs, given, strict=True)]
        np.testing.assert_allclose(losses_of[1:], [losses_of[0]] * 2, rtol=1e-12)
        for model in runs[1:]:
            for a, b in zip(runs[0].get_weights(), model.get_weights(), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_weights_follow_the_samples_through_the_shuffle_and_the_split():
    weight = np.linspace(0, 2, 90)
    a, b = (build(Dense(3, "softmax"), rate=0.1) for _ in range(2))
    first = a.fit(X, Y, 20, 3, 0, validation_split=0.2, sample_weight=weight).history
    held = (X[72:], Y[72:], weight[72:])
    second = b.fit(X[:72], Y[:72], 20, 3, 0, validation_data=held, sample_weight=weight[:72]).history
    assert first == second
    p = b.predict(X[72:])
    want = np.mean(-np.log(p[np.arange(18), Y[72:]]) * weight[72:])
    assert second["val_loss"][-1] == pytest.approx(want, rel=1e-10)


# --- metrics ---------------------------------------------------------------------------------------------------------

METRICS = [getattr(metrics, name) for name in metrics.__all__ if isinstance(getattr(metrics, name), type)]
METRICS.remove(metrics.Metric)


def wanted(metric, p, y):
    value = oracle_losses.metric(metric.row, p, y, list(metric.params.values()))
    return np.sqrt(value) if isinstance(metric, metrics.RootMeanSquaredError) else value


@pytest.mark.parametrize("kind", METRICS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_are_those_of_predictions(kind, dtype):
    found = 0
    for loss, end, y in (
        ("sparse_categorical_crossentropy", "softmax", Y),
        ("categorical_crossentropy", "softmax", np.eye(3)[Y]),
        (losses.CategoricalCrossentropy(label_smoothing=0.3), "softmax", np.eye(3)[Y]),
        ("binary_crossentropy", "sigmoid", (X[:, :3] > 0.3).astype(float)),
        ("binary_crossentropy", "sigmoid", (X[:, :1] > 0.3).astype(float)),
        ("mse", "linear", X[:, 1:4]),
    ):
        units = 1 if y.ndim == 2 and y.shape[1] == 1 else 3
        metric = kind(k=2) if "TopK" in kind.__name__ else kind()
        try:
            model = build(Dense(7, "tanh"), Dense(units, end), loss=loss, metrics=[metric], dtype=dtype)
        except (ValueError, TypeError):
            continue  # the metric does not fit the loss
        if metric.row in ("precision", "recall", "auc") and end == "linear":
            continue
        found += 1
        name = metric.name
        want = wanted(metric, model.predict(X), y)
        assert model.evaluate(X, y, 13, 0)[1] == pytest.approx(want, rel=1e-6)
        history = model.fit(X, y, 20, 1, 0, validation_data=(X[:50], y[:50])).history
        assert history[name][0] == pytest.approx(want, rel=1e-6)
        assert history[f"val_{name}"][0] == pytest.approx(wanted(metric, model.predict(X[:50]), y[:50]), rel=1e-6)
        assert model.train_on_batch(X, y, return_dict=True)[name] == pytest.approx(want, rel=1e-6)
    assert found


def test_penalties_are_part_of_what_is_reported():
    penalties = {"kernel_regularizer": L1L2(0.1, 0.2), "activity_regularizer": L1L2(0.3, 0.4)}
    model = build(Dense(4, "tanh", **penalties), Dense(3), loss="mse")
    t = X[:, :3]
    kernel, hidden = model.get_weights()[0], np.tanh(X @ model.get_weights()[0])
    want = np.mean((model.predict(X) - t) ** 2) + penalty(kernel, 0.1, 0.2)
    want += penalty(hidden, 0.3, 0.4) / 90
    history = model.fit(X, t, 17, 1, 0, validation_data=(X, t)).history
    reported = [history["loss"][0], history["val_loss"][0], model.evaluate(X, t, 7, 0), model.train_on_batch(X, t)]
    np.testing.assert_allclose(reported, want, rtol=1e-11)


# --- statistics of BatchNormalization --------------------------------------------------------------------------------


def normalised():
    inner = [Dense(5, "tanh", name="r1"), BatchNormalization(name="b2"), Dropout(0.5, name="r2"), Dense(6, name="r3")]
    return [
        BatchNormalization(name="b0"),
        Dense(6, use_bias=False, name="d1"), BatchNormalization(name="b1"), Activation("elu", name="a1"),
        Residual(inner, 0.6, name="r"),
        BatchNormalization(name="b3", scale=False), Dense(3, "softmax", name="top"),
    ]  # fmt: skip


def test_recalibrated_statistics_are_exact():
    model = build(*normalised(), rate=0.1)
    model.fit(X, Y, epochs=2, verbose=0)
    rows = np.random.default_rng(4).normal(size=(700, 6)) * 3 + 50  # more than one pass, and a large mean
    model.recalibrate_batchnorm(rows)
    w = {variable.name: variable.numpy() for variable in model.weights}

    def norm(name, x):
        np.testing.assert_allclose(w[f"{name}/moving_mean"], x.mean(axis=0), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(w[f"{name}/moving_variance"], x.var(axis=0), rtol=1e-9)
        gamma, beta = w.get(f"{name}/gamma", 1.0), w.get(f"{name}/beta", 0.0)
        return oracle.batchnorm(x, x.mean(axis=0), x.var(axis=0), gamma, beta, 1e-3)

    x = norm("b0", rows)
    x = oracle.activation("elu", [1.0], norm("b1", x @ w["d1/kernel"]))
    y = norm("b2", np.tanh(x @ w["r1/kernel"] + w["r1/bias"]))
    x = norm("b3", x + 0.6 * (y @ w["r3/kernel"] + w["r3/bias"]))
    np.testing.assert_allclose(model.predict(rows), oracle.softmax(x @ w["top/kernel"] + w["top/bias"]), rtol=1e-8)


def test_statistics_that_are_not_finite_are_refused_all():
    model = build(*normalised(), dtype="float32")
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    with pytest.raises(fusednet.NonFiniteError, match="variance"):
        model.recalibrate_batchnorm(np.where(np.arange(6) == 2, 1e30, 1.0) * X)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


STACKS = {
    "after": ([Dense(5, name="d"), BatchNormalization()], 0),
    "after without bias": ([Dense(5, use_bias=False), BatchNormalization(center=False)], 0),
    "after with its function next": ([Dense(5), BatchNormalization(scale=False), Activation("tanh")], 0),
    "before": ([Activation("tanh"), BatchNormalization(), Dense(5, "elu", use_bias=False)], 0),
    "first": ([BatchNormalization(), Dense(5, "tanh")], 0),
    "on the outputs": ([Dense(5, "tanh"), Dense(4), BatchNormalization()], 0),
    "twice": ([Dense(5), BatchNormalization(), BatchNormalization(center=False, scale=False)], 0),
    "both sides": ([BatchNormalization(), Dense(5), BatchNormalization(), Dense(4, "relu")], 0),
    "behind a function": ([Dense(5, "relu"), BatchNormalization(), Dense(4)], 0),
    "nowhere": ([Activation("tanh"), BatchNormalization(), Activation("tanh")], 1),
    "into a layer that drops": ([BatchNormalization(), layers.DropConnect(5, 0.5)], 0),
    "inside": ([Residual([BatchNormalization(), Dense(5), BatchNormalization(), Activation("elu"), Dense(6)], 0.5)], 0),
    "not into several pieces": ([layers.Maxout(5, 2), BatchNormalization()], 1),
    "alone inside": ([Residual([BatchNormalization()]), Dense(5)], 1),
}


@pytest.mark.parametrize("case", STACKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_folded_layers_give_the_same_outputs(case, dtype):
    stack, left = STACKS[case]
    model = fusednet.Sequential([layers.Input([6]), *stack], dtype=dtype, seed=1)
    g = np.random.default_rng(2)
    for variable in model.weights:
        noise = g.normal(size=variable.shape)
        variable.assign(np.exp(noise) if "variance" in variable.name else noise)
    folded = model.fold_batchnorm()
    rest = [v.name for v in folded.weights if "moving_variance" in v.name]
    assert len(rest) == left
    assert [v.name for v in model.weights if "moving_variance" in v.name]
    bound = 1e-11 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(folded.predict(X), model.predict(X), rtol=bound, atol=bound)
