"""Losses and their gradients: oracle ↔ float64, differences, each ISA ↔ float64."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import oracle_losses
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.loss_rows()}
LOGITS = {
    n: oracle.softmax if n.startswith("softmax") else oracle.sigmoid for n in ROWS if n[:7] in ("softmax", "sigmoid")
}
# Parameters beside the defaults.
MORE = {
    "huber": [[0.3]],
    "binary_focal_crossentropy": [[1, 0.7, 0.5], [1, 0.3, 0]],
    "sigmoid_focal_crossentropy": [[1, 0.7, 0.5], [1, 0.3, 0]],
    "categorical_focal_crossentropy": [[1.5, 0.5], [1, 0]],
    "softmax_focal_crossentropy": [[1.5, 0.5], [1, 0]],
}
CASES = [
    pytest.param(name, kind, params, id="-".join([name, kind, *map(str, params)]))
    for name, row in ROWS.items()
    for kind in (["labels"] if row["labels"] else []) + ["targets"]
    for params in [[value for _, value in row["params"]], *MORE.get(name, [])]
]
each_case = pytest.mark.parametrize(("name", "kind", "params"), CASES)
PROBABILITIES = {"binary_crossentropy": oracle.sigmoid, "binary_focal_crossentropy": oracle.sigmoid}
POSITIVE = {
    "crossentropy",
    "categorical_focal_crossentropy",
    "kl_divergence",
    "poisson",
    "mean_squared_logarithmic_error",
}


def case(name, kind, rows, cols, seed=0):
    """Outputs in the loss's domain, and targets: labels, distributions, classes or any numbers between 0 and 1."""
    g = helpers.rng(rows, cols, seed)
    x = g.normal(0, 2, (rows, cols))
    if name in PROBABILITIES:
        x = PROBABILITIES[name](x)
    elif name in POSITIVE:
        x = g.uniform(0.05, 1, (rows, cols))  # not normalised: a kernel over classes divides by the sum
    x = x.astype(np.float32).astype(np.float64)
    t = g.uniform(0, 1, (rows, cols))
    if kind == "labels":
        return x, g.integers(0, max(cols, 1), rows).astype(np.int32)
    if ROWS[name]["labels"]:
        t = t * (t > 0.3) + 0.1 * (np.arange(cols) == 0)  # zeros among them
        t = t / t.sum(axis=1, keepdims=True)
    elif name.endswith("hinge"):
        t = g.choice([-1.0, 1.0, 0.0], (rows, cols))
    elif name == "poisson":
        t = g.poisson(2.0, (rows, cols)).astype(float)
    return x, t.astype(np.float32).astype(np.float64)


def run(name, x, target, scale=1.0, isa=None, params=None, weights=None):
    """loss, probabilities (or None), gradient; outputs guarded and poisoned."""
    y = Guarded(x.shape, x.dtype, offset=3) if name in LOGITS else None
    dx = Guarded(x.shape, x.dtype, pad=2)
    values = [value for _, value in ROWS[name]["params"]] if params is None else params
    value = _native.loss(name, x, target, y.view if y else None, dx.view, scale, values, weights, isa)
    return value, y.check() if y else None, dx.check()


def test_catalogue_is_whole():
    assert set(oracle_losses.LOSSES) <= set(ROWS)
    assert {n for n, r in ROWS.items() if r["labels"]} >= {"softmax_crossentropy", "crossentropy"}


@each_case
@pytest.mark.parametrize("weighted", [False, True])
def test_float64_is_the_oracle(name, kind, params, weighted):
    x, t = case(name, kind, 23, 11)
    weights = helpers.rng(3).uniform(0, 3, 23) if weighted else None
    value, y, dx = run(name, x, t, 0.37, params=params, weights=weights)
    want, gradient = oracle.loss(name, x, t, params, weights)
    assert value == pytest.approx(want.sum(), rel=1e-12)
    assert_close(dx, 0.37 * gradient, 1e-12 * np.abs(gradient).max())
    if y is not None:
        assert_close(y, LOGITS[name](x), 1e-12)


@each_case
def test_float64_gradient_is_the_difference(name, kind, params):
    x, t = case(name, kind, 5, 7)
    dx = run(name, x, t, params=params)[2]
    v = helpers.rng(8).normal(size=x.shape)
    h = 1e-5
    f = {k: _native.loss(name, x + k * h * v, t, params=params) for k in (-2, -1, 1, 2)}
    numeric = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    assert (dx * v).sum() == pytest.approx(numeric, abs=1e-9 * np.abs(dx * v).sum())


@each_case
def test_isa_is_float64(isa, name, kind, params):
    for cols in (c for c in isa.sizes if c > (kind == "labels")):  # one column takes targets
        for rows in (1, 3, 50):
            x, t = case(name, kind, rows, cols)
            scale = 1 / rows
            weights = helpers.rng(rows).uniform(0.5, 2, rows).astype(np.float32) if rows == 3 else None
            wide = None if weights is None else weights.astype(np.float64)
            want, want_y, want_dx = run(name, x, t, scale, params=params, weights=wide)
            single = Guarded(x.shape, isa.dtype, x, pad=5).view
            target = t if kind == "labels" else Guarded(t.shape, isa.dtype, t, offset=3).view
            got, y, dx = run(name, single, target, scale, isa.isa, params, weights)
            k = 12 + 2 * cols**0.5
            values, gradient = oracle.loss(name, x, t, params, wide)
            # What roundings of the inputs would do; a loss may be a difference of numbers as large as the logits.
            size = np.abs(values).sum() + (np.abs(gradient) * (1 + np.abs(x))).sum() + rows * np.log(cols + 1)
            size += rows * np.abs(x).max(initial=0) if name in LOGITS else 0
            assert got == pytest.approx(want, abs=k * isa.eps * size), f"{name} {x.shape}"
            row_size = np.abs(gradient).max(axis=1, keepdims=True, initial=0)
            size = scale * (np.abs(gradient) + row_size + (1 if name in LOGITS else np.abs(x) + 1) / max(cols, 1))
            if name == "cosine_similarity":  # the difference of two vectors of length 1 / |x|
                size += scale / np.sqrt((x**2).sum(axis=1, keepdims=True))
            assert_close(dx, want_dx, k * isa.eps * size, f"{name} {x.shape}")
            if y is not None:
                bound = (k + 2 * np.abs(x).max(initial=0)) * isa.eps * want_y + helpers.TINY
                assert_close(y, want_y, bound, f"{name} {x.shape}")


@each_case
def test_outputs_may_be_left_out_or_shared(backend, name, kind, params):
    """Without y, without dx, or with dx over x or y, the numbers are the same bits; weights of 1 change none."""
    x, t = case(name, kind, 9, 2 * backend.lanes + 1)
    x, t = x.astype(backend.dtype), t if kind == "labels" else t.astype(backend.dtype)
    value, y, dx = run(name, x, t, 0.5, backend.isa, params)
    more = {"scale": 0.5, "params": params, "isa": backend.isa}
    assert _native.loss(name, x, t, **more) == value
    ones = run(name, x, t, 0.5, backend.isa, params, np.ones(9, backend.dtype))
    assert ones[0] == value
    np.testing.assert_array_equal(ones[2], dx)
    over_x = x.copy()
    assert _native.loss(name, over_x, t, None, over_x, **more) == value
    np.testing.assert_array_equal(over_x, dx)
    if y is not None:
        over_y, over_x = np.empty_like(x), x.copy()
        assert _native.loss(name, x, t, over_y, over_y, **more) == value
        np.testing.assert_array_equal(over_y, dx)
        assert _native.loss(name, over_x, t, over_x, None, **more) == value
        np.testing.assert_array_equal(over_x, y)


def test_labels_are_one_hot_targets(backend):
    for name in (n for n, r in ROWS.items() if r["labels"]):
        x, labels = case(name, "labels", 20, 10)
        x = x.astype(backend.dtype)
        value, _, dx = run(name, x, labels, 0.1, backend.isa)
        other, _, other_dx = run(name, x, oracle.one_hot(labels, 10).astype(backend.dtype), 0.1, backend.isa)
        assert value == pytest.approx(other, rel=8 * backend.eps), name
        assert_close(dx, other_dx, 8 * backend.eps, name)


@pytest.mark.parametrize("name", sorted(LOGITS))
@pytest.mark.parametrize("kind", ["labels", "targets"])
def test_logits_of_1e30_are_finite(backend, name, kind):
    """Right by far costs nothing; wrong by far costs the distance. No overflow on the way."""
    if kind == "labels" and not ROWS[name]["labels"]:
        return
    cols = 2 * backend.lanes + 1
    x = np.full((2, cols), -1e30, backend.dtype)
    x[:, 1] = 1e30
    t = np.zeros_like(x)
    t[0, 1] = t[1, 0] = 1
    target = np.array([1, 0], np.int32) if kind == "labels" else t
    value, y, dx = run(name, x, target, 1.0, backend.isa)
    per = cols if name.startswith("sigmoid") else 1
    alpha = 0.25 if name == "softmax_focal_crossentropy" else 1.0
    assert value == pytest.approx(alpha * 2e30 / per, rel=1e-6)  # the second row: logits of both signs are wrong
    np.testing.assert_array_equal(y, np.where(x > 0, 1, 0).astype(backend.dtype))
    assert_close(dx, alpha * (y.astype(np.float64) - t) / per, 1e-7)
    assert _native.loss(name, x[:1], target[:1], params=[p for _, p in ROWS[name]["params"]], isa=backend.isa) == 0


@pytest.mark.parametrize("name", ["softmax_crossentropy", "softmax_focal_crossentropy"])
def test_a_class_ruled_out_costs_nothing(backend, name):
    """A logit of -inf where the target is 0: a probability of 0, no NaN from 0 * inf."""
    x = np.array([[-np.inf, 0.0, 0.0]], backend.dtype)
    t = np.array([[0, 1, 0]], backend.dtype)
    value, y, dx = run(name, x, t, 1.0, backend.isa)
    factor = 0.25 * 0.5**2 if "focal" in name else 1
    assert value == pytest.approx(factor * np.log(2), rel=4 * backend.eps)
    assert_close(y[0], [0, 0.5, 0.5], 1e-7)
    assert np.isfinite(dx).all()
    assert dx[0, 0] == 0


def test_many_rows_of_even_chances(backend):
    """Each row costs log(cols), however many there are."""
    x, target = np.full((3001, 100), 3.0, backend.dtype), np.zeros(3001, np.int32)
    assert run("softmax_crossentropy", x, target, isa=backend.isa)[0] == pytest.approx(3001 * np.log(100), 1e-13)
    x[2000, 0] = np.nan
    assert np.isnan(run("softmax_crossentropy", x, target, isa=backend.isa)[0])


def test_probabilities_are_clipped_as_in_keras(backend):
    """A probability of exactly 0 costs -log(1e-7) = 16.118…, not infinity."""
    x, t = np.array([[0.0, 1.0]], backend.dtype), np.array([[1.0, 0.0]], backend.dtype)
    price = -np.log(1e-7)
    assert _native.loss("crossentropy", x, t, isa=backend.isa) == pytest.approx(price, rel=1e-6)
    assert run("categorical_focal_crossentropy", x, t, isa=backend.isa)[0] == pytest.approx(price / 4, rel=1e-6)
    assert run("kl_divergence", x, t, isa=backend.isa)[0] == pytest.approx(price, rel=1e-6)
    for name in ("binary_crossentropy", "binary_focal_crossentropy"):
        value, _, dx = run(name, x, t, 1.0, backend.isa)
        assert np.isfinite(dx).all()
        # In float32 the largest number below 1 is 1 - 6e-8, and 1 - 1e-7 rounds to 1 - 1.2e-7.
        assert value == pytest.approx(price, rel=1e-6 if backend.name == "float64" else 0.011)


def test_kinks_are_flat(backend):
    """At a kink the derivative is 0: |x - t| at x = t, the margin where t x = 1."""
    row = lambda *v: np.array([v], backend.dtype)  # noqa: E731
    for name in ("mean_absolute_error", "mean_absolute_percentage_error", "hinge", "squared_hinge"):
        x, t = row(1, -1, 2), row(1, -1, 0.5)  # here t x = 1 as well
        at_kink = x == t if "hinge" not in name else np.ones_like(x, bool)
        assert (run(name, x, t, 1.0, backend.isa)[2][at_kink] == 0).all(), name


def test_nonfinite_outputs_reach_the_loss(backend):
    for name, kind, params in (c.values for c in CASES):
        x, t = case(name, kind, 4, 2 * backend.lanes + 1)
        x, t = x.astype(backend.dtype), t if kind == "labels" else t.astype(backend.dtype)
        x[2, 1] = np.nan
        if name == "poisson":
            t[2, 1] = 3
        assert np.isnan(_native.loss(name, x, t, params=params, isa=backend.isa)), (name, kind)
        if kind == "targets" and ROWS[name]["labels"]:
            t[2] = 0  # a sample without a class
            assert np.isnan(_native.loss(name, x, t, params=params, isa=backend.isa)), (name, kind)


LN2 = np.log(2)
GOLDEN = [
    # Softmax of (0, ln 3) is (1/4, 3/4), sigmoid of ln 3 is 3/4; the rest is arithmetic.
    ("softmax_crossentropy", [0, np.log(3)], 0, 2 * LN2, [-0.75, 0.75]),
    ("sigmoid_crossentropy", [np.log(3)], [1], np.log(4 / 3), [-0.25]),
    ("crossentropy", [1, 3], 0, 2 * LN2, [-0.75, 0.25]),
    ("binary_crossentropy", [0.8], [1], -np.log(0.8), [-1.25]),
    ("softmax_focal_crossentropy", [0, 0], 1, LN2 / 16, [LN2 / 16 + 1 / 32, -LN2 / 16 - 1 / 32]),
    ("categorical_focal_crossentropy", [1, 1], 0, LN2 / 16, [-LN2 / 16 - 1 / 32, LN2 / 16 + 1 / 32]),
    ("binary_focal_crossentropy", [0.5], [1], LN2 / 4, [-LN2 - 0.5]),
    ("sigmoid_focal_crossentropy", [0], [0], LN2 / 4, [LN2 / 4 + 0.125]),
    ("mean_squared_error", [1, 2], [3, 2], 2, [-2, 0]),
    ("mean_absolute_error", [1, 2], [4, 1], 2, [-0.5, 0.5]),
    ("mean_absolute_percentage_error", [3, 1], [2, -4], 87.5, [25, 12.5]),
    ("mean_squared_logarithmic_error", [1], [0.5], np.log(4 / 3) ** 2, [np.log(4 / 3)]),
    ("huber", [3, 0.5], [0, 0], 1.3125, [0.5, 0.25]),
    ("log_cosh", [LN2], [0], np.log(1.25), [0.6]),
    ("poisson", [2], [0], 2, [1]),
    ("kl_divergence", [0.25, 0.5], [0.5, 0.5], LN2 / 2, [-2, -1]),
    ("hinge", [0.5, 2], [1, 0], 1.75, [-0.5, 0.5]),
    ("squared_hinge", [0.5, 2], [1, 0], 4.625, [-0.5, 3]),
    ("cosine_similarity", [3, 4], [1, 0], -0.6, [-0.128, 0.096]),
    # Near a limit: an error that is tiny, a target of 0, an output below the epsilon, a norm below it.
    ("log_cosh", [3 * 2**-10], [0], np.log1p(2 * np.sinh(3 * 2**-11) ** 2), [np.tanh(3 * 2**-10)]),
    ("mean_absolute_percentage_error", [1], [0], 1e9, [1e9]),
    ("mean_squared_logarithmic_error", [-0.5], [1], (LN2 - np.log1p(1e-7)) ** 2, [0]),
    ("poisson", [-2], [0], -2, [1]),
    ("kl_divergence", [0, 1], [0.5, 0.5], 0.5 * np.log(0.25e7), [0, -0.5]),
    ("cosine_similarity", [6e-8, 0], [1, 0], -0.6, [-1e7, 0]),
]


@pytest.mark.parametrize(("name", "x", "t", "value", "gradient"), GOLDEN)
def test_golden_values(backend, name, x, t, value, gradient):
    near = 12 * backend.eps
    target = np.array([t], np.int32) if isinstance(t, int) else np.array([t], backend.dtype)
    got, _, dx = run(name, np.array([x], backend.dtype), target, 1.0, backend.isa)
    assert got == pytest.approx(value, rel=near, abs=0)
    assert_close(dx[0], gradient, near * max(1, *np.abs(gradient)))


@pytest.mark.parametrize("binary", [False, True])
def test_smoothing(backend, binary):
    for cols in backend.sizes:
        g = helpers.rng(cols)
        labels = g.integers(0, max(cols, 2), 7).astype(np.int32) if cols else np.zeros(7, np.int32)
        if cols == 0:
            continue
        out = Guarded((7, cols), backend.dtype)
        _native.smooth_targets(out.view, 0.3, binary, labels, backend.isa)
        assert_close(out.check(), oracle_losses.smoothed(labels, 0.3, cols, binary), 4 * backend.eps)
        t = g.uniform(0, 1, (7, cols)).astype(backend.dtype)
        out = Guarded(t.shape, backend.dtype, t)
        _native.smooth_targets(out.view, 0.3, binary, None, backend.isa)
        assert_close(out.check(), oracle_losses.smoothed(t, 0.3, cols, binary), 4 * backend.eps)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"name": "hinj"}, ValueError, ["loss", "hinj", "softmax_crossentropy"]),
        ({"target": np.zeros(3, np.int32)}, ValueError, ["loss", "target", "(2,)", "(3,)"]),
        ({"target": np.array([0, 3], np.int32)}, ValueError, ["loss", "target", "3"]),
        ({"target": np.array([0, -1], np.int32)}, ValueError, ["loss", "target", "-1"]),
        ({"target": np.zeros((2, 4), np.float32)}, ValueError, ["loss", "target", "(2, 3)", "(2, 4)"]),
        ({"dx": np.zeros((2, 4), np.float32)}, ValueError, ["loss", "dx", "(2, 3)", "(2, 4)"]),
        ({"weights": np.zeros(3, np.float32)}, ValueError, ["loss", "weights", "(2,)", "(3,)"]),
        ({"y": np.zeros((2, 3))}, TypeError, ["loss", "y", "float32", "float64"]),
        ({"name": "mean_squared_error"}, (TypeError, ValueError), ["loss", "target"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, error, words):
    call = {"name": "softmax_crossentropy", "x": np.zeros((2, 3), np.float32), "target": np.array([0, 2], np.int32)}
    with pytest.raises(error) as caught:
        _native.loss(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
