"""Activations by element: oracle ↔ float64, differences ↔ float64, each ISA ↔ float64. Rows come from the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import oracle_activations
from fusednet import _native
from helpers import Guarded, assert_close, assert_ulps

ROWS = {r["name"]: r for r in _native.activation_rows()}
ELEMENT = [n for n, r in ROWS.items() if not r["row"]]
LEARNED = [n for n in ELEMENT if ROWS[n]["slope"] == "learned"]
DEFAULTS = {n: [d for _, d in r["params"]] for n, r in ROWS.items()}
# Rows with a slope are tested with one row of slopes for all and with one slope for each element.
CASES = [(n, kind) for n in ELEMENT for kind in ([None] if ROWS[n]["slope"] == "none" else ["row", "element"])]
BUDGETS = {"hard_sigmoid": 1.5}  # ULP of the float32 tables against float64, else 1
EDGES = [
    0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-20, -1e-7, 0.5, -0.5, 3.0, -3.0, 6.0, 17.0, -17.0, 88.7, -88.7, 89.0,
    -104.0, -14.3, -0.75179, -1.2784645, -1.1924312, 1e30, -1e30,
]  # fmt: skip


def inputs(shape, seed=0, dtype=np.float32):
    x = helpers.rng(1, seed).normal(0, 4, shape)
    return x.astype(np.float32).astype(dtype)  # the same numbers in both types


def slopes(kind, shape, dtype=np.float32):
    """Slopes of both signs, exactly representable in float32."""
    if kind is None:
        return None
    drawn = helpers.rng(11, *shape).normal(0, 0.7, shape if kind == "element" else shape[-1:])
    return drawn.astype(np.float32).astype(dtype)


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def other_params(name):
    """A second setting of the row's parameters, so that they are seen to be read."""
    return [d * 1.7 + 0.05 for d in DEFAULTS[name]]


def forward(name, x, out, params=None, isa=None, slope=None):
    _native.activation_forward(x, out, name, DEFAULTS[name] if params is None else params, isa, slope)
    return out


def backward(name, dy, saved, out, params=None, isa=None, slope=None, dslope=None):
    params = DEFAULTS[name] if params is None else params
    _native.activation_backward(dy, saved, out, name, params, isa, slope, dslope)
    return out


def saved_for(name, x, params, slope=None):
    return oracle.activation(name, params, x, slope) if ROWS[name]["from_output"] else x


def away_from_kinks(name, x, distance):
    """x without what lies near a point where f' jumps."""
    kinks = oracle_activations.KINKS.get(name, (0.0,))
    return x[np.all([np.abs(x - kink) > distance for kink in kinks], axis=0)]


def test_catalogue_is_whole():
    wanted = "linear sigmoid tanh relu leaky_relu elu selu prelu rrelu gelu gelu_tanh silu mish softplus softsign relu6"
    assert {*wanted.split(), "hard_sigmoid", "hard_silu", "exponential", "rescaling"} <= set(ELEMENT)
    assert {n for n, r in ROWS.items() if r["row"]} == {"softmax", "log_softmax"}
    assert {n: r["slope"] for n, r in ROWS.items() if r["slope"] != "none"} == {"prelu": "learned", "rrelu": "random"}
    assert dict(ROWS["leaky_relu"]["params"]) == {"negative_slope": 0.01}
    assert dict(ROWS["elu"]["params"]) == {"alpha": 1.0}
    assert dict(ROWS["rrelu"]["params"]) == {"lower": 1 / 8, "upper": 1 / 3}
    assert dict(ROWS["rescaling"]["params"]) == {"scale": 1.0, "offset": 0.0}
    assert all(r["formula"] for r in ROWS.values())


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("setting", ["defaults", "others"])
def test_float64_forward_is_the_oracle(name, kind, setting):
    params = DEFAULTS[name] if setting == "defaults" else other_params(name)
    x = np.concatenate([inputs(4096, dtype=np.float64), EDGES, np.linspace(-1e-3, 1e-3, 101)])
    x = np.resize(x, (3, 1400))
    slope = slopes(kind, x.shape, np.float64)
    out = forward(name, x, np.full_like(x, np.nan), params, slope=slope)
    with np.errstate(over="ignore"):
        want = oracle.activation(name, params, x, slope)
    # what the oracle adds up may cancel: rescaling near its root
    size = np.abs(params[0] * x) + abs(params[1]) if name == "rescaling" else np.abs(want)
    assert_close(out, want, 1e-12 * size + 1e-300, name)


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("setting", ["defaults", "others"])
def test_float64_backward_is_the_oracle(name, kind, setting):
    params = DEFAULTS[name] if setting == "defaults" else other_params(name)
    x = np.concatenate([inputs(4096, dtype=np.float64), [0.0, 30.0, -30.0, 700.0, -700.0, 3.0, -3.0, 6.0]])
    x = x.reshape(4, -1)
    dy, slope = helpers.rng(2).normal(size=x.shape), slopes(kind, x.shape, np.float64)
    out = backward(name, dy, saved_for(name, x, params, slope), np.full_like(x, np.nan), params, slope=slope)
    want = oracle.activation_backward(name, params, dy, x, slope)
    # From the output, a derivative near 0 keeps an absolute accuracy: y itself is rounded.
    assert_close(out, want, 1e-12 * np.maximum(np.abs(dy), np.abs(want)), name)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_float64_backward_is_the_difference(name, kind):
    params = other_params(name)
    x = away_from_kinks(name, inputs(997, dtype=np.float64).clip(-8, 8), 1e-2).reshape(1, -1)
    slope = slopes(kind, x.shape, np.float64)
    h = 1e-4
    f = {k: forward(name, x + k * h, np.empty_like(x), params, slope=slope) for k in (-2, -1, 1, 2)}
    numeric = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)  # fourth order
    y = forward(name, x, np.empty_like(x), params, slope=slope)
    saved = y if ROWS[name]["from_output"] else x
    dx = backward(name, np.ones_like(x), saved, np.empty_like(x), params, slope=slope)
    assert_close(dx, numeric, 1e-10 * np.maximum(1, np.abs(numeric)), name)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_isa_is_float64_within_ulps(isa, name, kind):
    params = [float(np.float32(p)) for p in DEFAULTS[name]]
    budget = BUDGETS.get(name, 1.0)
    for cols in isa.sizes:
        for rows in (0, 1, 3):
            x = inputs((rows, cols), cols)
            x.flat[: len(EDGES)] = EDGES[: x.size]
            slope = slopes(kind, x.shape)
            given = slope if slope is None else Guarded(slope.shape, isa.dtype, slope, offset=1, pad=7).view
            exact = forward(name, *wide(x), np.empty(x.shape), params, slope=wide(slope)[0])
            out = Guarded(x.shape, isa.dtype)
            forward(name, Guarded(x.shape, isa.dtype, x, offset=3, pad=5).view, out.view, params, isa.isa, given)
            got = out.check()
            assert_ulps(got, exact, budget, f"{name} forward {x.shape}")

            dy = inputs(x.shape, cols + 1)
            saved = got if ROWS[name]["from_output"] else x
            backward(name, *wide(dy, saved), exact, params, slope=wide(slope)[0])
            dx = Guarded(x.shape, isa.dtype, offset=2)
            backward(name, dy, Guarded(x.shape, isa.dtype, saved, pad=1).view, dx.view, params, isa.isa, given)
            assert_ulps(dx.check(), exact, 3.0, f"{name} backward {x.shape}")


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("kind", ["row", "element"])
def test_slope_gradient(backend, name, kind):
    """Sums of thousands of rows lose no more than those of one chunk; every column is its own."""
    for cols in backend.sizes:
        for rows in (0, 1, 63, 64, 65, 1000 if cols < 68 else 3):
            x, dy = inputs((rows, cols), cols), inputs((rows, cols), cols + 1)
            want = oracle.slope_gradient(*wide(dy, x))
            size = oracle.slope_gradient(*wide(np.abs(dy), -np.abs(x)))
            slope = slopes(kind, x.shape, backend.dtype)
            dslope = Guarded((cols,), backend.dtype)
            dy, x = dy.astype(backend.dtype), x.astype(backend.dtype)
            dx = backward(name, dy, x, np.empty_like(x), isa=backend.isa, slope=slope, dslope=dslope.view)
            assert_close(dslope.check(), want, -12 * backend.eps * size, f"{name} {x.shape}")
            backward(name, dy, x, dy, isa=backend.isa, slope=slope, dslope=dslope.view)  # dx may be dy
            assert_close(dslope.check(), want, -12 * backend.eps * size, f"{name} {x.shape} in place")
            np.testing.assert_array_equal(dy, dx)


@pytest.mark.parametrize("name", LEARNED)
def test_float64_slope_gradient_is_the_difference(name):
    x, dy = inputs((37, 5), 1, np.float64), inputs((37, 5), 2, np.float64)
    slope, dslope, h = slopes("row", x.shape, np.float64), np.empty(5), 1e-3
    f = [(forward(name, x, np.empty_like(x), slope=slope + s) * dy).sum(axis=0) for s in (h, -h)]
    backward(name, dy, x, np.empty_like(x), slope=slope, dslope=dslope)
    assert_close(dslope, (f[0] - f[1]) / (2 * h), 1e-9 * np.abs(dslope).max())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_in_place_is_the_same_bits(backend, name, kind):
    x = inputs((5, 2 * backend.lanes + 3), 7, backend.dtype)
    dy = inputs(x.shape, 8, backend.dtype)
    named = {"isa": backend.isa, "slope": slopes(kind, x.shape, backend.dtype)}
    y = forward(name, x, np.empty_like(x), **named)
    saved = y if ROWS[name]["from_output"] else x
    dx = backward(name, dy, saved, np.empty_like(x), **named)
    x2, dy2 = x.copy(), dy.copy()
    np.testing.assert_array_equal(backward(name, dy2, saved, dy2, **named), dx)
    np.testing.assert_array_equal(forward(name, x2, x2, **named), y)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_position_does_not_matter(backend, name, kind):
    """An element has the same bits in the body of a row, in its tail and alone, whatever its neighbours are."""
    x = np.concatenate([inputs(4 * backend.lanes, 9), EDGES, [np.inf, 0.3, np.nan, -0.3, -np.inf]])
    x = x.astype(backend.dtype).reshape(1, -1)
    slope = slopes(kind, x.shape, backend.dtype)
    with np.errstate(over="ignore"):
        whole = forward(name, x, np.empty_like(x), isa=backend.isa, slope=slope)
    saved = whole if ROWS[name]["from_output"] else x
    dx = backward(name, np.ones_like(x), saved, np.empty_like(x), isa=backend.isa, slope=slope)
    for i in range(x.shape[1]):
        one = np.full((1, 1), np.nan, backend.dtype)
        given = slope if slope is None else np.ascontiguousarray(slope[..., i : i + 1])
        forward(name, np.ascontiguousarray(x[:, i : i + 1]), one, isa=backend.isa, slope=given)
        np.testing.assert_array_equal(one[0, 0], whole[0, i], err_msg=f"{name} {i}")
        alone = np.ascontiguousarray(saved[:, i : i + 1])
        backward(name, np.ones_like(one), alone, one, isa=backend.isa, slope=given)
        np.testing.assert_array_equal(one[0, 0], dx[0, i], err_msg=f"{name}' {i}")


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_limits(backend, name, kind):
    """±inf, ±0 and NaN are what mathematics says, in every lane, forward and backward."""
    for value in (np.inf, -np.inf, np.nan, 0.0, -0.0):
        x = np.full((1, 2 * backend.lanes + 1), value, backend.dtype)
        slope = slopes(kind, x.shape, backend.dtype)
        slope64 = wide(slope)[0]
        out = forward(name, x, np.zeros_like(x), isa=backend.isa, slope=slope)
        saved = out if ROWS[name]["from_output"] else x
        dx = backward(name, np.ones_like(x), saved, np.zeros_like(x), isa=backend.isa, slope=slope)
        with np.errstate(all="ignore"):
            want = oracle.activation(name, DEFAULTS[name], *wide(x), slope64)
            slope_at = oracle.activation_backward(name, DEFAULTS[name], np.ones(x.shape), *wide(x), slope64)
        if np.isnan(value):
            assert np.isnan(out).all(), name  # a NaN is never hidden, not even by max(x, 0)
            continue
        np.testing.assert_array_equal(out, want.astype(backend.dtype), err_msg=name)
        assert (np.signbit(out) == np.signbit(want)).all() or (name, value) in NO_SIGN, (name, value)
        # from the output, which is rounded, a derivative has an absolute accuracy
        size = 1.0 if ROWS[name]["from_output"] and np.isfinite(slope_at).all() else np.abs(slope_at)
        assert_close(dx, slope_at.astype(backend.dtype), 2 * backend.eps * size, f"{name}' at {value}")


# relu's and relu6's max(0, x) and rescaling's sum make +0 of -0.
NO_SIGN = {("relu", -0.0), ("relu6", -0.0), ("rescaling", -0.0), ("linear", -0.0)}
