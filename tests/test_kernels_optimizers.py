"""Optimizer updates: oracle ↔ float64, each ISA ↔ float64, golden values by hand, scale and clipping."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.optimizer_rows()}
DEFAULTS = {n: [0.01, *(float(d) for _, d in r["hyper"][1:])] for n, r in ROWS.items()}
RATE = 0.01


def start(name, n, seed=0):
    """w, g, slots: float64, exactly representable in float32. A slot of squares is not negative."""
    g = helpers.rng(n, seed)
    w, gradient = g.normal(size=n), g.normal(size=n)
    slots = [np.abs(g.normal(size=n)) if s == "velocity" else g.normal(0, 0.01, n) for s in ROWS[name]["slots"]]
    return [v.astype(np.float32).astype(np.float64) for v in (w, gradient, *slots)]


def test_catalogue_is_whole():
    assert set(oracle.OPTIMIZERS) <= set(ROWS)
    assert [n for n, _ in ROWS["adam"]["hyper"]] == ["learning_rate", "beta_1", "beta_2", "epsilon"]
    assert DEFAULTS["adam"][1:] == [0.9, 0.999, 1e-7]
    assert DEFAULTS["rmsprop"][1:] == [0.9, 1e-7]


@pytest.mark.parametrize("name", ROWS)
def test_float64_is_the_oracle_over_many_steps(name):
    hyper = [h * 0.97 for h in DEFAULTS[name]]
    w, _, *_ = start(name, 23)
    slots = [np.zeros_like(w) for _ in ROWS[name]["slots"]]
    want, want_slots = w.copy(), [s.copy() for s in slots]
    for t in range(1, 21):
        g = helpers.rng(t).normal(size=23)
        want = oracle.update(name, want, g, want_slots, t, hyper)
        _native.optimizer_update(name, w, g, slots, t, hyper)
        assert_close(w, want, 1e-12 * (1 + np.abs(want)), f"{name} step {t}")
        for got, expected in zip(slots, want_slots, strict=False):
            assert_close(got, expected, 1e-12 * (1e-3 + np.abs(expected)), f"{name} slot, step {t}")


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("step", [1, 7, 100000])
def test_isa_is_float64(isa, name, step):
    hyper = DEFAULTS[name]
    for n in isa.sizes:
        w, g, *slots = start(name, n, step)
        arrays = [Guarded((n,), isa.dtype, v, offset=k) for k, v in enumerate((w, *slots))]
        before, grown = w.copy(), [s.copy() for s in slots]
        gradient = Guarded((n,), isa.dtype, g, offset=5)
        views = [a.view for a in arrays]
        _native.optimizer_update(name, views[0], gradient.view, views[1:], step, hyper, 0.8, 1.5, isa.isa)
        _native.optimizer_update(name, w, g, grown, step, hyper, 0.8, 1.5)
        np.testing.assert_array_equal(gradient.check(), g)  # the gradient is read only
        moved = np.abs(w - before)
        momenta = [np.abs(s) for s, what in zip(slots, ROWS[name]["slots"], strict=True) if what != "velocity"]
        terms = RATE * np.abs(g) + sum(momenta)
        # The weight is rounded once; its move carries a dozen roundings, and those of terms that may cancel.
        assert_close(arrays[0].check(), w, isa.eps * (1.01 * np.abs(w) + 16 * moved + 4 * terms), f"{name} {n}")
        for got, want, old in zip(arrays[1:], grown, slots, strict=True):
            assert_close(got.check(), want, 8 * isa.eps * (np.abs(want) + np.abs(old) + RATE), f"{name} slot {n}")


@pytest.mark.parametrize("name", ROWS)
def test_scale_and_clip_value_act_on_the_gradient(backend, name):
    """update(g, scale, clip) has the bits of update(clip(g * scale)); scale 1 without clipping those of g itself."""
    w, g, *slots = (v.astype(backend.dtype) for v in start(name, 2 * backend.lanes + 5))
    g *= 3
    ready = np.clip(g * backend.dtype.type(0.5), backend.dtype.type(-1), backend.dtype.type(1))
    results = []
    for gradient, scale, clip in ((g, 0.5, 1.0), (ready, 1.0, None)):
        arrays = [v.copy() for v in (w, *slots)]
        _native.optimizer_update(name, arrays[0], gradient, arrays[1:], 3, DEFAULTS[name], scale, clip, backend.isa)
        results.append(arrays)
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("name", ROWS)
def test_zero_gradient_of_a_fresh_parameter_changes_nothing(backend, name):
    w = helpers.rng(3).normal(size=33).astype(backend.dtype)
    before, slots = w.copy(), [np.zeros_like(w) for _ in ROWS[name]["slots"]]
    _native.optimizer_update(name, w, np.zeros_like(w), slots, 1, DEFAULTS[name], isa=backend.isa)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("name", ROWS)
def test_extreme_gradients_stay_finite(backend, name):
    """Tiny gradients do not divide by zero; 1e18 squares to what float32 still holds."""
    g = np.array([1e-30, -1e-20, 1e18, -1e18, 0.0] * 7, backend.dtype)
    w, slots = np.ones_like(g), [np.zeros_like(g) for _ in ROWS[name]["slots"]]
    _native.optimizer_update(name, w, g, slots, 1, DEFAULTS[name], isa=backend.isa)
    assert np.isfinite(w).all()
    assert all(np.isfinite(s).all() for s in slots)


# --- golden values: one weight of 1, gradients 2 and then -1, learning rate 0.1 --------------------------------------
#
# sgd             w = 1 - 0.1·2 = 0.8; then 0.8 + 0.1 = 0.9.
# sgd_momentum    (0.9) m = -0.2, w = 0.8; m = 0.9·(-0.2) + 0.1 = -0.08, w = 0.72.
# sgd_nesterov    m = -0.2, w = 1 + 0.9·(-0.2) - 0.2 = 0.62; m = -0.08, w = 0.62 + 0.9·(-0.08) + 0.1 = 0.648.
# rmsprop         (ρ 0.9, ε 0.04 under the root, so that it shows) v = 0.1·4 = 0.4, w = 1 - 0.2/√0.44
#                 = 0.69848866…; v = 0.36 + 0.1 = 0.46, w += 0.1/√0.5 = 0.83991001….
# rmsprop_momentum  the same v; m = 0.2/√0.44 = 0.30151134…, w = 0.69848866…; m = 0.9·m - 0.1/√0.5
#                 = 0.12993886…, w = 0.56854980….
# adam            (β 0.9, 0.99, ε 0.5, so that it shows) m = 0.2, v = 0.04; rate = 0.1·√(1-0.99)/(1-0.9) = 0.1;
#                 w = 1 - 0.1·0.2/(0.2 + 0.5) = 0.97142857…. Then m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496,
#                 rate = 0.1·√(1-0.9801)/(1-0.81) = 0.07424598…, w -= rate·0.08/(√0.0496 + 0.5) → 0.96320995….
GOLDEN = {
    "sgd": ([], [0.8, 0.9], []),
    "sgd_momentum": ([0.9], [0.8, 0.72], [-0.08]),
    "sgd_nesterov": ([0.9], [0.62, 0.648], [-0.08]),
    "rmsprop": ([0.9, 0.04], [0.698488655422236, 0.839910011659546], [0.46]),
    "rmsprop_momentum": ([0.9, 0.04, 0.9], [0.698488655422236, 0.568549801539559], [0.46, 0.129938853882678]),
    "adam": ([0.9, 0.99, 0.5], [0.971428571428571, 0.963209958727037], [0.08, 0.0496]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(backend, name):
    hyper, weights, slots_after = GOLDEN[name]
    w, slots = np.ones(1, backend.dtype), [np.zeros(1, backend.dtype) for _ in slots_after]
    near = 1e-11 if backend.name == "float64" else 4e-7
    for t, (g, want) in enumerate(zip((2.0, -1.0), weights, strict=True), start=1):
        _native.optimizer_update(name, w, np.array([g], backend.dtype), slots, t, [0.1, *hyper], isa=backend.isa)
        assert_close(w, [want], near, f"{name} step {t}")
    for got, want in zip(slots, slots_after, strict=True):
        assert_close(got, [want], near, name)


def test_golden_values_of_clipping():
    """Keras's documented formulas on (3, 4), norm 5, and a second tensor (12), global norm 13."""
    a, b = np.array([3.0, 4.0]), np.array([12.0])
    for spec, want_a, want_b in [
        ({"clipvalue": 3.5}, [3, 3.5], [3.5]),
        ({"clipnorm": 2.5}, [1.5, 2], [2.5]),  # each tensor by itself
        ({"clipnorm": 10.0}, [3, 4], [10]),  # the first one is short enough
        ({"global_clipnorm": 6.5}, [1.5, 2], [6]),  # one factor, 6.5/13
        ({"global_clipnorm": 20.0}, [3, 4], [12]),
    ]:
        got = oracle.clip([a, b], **spec)
        assert_close(got[0], want_a, 1e-14, str(spec))
        assert_close(got[1], want_b, 1e-14, str(spec))


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"optimizer": "adamax"}, ValueError, ["optimizer_update", "adamax", "adam", "sgd"]),
        ({"g": np.zeros(4, np.float32)}, ValueError, ["optimizer_update", "g", "(3,)", "(4,)"]),
        ({"g": np.zeros(3)}, TypeError, ["optimizer_update", "g", "float32", "float64"]),
        ({"slots": [np.zeros(3, np.float32)]}, ValueError, ["optimizer_update", "slots", "2", "1"]),
        ({"slots": [np.zeros(3, np.float32), np.zeros(2, np.float32)]}, ValueError, ["optimizer_update", "slots"]),
        ({"hyper": [0.1]}, ValueError, ["optimizer_update", "hyper", "4", "1"]),
        ({"step": 0}, ValueError, ["optimizer_update", "step", "0"]),
    ],
)
def test_errors_name_op_argument_expected_and_given(change, error, words):
    call = {
        "optimizer": "adam",
        "w": np.zeros(3, np.float32),
        "g": np.zeros(3, np.float32),
        "slots": [np.zeros(3, np.float32), np.zeros(3, np.float32)],
        "step": 1,
        "hyper": [0.001, 0.9, 0.999, 1e-7],
    }
    with pytest.raises(error) as caught:
        _native.optimizer_update(**(call | change))
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
