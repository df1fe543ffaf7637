"""Activations over rows: oracle ↔ float64, differences ↔ float64, each ISA ↔ float64; and what all refuse."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import oracle_activations
from fusednet import _native
from helpers import Guarded, assert_close
from test_kernels_activations import ROWS, inputs

OVER_ROWS = [n for n, r in ROWS.items() if r["row"]]


def forward(name, x, out, isa=None):
    _native.activation_forward(x, out, name, (), isa)
    return out


def backward(name, dy, y, out, isa=None):
    _native.activation_backward(dy, y, out, name, (), isa)
    return out


@pytest.mark.parametrize("name", OVER_ROWS)
def test_float64_is_the_oracle(name):
    x = inputs((7, 67), 3, np.float64)
    x[0] *= 1e29
    x[1, 5] = 700.0
    y, dx, dy = np.full_like(x, np.nan), np.full_like(x, np.nan), helpers.rng(5).normal(size=x.shape)
    want = oracle.activation(name, [], x)
    assert_close(forward(name, x, y), want, 1e-12 * np.abs(want) + 1e-300)
    gradient = oracle_activations.ROW_ACTIVATIONS[name][1](dy, y)
    assert_close(backward(name, dy, y, dx), gradient, 1e-12 * np.abs(dy).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("name", OVER_ROWS)
def test_float64_backward_is_the_difference(name):
    x, v, dy = (helpers.rng(6, k).normal(size=(3, 11)) for k in range(3))
    hi, lo = (forward(name, x + s * 1e-5 * v, np.empty_like(x)) for s in (1, -1))
    dx = backward(name, dy, forward(name, x, np.empty_like(x)), np.empty_like(x))
    assert (dx * v).sum() == pytest.approx(((hi - lo) * dy).sum() / 2e-5, rel=1e-8)


@pytest.mark.parametrize("name", OVER_ROWS)
def test_isa_is_float64(isa, name):
    for cols in isa.sizes:
        for rows in (0, 1, 5):
            x = inputs((rows, cols), cols)
            if rows > 1 and cols:
                x[1] = 1e30 * np.sign(x[1])
                x[2] = -1e30
            exact = forward(name, x.astype(np.float64), np.empty(x.shape))
            y, dx = Guarded(x.shape, isa.dtype), Guarded(x.shape, isa.dtype, offset=5)
            forward(name, Guarded(x.shape, isa.dtype, x, offset=3).view, y.view, isa.isa)
            got = y.check()
            # A term is off by an ULP or two and by the rounding of its distance from the largest, their sum by the
            # number of partial sums.
            bound = (6 + cols / isa.lanes) * isa.eps
            far = x.max(axis=1, keepdims=True, initial=-np.inf).astype(np.float64) - x if x.size else 0.0
            size = (bound + isa.eps * far) * exact if name == "softmax" else 4 * isa.eps * np.abs(exact)
            assert_close(got, exact, size + helpers.TINY, f"{name} {x.shape}")

            dy = inputs(x.shape, cols + 1)
            exact_dx = backward(name, dy.astype(np.float64), got.astype(np.float64), np.empty(x.shape))
            backward(name, dy, got, dx.view, isa.isa)
            p = got if name == "softmax" else np.exp(got)
            total = np.abs(dy).sum(axis=1, keepdims=True)
            spread = p * (np.abs(dy) + (np.abs(dy) * p).sum(axis=1, keepdims=True))
            spread = spread if name == "softmax" else np.abs(dy) + p * total
            assert_close(dx.check(), exact_dx, bound * spread + helpers.TINY, f"{name} backward {x.shape}")


def test_log_softmax_keeps_its_digits_where_softmax_is_one(backend):
    """y = -log(1 + e^-12): the sum is so near 1 that its logarithm is all that is left of it."""
    y = forward("log_softmax", np.array([[12.0, 0.0]], backend.dtype), np.empty((1, 2), backend.dtype), backend.isa)
    assert_close(y[0, 0], -np.log1p(np.exp(-12.0)), 4 * backend.eps * np.exp(-12.0) + 4e-16)


@pytest.mark.parametrize("name", OVER_ROWS)
def test_a_nan_takes_its_row_and_no_other(backend, name):
    x = inputs((3, 2 * backend.lanes + 1), 4, backend.dtype)
    x[1, backend.lanes] = np.nan
    y = forward(name, x, np.empty_like(x), backend.isa)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("name", OVER_ROWS)
def test_in_place_is_the_same_bits(backend, name):
    x = inputs((4, 2 * backend.lanes + 1), 4, backend.dtype)
    dy = inputs(x.shape, 5, backend.dtype)
    y = forward(name, x, np.empty_like(x), backend.isa)
    dx = backward(name, dy, y, np.empty_like(x), backend.isa)
    np.testing.assert_array_equal(forward(name, x, x, backend.isa), y)
    np.testing.assert_array_equal(backward(name, dy, y, dy, backend.isa), dx)
    assert_close((y if name == "softmax" else np.exp(y)).sum(axis=1), np.ones(4), 40 * backend.eps)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"out": np.zeros((2, 4), np.float32)}, ValueError, ["activation_forward", "out", "(2, 3)", "(2, 4)"]),
        ({"out": np.zeros((2, 3))}, TypeError, ["activation_forward", "out", "float32", "float64"]),
        ({"x": np.zeros((2, 3), np.int32)}, TypeError, ["activation_forward", "x", "int32"]),
        ({"x": np.zeros((2, 3, 1), np.float32)}, ValueError, ["activation_forward", "x"]),
        ({"x": np.zeros((2, 6), np.float32)[:, ::2]}, ValueError, ["activation_forward", "x"]),
        ({"activation": "rilu"}, ValueError, ["activation_forward", "rilu", "relu", "elu"]),
        ({"params": [1.0] * 5}, ValueError, ["activation_forward", "params"]),
        ({"isa": "sse9"}, ValueError, ["sse9", "baseline"]),
        ({"activation": "prelu"}, TypeError, ["activation_forward", "slope", "prelu", "NoneType"]),
        ({"slope": np.zeros(3, np.float32)}, TypeError, ["activation_forward", "slope", "None for relu"]),
        ({"activation": "softmax", "slope": np.zeros(3, np.float32)}, TypeError, ["slope", "None for softmax"]),
        ({"activation": "prelu", "slope": np.zeros(2, np.float32)}, ValueError, ["slope", "(3,)", "(2,)"]),
        ({"activation": "rrelu", "slope": np.zeros((1, 3), np.float32)}, ValueError, ["slope", "(2, 3)", "(1, 3)"]),
        ({"activation": "prelu", "slope": np.zeros(3)}, TypeError, ["slope", "float32", "float64"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, error, words):
    call = {"x": np.zeros((2, 3), np.float32), "out": np.ones((2, 3), np.float32), "activation": "relu", "params": []}
    with pytest.raises(error) as caught:
        _native.activation_forward(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"


def test_read_only_output_is_refused():
    x, out = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out"):
        _native.activation_forward(x, out, "relu", [])


def test_a_gradient_of_slopes_that_are_not_learned_is_refused():
    x, slope = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
    for name, given in (("relu", None), ("rrelu", slope), ("softmax", None)):
        with pytest.raises(TypeError, match="dslope"):
            _native.activation_backward(x, x.copy(), x.copy(), name, (), None, given, slope.copy())


def test_outputs_that_overlap_the_slopes_are_refused():
    held = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="out"):
        _native.activation_forward(held.copy(), held, "prelu", (), None, held[0])
    with pytest.raises(ValueError, match="dslope"):
        _native.activation_backward(held, held.copy(), held.copy(), "prelu", (), None, np.zeros(3, "f4"), held[0])
