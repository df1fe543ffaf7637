"""Constraints, penalties and gradient accumulation: oracle ↔ float64, each ISA ↔ float64, nothing outside touched."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle_optimizers as oracle
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: [d for _, d in r["params"]] for r in _native.constraint_rows()}
PARAMS = ROWS | {"max_norm": [1.5], "min_max_norm": [1.2, 2.5, 0.7]}
SHAPES = [(0, 0), (0, 5), (5, 0), (1, 1), (3, 1), (1, 67), (7, 63), (5, 64), (4, 65), (9, 130), (300, 17)]
FACTORS = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.25, 0.125)]


def matrix(rows, cols, seed=0):
    """Columns of very different norms, zeros and a whole column of them included; exact in float32."""
    g = helpers.rng(rows, cols, seed)
    w = g.normal(size=(rows, cols)) * np.exp2(g.integers(-4, 4, cols))
    w[g.random((rows, cols)) < 0.1] = 0.0
    w[:, g.random(cols) < 0.1] = 0.0
    return w.astype(np.float32).astype(np.float64)


def test_catalogue():
    assert {k: v for k, v in ROWS.items() if v} == {"max_norm": [2.0], "min_max_norm": [0.0, 1.0, 1.0]}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_constraints_are_the_oracle(backend, name, shape):
    w = matrix(*shape)
    got = Guarded(shape, backend.dtype, w)
    _native.constrain(name, got.view, PARAMS[name], backend.isa)
    want = oracle.constrain(name, w, PARAMS[name])
    assert_close(got.check(), want, (2 + shape[0] * (backend.isa is None)) * backend.eps * np.abs(want) + 1e-300, name)


@pytest.mark.parametrize("name", ROWS)
def test_a_constraint_holds_and_is_idempotent(backend, name):
    w = matrix(40, 33).astype(backend.dtype)
    _native.constrain(name, w, ROWS[name], backend.isa)
    once = w.copy()
    norms = np.sqrt((w.astype(np.float64) ** 2).sum(axis=0))
    live = norms > 1e-3
    assert live.sum() > 20
    if name == "non_negative":
        assert (w >= 0).all()
        assert (w > 0).any()
    elif name == "unit_norm":
        np.testing.assert_allclose(norms[live], 1, atol=1e-5)
    else:
        assert (norms <= {"max_norm": 2.0, "min_max_norm": 1.0}[name] + 1e-6).all()
    _native.constrain(name, w, ROWS[name], backend.isa)
    assert_close(w, once, 1e-5 * np.abs(once), name)


@pytest.mark.parametrize("name", ROWS)
def test_all_tables_constrain_to_the_same_bits(isa, name):
    w = matrix(50, 71).astype(np.float32)
    reference = w.copy()
    _native.constrain(name, w, PARAMS[name], isa.isa)
    _native.constrain(name, reference, PARAMS[name], "baseline")
    np.testing.assert_array_equal(w, reference)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_spoils_its_column_only(backend, name, bad):
    w = matrix(6, 67).astype(backend.dtype)
    clean = w.copy()
    w[2, 65] = bad
    _native.constrain(name, w, PARAMS[name], backend.isa)
    _native.constrain(name, clean, PARAMS[name], backend.isa)
    others = np.arange(67) != 65
    np.testing.assert_array_equal(w[:, others], clean[:, others])
    if name == "non_negative":
        np.testing.assert_array_equal(w[2, 65], np.maximum(bad, 0))
    else:
        assert np.isnan(w[2, 65])


def test_norms_that_overflow_float32_are_right(isa):
    """The squares of 1e30 are beyond float32."""
    w = np.full((4, 3), 1e30, np.float32)
    _native.constrain("max_norm", w, [2.0], isa.isa)
    np.testing.assert_allclose(w, 1.0, rtol=1e-6)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_penalties_are_the_oracle(backend, shape, factors):
    w, g = matrix(*shape), matrix(*shape, seed=1)
    weights, gradient = Guarded(shape, backend.dtype, w, offset=2, pad=1), Guarded(shape, backend.dtype, g)
    value = _native.penalty(weights.view, *factors, backend.isa)
    assert_close(value, oracle.penalty(w, *factors), 1e-13 * oracle.penalty(w, *factors))
    norm = _native.penalty_gradient(weights.view, gradient.view, *factors, backend.isa)
    np.testing.assert_array_equal(weights.check(), w)
    want = g + oracle.penalty_gradient(w, *factors)
    terms = np.abs(g) + np.abs(oracle.penalty_gradient(np.abs(w), *factors))
    assert_close(gradient.check(), want, 4 * backend.eps * terms)
    exact = (gradient.check().astype(np.float64) ** 2).sum()
    assert_close(norm, exact, 1e-13 * exact)  # that of the new gradient, as it is stored


def test_penalties_are_differentiated():
    """The gradient against two-sided differences of the value, zero and negative weights included."""
    w = np.array([[0.5, -0.25, 2.0], [-1.5, 0.0, 0.75]])
    g = np.zeros_like(w)
    _native.penalty_gradient(w, g, 0.3, 0.2)
    for i in np.ndindex(w.shape):
        up, down = w.copy(), w.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        slope = (_native.penalty(up, 0.3, 0.2) - _native.penalty(down, 0.3, 0.2)) / 2e-6
        assert_close(g[i], slope, 1e-8)


def test_a_factor_of_zero_asks_nothing(backend):
    """The other sum may be infinite; NaN is passed on."""
    w = np.array([np.inf, 1.0], backend.dtype)
    assert _native.penalty(w, 0.0, 0.0, backend.isa) == 0.0
    assert _native.penalty(w, 0.1, 0.0, backend.isa) == np.inf
    for l1, l2 in [(0.1, 0.0), (0.0, 0.1)]:
        bad, g = np.array([1.0] * 20 + [np.nan], backend.dtype), np.zeros(21, backend.dtype)
        assert np.isnan(_native.penalty(bad, l1, l2, backend.isa))
        assert np.isnan(_native.penalty_gradient(bad, g, l1, l2, backend.isa))
        assert np.isnan(g[20])
        assert np.isfinite(g[:20]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_accumulation(backend, shape):
    """Three batches: two are added, the third leaves the mean of all; the sum is kept for a step that is refused."""
    batches = [matrix(*shape, seed=k) for k in range(3)]
    total = Guarded(shape, backend.dtype, np.zeros(shape), offset=3, pad=2)
    for number, batch in enumerate(batches):
        g = Guarded(shape, backend.dtype, batch)
        norm = _native.accumulate(total.view, g.view, 0.0 if number < 2 else 1 / 3, backend.isa)
        if number < 2:
            np.testing.assert_array_equal(g.check(), batch)
            want = sum(batches[: number + 1])
            assert_close(total.check(), want, 2 * backend.eps * sum(np.abs(b) for b in batches))
        exact = (g.check().astype(np.float64) ** 2).sum()
        assert_close(norm, exact, 1e-13 * exact)
    assert_close(g.check(), sum(batches) / 3, 3 * backend.eps * sum(np.abs(b) for b in batches))
    assert_close(total.check(), sum(batches[:2]), 2 * backend.eps * sum(np.abs(b) for b in batches))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: _native.constrain("max_norn", np.zeros((2, 2))), ValueError, ["constrain", "max_norm", "max_norn"]),
        (lambda: _native.constrain("unit_norm", np.zeros((2, 2), int)), TypeError, ["constrain", "w", "float64"]),
        (lambda: _native.constrain("unit_norm", np.zeros((2, 4))[:, ::2]), ValueError, ["constrain", "contiguous"]),
        (lambda: _native.penalty_gradient(np.zeros(2), np.zeros(3), 1, 1), ValueError, ["penalty_gradient", "g", "3"]),
        (lambda: _native.accumulate(np.zeros(2), np.zeros(2, np.float32), 0), TypeError, ["accumulate", "g"]),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_overlapping_memory_is_refused():
    x = np.zeros(10)
    with pytest.raises(ValueError, match=r"penalty_gradient.*overlap"):
        _native.penalty_gradient(x[:8], x[2:], 0.1, 0.1)
    with pytest.raises(ValueError, match=r"accumulate.*overlap"):
        _native.accumulate(x, x, 0.0)
