"""Products of bfloat16: every layout and edge exactly, where numbers fit; bounds against float64, where they do not."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from fusednet import _native, ops
from helpers import Guarded, assert_close, rng
from test_kernels_gemm import LAYOUTS

FORCED = os.environ.get("FUSEDNET_ISA")
TABLES = [t for t in _native.isa_info()["tables"] if not FORCED or t["name"] == FORCED]
SIZES = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65]
# Beyond what is packed at once.
BLOCKS = [(193, 70, 260), (400, 300, 33), (50, 257, 600), (7, 520, 129), (385, 15, 513)]
F32 = np.float32


def _rows():
    for table in TABLES:
        for precision in table["products"]:
            marks = [] if table["supported"] else [pytest.mark.skip(reason=f"this CPU lacks {table['name']}")]
            yield pytest.param((table["name"], precision), id=f"{table['name']}-{precision}", marks=marks)
    if not any(table["products"] for table in TABLES):
        yield pytest.param(None, id="none", marks=pytest.mark.skip(reason="this table has no products of fewer bits"))


@pytest.fixture(params=list(_rows()))
def product(request):
    """A table and a precision that it has products of."""
    return request.param


def bf16(x):
    """Rounded to nearest even, by integers."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(F32).reshape(np.shape(x))


def operand(x, transposed, pad):
    """x as a view, stored transposed or not, off alignment, with NaN around it and between its rows."""
    stored = (x.T if transposed else x).astype(F32)
    rows, cols = stored.shape
    buffer = np.full(17 + rows * (cols + pad) + 64, np.nan, F32)
    view = buffer[17 : 17 + rows * (cols + pad)].reshape(rows, cols + pad)[:, :cols]
    view[...] = stored
    return view.T if transposed else view


def run(product, a, b, out, **named):
    isa, precision = product
    _native.gemm(a, b, out, isa=isa, precision=precision, **named)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_integers_are_exact(product, layout):
    """A term lost, doubled or misplaced cannot hide, nor one of what lies beyond an operand: every sum is exact, of
    high and low parts too."""
    g = rng(1)
    edges = [tuple(int(v) for v in g.permutation([s, *g.choice(SIZES, 2)])) for s in SIZES for _ in range(6)]
    for number, (m, n, k) in enumerate([*edges, *BLOCKS]):
        a, b = g.integers(-8, 9, (m, k)), g.integers(-8, 9, (k, n))
        if product[1] == "high" and k <= 130:  # one operand with low parts: those of both would not be multiplied
            wide = a if number % 2 else b
            wide[...] = g.integers(-(2**13), 2**13, wide.shape)
        bias, start = g.integers(-99, 99, n), g.integers(-99, 99, (m, n))
        pad = 3 if layout == "strided" else 0
        va, vb = operand(a, layout in ("tn", "tt"), pad), operand(b, layout in ("nt", "tt"), pad)
        out = Guarded((m, n), F32)
        run(product, va, vb, out.view, bias=bias.astype(F32))
        np.testing.assert_array_equal(out.check(), a @ b + bias, err_msg=f"{m, n, k} bias")
        out = Guarded((m, n), F32, start, pad=0)
        run(product, va, vb, out.view, accumulate=True)
        np.testing.assert_array_equal(out.check(), a @ b + start, err_msg=f"{m, n, k} accumulate")


def test_rows_and_columns_apart(product):
    """A whose numbers lie apart in both directions."""
    g = rng(2)
    a, b = g.integers(-8, 9, (70, 102)).astype(F32), g.integers(-8, 9, (34, 40)).astype(F32)
    want = a[::2, ::3] @ b
    a[1::2], a[:, 1::3], a[:, 2::3] = np.nan, np.nan, np.nan
    out = Guarded((35, 40), F32)
    run(product, a[::2, ::3], b, out.view)
    np.testing.assert_array_equal(out.check(), want)


def test_operands_are_rounded_to_nearest_even(product):
    """A product with the identity shows what became of a number, ties and the largest included."""
    g = rng(3)
    ties = (np.arange(0x3F80, 0x3FC0, dtype=np.uint32) << 16 | 0x8000).view(F32)
    x = np.concatenate([g.normal(size=900), ties, -ties, [2.0**-126, 0.0, -0.0, 3.38e38, -1e-30]]).astype(F32)
    x = np.resize(x, (33, 32))
    for a, b, want in ((x, np.eye(32, dtype=F32), x), (np.eye(32, dtype=F32), x.T, x.T)):
        out = np.empty(want.shape, F32)
        run(product, a, b, out)
        high = bf16(want)
        np.testing.assert_array_equal(out, high if product[1] == "medium" else high + bf16(want - high))


def cases(k):
    """Random numbers; then the worst for rounding: all of one sign, each just beside a tie."""
    g = rng(4, k)
    m, n = 33, 47
    yield "random", g.normal(size=(m, k)), g.normal(size=(k, n)), 4 * k**0.5 + 4
    yield "scales", np.exp(6 * g.normal(size=(m, k))), np.exp(6 * g.normal(size=(k, n))), k + 3
    worst = (1 + 2.0**-8 - 2.0**-16 - 2.0**-23) * np.ones((m, k)), (1 + 2.0**-8 - 2.0**-16) * np.ones((k, n))
    yield "ties", *worst, k + 3
    yield "cancelling", worst[0] * (-1.0) ** np.arange(k), worst[1], k + 3


@pytest.mark.parametrize("k", [1, 2, 33, 300, 1500])
def test_error_bounds(product, k):
    """docs/accuracy.md: rounding an operand loses 2^-8 of it, the sum of two parts 2^-16."""
    for name, a, b, sums in cases(k):
        a, b = a.astype(F32).astype(np.float64), b.astype(F32).astype(np.float64)
        out = np.empty((a.shape[0], b.shape[1]), F32)
        run(product, a.astype(F32), b.astype(F32), out)
        operand, terms = (2.01 * 2.0**-8, 1) if product[1] == "medium" else (3.02 * 2.0**-16, 3)
        bound = (operand + terms * min(k + 3, sums) * 2.0**-24) * (np.abs(a) @ np.abs(b))
        assert_close(out, a @ b, bound, f"{name} {k}")


def test_high_is_much_better_than_medium(product):
    """On random numbers, beside float32 and far from bfloat16: low parts take part from both sides."""
    g = rng(5)
    a, b = g.normal(size=(64, 200)).astype(F32), g.normal(size=(200, 64)).astype(F32)
    out = np.empty((64, 64), F32)
    run(product, a, b, out)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = np.sqrt(np.mean((out - exact) ** 2) / np.mean(exact**2))
    low, high = (5e-4, 5e-3) if product[1] == "medium" else (1e-7, 2e-5)
    assert low < error < high


def test_nonfinite_numbers_stay_so(product):
    """NaN stays NaN; infinity stays infinite or, where a number is two parts, becomes NaN."""
    a, b = np.ones((9, 5), F32), np.ones((5, 33), F32)
    a[4, 2], b[1, 20], b[3, 30] = np.nan, np.inf, -np.finfo(F32).max  # the last one rounds to infinity
    out = np.zeros((9, 33), F32)
    run(product, a, b, out)
    others = np.delete(out, 4, axis=0)
    assert np.isnan(out[4]).all()
    assert (~np.isfinite(others[:, [20, 30]])).all()
    assert product[1] == "high" or (np.isposinf(others[:, 20]).all() and np.isneginf(others[:, 30]).all())
    assert (np.delete(others, [20, 30], axis=1) == 5).all()


def test_denormals_count_as_zero(product):
    a, b = np.full((3, 40), 1e-39, F32), np.full((40, 20), 1e30, F32)
    out = np.full((3, 20), np.nan, F32)
    run(product, a, b, out)
    np.testing.assert_array_equal(out, np.zeros((3, 20)))


def test_epilogue_is_the_activation_of_the_product(product):
    g = rng(6)
    for (m, n, k), activation in itertools.product([(1, 1, 1), (50, 300, 64), (67, 131, 300)], ["elu", "gelu"]):
        a, b, bias = (g.normal(size=s).astype(F32) for s in ((m, k), (k, n), (n,)))
        z, want, out = np.empty((m, n), F32), np.empty((m, n), F32), Guarded((m, n), F32)
        params = [1.0] if activation == "elu" else []
        run(product, a, b, z, bias=bias)
        _native.activation_forward(z, want, activation, params, product[0])
        run(product, a, b, out.view, bias=bias, activation=activation, params=params)
        np.testing.assert_array_equal(out.check(), want)


def test_a_row_does_not_depend_on_the_others(product):
    """The order of sums is that of k, whatever the sizes: a batch gives the bits of its samples alone."""
    g = rng(7)
    a, b = g.normal(size=(200, 700)).astype(F32), g.normal(size=(700, 300)).astype(F32)
    out, one = np.empty((200, 300), F32), np.empty((1, 33), F32)
    run(product, a, b, out)
    run(product, a[77:78], b[:, 200:233], one)
    np.testing.assert_array_equal(out[77:78, 200:233], one)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_tables_without_products_fall_back(isa, precision):
    table = next(t for t in TABLES if t["name"] == isa.isa)
    g = rng(8)
    a, b = g.normal(size=(20, 30)).astype(F32), g.normal(size=(30, 40)).astype(F32)
    same = np.array_equal(ops.gemm(a, b, isa=isa.isa, precision=precision), ops.gemm(a, b, isa=isa.isa))
    assert same == (precision not in table["products"])


def test_float64_has_one_precision():
    a, b = rng(9).normal(size=(20, 30)), rng(10).normal(size=(30, 40))
    np.testing.assert_array_equal(ops.gemm(a, b, precision="medium"), ops.gemm(a, b))


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"\[gemm\] 'precision' expects one of highest, high, medium, got 'low'"):
        ops.gemm(np.eye(2), np.eye(2), precision="low")


def test_which_tables_have_products():
    """The widest is the last one that is not there for tests."""
    found = {t["name"]: (t["base"], t["products"]) for t in _native.isa_info()["tables"]}
    assert found["baseline"] == (None, [])
    assert found.get("avx512_bf16", ("avx512", ["medium"])) == ("avx512", ["medium"])
    assert found.get("amx", ("avx512", ["high", "medium"])) == ("avx512", ["high", "medium"])
    assert FORCED or _native.isa_info()["used"] != "amx_emulated"
