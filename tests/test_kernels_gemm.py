"""The matrix product with its epilogue: every layout, tails, strides, and an error bound."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native
from helpers import Guarded, assert_close

# The last two have panels of 256 columns, whose rows of A are packed, and more than the second-level cache holds.
SHAPES = [
    (1, 1, 1), (1, 10, 3), (5, 1, 7), (2, 3, 1), (8, 48, 16), (9, 49, 17), (50, 300, 784), (50, 10, 100),
    (67, 131, 200), (13, 33, 3000), (128, 16, 64), (7, 200, 31), (199, 67, 5), (6, 16, 257), (31, 95, 129),
    (1, 200, 300), (200, 1, 300), (3, 2, 9000), (20, 20, 8200), (37, 35, 64), (65, 65, 65), (200, 300, 512),
    (130, 516, 1024), (577, 515, 37), (1, 4161, 5), (700, 1, 400), (22, 2070, 600), (25, 2304, 512),
]  # fmt: skip
LAYOUTS = ["nn", "tn", "nt", "tt", "strided"]


def operand(shape, data, dtype, transposed, pad):
    """The matrix as a view: stored transposed or not, with `pad` elements between stored rows, off alignment."""
    rows, cols = shape[::-1] if transposed else shape
    view = Guarded((rows, cols), dtype, data.T if transposed else data, offset=1, pad=pad).view
    return view.T if transposed else view


def operands(layout, a, b, dtype):
    pad = 3 if layout == "strided" else 0
    return (
        operand(a.shape, a, dtype, layout in ("tn", "tt"), pad),
        operand(b.shape, b, dtype, layout in ("nt", "tt"), pad),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_integers_are_exact(backend, layout):
    """Every sum of small integers is exact in float32: a term lost, doubled or misplaced cannot hide in a bound."""
    for m, n, k in SHAPES:
        g = helpers.rng(m, n, k)
        a, b = g.integers(-8, 9, (m, k)).astype(float), g.integers(-8, 9, (k, n)).astype(float)
        bias, start = g.integers(-99, 99, n).astype(float), g.integers(-99, 99, (m, n)).astype(float)
        va, vb = operands(layout, a, b, backend.dtype)
        out = Guarded((m, n), backend.dtype)  # poisoned: what is not accumulated must not be read
        _native.gemm(va, vb, out.view, isa=backend.isa)
        np.testing.assert_array_equal(out.check(), a @ b, err_msg=f"{m, n, k}")
        _native.gemm(va, vb, out.view, bias=bias.astype(backend.dtype), isa=backend.isa)
        np.testing.assert_array_equal(out.check(), a @ b + bias, err_msg=f"{m, n, k} bias")
        out = Guarded((m, n), backend.dtype, start, pad=0)
        _native.gemm(va, vb, out.view, accumulate=True, isa=backend.isa)
        np.testing.assert_array_equal(out.check(), a @ b + start, err_msg=f"{m, n, k} accumulate")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_error_bound(backend, layout):
    for m, n, k in SHAPES:
        g = helpers.rng(m, n, k, 1)
        a, b = (g.normal(size=s).astype(np.float32).astype(np.float64) for s in ((m, k), (k, n)))
        out = Guarded((m, n), backend.dtype)
        _native.gemm(*operands(layout, a, b, backend.dtype), out.view, isa=backend.isa)
        # Rounding errors of random signs grow with the root of k; the worst case is k * eps * |A||B|.
        bound = min(k + 1, 4 * k**0.5 + 4) * backend.eps * (np.abs(a) @ np.abs(b))
        assert_close(out.check(), a @ b, bound, f"{layout} {m, n, k}")


def test_random_shapes(backend):
    g = helpers.rng(77)
    for _ in range(150):
        m, n, k = (int(v) for v in g.integers(0, 41, 3) * g.integers(1, 5, 3))
        a, b = g.integers(-4, 5, (m, k)).astype(float), g.integers(-4, 5, (k, n)).astype(float)
        va, vb = operands(LAYOUTS[g.integers(len(LAYOUTS))], a, b, backend.dtype)
        out = Guarded((m, n), backend.dtype, pad=int(g.integers(0, 4)))
        _native.gemm(va, vb, out.view, isa=backend.isa)
        np.testing.assert_array_equal(out.check(), a @ b, err_msg=f"{m, n, k}")


def test_inner_size_of_zero(backend):
    """An empty sum is 0, plus the bias; accumulating it changes nothing."""
    a, b = np.zeros((3, 0), backend.dtype), np.zeros((0, 5), backend.dtype)
    bias = np.arange(5, dtype=backend.dtype)
    out = Guarded((3, 5), backend.dtype)
    _native.gemm(a, b, out.view, isa=backend.isa)
    np.testing.assert_array_equal(out.check(), np.zeros((3, 5)))
    _native.gemm(a, b, out.view, bias=bias, isa=backend.isa)
    _native.gemm(a, b, out.view, accumulate=True, isa=backend.isa)
    np.testing.assert_array_equal(out.check(), np.tile(bias, (3, 1)))


@pytest.mark.parametrize("row", [r for r in _native.activation_rows() if not r["row"]], ids=lambda r: r["name"])
def test_epilogue_is_the_activation_of_the_product(backend, row):
    """The fused epilogue gives the bits of the two kernels in turn, whatever the tile."""
    params = [d for _, d in row["params"]]
    for (m, n, k), kind in itertools.product(
        [(1, 1, 1), (50, 300, 64), (9, 49, 17), (67, 131, 300)], ["row", "element"]
    ):
        g = helpers.rng(m, n, k, 2)
        a, b, bias = (g.normal(size=s).astype(backend.dtype) for s in ((m, k), (k, n), (n,)))
        shape = (m, n) if kind == "element" else (n,)
        slope = Guarded(shape, backend.dtype, g.normal(size=shape)).view if row["slope"] != "none" else None
        z, want = np.empty((m, n), backend.dtype), np.empty((m, n), backend.dtype)
        _native.gemm(a, b, z, bias=bias, isa=backend.isa)
        _native.activation_forward(z, want, row["name"], params, backend.isa, slope)
        out = Guarded((m, n), backend.dtype)
        named = {"bias": bias, "activation": row["name"], "params": params, "slope": slope, "isa": backend.isa}
        _native.gemm(a, b, out.view, **named)
        np.testing.assert_array_equal(out.check(), want)


def test_dense_forward_and_backward_are_the_oracle():
    """The three products of a dense layer, in the layouts in which training calls them."""
    g = helpers.rng(3)
    x, kernel, bias, dy = (g.normal(size=s) for s in ((23, 45), (45, 31), (31,), (23, 31)))
    y, dx, dk, db = (np.empty(s) for s in ((23, 31), (23, 45), (45, 31), (31,)))
    _native.gemm(x, kernel, y, bias=bias)
    _native.gemm(dy, kernel.T, dx)
    _native.gemm(x.T, dy, dk)
    _native.column_sums(dy, db)
    want = oracle.dense_backward(dy, x, kernel)
    assert_close(y, oracle.dense(x, kernel, bias), 1e-12)
    for got, expected in zip((dx, dk, db), want, strict=True):
        assert_close(got, expected, 1e-12)


def test_column_sums(backend):
    for cols in backend.sizes:
        for rows in (0, 1, 2, 50, 257):
            x = helpers.rng(rows, cols).integers(-50, 50, (rows, cols)).astype(backend.dtype)
            out = Guarded((cols,), backend.dtype)
            _native.column_sums(Guarded(x.shape, backend.dtype, x).view, out.view, backend.isa)
            np.testing.assert_array_equal(out.check(), x.sum(axis=0, dtype=np.float64), err_msg=f"{x.shape}")


def test_squared_norm(backend):
    for cols in backend.sizes:
        for rows in (1, 3):
            x = helpers.rng(rows, cols).normal(size=(rows, cols)).astype(backend.dtype)
            got = _native.squared_norm(Guarded(x.shape, backend.dtype, x, pad=2).view, backend.isa)
            assert got == pytest.approx((x.astype(np.float64) ** 2).sum(), rel=1e-13, abs=0)


def test_squared_norm_does_not_overflow(backend):
    """1e30² is beyond float32, far within float64."""
    x = np.full(1001, 1e30, backend.dtype)
    assert _native.squared_norm(x, backend.isa) == pytest.approx(1001 * float(x[0]) ** 2, rel=1e-12)
    x[500] = np.nan
    assert np.isnan(_native.squared_norm(x, backend.isa))
    x[500] = -np.inf
    assert _native.squared_norm(x, backend.isa) == np.inf


def test_nonfinite_numbers_pass_through(backend):
    a, b = np.ones((9, 5), backend.dtype), np.ones((5, 33), backend.dtype)
    a[4, 2], b[1, 20] = np.nan, np.inf
    out = np.zeros((9, 33), backend.dtype)
    _native.gemm(a, b, out, isa=backend.isa)
    assert np.isnan(out[4]).all()
    assert np.isinf(np.delete(out, 4, axis=0)[:, 20]).all()
    assert (np.delete(np.delete(out, 4, axis=0), 20, axis=1) == 5).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"b": np.zeros((5, 3), np.float32)}, ValueError, ["gemm", "b", "(4", "(5, 3)"]),
        ({"out": np.zeros((3, 2), np.float32)}, ValueError, ["gemm", "out", "(2, 3)", "(3, 2)"]),
        ({"bias": np.zeros(2, np.float32)}, ValueError, ["gemm", "bias", "(3,)", "(2,)"]),
        ({"b": np.zeros((4, 3))}, TypeError, ["gemm", "b", "float32", "float64"]),
        ({"b": np.zeros((8, 6), np.float32)[::2, ::2]}, ValueError, ["gemm", "b"]),
        ({"out": np.zeros((2, 6), np.float32)[:, ::2]}, ValueError, ["gemm", "out"]),
        ({"activation": "gulu"}, ValueError, ["gemm", "gulu", "elu"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, error, words):
    call = {k: np.zeros(s, np.float32) for k, s in {"a": (2, 4), "b": (4, 3), "out": (2, 3)}.items()}
    with pytest.raises(error) as caught:
        _native.gemm(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
