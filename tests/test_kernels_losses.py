"""Losses and their gradients, accuracy, gathering of rows: oracle ↔ float64, differences, each ISA ↔ float64."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.loss_rows()}
LOGITS = {"softmax_crossentropy": oracle.softmax, "sigmoid_crossentropy": oracle.sigmoid}
CASES = [(name, kind) for name, row in ROWS.items() for kind in (["labels"] if row["labels"] else []) + ["targets"]]


def case(name, kind, rows, cols, seed=0):
    """Outputs in the loss's domain, and targets: labels, one-hot rows or any numbers between 0 and 1."""
    g = helpers.rng(rows, cols, seed)
    x = g.normal(0, 2, (rows, cols))
    if name == "binary_crossentropy":
        x = oracle.sigmoid(x)
    elif name == "crossentropy":
        x = g.uniform(0.05, 1, (rows, cols))  # not normalised: the kernel divides by the sum
    x = x.astype(np.float32).astype(np.float64)
    if kind == "labels":
        return x, g.integers(0, max(cols, 1), rows).astype(np.int32)
    if ROWS[name]["labels"]:
        t = g.uniform(0, 1, (rows, cols))
        return x, (t / t.sum(axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    return x, g.uniform(0, 1, (rows, cols)).astype(np.float32).astype(np.float64)


def run(name, x, target, scale=1.0, isa=None):
    """loss, probabilities (or None), gradient; outputs guarded and poisoned."""
    y = Guarded(x.shape, x.dtype, offset=3) if name in LOGITS else None
    dx = Guarded(x.shape, x.dtype, pad=2)
    value = _native.loss(name, x, target, y.view if y else None, dx.view, scale, isa)
    return value, y.check() if y else None, dx.check()


def test_catalogue_is_whole():
    assert set(oracle.LOSSES) <= set(ROWS)
    assert {n for n, r in ROWS.items() if r["labels"]} >= {"softmax_crossentropy", "crossentropy"}


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_float64_is_the_oracle(name, kind):
    x, t = case(name, kind, 23, 11)
    value, y, dx = run(name, x, t, 0.37)
    want, gradient = oracle.loss(name, x, t)
    assert value == pytest.approx(want.sum(), rel=1e-12)
    assert_close(dx, 0.37 * gradient, 1e-12 * np.abs(gradient).max())
    if y is not None:
        assert_close(y, LOGITS[name](x), 1e-12)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_float64_gradient_is_the_difference(name, kind):
    x, t = case(name, kind, 5, 7)
    dx = run(name, x, t)[2]
    v = helpers.rng(8).normal(size=x.shape)
    h = 1e-5
    f = {k: _native.loss(name, x + k * h * v, t) for k in (-2, -1, 1, 2)}
    numeric = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
    assert (dx * v).sum() == pytest.approx(numeric, abs=1e-9 * np.abs(dx * v).sum())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_isa_is_float64(isa, name, kind):
    for cols in (c for c in isa.sizes if c > (kind == "labels")):  # one column takes targets
        for rows in (1, 3, 50):
            x, t = case(name, kind, rows, cols)
            scale = 1 / rows
            want, want_y, want_dx = run(name, x, t, scale)
            single = Guarded(x.shape, isa.dtype, x, pad=5).view
            target = t if kind == "labels" else Guarded(t.shape, isa.dtype, t, offset=3).view
            got, y, dx = run(name, single, target, scale, isa.isa)
            k = 12 + 2 * cols**0.5
            # The loss is a difference of numbers as large as the largest logit or the logarithm of the columns.
            assert got == pytest.approx(want, abs=k * isa.eps * rows * (1 + np.abs(x).max() + np.log(cols)))
            size = scale * (np.abs(oracle.loss(name, x, t)[1]) + (1 if name in LOGITS else np.abs(x) + 1))
            assert_close(dx, want_dx, k * isa.eps * size, f"{name} {x.shape}")
            if y is not None:
                assert_close(
                    y, want_y, (k + 2 * np.abs(x).max()) * isa.eps * want_y + helpers.TINY, f"{name} {x.shape}"
                )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_outputs_may_be_left_out_or_shared(backend, name, kind):
    """Without y, without dx, or with dx over x or y, the numbers are the same bits."""
    x, t = case(name, kind, 9, 2 * backend.lanes + 1)
    x, t = x.astype(backend.dtype), t if kind == "labels" else t.astype(backend.dtype)
    value, y, dx = run(name, x, t, 0.5, backend.isa)
    assert _native.loss(name, x, t, None, None, 0.5, backend.isa) == value
    over_x = x.copy()
    assert _native.loss(name, over_x, t, None, over_x, 0.5, backend.isa) == value
    np.testing.assert_array_equal(over_x, dx)
    if y is not None:
        over_y, over_x = np.empty_like(x), x.copy()
        assert _native.loss(name, x, t, over_y, over_y, 0.5, backend.isa) == value
        np.testing.assert_array_equal(over_y, dx)
        assert _native.loss(name, over_x, t, over_x, None, 0.5, backend.isa) == value
        np.testing.assert_array_equal(over_x, y)


def test_labels_are_one_hot_targets(backend):
    for name in (n for n, r in ROWS.items() if r["labels"]):
        x, labels = case(name, "labels", 20, 10)
        x = x.astype(backend.dtype)
        value, _, dx = run(name, x, labels, 0.1, backend.isa)
        other, _, other_dx = run(name, x, oracle.one_hot(labels, 10).astype(backend.dtype), 0.1, backend.isa)
        assert value == pytest.approx(other, rel=4 * backend.eps)
        assert_close(dx, other_dx, 4 * backend.eps)


@pytest.mark.parametrize("name", sorted(LOGITS))
def test_logits_of_1e30_are_finite(backend, name):
    """Right by far costs nothing; wrong by far costs the distance. No overflow on the way."""
    cols = 2 * backend.lanes + 1
    x = np.full((2, cols), -1e30, backend.dtype)
    x[:, 1] = 1e30
    t = np.zeros_like(x)
    t[0, 1] = t[1, 0] = 1
    value, y, dx = run(name, x, t, 1.0, backend.isa)
    per = cols if name == "sigmoid_crossentropy" else 1
    assert value == pytest.approx(2e30 / per, rel=1e-6)  # the second row: logits of both signs are wrong
    np.testing.assert_array_equal(y, np.where(x > 0, 1, 0).astype(backend.dtype))
    assert_close(dx, (y.astype(np.float64) - t) / per, 1e-7)
    assert _native.loss(name, x[:1], t[:1], isa=backend.isa) == 0


def test_probabilities_are_clipped_as_in_keras(backend):
    """A probability of exactly 0 costs -log(1e-7) = 16.118…, not infinity."""
    x, t = np.array([[0.0, 1.0]], backend.dtype), np.array([[1.0, 0.0]], backend.dtype)
    price = -np.log(1e-7)
    got = _native.loss("crossentropy", x, t, isa=backend.isa)
    assert got == pytest.approx(price, rel=1e-6)
    value, _, dx = run("binary_crossentropy", x, t, 1.0, backend.isa)
    assert np.isfinite(dx).all()
    # In float32 the largest number below 1 is 1 - 6e-8, and 1 - 1e-7 rounds to 1 - 1.2e-7.
    assert value == pytest.approx(price, rel=1e-10 if backend.name == "float64" else 0.011)


def test_nonfinite_outputs_reach_the_loss(backend):
    for name, kind in CASES:
        x, t = case(name, kind, 4, 2 * backend.lanes + 1)
        x, t = x.astype(backend.dtype), t if kind == "labels" else t.astype(backend.dtype)
        x[2, 1] = np.nan
        assert np.isnan(_native.loss(name, x, t, isa=backend.isa)), (name, kind)


def test_golden_values(backend):
    """Softmax of (0, ln 3) is (1/4, 3/4): loss ln 4 for label 0. Sigmoid of ln 3 is 3/4: loss ln(4/3) for target 1.

    Squares: ((1-3)² + (2-2)²)/2 = 2, gradient (1-3, 0). Binary: -ln(0.8) for p = 0.8, t = 1; gradient -1/0.8.
    """
    near = 8 * backend.eps
    row = lambda *v: np.array([v], backend.dtype)  # noqa: E731
    for name, x, t, value, gradient in [
        ("softmax_crossentropy", row(0, np.log(3)), np.array([0], np.int32), np.log(4), [-0.75, 0.75]),
        ("sigmoid_crossentropy", row(np.log(3)), row(1), np.log(4 / 3), [-0.25]),
        ("mean_squared_error", row(1, 2), row(3, 2), 2, [-2, 0]),
        ("binary_crossentropy", row(0.8), row(1), -np.log(0.8), [-1.25]),
        ("crossentropy", row(1, 3), np.array([0], np.int32), np.log(4), [-0.75, 0.25]),
    ]:
        got, _, dx = run(name, x, t, 1.0, backend.isa)
        assert got == pytest.approx(value, rel=near), name
        assert_close(dx[0], gradient, 2 * near, name)


# --- accuracy --------------------------------------------------------------------------------------------------------


def test_accuracy(backend):
    for cols in (c for c in backend.sizes if c > 1):
        g = helpers.rng(cols)
        x = g.integers(0, 5, (67, cols)).astype(backend.dtype)  # many ties: the first of equals counts
        labels = g.integers(0, cols, 67).astype(np.int32)
        labels[::3] = x[::3].argmax(axis=1)
        view = Guarded(x.shape, backend.dtype, x).view
        want = int((x.argmax(axis=1) == labels).sum())
        assert _native.accuracy(view, labels, isa=backend.isa) == want
        targets = Guarded(x.shape, backend.dtype, oracle.one_hot(labels, cols), pad=1).view
        assert _native.accuracy(view, targets, isa=backend.isa) == want


def test_accuracy_of_one_column_is_a_threshold(backend):
    x = np.array([[0.2], [0.5], [0.7], [0.9]], backend.dtype)
    t = np.array([[0], [0], [1], [0]], backend.dtype)
    assert _native.accuracy(x, t, 0.5, backend.isa) == 3
    assert _native.accuracy(x, t[:, 0].astype(np.int32), 0.5, backend.isa) == 3
    assert _native.accuracy(x, t, 0.0, backend.isa) == 1


# --- gathering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [np.uint8, np.float32, np.float64])
def test_gather(backend, source):
    for cols in backend.sizes:
        g = helpers.rng(cols)
        wide = g.integers(0, 256, (9, cols + 2)).astype(source)
        order = g.permutation(9)[:5].astype(np.int64)
        for picked in (order, None):
            out = Guarded((len(order) if picked is not None else 9, cols), backend.dtype)
            _native.gather(wide[:, 1 : cols + 1], picked, out.view, backend.isa)
            rows = wide[:, 1 : cols + 1]
            np.testing.assert_array_equal(out.check(), rows[order] if picked is not None else rows)


def test_first_nonfinite_row():
    for dtype in (np.float32, np.float64):
        x = Guarded((9, 21), dtype, np.ones((9, 21))).view
        assert _native.first_nonfinite_row(x) == -1
        for value in (np.nan, np.inf, -np.inf):
            x[4:, :] = 1
            x[6, 20] = x[8, 0] = value
            assert _native.first_nonfinite_row(x) == 6
            x[6:] = 1
        x[0, 0] = np.finfo(dtype).max
        assert _native.first_nonfinite_row(x) == -1  # large is not infinite


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"name": "hinge"}, ValueError, ["loss", "hinge", "softmax_crossentropy"]),
        ({"target": np.zeros(3, np.int32)}, ValueError, ["loss", "target", "(2,)", "(3,)"]),
        ({"target": np.array([0, 3], np.int32)}, ValueError, ["loss", "target", "3"]),
        ({"target": np.array([0, -1], np.int32)}, ValueError, ["loss", "target", "-1"]),
        ({"target": np.zeros((2, 4), np.float32)}, ValueError, ["loss", "target", "(2, 3)", "(2, 4)"]),
        ({"dx": np.zeros((2, 4), np.float32)}, ValueError, ["loss", "dx", "(2, 3)", "(2, 4)"]),
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


def test_gather_refuses_rows_out_of_range():
    x, out = np.zeros((4, 3), np.float32), np.zeros((2, 3), np.float32)
    for bad in (4, -1):
        with pytest.raises((IndexError, ValueError), match=r"gather.*order"):
            _native.gather(x, np.array([0, bad]), out)
