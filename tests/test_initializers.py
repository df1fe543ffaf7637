"""First values of weights: variances, bounds and shapes as the papers and Keras state them; seeds; errors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import oracle
from fusednet import Sequential, initializers, layers

SHAPE = (300, 200)
SCALED = [f"{family}_{kind}" for family in ("glorot", "he", "lecun") for kind in ("normal", "uniform")]
# Of the distributions with variance 1: the largest magnitude, and the variance of the square (the kurtosis less 1).
CUT = 2 / 0.87962566103423978
UNIFORM, NORMAL, TRUNCATED = (math.sqrt(3), 0.8), (math.inf, 2.0), (CUT, 1.3656)


def assert_moments(w, mean, stddev, distribution):
    """Mean and variance within four standard errors, no value beyond the bound, and some near it."""
    bound, spread = distribution
    x = (np.asarray(w, np.float64).reshape(-1) - mean) / stddev
    assert abs(x.mean()) < 4 / math.sqrt(x.size)
    assert abs((x**2).mean() - 1) < 4 * math.sqrt(spread / x.size)
    assert np.abs(x).max() <= bound * (1 + 1e-6)
    assert np.abs(x).max() > 0.99 * min(bound, 3.5)


def test_the_truncated_moments_are_those_of_the_cut_normal():
    """Integrated numerically: variance 0.7737 before the widening."""
    x = np.linspace(-2, 2, 200_001)
    p = np.exp(-(x**2) / 2)
    p /= p.sum()
    variance = (p * x**2).sum()
    assert abs(math.sqrt(variance) - 0.87962566103423978) < 1e-4
    assert abs((p * x**4).sum() / variance**2 - 1 - TRUNCATED[1]) < 2e-3


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("shape", [SHAPE, (40, 1500)])
def test_scaled_initializers(name, shape):
    stddev = math.sqrt(oracle.initializer_variance(name, *shape))
    w = initializers.get({"class": type(initializers.get(name)).__name__, "config": {"seed": 3}})(shape, "float64")
    assert_moments(w, 0.0, stddev, UNIFORM if name.endswith("uniform") else TRUNCATED)
    if name.endswith("uniform"):
        assert np.abs(w).max() <= oracle.initializer_limit(name, *shape)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    ("distribution", "moments"),
    [("truncated_normal", TRUNCATED), ("untruncated_normal", NORMAL), ("uniform", UNIFORM), ("normal", TRUNCATED)],
)
def test_variance_scaling(mode, distribution, moments):
    fan = {"fan_in": 300, "fan_out": 200, "fan_avg": 250}[mode]
    w = initializers.VarianceScaling(1.7, mode, distribution, seed=4)(SHAPE, "float64")
    assert_moments(w, 0.0, math.sqrt(1.7 / fan), moments)


def test_plain_distributions():
    assert_moments(initializers.RandomNormal(0.5, 0.2, seed=1)(SHAPE, "float64"), 0.5, 0.2, NORMAL)
    assert_moments(initializers.RandomUniform(-1.0, 3.0, seed=1)(SHAPE, "float64"), 1.0, 4 / math.sqrt(12), UNIFORM)
    spread = 0.2 * 0.87962566103423978  # cut off, not widened
    assert_moments(initializers.TruncatedNormal(0.5, 0.2, seed=1)(SHAPE, "float64"), 0.5, spread, TRUNCATED)
    assert_moments(initializers.RandomNormal(seed=1)(SHAPE), 0.0, 0.05, NORMAL)
    assert_moments(initializers.RandomUniform(seed=1)(SHAPE), 0.0, 0.1 / math.sqrt(12), UNIFORM)


def test_constants():
    for made, value in [(initializers.Zeros(), 0), (initializers.Ones(), 1), (initializers.Constant(0.25), 0.25)]:
        np.testing.assert_array_equal(made((3, 2)), np.full((3, 2), value, np.float32))
    np.testing.assert_array_equal(initializers.Constant()((2,)), np.zeros(2))
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (40, 12), (12, 40)])
def test_orthogonal(shape):
    w = initializers.Orthogonal(1.5, seed=2)(shape, "float64")
    assert w.shape == shape
    fewer = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(fewer, 1.5**2 * np.eye(min(shape)), atol=1e-13)


def test_orthogonal_matrices_are_equally_likely():
    """Uniform over the rotations and reflections of the plane: without the signs of R half of them never come."""
    w = np.array([initializers.Orthogonal(seed=s)((2, 2), "float64") for s in range(400)])
    assert 140 < (np.linalg.det(w) > 0).sum() < 260  # 4 sigma are 40
    for entry in w.reshape(400, 4).T:
        assert abs(entry.mean()) < 4 * math.sqrt(0.5 / 400)
        assert 140 < (entry > 0).sum() < 260


HELPERS = ("deserialize", "get", "serialize")


@pytest.mark.parametrize("name", [n for n in initializers.__all__ if n.islower() and n not in HELPERS])
def test_every_name_draws_is_reproduced_and_comes_back(name):
    kind = initializers.get(name)
    config = dict(kind.get_config())
    if "seed" in config:
        config["seed"] = 7
    first = type(kind)(**config)
    again = initializers.get(json.loads(json.dumps(initializers.serialize(first))))
    assert again == first
    assert hash(again) == hash(first)
    w = first((6, 4))
    assert w.shape == (6, 4)
    assert w.dtype == np.float32
    np.testing.assert_array_equal(again((6, 4)), w)
    if "seed" in config:
        assert (type(kind)(**config | {"seed": 8})((6, 4)) != w).any()
    model = Sequential([layers.Dense(4, kernel_initializer=name, input_shape=[6])], seed=1)
    assert model.get_weights()[0].shape == (6, 4)


def test_former_names():
    assert initializers.get("normal") == initializers.RandomNormal()
    assert initializers.get("uniform") == initializers.RandomUniform()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: initializers.get("glorot"), ValueError, ["glorot_uniform", "orthogonal", "'glorot'"]),
        (lambda: initializers.get(3), TypeError, ["initializer", "3"]),
        (lambda: initializers.VarianceScaling(0.0), ValueError, ["VarianceScaling", "scale", "positive", "0.0"]),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, ["mode", "fan_avg", "'fan'"]),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, ["RandomNormal", "stddev", "-1"]),
        (lambda: initializers.RandomUniform(1.0, 0.0), ValueError, ["RandomUniform", "maxval", "at least 1", "0.0"]),
        (lambda: initializers.HeNormal(seed=-1), ValueError, ["HeNormal", "seed", "-1"]),
        (lambda: initializers.Orthogonal(math.nan), ValueError, ["Orthogonal", "gain", "nan"]),
        (lambda: initializers.Orthogonal()((3,)), ValueError, ["Orthogonal", "matrix", "(3,)"]),
        (lambda: initializers.Identity()((1, 2, 3)), ValueError, ["Identity", "matrix", "(1, 2, 3)"]),
        (lambda: setattr(initializers.Zeros(), "seed", 3), AttributeError, ["Zeros", "seed", "cannot be"]),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
