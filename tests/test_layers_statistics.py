"""Normalization and Whitening: what adapt measures, in NumPy's words, and when it may."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fusednet
from fusednet.layers import Dense, Flatten, Normalization, Whitening, _adapted

RNG = np.random.default_rng(0)
X = RNG.normal([1.0, -2.0, 30.0], [1.0, 5.0, 0.1], (200, 3))
IMAGES = RNG.normal(size=(50, 4, 5, 3)) * np.arange(1, 6)[:, None] + np.arange(3)


def arrays(layer, shape):
    return {spec.role: spec.initializer.draw(spec.shape, 0, 0) for spec in layer.weight_specs(shape)}


def adapted(layer, data):
    assert layer.adapt(data) is None
    return arrays(layer, data.shape[1:])


def test_mean_and_variance_of_each_feature():
    found = adapted(Normalization(), X)
    np.testing.assert_allclose(found["mean"], X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found["variance"], X.var(axis=0), rtol=1e-13)


@pytest.mark.parametrize("axis", [-1, 3, 1, (1, 2), (-1, 1), (1, 2, 3), None])
def test_axes_kept_apart(axis):
    kept = () if axis is None else tuple(a % 4 for a in np.atleast_1d(axis))
    others = tuple(a for a in range(4) if a not in kept)
    found = adapted(Normalization(axis=axis), IMAGES)
    for role, values in (("mean", IMAGES.mean(axis=others, keepdims=True)), ("variance", None)):
        values = IMAGES.var(axis=others, keepdims=True) if values is None else values
        full = np.broadcast_to(values[0], IMAGES.shape[1:]).ravel()
        np.testing.assert_allclose(found[role], full, rtol=1e-12)


def test_centring_alone():
    found = adapted(Normalization(scale=False), X)
    np.testing.assert_allclose(found["mean"], X.mean(axis=0), rtol=1e-14)
    np.testing.assert_array_equal(found["variance"], np.ones(3))


def test_a_constant_feature_has_a_small_variance_not_none():
    found = adapted(Normalization(), np.full((7, 2), 0.1))
    np.testing.assert_array_equal(found["mean"], [0.1, 0.1])
    np.testing.assert_array_equal(found["variance"], [1e-14, 1e-14])


def test_large_means_and_many_rows(monkeypatch):
    monkeypatch.setattr(_adapted, "_CHUNK", 64)
    x = 1e8 + RNG.normal(size=(1001, 3))
    found = adapted(Normalization(), x)
    mean = np.array([math.fsum(column) / 1001 for column in x.T])
    np.testing.assert_allclose(found["mean"], mean, rtol=3e-16)
    np.testing.assert_allclose(found["variance"], ((x - mean) ** 2).mean(axis=0), rtol=1e-13)


def test_other_types_are_measured_in_float64():
    bytes_ = RNG.integers(0, 256, (300, 4), dtype=np.uint8)
    for data in (bytes_, bytes_.astype(np.float32), bytes_.astype(np.int64), bytes_[:, ::-1][:, ::-1]):
        found = adapted(Normalization(), data)
        np.testing.assert_allclose(found["mean"], bytes_.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(found["variance"], bytes_.astype(float).var(axis=0), rtol=1e-13)
    assert adapted(Normalization(), X.tolist() and np.asfortranarray(X))["mean"].shape == (3,)


def test_given_statistics():
    layer = Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0], name="n")
    found = arrays(layer, (2,))
    np.testing.assert_array_equal(found["mean"], [1.0, 2.0])
    np.testing.assert_array_equal(found["variance"], [4.0, 1e-14])
    layer.validate()
    single = arrays(Normalization(mean=3.0, variance=2.0), (2, 2))
    np.testing.assert_array_equal(single["variance"], np.full(4, 2.0))
    rows = arrays(Normalization(axis=(1, 2), mean=[[1.0], [2.0]], variance=[[1.0], [3.0]]), (2, 3))
    np.testing.assert_array_equal(rows["mean"], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(arrays(Normalization(mean=1, variance=9, scale=False), (2,))["variance"], [1, 1])
    with pytest.raises(RuntimeError, match=r"\[Normalization 'n'\] adapt expects a layer without mean and variance"):
        layer.adapt(X[:, :2])
    with pytest.raises(ValueError, match=r"mean and variance of shape \(3,\), got \(2,\)"):
        layer.output_shape((3,))


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_whitened_data_are_uncorrelated(method):
    x = X @ RNG.normal(size=(3, 3)) + 5.0
    found = adapted(Whitening(method, epsilon=1e-12), x)
    np.testing.assert_array_equal(found["variance"], np.ones(3))
    y = (x - found["mean"]) @ found["kernel"]
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(3), atol=1e-9)


def test_pca_orders_and_scales_the_eigenvectors():
    x = X @ RNG.normal(size=(3, 3))
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    kernel = adapted(Whitening(epsilon=0.25), x)["kernel"]
    for column, (value, vector) in zip(kernel.T, list(zip(values, vectors.T, strict=True))[::-1], strict=True):
        sign = np.sign(vector[np.abs(vector).argmax()])
        np.testing.assert_allclose(column, sign * vector / np.sqrt(value + 0.25), rtol=1e-9)
    np.testing.assert_allclose(adapted(Whitening(epsilon=0.25, components=2), x)["kernel"], kernel[:, :2], rtol=1e-12)


def test_zca_is_the_inverse_root_of_the_covariance():
    x = X @ RNG.normal(size=(3, 3))
    kernel = adapted(Whitening("zca", epsilon=0.25), x)["kernel"]
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.inv(kernel @ kernel), np.cov(x.T, bias=True) + 0.25 * np.eye(3), rtol=1e-9)


def test_more_features_than_rows():
    kernel = adapted(Whitening(epsilon=0.01), RNG.normal(size=(4, 10)))["kernel"]
    assert np.isfinite(kernel).all()
    np.testing.assert_allclose(np.linalg.norm(kernel[:, 3:], axis=0), 10.0, rtol=1e-6)


def test_what_the_plan_reads():
    assert Normalization(name="n").native((3,)) == {"kind": "normalization", "name": "n", "trainable": False}
    first, second = Whitening(components=2, name="w").native((3,))
    assert first == {"kind": "normalization", "name": "w", "trainable": False}
    assert second == {
        "kind": "dense", "name": "w", "trainable": False, "units": 2, "use_bias": False,
        "activation": {"name": "linear", "params": []}, "drop_rate": 0.0, "pieces": 1,
    }  # fmt: skip
    specs = [(spec.role, spec.shape, spec.trainable) for spec in Whitening(components=2).weight_specs((3,))]
    assert specs == [("mean", (3,), False), ("variance", (3,), False), ("kernel", (3, 2), False)]
    assert Whitening("zca").output_shape((3,)) == (3,)
    assert [spec.shape for spec in Normalization().weight_specs((2, 3))] == [(6,), (6,)]


def test_adapt_may_be_repeated_until_a_model_has_the_statistics():
    layer = Normalization(name="n")
    layer.adapt(X)
    frozen = layer.with_trainable(False)
    layer.adapt(X[:, :2] + 1.0)
    np.testing.assert_allclose(arrays(frozen, (2,))["mean"], X[:, :2].mean(axis=0) + 1.0)
    with pytest.raises(RuntimeError, match=r"\[Normalization 'n'\] adapt expects a layer whose statistics no model"):
        layer.adapt(X)


def test_adapt_after_the_layer_was_added():
    layer = Normalization(name="n")
    model = fusednet.Sequential([Flatten(input_shape=[3]), layer, Dense(2)])
    layer.adapt(X)
    spec = next(tensor.spec for tensor in model._engine.tensors() if tensor.name == "n/mean")
    np.testing.assert_allclose(spec.initializer.draw(spec.shape, 0, 0), X.mean(axis=0))


def test_freezing_keeps_the_statistics():
    layer = Normalization(name="n", input_shape=[3])
    model = fusednet.Sequential([layer])
    layer.adapt(X)
    model.get_layer("n").trainable = False
    spec = model._engine.tensors()[0].spec
    np.testing.assert_allclose(spec.initializer.draw(spec.shape, 0, 0), X.mean(axis=0))


def test_without_adapt():
    for layer in (Normalization(name="n"), Whitening(name="n")):
        for use in (layer.validate, lambda layer=layer: arrays(layer, (3,))):
            with pytest.raises(ValueError, match=r"'n'\] expects adapt\(data\) with the training data"):
                use()


@pytest.mark.parametrize("kind", [Normalization, Whitening])
def test_a_configuration_says_adapted_and_a_file_brings_the_arrays(kind):
    layer = kind(name="n")
    assert layer.get_config()["adapted"] is False
    layer.adapt(X)
    config = json.loads(json.dumps(layer.get_config()))
    assert config["adapted"] is True
    again = kind.from_config(config)
    again.validate()
    with pytest.raises(ValueError, match=r"'n'\] expects the model that its configuration comes from"):
        arrays(again, (3,))
    with pytest.raises(RuntimeError, match="no model has taken"):
        again.adapt(X)
    again.restore((3,), {role: values.astype(np.float32) for role, values in arrays(layer, (3,)).items()})
    with pytest.raises(RuntimeError, match="no model has taken"):
        again.adapt(X)
    for role, values in arrays(layer, (3,)).items():
        np.testing.assert_array_equal(arrays(again, (3,))[role], values.astype(np.float32))
    again.restore((3,), {})
    assert arrays(again, (3,))
    kind.from_config(kind(name="n").get_config()).adapt(X)


def with_value(value):
    x = X.copy()
    x[5, 1] = value
    return x


BAD_DATA = {
    "nan": (with_value(np.nan), ValueError, r"'n'\] data expects finite values, got nan in row 5 at \[1\]$"),
    "inf": (with_value(np.inf), ValueError, "got inf in row 5"),
    "huge": (with_value(1e308), ValueError, "expects values whose (variance|kernel) float64 holds"),
    "one row": (X[:1], ValueError, "at least two rows to take statistics from, got one"),
    "no rows": (X[:0], ValueError, "at least one row"),
    "one axis": (X[:, 0], ValueError, r"expects shape \(n, \.\.\.\), got \(200,\)"),
    "complex": (X.astype(complex), TypeError, "complex"),
    "text": ([["a", "b"], ["c", "d"]], TypeError, "real numbers"),
    "ragged": ([[1.0], [1.0, 2.0]], TypeError, "array"),
    "None": (None, TypeError, "None"),
}


@pytest.mark.parametrize("kind", [Normalization, Whitening])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_leave_the_statistics_as_they_were(kind, case):
    data, error, match = BAD_DATA[case]
    layer = kind(name="n")
    with pytest.raises(error, match=match):
        layer.adapt(data)
    assert not layer.adapted
    layer.adapt(X)
    with pytest.raises(error, match=match):
        layer.adapt(data)
    np.testing.assert_allclose(arrays(layer, (3,))["mean"], X.mean(axis=0))


BAD = {
    "other shape": (lambda: Normalization(input_shape=[2], name="n").adapt(X), r"'n'\] data expects shape \(n, 2\)"),
    "one of two": (lambda: Normalization(mean=1.0), "both mean and variance or neither"),
    "two shapes": (
        lambda: Normalization(mean=[1.0], variance=1.0),
        r"at most 1 axes, got \(1,\) and \(\)",
    ),
    "too many axes": (lambda: Normalization(mean=[[1.0]], variance=[[1.0]]), "at most 1 axes"),
    "negative": (lambda: Normalization(mean=0.0, variance=-1.0), "variance expects values of at least 0, got -1"),
    "nan": (lambda: Normalization(mean=np.nan, variance=1.0), "mean expects finite values"),
    "samples axis": (lambda: Normalization(axis=0), "axis expects None or integers other than 0"),
    "text axis": (lambda: Normalization(axis="last"), "axis expects None or integers"),
    "no such axis": (
        lambda: Normalization(axis=2, name="n").output_shape((3,)),
        r"'n'\] axis expects axes of \(n, 3\)",
    ),
    "nor before": (lambda: Normalization(axis=-2).adapt(X), r"axis expects axes of \(n, 3\), got \(-2,\)"),
    "method": (lambda: Whitening("ica", name="w"), r"\[Whitening 'w'\] method expects 'pca' or 'zca', got 'ica'"),
    "epsilon": (lambda: Whitening(epsilon=0.0), "epsilon expects a positive number"),
    "components": (lambda: Whitening(components=0), "components expects a positive integer"),
    "zca components": (lambda: Whitening("zca", components=2), "components expects None with method 'zca'"),
    "too many": (lambda: Whitening(components=4).adapt(X), "components expects at most the 3 features, got 4"),
    "images": (lambda: Whitening(name="w").adapt(IMAGES), r"\[Whitening 'w'\] expects \(n, features\).*put Flatten"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    make, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        make()


def test_another_input_than_adapted_to():
    layer = Normalization(name="n")
    layer.adapt(X)
    with pytest.raises(ValueError, match=r"'n'\] expects samples of shape \(3,\) as adapted, got \(4,\)"):
        fusednet.Sequential([Dense(4, input_shape=[2]), layer])
