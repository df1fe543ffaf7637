"""Maxima over pieces and regions, and the regions of fractional max pooling, against the oracle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import helpers
import oracle_layers
from fusednet import _native, ops
from helpers import Guarded

# --- Maxout ----------------------------------------------------------------------------------------------------------


def pieces_case(rows, cols, pieces, dtype):
    """Few different values, so that pieces tie."""
    return helpers.rng(rows, cols, pieces).integers(-3, 4, (rows, pieces * cols)).astype(dtype)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
def test_maxout(backend, pieces):
    for cols in [c for c in backend.sizes if c]:
        for rows in (0, 1, 4):
            x = pieces_case(rows, cols, pieces, backend.dtype)
            dy = helpers.rng(rows, cols).normal(size=(rows, cols)).astype(backend.dtype)
            y, dx = Guarded((rows, cols), backend.dtype), Guarded(x.shape, backend.dtype)
            view = Guarded(x.shape, backend.dtype, x, offset=3, pad=5).view
            _native.maxout_forward(view, y.view, backend.isa)
            np.testing.assert_array_equal(y.check(), oracle_layers.maxout(x, pieces))
            _native.maxout_backward(dy, view, y.view, dx.view, backend.isa)
            np.testing.assert_array_equal(dx.check(), oracle_layers.maxout_backward(dy, x, pieces))
            held = x.copy()
            _native.maxout_backward(dy, held, y.view, held, backend.isa)
            np.testing.assert_array_equal(held, dx.view)


def test_maxout_nan_and_infinity(backend):
    cols = backend.lanes + 1
    for place in range(3):
        for value in (np.nan, np.inf, -np.inf):
            x = pieces_case(2, cols, 3, backend.dtype)
            x[0, place * cols : (place + 1) * cols] = value
            y = ops.maxout_forward(x, 3, isa=backend.isa)
            np.testing.assert_array_equal(y, oracle_layers.maxout(x, 3))
            dx = ops.maxout_backward(np.ones_like(y), x, y, isa=backend.isa)
            np.testing.assert_array_equal(dx.reshape(2, 3, cols).sum(axis=1), np.ones_like(y))  # it goes to one piece


# --- pooling ---------------------------------------------------------------------------------------------------------

ODD = [[0, 1, 3, 2], [1, 4, 4, 7]]  # overlaps, a single row, gaps, no order
PLAIN = [[0, 2, 4], [2, 4, 6]]
REGIONS = [(ODD, PLAIN, 7, 6), (PLAIN, ODD, 6, 8), ([[0], [1]], [[0], [1]], 1, 1), ([[1], [5]], [[0, 4], [9, 9]], 5, 9)]


def pool(x, rows, cols, isa=None):
    return ops.max_pool_forward(x, np.array(rows), np.array(cols), isa=isa)


def image(n, height, width, channels, dtype):
    return helpers.rng(n, height, width, channels).integers(-9, 10, (n, height, width, channels)).astype(dtype)


@pytest.mark.parametrize("case", range(len(REGIONS)))
def test_pool_is_the_oracle(backend, case):
    """Small integers tie often: the first of equals is taken."""
    rows, cols, height, width = REGIONS[case]
    w = backend.lanes
    for channels in sorted({1, 2, 3, max(w - 1, 1), w, w + 1, 2 * w + 3, 67}):
        x = image(3, height, width, channels, backend.dtype)
        want, places = oracle_layers.max_pool(x, rows, cols)
        y, argmax = pool(x, rows, cols, backend.isa)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(argmax, places)
        dy = helpers.rng(channels).normal(size=y.shape).astype(backend.dtype)
        dx = ops.max_pool_backward(dy, argmax, x.shape[1:], isa=backend.isa)
        exact = oracle_layers.max_pool_backward(dy.astype(np.float64), places, x.shape[1:])
        bound = 8 * backend.eps * oracle_layers.max_pool_backward(np.abs(dy, dtype=np.float64), places, x.shape[1:])
        helpers.assert_close(dx, exact, bound)


def test_pool_writes_its_outputs_only(backend):
    rows, cols, height, width = REGIONS[0]
    for channels in (1, 3, backend.lanes + 1):
        x = image(3, height, width, channels, backend.dtype)
        want, places = oracle_layers.max_pool(x, rows, cols)
        n, out_cols, in_cols = 3, want[0].size, x[0].size
        y, dx = Guarded((n, out_cols), backend.dtype), Guarded((n, in_cols), backend.dtype, offset=2)
        argmax = Guarded((n, out_cols), np.int32, np.full((n, out_cols), -1))
        view = Guarded((n, in_cols), backend.dtype, x.reshape(n, in_cols), offset=3, pad=5).view
        regions = np.array(rows, np.int32), np.array(cols, np.int32)
        _native.pool_forward(view, *regions, y.view, argmax.view, height, width, channels, backend.isa)
        np.testing.assert_array_equal(y.check(), want.reshape(n, -1))
        np.testing.assert_array_equal(argmax.check(), places.reshape(n, -1))
        y.view[...] = np.nan
        _native.pool_forward(view, *regions, y.view, None, height, width, channels, backend.isa)  # no argmax wanted
        np.testing.assert_array_equal(y.check(), want.reshape(n, -1))
        dy = np.ones((n, out_cols), backend.dtype)
        _native.pool_backward(dy, argmax.view, dx.view, backend.isa)
        exact = oracle_layers.max_pool_backward(np.ones(want.shape), places, x.shape[1:])
        np.testing.assert_array_equal(dx.check(), exact.reshape(n, -1))


def test_pool_of_nothing(backend):
    x = np.ones((0, 4, 4, 2), backend.dtype)
    y, argmax = pool(x, [[0], [4]], [[0], [4]], backend.isa)
    assert y.shape == (0, 1, 1, 2)
    assert ops.max_pool_backward(y, argmax, (4, 4, 2), isa=backend.isa).shape == x.shape
    y, argmax = pool(np.ones((2, 4, 4, 0), backend.dtype), [[0], [4]], [[0], [4]], backend.isa)
    assert y.shape == (2, 1, 1, 0)
    dx = ops.max_pool_backward(y, argmax, (4, 4, 3), isa=backend.isa)
    np.testing.assert_array_equal(dx, np.zeros((2, 4, 4, 3)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pool_nan_and_infinity(backend, value):
    for channels in (1, backend.lanes + 1):
        for at in range(4):
            x = image(1, 4, 4, channels, backend.dtype)
            x[0, at // 2, at % 2] = value  # first, inner and last place of the first region
            x[0, 3, 3] = x[0, 3, 2] = value
            want, places = oracle_layers.max_pool(x, [[0, 2], [2, 4]], [[0, 2], [2, 4]])
            y, argmax = pool(x, [[0, 2], [2, 4]], [[0, 2], [2, 4]], backend.isa)
            np.testing.assert_array_equal(y, want)
            np.testing.assert_array_equal(argmax, places)


# --- regions of fractional max pooling -------------------------------------------------------------------------------

SIZES = [(7, 5), (28, 20), (28, 19), (32, 22), (10, 10), (2, 1), (1, 1), (9, 2), (100, 7), (25, 24), (12, 6)]


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("pseudo_random", [False, True])
@pytest.mark.parametrize(("size", "out"), SIZES)
def test_regions_are_graham_s(size, out, overlapping, pseudo_random):
    span = size - overlapping
    for seed in (None, *range(20)):
        begin, end = ops.fractional_pool_regions(
            size, out, overlapping=overlapping, pseudo_random=pseudo_random, seed=seed, stream=3
        ).tolist()
        borders = [*begin, end[-1] - overlapping]
        assert (begin[0], end[-1]) == (0, size)
        assert [e - overlapping for e in end] == borders[1:]  # neighbours touch, or share their border
        steps = np.diff(borders)
        assert set(steps.tolist()) <= {span // out, -(-span // out)}
        if seed is None or pseudo_random:
            word = 1 << 31 if seed is None else oracle_layers.philox_block(0, seed, 3)[0]
            assert borders == oracle_layers.pseudo_random_borders(span, out, Fraction(word, 1 << 32))


def test_regions_of_the_largest_size():
    size, out = (1 << 31) - 1, 99991
    for options in ({}, {"seed": 1}, {"seed": 1, "pseudo_random": True}):
        begin, end = ops.fractional_pool_regions(size, out, **options)
        assert (begin[0], end[-1]) == (0, size)
        np.testing.assert_array_equal(begin[1:], end[:-1])
        assert set(np.unique(end - begin)) <= {size // out, size // out + 1}


def test_random_regions_are_uniform_among_all_orders():
    """7 to 5 has two steps of 2 among five places: each of the 10 choices one time in ten, within 4 sigma."""
    count = 4000
    seen: dict[tuple[int, ...], int] = {}
    for seed in range(count):
        begin, end = ops.fractional_pool_regions(7, 5, seed=seed)
        steps = tuple((end - begin).tolist())
        seen[steps] = seen.get(steps, 0) + 1
    assert len(seen) == 10
    assert all(abs(n - count / 10) < 4 * np.sqrt(count * 0.1 * 0.9) for n in seen.values()), seen


def test_regions_follow_seed_and_stream():
    draws = [
        ops.fractional_pool_regions(101, 71, seed=s, stream=t, pseudo_random=p).tolist()
        for s in (1, 2)
        for t in (1, 2)
        for p in (False, True)
    ]
    assert draws[0] == ops.fractional_pool_regions(101, 71, seed=1, stream=1).tolist()
    assert all(a != b for i, a in enumerate(draws) for b in draws[:i])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.fractional_pool_regions(5, 6), ValueError, "out_size expects an integer from 1 to 5, got 6"),
        (lambda: ops.fractional_pool_regions(0, 1), ValueError, "size expects an integer of at least 1, got 0"),
        (lambda: ops.fractional_pool_regions(5, 2, seed=-1), ValueError, "seed expects an integer of at least 0"),
        (lambda: ops.fractional_pool_regions(5.0, 2), TypeError, "size expects an integer of at least 1, got 5.0"),
        (lambda: ops.maxout_forward(np.ones((2, 5)), 2), ValueError, "'x' expects shape (n, 2 * c), got (2, 5)"),
        (
            lambda: ops.maxout_backward(np.ones((2, 2)), np.ones((2, 5)), np.ones((2, 2))),
            ValueError,
            "[maxout_backward] 'x' expects shape (2, pieces * 2), got (2, 5)",
        ),
        (lambda: pool(np.ones((2, 3)), PLAIN, PLAIN), ValueError, "expects shape (n, height, width, channels)"),
        (
            lambda: pool(np.ones((1, 5, 6, 1)), PLAIN, PLAIN),
            ValueError,
            "[max_pool_forward] 'rows' expects 0 <= begin < end <= 5, got 4 and 6 in region 2",
        ),
        (lambda: pool(np.ones((1, 6, 6, 1)), PLAIN, [[2], [2]]), ValueError, "got 2 and 2 in region 0"),
        (lambda: pool(np.ones((1, 6, 6, 1)), PLAIN, [[0.0], [2.0]]), TypeError, "'cols' expects integers, got float64"),
        (
            lambda: ops.max_pool_backward(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 4, np.int32), (2, 2, 1)),
            ValueError,
            "'argmax' expects columns from 0 to 3, got 4",
        ),
    ],
)
def test_errors_name_op_argument_expected_and_given(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
