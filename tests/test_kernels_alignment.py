"""Arrays on and off the boundaries of 16 bytes, with and without gaps between rows, short and tall: what kernels that
read several numbers by one access do of each, against float64 by NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
from fusednet import _native
from helpers import Guarded, assert_close

# offset of the first element, gap between rows
LAYOUTS = [(0, 0), (0, 4), (0, 3), (1, 0), (2, 2)]
SHAPES = [(1, 1), (1, 4), (2, 6), (3, 4), (5, 12), (7, 64), (600, 8), (700, 6), (1100, 68)]
EACH = pytest.mark.parametrize("shape", SHAPES)
LAID = pytest.mark.parametrize("layout", LAYOUTS)


class Case:
    """Arrays of one layout; `exact` are their numbers in float64."""

    def __init__(self, backend, shape, layout):
        self.backend, self.shape, self.layout = backend, shape, layout
        self.g = helpers.rng(*shape, *layout)

    def laid(self, values, dtype=None):
        offset, pad = self.layout
        return Guarded(values.shape, dtype or self.backend.dtype, values, offset=offset, pad=pad)

    def drawn(self, shape=None, low=-2.0, high=2.0):
        exact = self.g.uniform(low, high, shape or self.shape).astype(np.float32).astype(np.float64)
        return self.laid(exact), exact

    def empty(self, shape=None):
        return self.laid(np.full(shape or self.shape, np.nan))

    def close(self, got, want, size=1.0):
        assert_close(got, want, 32 * self.backend.eps * (size + np.abs(want)))


@pytest.fixture
def case(backend, shape, layout):
    return Case(backend, shape, layout)


@EACH
@LAID
def test_element_by_element(case):
    isa = case.backend.isa
    (x, x64), (dy, dy64), (scale, scale64) = case.drawn(), case.drawn(), case.drawn(case.shape[:1])
    y, dx = case.empty(), case.empty()
    _native.activation_forward(x.view, y.view, "relu", [], isa)
    case.close(y.check(), np.maximum(x64, 0))
    _native.activation_backward(dy.view, y.view, dx.view, "relu", [], isa)
    case.close(dx.check(), dy64 * (x64 > 0))
    total = case.empty()
    _native.scaled_add(x.view, dy.view, scale.view, total.view, isa)
    case.close(total.check(), x64 + scale64[:, None] * dy64, 4)
    slope, slope64 = case.drawn()
    _native.activation_forward(x.view, y.view, "rrelu", [0.1, 0.3], isa, slope.view)
    case.close(y.check(), np.where(x64 > 0, x64, slope64 * x64))


@EACH
@LAID
@pytest.mark.parametrize("source", [np.uint8, np.float32, np.float64])
def test_gather(case, source):
    values = case.g.integers(0, 256, case.shape).astype(source)
    order = case.g.permutation(case.shape[0])
    out = case.empty()
    _native.gather(case.laid(values, source).view, order, out.view, case.backend.isa)
    np.testing.assert_array_equal(out.check(), values[order])


@EACH
@LAID
def test_update(case):
    size = case.shape[0] * case.shape[1]
    (w, w64), (g, g64) = case.drawn((size,)), case.drawn((size,))
    (m, m64), (v, v64) = case.drawn((size,)), case.drawn((size,), 0.5)
    rate, first, second, epsilon = hyper = [0.01, 0.9, 0.99, 1e-7]
    _native.optimizer_update("adam", w.view, g.view, [m.view, v.view], 3, hyper, isa=case.backend.isa)
    m64, v64 = first * m64 + (1 - first) * g64, second * v64 + (1 - second) * g64**2
    step = rate * np.sqrt(1 - second**3) / (1 - first**3)
    case.close(m.check(), m64)
    case.close(v.check(), v64)
    case.close(w.check(), w64 - step * m64 / (np.sqrt(v64) + epsilon))


@EACH
@LAID
def test_sums_over_all(case):
    (w, w64), (g, g64) = case.drawn(), case.drawn()
    assert _native.squared_norm(w.view, case.backend.isa) == pytest.approx((w64**2).sum(), rel=1e-12)
    got = _native.penalty_gradient(w.view, g.view, 0.5, 0.25, case.backend.isa)
    want = g64 + 0.5 * np.sign(w64) + 0.5 * w64
    case.close(g.check(), want)
    assert got == pytest.approx((g.check().astype(np.float64) ** 2).sum(), rel=1e-12)


@EACH
@LAID
@pytest.mark.parametrize("name", ["elu", "tanh", "relu", "linear"])
def test_down_the_columns(case, name):
    """Statistics, sums and both directions of BatchNormalization; tall arrays have several blocks a column."""
    isa, (rows, cols) = case.backend.isa, case.shape
    (x, x64), (dy, dy64) = case.drawn(), case.drawn()
    (gamma, gamma64), (beta, beta64) = case.drawn((cols,), 0.5), case.drawn((cols,))
    sums = case.empty((cols,))
    _native.column_sums(x.view, sums.view, isa)
    case.close(sums.check(), x64.sum(axis=0), np.abs(x64).sum(axis=0))
    mean, variance = case.empty((cols,)), case.empty((cols,))
    _native.batchnorm_statistics(x.view, mean.view, variance.view, isa)
    case.close(mean.check(), x64.mean(axis=0), 2)
    case.close(variance.check(), x64.var(axis=0))
    (mean, mean64), (variance, variance64) = case.drawn((cols,)), case.drawn((cols,), 0.5)
    stats, y, dx = (mean.view, variance.view, gamma.view, beta.view), case.empty(), case.empty()
    params = [1.0] if name == "elu" else []
    _native.batchnorm_forward(x.view, *stats, y.view, 1e-3, name, params, isa)
    hat = (x64 - mean64) / np.sqrt(variance64 + 1e-3)
    u = hat * gamma64 + beta64
    value = {"elu": np.where(u > 0, u, np.expm1(u)), "tanh": np.tanh(u), "relu": np.maximum(u, 0), "linear": u}[name]
    case.close(y.check(), value, 32)
    dgamma, dbeta = case.empty((cols,)), case.empty((cols,))
    _native.batchnorm_backward(
        dy.view, x.view, y.view, *stats, dx.view, dgamma.view, dbeta.view, 1e-3, name, params, True, isa
    )
    slope = {"elu": np.where(u > 0, 1, np.exp(u)), "tanh": 1 - np.tanh(u) ** 2, "relu": u > 0, "linear": 1}[name]
    du = dy64 * slope
    size = np.abs(dy64 * hat).sum(axis=0) + rows
    case.close(dbeta.check(), du.sum(axis=0), 32 * size)
    case.close(dgamma.check(), (du * hat).sum(axis=0), 32 * size)
    want = gamma64 / np.sqrt(variance64 + 1e-3) * (du - du.mean(axis=0) - hat * (du * hat).mean(axis=0))
    case.close(dx.check(), want, 256)
