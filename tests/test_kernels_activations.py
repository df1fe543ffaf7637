"""Activations: oracle ↔ float64, differences ↔ float64, each ISA ↔ float64. Rows come from the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native
from helpers import Guarded, assert_close, assert_ulps

ROWS = {r["name"]: r for r in _native.activation_rows()}
ELEMENT = [n for n, r in ROWS.items() if not r["row"]]
DEFAULTS = {n: [d for _, d in r["params"]] for n, r in ROWS.items()}
# ULP of the float32 tables against float64; 1 where a row is not named. Row kernels have a bound of their own.
FORWARD_ULPS = {"selu": 2.0}
EDGES = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-38,
    -1e-38,
    1e-20,
    -1e-7,
    0.5,
    -0.5,
    17.0,
    -17.0,
    88.7,
    -88.7,
    89.0,
    -104.0,
    1e30,
    -1e30,
]


def inputs(shape, seed=0, dtype=np.float32):
    x = helpers.rng(1, seed).normal(0, 4, shape)
    return x.astype(np.float32).astype(dtype)  # the same numbers in both types


def other_params(name):
    """A second setting of the row's parameters, so that they are seen to be read."""
    return [d * 1.7 + 0.05 for d in DEFAULTS[name]]


def saved_for(name, x, params):
    return oracle.activation(name, params, x) if ROWS[name]["from_output"] else x


def test_catalogue_is_whole():
    assert {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "softmax"} <= set(ROWS)
    assert ROWS["softmax"]["row"] is True
    assert dict(ROWS["leaky_relu"]["params"]) == {"negative_slope": 0.01}
    assert dict(ROWS["elu"]["params"]) == {"alpha": 1.0}
    assert all(r["formula"] for r in ROWS.values())


@pytest.mark.parametrize("name", ELEMENT)
@pytest.mark.parametrize("setting", ["defaults", "others"])
def test_float64_forward_is_the_oracle(name, setting):
    params = DEFAULTS[name] if setting == "defaults" else other_params(name)
    x = np.concatenate([inputs(4096, dtype=np.float64), EDGES, np.linspace(-1e-3, 1e-3, 101)]).reshape(1, -1)
    out = np.full_like(x, np.nan)
    _native.activation_forward(x, out, name, params)
    want = oracle.activation(name, params, x)
    assert_close(out, want, 1e-12 * np.abs(want) + 1e-300, name)


@pytest.mark.parametrize("name", ELEMENT)
@pytest.mark.parametrize("setting", ["defaults", "others"])
def test_float64_backward_is_the_oracle(name, setting):
    params = DEFAULTS[name] if setting == "defaults" else other_params(name)
    x = np.concatenate([inputs(4096, dtype=np.float64), [0.0, 30.0, -30.0, 700.0, -700.0]]).reshape(1, -1)
    dy = helpers.rng(2).normal(size=x.shape)
    out = np.full_like(x, np.nan)
    _native.activation_backward(dy, saved_for(name, x, params), out, name, params)
    # From the output, a derivative near 0 keeps an absolute accuracy: y itself is rounded.
    assert_close(out, oracle.activation_backward(name, params, dy, x), 1e-12 * np.abs(dy), name)


@pytest.mark.parametrize("name", ELEMENT)
def test_float64_backward_is_the_difference(name):
    params = other_params(name)
    x = inputs(997, dtype=np.float64).clip(-8, 8)
    x = x[np.abs(x) > 1e-2].reshape(1, -1)  # away from the kink
    h = 1e-4
    f = {}
    for k in (-2, -1, 1, 2):
        f[k] = np.empty_like(x)
        _native.activation_forward(x + k * h, f[k], name, params)
    numeric = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)  # fourth order
    y, dx = np.empty_like(x), np.empty_like(x)
    _native.activation_forward(x, y, name, params)
    _native.activation_backward(np.ones_like(x), y if ROWS[name]["from_output"] else x, dx, name, params)
    assert_close(dx, numeric, 1e-10, name)


@pytest.mark.parametrize("name", ELEMENT)
def test_isa_is_float64_within_ulps(isa, name):
    params = [float(np.float32(p)) for p in DEFAULTS[name]]
    budget = FORWARD_ULPS.get(name, 1.0)
    for cols in isa.sizes:
        for rows in (1, 3):
            x = inputs((rows, cols), cols)
            x.flat[: len(EDGES)] = EDGES[: x.size]
            exact = np.empty(x.shape)
            _native.activation_forward(x.astype(np.float64), exact, name, params)
            out = Guarded(x.shape, isa.dtype)
            _native.activation_forward(
                Guarded(x.shape, isa.dtype, x, offset=3, pad=5).view, out.view, name, params, isa.isa
            )
            got = out.check()
            assert_ulps(got, exact, budget, f"{name} forward {x.shape}")

            dy = inputs(x.shape, cols + 1)
            saved = got if ROWS[name]["from_output"] else x
            _native.activation_backward(dy.astype(np.float64), saved.astype(np.float64), exact, name, params)
            dx = Guarded(x.shape, isa.dtype, offset=2)
            _native.activation_backward(
                dy, Guarded(x.shape, isa.dtype, saved, pad=1).view, dx.view, name, params, isa.isa
            )
            assert_ulps(dx.check(), exact, 3.0, f"{name} backward {x.shape}")


@pytest.mark.parametrize("name", ELEMENT)
def test_in_place_is_the_same_bits(backend, name):
    x = inputs((5, 2 * backend.lanes + 3), 7, backend.dtype)
    dy = inputs(x.shape, 8, backend.dtype)
    y, dx = np.empty_like(x), np.empty_like(x)
    _native.activation_forward(x, y, name, DEFAULTS[name], backend.isa)
    saved = y if ROWS[name]["from_output"] else x
    _native.activation_backward(dy, saved, dx, name, DEFAULTS[name], backend.isa)
    x2, dy2 = x.copy(), dy.copy()
    _native.activation_backward(dy2, saved, dy2, name, DEFAULTS[name], backend.isa)
    _native.activation_forward(x2, x2, name, DEFAULTS[name], backend.isa)
    np.testing.assert_array_equal(x2, y)
    np.testing.assert_array_equal(dy2, dx)


@pytest.mark.parametrize("name", ELEMENT)
def test_position_does_not_matter(backend, name):
    """An element has the same bits in the body of a row, in its tail and alone."""
    x = inputs((1, 4 * backend.lanes + 1), 9, backend.dtype)
    whole = np.empty_like(x)
    _native.activation_forward(x, whole, name, DEFAULTS[name], backend.isa)
    for i in range(x.shape[1]):
        one = np.full((1, 1), np.nan, backend.dtype)
        _native.activation_forward(np.ascontiguousarray(x[:, i : i + 1]), one, name, DEFAULTS[name], backend.isa)
        assert one[0, 0] == whole[0, i], (name, i)


@pytest.mark.parametrize("name", ELEMENT)
def test_limits(backend, name):
    """±inf and NaN are what mathematics says, in every lane."""
    for value in (np.inf, -np.inf, np.nan):
        x = np.full((1, 2 * backend.lanes + 1), value, backend.dtype)
        out = np.zeros_like(x)
        _native.activation_forward(x, out, name, DEFAULTS[name], backend.isa)
        with np.errstate(all="ignore"):
            want = oracle.activation(name, DEFAULTS[name], x.astype(np.float64))
        if np.isnan(value):
            assert np.isnan(out).all(), name  # a NaN is never hidden, not even by max(x, 0)
        else:
            np.testing.assert_array_equal(out, want.astype(backend.dtype), err_msg=name)


# --- softmax ---------------------------------------------------------------------------------------------------------


def test_float64_softmax_is_the_oracle():
    x = inputs((7, 67), 3, np.float64)
    x[0] *= 1e29
    x[1, 5] = 700.0
    y, dx, dy = np.full_like(x, np.nan), np.full_like(x, np.nan), helpers.rng(5).normal(size=x.shape)
    _native.softmax_forward(x, y)
    assert_close(y, oracle.softmax(x), 1e-12 * oracle.softmax(x) + 1e-300)
    _native.softmax_backward(dy, y, dx)
    assert_close(dx, oracle.softmax_backward(dy, y), 1e-13 * np.abs(dy).max())


def test_float64_softmax_backward_is_the_difference():
    x, v, dy = (helpers.rng(6, k).normal(size=(3, 11)) for k in range(3))
    y, hi, lo, dx = (np.empty_like(x) for _ in range(4))
    _native.softmax_forward(x + 1e-5 * v, hi)
    _native.softmax_forward(x - 1e-5 * v, lo)
    _native.softmax_forward(x, y)
    _native.softmax_backward(dy, y, dx)
    assert (dx * v).sum() == pytest.approx(((hi - lo) * dy).sum() / 2e-5, rel=1e-8)


def test_isa_softmax_is_float64(isa):
    for cols in isa.sizes:
        for rows in (0, 1, 5):
            x = inputs((rows, cols), cols)
            if rows > 1 and cols:
                x[1] = 1e30 * np.sign(x[1])
                x[2] = -1e30
            exact, exact_dx = np.empty(x.shape), np.empty(x.shape)
            _native.softmax_forward(x.astype(np.float64), exact)
            y, dx = Guarded(x.shape, isa.dtype), Guarded(x.shape, isa.dtype, offset=5)
            _native.softmax_forward(Guarded(x.shape, isa.dtype, x, offset=3).view, y.view, isa.isa)
            got = y.check()
            # A term is off by an ULP or two and by the rounding of its distance from the largest, their sum by the
            # number of partial sums.
            bound = (6 + cols / isa.lanes) * isa.eps
            far = x.max(axis=1, keepdims=True, initial=-np.inf).astype(np.float64) - x if x.size else 0.0
            assert_close(got, exact, (bound + isa.eps * far) * exact + helpers.TINY, f"softmax {x.shape}")

            dy = inputs(x.shape, cols + 1)
            _native.softmax_backward(dy.astype(np.float64), got.astype(np.float64), exact_dx)
            _native.softmax_backward(dy, got, dx.view, isa.isa)
            spread = got * (np.abs(dy) + (np.abs(dy) * got).sum(axis=1, keepdims=True))
            assert_close(dx.check(), exact_dx, bound * spread + helpers.TINY, f"softmax backward {x.shape}")


def test_softmax_in_place(backend):
    x = inputs((4, 2 * backend.lanes + 1), 4, backend.dtype)
    y, dx, dy = np.empty_like(x), np.empty_like(x), inputs(x.shape, 5, backend.dtype)
    _native.softmax_forward(x, y, backend.isa)
    _native.softmax_backward(dy, y, dx, backend.isa)
    _native.softmax_forward(x, x, backend.isa)
    _native.softmax_backward(dy, y, dy, backend.isa)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(dy, dx)
    assert_close(y.sum(axis=1), np.ones(4), 20 * backend.eps)


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
        ({"params": [1.0, 2.0, 3.0]}, ValueError, ["activation_forward", "params"]),
        ({"isa": "sse9"}, ValueError, ["sse9", "baseline"]),
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
