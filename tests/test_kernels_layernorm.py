"""Layer normalization and residual sums: oracle ↔ float64, differences ↔ float64, each ISA ↔ float64."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle_layers
from fusednet import _native, ops
from helpers import Guarded, assert_close

BATCHES = [0, 1, 2, 50, 131]
EPSILON = 1e-3


def case(rows, cols, seed=0):
    """x, gamma, beta, dy in float64, exactly representable in float32."""
    g = helpers.rng(rows, cols, seed)
    x = g.normal(1.5, 2.0, (rows, cols))
    values = x, g.normal(1, 0.3, cols), g.normal(0, 0.5, cols), g.normal(size=(rows, cols))
    return [v.astype(np.float32).astype(np.float64) for v in values]


def run(x, gamma, beta, dy, isa=None, y=None, dx=None):
    """y, mean, inverse, dx, dgamma, dbeta."""
    new = lambda n: np.full(n, np.nan, x.dtype)  # noqa: E731
    rows, cols = x.shape
    y = np.full(x.shape, np.nan, x.dtype) if y is None else y
    dx = np.full(x.shape, np.nan, x.dtype) if dx is None else dx
    mean, inverse, dgamma, dbeta = new(rows), new(rows), new(cols), new(cols)
    _native.layernorm_forward(x, gamma, beta, y, mean, inverse, EPSILON, isa)
    _native.layernorm_gradients(dy, x, mean, inverse, dgamma, dbeta, isa)
    _native.layernorm_backward(dy, x, gamma, mean, inverse, dx, isa)
    return y, mean, inverse, dx, dgamma, dbeta


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (37, 19), (70, 1), (5, 257)])
def test_float64_is_the_oracle(shape):
    x, gamma, beta, dy = case(*shape)
    for g, b in ((gamma, beta), (None, beta), (gamma, None), (None, None)):
        y, mean, inverse, *gradients = run(x, g, b, dy)
        scale, shift = 1.0 if g is None else g, 0.0 if b is None else b
        assert_close(y, oracle_layers.layer_norm(x, scale, shift, EPSILON), 1e-12)
        assert_close(mean, x.mean(axis=1), 1e-14)
        assert_close(inverse, 1 / np.sqrt(x.var(axis=1) + EPSILON), 1e-12 * inverse)
        want = oracle_layers.layer_norm_backward(dy, x, scale, EPSILON)
        for got, expected in zip(gradients, want, strict=True):
            assert_close(got, expected, 1e-11 * max(1, np.abs(expected).max()))


def test_float64_backward_is_the_difference():
    x, gamma, beta, dy = case(7, 13)
    g = helpers.rng(4)
    vx, vg, vb = g.normal(size=x.shape), g.normal(size=gamma.shape), g.normal(size=beta.shape)

    def f(t):
        return (run(x + t * vx, gamma + t * vg, beta + t * vb, dy)[0] * dy).sum()

    h = 1e-4
    numeric = (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)
    *_, dx, dgamma, dbeta = run(x, gamma, beta, dy)
    assert (dx * vx).sum() + (dgamma * vg).sum() + (dbeta * vb).sum() == pytest.approx(numeric, rel=1e-8)


def test_isa_is_float64(isa):
    """Strided, unaligned, guarded; the bound counts the roundings of what each result is made of."""
    for cols in isa.sizes:
        for rows in BATCHES:
            x, gamma, beta, dy = case(rows, cols)
            single = lambda v, **where: Guarded(v.shape, isa.dtype, v, **where).view  # noqa: E731
            y, dx = Guarded(x.shape, isa.dtype), Guarded(x.shape, isa.dtype, offset=2)
            mean, inverse = Guarded((rows,), isa.dtype), Guarded((rows,), isa.dtype)
            dgamma, dbeta = Guarded((cols,), isa.dtype), Guarded((cols,), isa.dtype)
            x1, dy1, weights = single(x, pad=5), single(dy, offset=3), single(gamma)
            _native.layernorm_forward(x1, weights, single(beta), y.view, mean.view, inverse.view, EPSILON, isa.isa)
            _native.layernorm_gradients(dy1, x1, mean.view, inverse.view, dgamma.view, dbeta.view, isa.isa)
            _native.layernorm_backward(dy1, x1, weights, mean.view, inverse.view, dx.view, isa.isa)
            if cols == 0:
                continue
            want = run(x, gamma, beta, dy)
            size = np.abs(x).max(axis=1, initial=0)
            assert_close(mean.check(), want[1], 2 * isa.eps * size)
            assert_close(inverse.check(), want[2], 4 * isa.eps * want[2])
            hat = isa.eps * (8 + 4 * want[2] * size)[:, None]  # error of x hat, in units of 1 + |x hat|
            x_hat = np.abs(x - want[1][:, None]) * want[2][:, None]
            assert_close(y.check(), want[0], hat * (1 + x_hat) * (np.abs(gamma) + np.abs(beta) + 1), f"y {x.shape}")
            g = np.abs(dy * gamma).max(axis=1, initial=0)[:, None]
            assert_close(dx.check(), want[3], 4 * hat * (1 + x_hat) ** 2 * (g + 1) * want[2][:, None] * 4, f"{x.shape}")
            sums = (rows**0.5 + 4) * isa.eps
            assert_close(dbeta.check(), want[5], sums * np.abs(dy).sum(axis=0) + 1e-30)
            bound = sums * (np.abs(dy) * x_hat).sum(axis=0) + (np.abs(dy) * hat * (1 + x_hat)).sum(axis=0)
            assert_close(dgamma.check(), want[4], bound + 1e-30, f"dgamma {x.shape}")


def test_a_large_mean_costs_no_digits(backend):
    """E[x²] - E[x]² would lose every digit here, and the rounding of the mean itself two."""
    noise = helpers.rng(9).integers(-8, 9, (5, 16 * backend.lanes + 3)) / 1024
    x = (noise + 10000).astype(backend.dtype)  # exact in float32
    y, mean, inverse = ops.layer_norm_forward(x, epsilon=0.0, isa=backend.isa)
    assert_close(inverse, 1 / noise.std(axis=1), 1e-6 * inverse)
    assert_close(mean, x.astype(np.float64).mean(axis=1), 1e4 * backend.eps)
    centered = noise - noise.mean(axis=1, keepdims=True)
    assert_close(y, centered / noise.std(axis=1, keepdims=True), 1e4 * backend.eps * inverse.max() * 1.1 + 1e-6)
    constant = np.full((3, 33), 3e4, backend.dtype)
    y, mean, inverse = ops.layer_norm_forward(constant, isa=backend.isa)
    assert (mean == 3e4).all()
    assert (y == 0).all()
    assert_close(inverse, [EPSILON**-0.5] * 3, 1e-5)


def test_one_feature_is_beta(backend):
    x, gamma, beta, dy = (v.astype(backend.dtype) for v in case(6, 1))
    y, dx, dgamma, dbeta = (run(x, gamma, beta, dy, backend.isa)[i] for i in (0, 3, 4, 5))
    np.testing.assert_array_equal(y, np.broadcast_to(beta, y.shape))
    assert (dx == 0).all()
    assert (dgamma == 0).all()
    assert_close(dbeta, dy.sum(axis=0, dtype=np.float64), 8 * backend.eps * np.abs(dy).sum())


def test_huge_values_do_not_overflow_the_sums(isa):
    x = np.array([[3e38, -3e38, 3e38, -3e38]], isa.dtype)
    _, mean, inverse = ops.layer_norm_forward(x, isa=isa.isa)
    assert mean[0] == 0
    assert inverse[0] == pytest.approx(1 / 3e38)


def test_nan_and_infinity_stay_in_their_row(backend):
    x, gamma, beta, dy = (v.astype(backend.dtype) for v in case(4, 2 * backend.lanes + 1))
    clean = run(x, gamma, beta, dy, backend.isa)
    x[1, 0], x[2, -1] = np.nan, np.inf
    y, *_ = dirty = run(x, gamma, beta, dy, backend.isa)
    assert np.isnan(y[1]).all()
    assert np.isnan(y[2]).any()
    for got, want in ((y, clean[0]), (dirty[3], clean[3])):
        np.testing.assert_array_equal(got[[0, 3]], want[[0, 3]])


def test_in_place_and_columns_by_panels_are_the_same_bits(backend):
    x, gamma, beta, dy = (v.astype(backend.dtype) for v in case(70, 50))
    y, mean, inverse, dx, dgamma, dbeta = run(x, gamma, beta, dy, backend.isa)
    held = dy.copy()
    _native.layernorm_backward(held, x, gamma, mean, inverse, held, backend.isa)
    np.testing.assert_array_equal(held, dx)
    held, m, s = x.copy(), np.empty_like(mean), np.empty_like(inverse)
    _native.layernorm_forward(held, gamma, beta, held, m, s, EPSILON, backend.isa)
    np.testing.assert_array_equal(held, y)
    for first, last in ((0, 16), (16, 48), (48, 50)):
        g, b = np.empty(last - first, backend.dtype), np.empty(last - first, backend.dtype)
        _native.layernorm_gradients(dy[:, first:last], x[:, first:last], mean, inverse, g, b, backend.isa)
        np.testing.assert_array_equal(g, dgamma[first:last])
        np.testing.assert_array_equal(b, dbeta[first:last])
    only = np.empty_like(dgamma)
    _native.layernorm_gradients(dy, x, mean, inverse, only, None, backend.isa)
    np.testing.assert_array_equal(only, dgamma)


# --- residual sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_a", [True, False])
@pytest.mark.parametrize("with_scale", [True, False])
def test_scaled_add(backend, with_a, with_scale):
    for cols in backend.sizes:
        for rows in (0, 1, 5):
            g = helpers.rng(rows, cols)
            a, b = (g.normal(size=(rows, cols)).astype(backend.dtype) for _ in range(2))
            scale = g.normal(size=rows).astype(backend.dtype)
            left, factors = a if with_a else None, scale if with_scale else None
            out = Guarded((rows, cols), backend.dtype)
            view = Guarded(b.shape, backend.dtype, b, offset=2, pad=4).view
            _native.scaled_add(left, view, factors, out.view, backend.isa)
            product = b.astype(np.float64) * (scale[:, None] if with_scale else 1)
            want = product + (a if with_a else 0)
            got = out.check()
            assert_close(got, want, 2 * backend.eps * (np.abs(product) + np.abs(want)))
            for source, keep in ((b, a), (a, b)) if with_a else ((b, a),):
                held = source.copy()
                left = (held if source is a else keep) if with_a else None
                _native.scaled_add(left, held if source is b else keep, factors, held, backend.isa)
                np.testing.assert_array_equal(held, got)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.layer_norm_forward(x, x[0, :2]), ValueError, "'gamma' expects shape (3,), got (2,)"),
        (lambda x: ops.layer_norm_forward(x, epsilon=-1), ValueError, "epsilon expects a finite number of at least 0"),
        (lambda x: ops.layer_norm_forward(x[0]), ValueError, "[layer_norm_forward] 'x' expects shape (n, c), got (3,)"),
        (
            lambda x: ops.layer_norm_backward(x, x[:1], x[:, 0], x[:, 0]),
            ValueError,
            "[layer_norm_backward] 'x' expects shape (2, 3), got (1, 3)",
        ),
        (lambda x: ops.layer_norm_backward(x, x, x[0], x[:, 0]), ValueError, "'mean' expects shape (2,), got (3,)"),
        (lambda x: ops.scaled_add(x[:1], x), ValueError, "[scaled_add] 'a' expects shape (2, 3), got (1, 3)"),
        (lambda x: ops.scaled_add(x, x, x[0]), ValueError, "[scaled_add] 'scale' expects shape (2,), got (3,)"),
    ],
)
def test_errors_name_op_argument_expected_and_given(call, error, message):
    x = np.ones((2, 3))
    with pytest.raises(error) as caught:
        call(x)
    assert message in str(caught.value)
    assert (x == 1).all()
