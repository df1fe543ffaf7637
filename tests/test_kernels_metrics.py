"""Metrics: each table's sums, batch after batch, make what the definition gives of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle_losses
from fusednet import _native, metrics
from helpers import Guarded

ROWS = {r["name"]: r for r in _native.metric_rows()}
MORE = {"accuracy": [[0.3]], "top_k_accuracy": [[1], [3]], "precision": [[0.8]], "recall": [[0.1]]}
MORE["binary_accuracy"] = [[0.25]]
CASES = [(n, p) for n, r in ROWS.items() for p in [[value for _, value in r["params"]], *MORE.get(n, [])]]


def reported(name, sums, outputs):
    """The number that the row's class makes of the sums."""
    kind = next(k for k in vars(metrics).values() if isinstance(k, type) and getattr(k, "row", None) == name)
    return kind().result(sums, outputs)


def case(name, kind, rows, cols):
    """Outputs on a coarse grid, so that there are ties and values at thresholds; labels, classes or plain targets."""
    g = helpers.rng(rows, cols)
    x = g.integers(-2, 23, (rows, cols)) / 20
    if kind == "labels":
        return x, g.integers(0, max(cols, 2), rows).astype(np.int32)
    if name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        return x, g.integers(-9, 9, (rows, cols)) / 8
    if name in ("accuracy", "top_k_accuracy") and cols > 1:
        return x, oracle_losses.one_hot(g.integers(0, cols, rows), cols)
    return x, g.integers(0, 2, (rows, cols)).astype(float)


def count(name, x, t, params, isa, sums=None):
    fixed, per_output = ROWS[name]["sums"]
    guard = Guarded((fixed + per_output * x.shape[1],), np.float64, 0.0 if sums is None else sums)
    _native.metric(name, x, t, guard.view, params, isa)
    return guard.check()


def test_catalogue_is_whole():
    assert set(oracle_losses.METRICS) == set(ROWS)


@pytest.mark.parametrize(("name", "params"), CASES)
@pytest.mark.parametrize("kind", ["labels", "targets"])
def test_batches_add_up_to_the_definition(backend, name, params, kind):
    for cols in (c for c in backend.sizes if c > 0):
        x, t = case(name, kind, 67, cols)
        x = x.astype(backend.dtype)
        target = t if kind == "labels" else t.astype(backend.dtype)
        sums = None
        for batch in (slice(0, 1), slice(1, 1), slice(1, 40), slice(40, 67)):
            part = Guarded(x[batch].shape, backend.dtype, x[batch], pad=2).view
            sums = count(name, part, np.array(target[batch]), params, backend.isa, sums)
        with np.errstate(all="ignore"):
            scores = oracle_losses.metric(name, x, t, params)
        if name == "r2_score" and not np.isfinite(scores):  # an output whose labels are all equal: its own test
            continue
        # A float32 on a boundary between bins of the AUC may round to either side; 1e-2 is one sample of 67.
        bound = 1e-2 if name == "auc" and backend.isa else 1e-12
        assert reported(name, sums, cols) == pytest.approx(scores, rel=1e-9, abs=bound), (cols, kind)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_nothing_counts_nothing(backend, name):
    """No rows, or rows without columns: the sums stay 0 apart from the number of rows; the report is 0 or NaN."""
    for shape in ((0, 5), (0, 1), (3, 0)):
        x = np.zeros(shape, backend.dtype)
        sums = count(name, x, x, [value for _, value in ROWS[name]["params"]], backend.isa)
        assert sums[sums != shape[0]].sum() == 0
        if shape[0] == 0 and name != "r2_score":
            assert reported(name, sums, shape[1]) == 0.0


@pytest.mark.parametrize("name", sorted(ROWS))
def test_nan_is_no_answer(backend, name):
    """NaN neither crashes nor counts as right; what averages numbers becomes NaN."""
    params = [value for _, value in ROWS[name]["params"]]
    for cols in (1, 7):
        x, t = np.full((5, cols), np.nan, backend.dtype), np.ones(5, np.int32)
        value = reported(name, count(name, x, t, params, backend.isa), cols)
        if name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
            assert np.isnan(value)
        elif name == "binary_accuracy":
            assert value == pytest.approx(1 - 1 / cols)  # NaN is no yes, and of the labels' rows most are no
        else:
            assert value == 0.0 or (name == "auc" and 0 <= value <= 0.5)


def test_nan_is_not_the_first_class(backend):
    """The largest of a row that begins with NaN, or has nothing else, is none."""
    nan = np.nan
    x = np.array([[nan, nan, nan], [nan, 1.0, 2.0], [3.0, nan, 2.0], [1.0, nan, 2.0]], backend.dtype)
    assert count("accuracy", x, np.zeros(4, np.int32), [0.5], backend.isa).tolist() == [1.0, 4.0]


def test_infinite_outputs(backend):
    x = np.array([[np.inf], [-np.inf], [np.inf]], backend.dtype)
    labels = np.array([1, 0, 0], np.int32)
    assert reported("auc", count("auc", x, labels, [], backend.isa), 1) == 0.75
    assert reported("precision", count("precision", x, labels, [0.5], backend.isa), 1) == 0.5
    assert (
        reported("top_k_accuracy", count("top_k_accuracy", x.T.copy(), np.array([2], np.int32), [1], backend.isa), 3)
        == 1
    )


def test_golden_values(backend):
    """Four samples of one output. AUC: 3 of the 4 pairs are in order. R²: 1 - 0.6325 / 1."""
    x, t = np.array([[0.1], [0.4], [0.35], [0.8]], backend.dtype), np.array([0, 0, 1, 1], np.int32)
    for name, params, value in [
        ("auc", [], 0.75),
        ("precision", [0.3], 2 / 3),
        ("recall", [0.5], 0.5),
        ("binary_accuracy", [0.5], 0.75),
        ("accuracy", [0.5], 0.75),
        ("mean_squared_error", [], 0.6325 / 4),
        ("mean_absolute_error", [], 1.35 / 4),
        ("r2_score", [], 1 - 0.6325),
    ]:
        assert reported(name, count(name, x, t, params, backend.isa), 1) == pytest.approx(value, rel=1e-6), name
    t = np.array([[0.0], [0.4], [0.0], [0.0]], backend.dtype)  # any target but 0 is positive
    assert count("precision", x, t, [0.3], backend.isa).tolist() == [1, 3]
    assert count("recall", x, t, [0.3], backend.isa).tolist() == [1, 1]
    x, t = np.array([[0.5, 0.3, 0.3, 0.1]], backend.dtype), np.array([2], np.int32)
    counts = [count("top_k_accuracy", x, t, [k], backend.isa)[0] for k in (1, 2)]
    assert counts == [0, 1]  # the equal one before it does not push it out


def test_r2_of_equal_targets(backend):
    """A perfect constant is 0/0, as Keras reports it; a missed one counts 0."""
    t = np.full((4, 1), 2.0, backend.dtype)
    assert np.isnan(reported("r2_score", count("r2_score", t, t, [], backend.isa), 1))
    assert reported("r2_score", count("r2_score", t + 1, t, [], backend.isa), 1) == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "f1"}, ["metric", "f1", "accuracy"]),
        ({"target": np.array([0, 3], np.int32)}, ["metric", "target", "3"]),
        ({"target": np.zeros((2, 4), np.float32)}, ["metric", "target", "(2, 3)", "(2, 4)"]),
        ({"sums": np.zeros(3)}, ["metric", "sums", "(2,)", "(3,)"]),
        ({"sums": np.zeros(2, np.float32)}, ["metric", "sums", "float64", "float32"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, words):
    call = {"name": "accuracy", "x": np.zeros((2, 3), np.float32), "target": np.zeros(2, np.int32), "sums": np.zeros(2)}
    with pytest.raises((TypeError, ValueError)) as caught:
        _native.metric(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
