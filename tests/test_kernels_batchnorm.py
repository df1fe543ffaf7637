"""Batch normalization: oracle ↔ float64, differences ↔ float64, each ISA ↔ float64, golden values by hand."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import oracle_activations
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.activation_rows() if not r["row"]}
PARAMS = {n: [d for _, d in r["params"]] for n, r in ROWS.items()}
BATCHES = [1, 2, 3, 32, 50, 257]
CASES = [(n, kind) for n in ROWS for kind in ([None] if ROWS[n]["slope"] == "none" else ["row", "element"])]


def slopes(kind, shape):
    """Slopes of both signs in float64, exactly representable in float32."""
    if kind is None:
        return None
    drawn = helpers.rng(12, *shape).normal(0, 0.7, shape if kind == "element" else shape[-1:])
    return drawn.astype(np.float32).astype(np.float64)


def case(rows, cols, seed=0):
    """x, gamma, beta, dy in float64, exactly representable in float32."""
    g = helpers.rng(rows, cols, seed)
    x = g.normal(1.5, 2.0, (rows, cols))
    values = x, g.normal(1, 0.3, cols), g.normal(0, 0.5, cols), g.normal(size=(rows, cols))
    return [v.astype(np.float32).astype(np.float64) for v in values]


def statistics(x, isa=None):
    mean, variance = np.full(x.shape[1], np.nan, x.dtype), np.full(x.shape[1], np.nan, x.dtype)
    _native.batchnorm_statistics(x, mean, variance, isa)
    return mean, variance


# --- algebra: float64 against the oracle and against differences -----------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 33, 127, 128, 129, 257])
@pytest.mark.parametrize("name", ["linear", "elu", "silu"])
def test_own_statistics_leave_the_same_bits(backend, name, rows):
    """Found in the kernel that needs them, where there is one, or by one before it."""
    x, gamma, beta, _ = (a.astype(backend.dtype) for a in case(rows, 37))
    x = Guarded(x.shape, backend.dtype, x, offset=1, pad=2)
    y, own_y = (Guarded((rows, 37), backend.dtype, np.full((rows, 37), np.nan), pad=3) for _ in range(2))
    mean, variance = (np.full(37, np.nan, backend.dtype) for _ in range(2))
    _native.batchnorm_statistics(x.view, mean, variance, backend.isa)
    _native.batchnorm_forward(
        x.view, mean, variance, gamma, beta, y.view, 1e-3, name, PARAMS[name], backend.isa, None, False
    )
    own = [np.full(37, np.nan, backend.dtype) for _ in range(2)]
    _native.batchnorm_forward(x.view, *own, gamma, beta, own_y.view, 1e-3, name, PARAMS[name], backend.isa, None, True)
    for got, want in zip((*own, own_y.check()), (mean, variance, y.check()), strict=True):
        np.testing.assert_array_equal(got, want)
    _native.batchnorm_forward(  # in x's place
        x.view, *own, gamma, beta, x.view, 1e-3, name, PARAMS[name], backend.isa, None, True
    )
    np.testing.assert_array_equal(x.check(), own_y.check())


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_float64_is_the_oracle(name, kind, training):
    x, gamma, beta, dy = case(137, 19)
    slope = slopes(kind, x.shape)
    mean, variance = statistics(x) if training else (x[0] * 0.9, np.abs(x[1]) + 0.1)
    if training:
        for got, want in zip((mean, variance), oracle.batchnorm_statistics(x), strict=True):
            assert_close(got, want, 1e-13)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    dgamma, dbeta = np.full_like(gamma, np.nan), np.full_like(gamma, np.nan)
    _native.batchnorm_forward(x, mean, variance, gamma, beta, y, 1e-3, name, PARAMS[name], slope=slope)
    z = oracle.batchnorm(x, mean, variance, gamma, beta, 1e-3)
    want = oracle.activation(name, PARAMS[name], z, slope)
    assert_close(y, want, 1e-12 * np.maximum(1, np.abs(want)))
    dslope = np.full_like(gamma, np.nan) if ROWS[name]["slope"] == "learned" else None
    _native.batchnorm_backward(
        dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta, 1e-3, name, PARAMS[name], training,
        slope=slope, dslope=dslope,
    )  # fmt: skip
    if dslope is not None:
        assert_close(dslope, oracle.slope_gradient(dy, z), 1e-12 * np.abs(dy).sum())
    dz = oracle.activation_backward(name, PARAMS[name], dy, z, slope)
    want = oracle.batchnorm_backward(dz, x, mean, variance, gamma, 1e-3, training)
    for got, expected in zip((dx, dgamma, dbeta), want, strict=True):
        assert_close(got, expected, 1e-12 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["linear", "tanh", "elu", "silu"])
def test_float64_backward_is_the_difference(name):
    """Directional derivatives under a random cotangent: a uniform one would be 0 whatever the kernel does."""
    x, gamma, beta, dy = case(17, 5)
    g = helpers.rng(4)
    vx, vg, vb = g.normal(size=x.shape), g.normal(size=gamma.shape), g.normal(size=beta.shape)

    def f(t):
        xt, gt, bt, out = x + t * vx, gamma + t * vg, beta + t * vb, np.empty_like(x)
        _native.batchnorm_forward(xt, *statistics(xt), gt, bt, out, 1e-3, name, PARAMS[name])
        return (out * dy).sum()

    h = 1e-4
    numeric = (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)
    mean, variance = statistics(x)
    y, dx, dgamma, dbeta = np.empty_like(x), np.empty_like(x), np.empty_like(gamma), np.empty_like(beta)
    _native.batchnorm_forward(x, mean, variance, gamma, beta, y, 1e-3, name, PARAMS[name])
    _native.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta, 1e-3, name, PARAMS[name])
    assert (dx * vx).sum() + (dgamma * vg).sum() + (dbeta * vb).sum() == pytest.approx(numeric, rel=1e-8)


# --- numerics: each ISA against float64 ------------------------------------------------------------------------------


def test_isa_statistics(isa):
    for cols in isa.sizes:
        for rows in BATCHES:
            x = case(rows, cols)[0]
            mean, variance = Guarded((cols,), isa.dtype), Guarded((cols,), isa.dtype)
            _native.batchnorm_statistics(Guarded(x.shape, isa.dtype, x).view, mean.view, variance.view, isa.isa)
            want_mean, want_variance = statistics(x)
            size = np.abs(x).max(axis=0, initial=0)
            assert_close(mean.check(), want_mean, (rows**0.5 + 2) * isa.eps * size, f"mean {x.shape}")
            bound = (rows**0.5 + 6) * isa.eps * (want_variance + isa.eps * size**2)
            assert_close(variance.check(), want_variance, bound, f"variance {x.shape}")


def test_statistics_survive_a_large_offset(backend):
    """E[x²] - E[x]² would lose every digit here; two passes keep them."""
    noise = helpers.rng(9).integers(-8, 9, (256, 2 * backend.lanes + 3)) / 8
    x = (noise + 10000).astype(backend.dtype)  # exact in float32
    _, variance = statistics(x, backend.isa)
    assert_close(variance, noise.var(axis=0), 1e-5 * noise.var(axis=0))
    constant = np.full((50, 33), 3e4, backend.dtype)
    mean, variance = statistics(constant, backend.isa)
    assert (mean == 3e4).all()
    assert (variance == 0).all()


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_isa_is_float64(isa, name, kind, training):
    params, kinks = PARAMS[name], oracle_activations.KINKS.get(name, (0.0,))
    learned = ROWS[name]["slope"] == "learned"
    for cols in isa.sizes:
        for rows in (1, 2, 50):
            x, gamma, beta, dy = case(rows, cols)
            mean, variance = (v.astype(np.float32).astype(np.float64) for v in statistics(x))
            single = lambda v, **where: Guarded(v.shape, isa.dtype, v, **where).view  # noqa: E731
            exact = [np.full(s, np.nan) for s in (x.shape, x.shape, gamma.shape, beta.shape)]
            exact_dslope, dslope = np.full_like(gamma, np.nan), Guarded((cols,), isa.dtype)
            slope64 = slopes(kind, x.shape)
            slope = slope64 if kind is None else single(slope64, pad=4)
            _native.batchnorm_forward(x, mean, variance, gamma, beta, exact[0], 1e-3, name, params, slope=slope64)
            y = Guarded(x.shape, isa.dtype)
            stats = single(mean), single(variance), single(gamma), single(beta)
            _native.batchnorm_forward(single(x, pad=5), *stats, y.view, 1e-3, name, params, isa.isa, slope)
            scale = np.abs(gamma) / np.sqrt(variance + 1e-3) if cols else gamma
            size = scale * (np.abs(x) + np.abs(mean)) + np.abs(beta)
            got = y.check()
            grows = np.maximum(1, np.abs(exact[0])) if name == "exponential" else 1.2  # the largest |f'|
            bound = 8 * isa.eps * (size * grows + np.abs(exact[0]))
            assert_close(got, exact[0], bound, f"{name} forward {x.shape}")

            dx, dgamma, dbeta = Guarded(x.shape, isa.dtype), Guarded((cols,), isa.dtype), Guarded((cols,), isa.dtype)
            saved = got.astype(np.float64)
            _native.batchnorm_backward(
                dy, x, saved, mean, variance, gamma, beta, *exact[1:], 1e-3, name, params, training,
                slope=slope64, dslope=exact_dslope if learned else None,
            )  # fmt: skip
            _native.batchnorm_backward(
                single(dy, offset=2), single(x), single(saved, pad=0), *stats, dx.view, dgamma.view, dbeta.view,
                1e-3, name, params, training, isa.isa, slope, dslope.view if learned else None,
            )  # fmt: skip
            # A kinked f' may fall to the other side where z is within an error of 0: leave those columns out.
            z = oracle.batchnorm(x, mean, variance, gamma, beta, 1e-3)
            ok = np.all([np.abs(z - kink) > 1e-5 for kink in kinks], axis=0).all(axis=0)
            x_hat = (np.abs(x) + np.abs(mean)) / np.sqrt(variance + 1e-3)
            # f' up to 2, f'' up to 1; the argument of f' is itself rounded
            flow = (2.0 + size * (not ROWS[name]["from_output"])) * np.abs(dy) * grows
            k = 3 * rows**0.5 + 12
            what = f"{name} backward {x.shape}"
            assert_close(dbeta.check()[ok], exact[3][ok], (k * isa.eps * flow.sum(axis=0))[ok], what)
            assert_close(dgamma.check()[ok], exact[2][ok], (k * isa.eps * (flow * x_hat).sum(axis=0))[ok], what)
            if learned:
                error = k * isa.eps * (np.abs(dy) * size).sum(axis=0)
                assert_close(dslope.check()[ok], exact_dslope[ok], error[ok], what)
            spread = scale * (flow + flow.mean(axis=0) + x_hat * (flow * x_hat).mean(axis=0))
            assert_close(dx.check()[:, ok], exact[1][:, ok], (k * isa.eps * spread)[:, ok], what)


def test_null_gamma_and_beta_are_one_and_zero(backend):
    x, _, _, dy = (v.astype(backend.dtype) for v in case(20, 2 * backend.lanes + 1))
    ones, zeros = np.ones(x.shape[1], backend.dtype), np.zeros(x.shape[1], backend.dtype)
    mean, variance = statistics(x, backend.isa)
    results = []
    for gamma, beta in ((None, None), (ones, zeros)):
        y, dx = np.empty_like(x), np.empty_like(x)
        _native.batchnorm_forward(x, mean, variance, gamma, beta, y, isa=backend.isa)
        _native.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, dx, None, None, isa=backend.isa)
        results.append((y, dx))
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_in_place_is_the_same_bits(backend, name, kind, training):
    """dx may be dy and y may be x; without training and gradients of parameters there is one pass only."""
    x, gamma, beta, dy = (v.astype(backend.dtype) for v in case(20, 2 * backend.lanes + 1))
    mean, variance = statistics(x, backend.isa)
    y, dx, x2 = np.empty_like(x), np.empty_like(x), x.copy()
    slope = None if kind is None else slopes(kind, x.shape).astype(backend.dtype)
    row = 1e-3, name, PARAMS[name]
    _native.batchnorm_forward(x, mean, variance, gamma, beta, y, *row, backend.isa, slope)
    _native.batchnorm_forward(x2, mean, variance, gamma, beta, x2, *row, backend.isa, slope)
    np.testing.assert_array_equal(x2, y)
    for out in (dx, dy):
        _native.batchnorm_backward(
            dy, x, y, mean, variance, gamma, beta, out, None, None, *row, training, backend.isa, slope
        )
    np.testing.assert_array_equal(dy, dx)


def test_batch_of_one_is_finite(backend):
    """One row: the variance is 0, ε keeps the quotient finite, and y is beta."""
    x, gamma, beta, dy = (v.astype(backend.dtype) for v in case(1, 21))
    mean, variance = statistics(x, backend.isa)
    y, dx = np.empty_like(x), np.empty_like(x)
    _native.batchnorm_forward(x, mean, variance, gamma, beta, y, isa=backend.isa)
    _native.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, dx, None, None, isa=backend.isa)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(y[0], beta)
    assert np.abs(dx).max() < 1e-3  # the batch's own mean takes the gradient away


# --- golden values, by hand from Keras's documented formulas ---------------------------------------------------------


def test_golden_forward_and_backward(backend):
    """x = 1, 3, 5, 7: mean 4, biased variance (9+1+1+9)/4 = 5; ε = 4, so sqrt(5 + 4) = 3 and x̂ = -1, -1/3, 1/3, 1.

    y = 6 x̂ + 0.5 = -5.5, -1.5, 2.5, 6.5.
    dy = 1, 0, 0, 0: dbeta = 1, dgamma = x̂₁ = -1;
    dx = γ/3 (dy - mean(dy) - x̂ mean(dy x̂)) = 2 (dy - 1/4 + x̂/4) = 1, -2/3, -1/3, 0.
    (x̂ has the mean square 5/9, not 1: ε is that large; the formula with 1/sqrt(var + ε) holds all the same.)
    """
    x = np.array([[1.0], [3], [5], [7]], backend.dtype)
    dy = np.array([[1.0], [0], [0], [0]], backend.dtype)
    gamma, beta = np.array([6.0], backend.dtype), np.array([0.5], backend.dtype)
    mean, variance = statistics(x, backend.isa)
    y, dx, dgamma, dbeta = np.empty_like(x), np.empty_like(x), np.empty_like(gamma), np.empty_like(beta)
    _native.batchnorm_forward(x, mean, variance, gamma, beta, y, 4.0, isa=backend.isa)
    _native.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta, 4.0, isa=backend.isa)
    near = 8 * backend.eps
    assert (mean[0], variance[0]) == (4, 5)
    assert_close(y[:, 0], [-5.5, -1.5, 2.5, 6.5], near * 10)
    assert_close(dx[:, 0], [1, -2 / 3, -1 / 3, 0], near)
    assert_close(dgamma, [-1], near)
    assert_close(dbeta, [1], near)


def test_golden_moving_average(backend):
    """Momentum 0.99 keeps 99 %: 0.99·1 + 0.01·5 = 1.04, and twice: 0.99·1.04 + 0.01·5 = 1.0796."""
    moving, value = np.ones(3, backend.dtype), np.full(3, 5, backend.dtype)
    _native.moving_average(moving, value, 0.99, backend.isa)
    assert_close(moving, [1.04] * 3, 3 * backend.eps)
    _native.moving_average(moving, value, 0.99, backend.isa)
    assert_close(moving, [1.0796] * 3, 5 * backend.eps)


def test_moving_average_sizes(isa):
    for n in isa.sizes:
        moving, value = (helpers.rng(n, k).normal(size=n).astype(isa.dtype) for k in range(2))
        out = Guarded((n,), isa.dtype, moving)
        _native.moving_average(out.view, value, 0.9, isa.isa)
        want = oracle.moving_average(moving.astype(np.float64), value, 0.9)
        assert_close(out.check(), want, 4 * isa.eps * (np.abs(moving) + np.abs(value)))


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"gamma": np.zeros(4, np.float32)}, ValueError, ["[batchnorm_forward] 'gamma' expects shape (3,), got (4,)"]),
        ({"mean": np.zeros(2, np.float32)}, ValueError, ["batchnorm_forward", "mean", "(3,)", "(2,)"]),
        ({"out": np.zeros((3, 2), np.float32)}, ValueError, ["batchnorm_forward", "out", "(2, 3)", "(3, 2)"]),
        ({"beta": np.zeros(3)}, TypeError, ["batchnorm_forward", "beta", "float32", "float64"]),
        ({"activation": "rilu"}, ValueError, ["batchnorm_forward", "rilu", "relu"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, error, words):
    vector, matrix = np.ones(3, np.float32), np.ones((2, 3), np.float32)
    call = {"x": matrix, "mean": vector, "variance": vector, "gamma": vector, "beta": vector, "out": matrix.copy()}
    with pytest.raises(error) as caught:
        _native.batchnorm_forward(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
