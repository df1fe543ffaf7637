"""Optimizer updates: oracle ↔ float64, each ISA ↔ float64, golden values by hand, scale and clipping."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle_optimizers as oracle
from fusednet import _native
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.optimizer_rows()}
DEFAULTS = {n: [0.01, *(float(d) for _, d in r["hyper"][1:])] for n, r in ROWS.items()}
RATE = 0.01


def start(name, n, seed=0):
    """w, g, slots: float64, exactly representable in float32. The slots are those of a few steps, so that what cannot
    be negative is not."""
    g = helpers.rng(n, seed)
    w, slots = g.normal(size=n), oracle.first_slots(name, np.zeros(n), DEFAULTS[name])
    for t in range(1, 5):
        oracle.update(name, w, g.normal(size=n), slots, t, DEFAULTS[name])
    return [v.astype(np.float32).astype(np.float64) for v in (w, g.normal(size=n), *slots)]


def test_catalogue_is_whole():
    assert set(oracle.OPTIMIZERS) == set(ROWS)
    for name, row in ROWS.items():
        keys = [key for key, _ in row["hyper"]]
        assert keys[0] == "learning_rate"
        assert len(keys) <= 8  # max_hyper
        assert len(row["slots"]) == len(row["first_values"]) == len(set(row["slots"])), name
        assert not {"average", "accumulator"} & set(row["slots"]), name  # the names of what every optimizer may have
        hyper = [0.01, *(0.25 + k for k in range(len(keys) - 1))]
        want = [slot[0] for slot in oracle.first_slots(name, np.zeros(1), hyper)]
        assert _native.optimizer_first_values(name, hyper) == want
    assert dict(ROWS["adam"]["hyper"]) == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert dict(ROWS["lion"]["hyper"]) == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99}
    assert ROWS["adagrad"]["first_values"] == ["initial_accumulator_value"]
    assert dict(ROWS["adagrad"]["hyper"])["initial_accumulator_value"] == 0.1


@pytest.mark.parametrize("name", ROWS)
def test_float64_is_the_oracle_over_many_steps(name):
    hyper = [h * 0.97 for h in DEFAULTS[name]]
    w, _, *_ = start(name, 23)
    slots = oracle.first_slots(name, w, hyper)
    want, want_slots = w.copy(), [s.copy() for s in slots]
    for t in range(1, 41):
        g = helpers.rng(t).normal(size=23)
        want = oracle.update(name, want, g, want_slots, t, hyper)
        _native.optimizer_update(name, w, g, slots, t, hyper)
        assert_close(w, want, 1e-14 * (1 + np.abs(want)), f"{name} step {t}")
        for got, expected in zip(slots, want_slots, strict=True):
            assert_close(got, expected, 1e-14 * (1 + np.abs(expected)), f"{name} slot, step {t}")


@pytest.mark.parametrize("step", [1, 2, 3, 50, 883, 884, 1022, 1023, 1024, 1025, 5000])
def test_momentum_product_of_nadam(step):
    """At any step, without the steps before it: as after a resume."""
    hyper = [0.01, 0.9999, 0.999, 1e-7]
    w, g, *slots = start("nadam", 9)
    want_slots = [s.copy() for s in slots]
    want = oracle.update("nadam", w, g, want_slots, step, hyper)
    _native.optimizer_update("nadam", w, g, slots, step, hyper)
    assert_close(w, want, 1e-14 * (1 + np.abs(want)), f"step {step}")


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("step", [1, 7, 100000])
def test_isa_is_float64(isa, name, step):
    hyper = DEFAULTS[name]
    for n in isa.sizes:
        w, g, *slots = start(name, n, step)
        average = helpers.rng(n).normal(size=n).astype(np.float32).astype(np.float64)
        arrays = [Guarded((n,), isa.dtype, v, offset=k) for k, v in enumerate((w, average, *slots))]
        before, grown, mean = w.copy(), [s.copy() for s in slots], average.copy()
        gradient = Guarded((n,), isa.dtype, g, offset=5)
        view, average_view, *views = [a.view for a in arrays]
        rest = (step, hyper, 0.8, 1.5)
        _native.optimizer_update(name, view, gradient.view, views, *rest, isa.isa, 0.01, average_view, 0.9)
        _native.optimizer_update(name, w, g, grown, *rest, None, 0.01, mean, 0.9)
        np.testing.assert_array_equal(gradient.check(), g)  # the gradient is read only
        moved = np.abs(w - before)
        terms = RATE * (np.abs(g) + np.abs(before)) + sum(np.abs(s) for s in slots) * RATE
        terms += sum(np.abs(s) for s, what in zip(slots, ROWS[name]["slots"], strict=True) if what == "momentum")
        # The weight is rounded once or twice; its move carries a dozen roundings, and those of terms that may cancel.
        bound = isa.eps * (2.02 * np.abs(w) + 16 * moved + 4 * terms)
        assert_close(arrays[0].check(), w, bound, f"{name} {n}")
        assert_close(arrays[1].check(), mean, bound + 3 * isa.eps * (np.abs(mean) + np.abs(average)), f"{name} {n}")
        for got, want, old in zip(arrays[2:], grown, slots, strict=True):
            assert_close(got.check(), want, 10 * isa.eps * (np.abs(want) + np.abs(old) + RATE), f"{name} slot {n}")


@pytest.mark.parametrize("name", ROWS)
def test_decay_comes_first_and_the_average_last(name):
    w, g, *slots = start(name, 31)
    average = helpers.rng(31).normal(size=31)
    want_slots = [s.copy() for s in slots]
    want = oracle.update(name, oracle.decayed(w, 0.05), np.clip(0.7 * g, -0.4, 0.4), want_slots, 3, DEFAULTS[name])
    want_average = oracle.averaged(average, want, 0.8)
    _native.optimizer_update(name, w, g, slots, 3, DEFAULTS[name], 0.7, 0.4, None, 0.05, average, 0.8)
    assert_close(w, want, 1e-14 * (1 + np.abs(want)), name)
    assert_close(average, want_average, 1e-14 * (1 + np.abs(want)), name)
    for got, expected in zip(slots, want_slots, strict=True):
        assert_close(got, expected, 1e-14 * (1 + np.abs(expected)), name)


@pytest.mark.parametrize("name", ROWS)
def test_an_average_alone_leaves_the_weights_bits(backend, name):
    """And with momentum 0, as at the first step, it is a copy of them."""
    results = []
    for average in (None, np.zeros(2 * backend.lanes + 3, backend.dtype)):
        w, g, *slots = (v.astype(backend.dtype) for v in start(name, 2 * backend.lanes + 3))
        _native.optimizer_update(name, w, g, slots, 2, DEFAULTS[name], isa=backend.isa, average=average)
        results.append([w, *slots])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(average, results[0][0])


@pytest.mark.parametrize("name", [n for n in ROWS if n.startswith("rmsprop_centered")])
def test_rounding_makes_no_variance_negative(backend, name):
    """A constant gradient has none, but 1e4 rounds by more than epsilon in float32."""
    w, g = np.zeros(40, backend.dtype), np.linspace(50, 150, 40).astype(backend.dtype)
    slots = [np.zeros_like(w) for _ in ROWS[name]["slots"]]
    for t in range(1, 201):
        _native.optimizer_update(name, w, g, slots, t, DEFAULTS[name], isa=backend.isa)
    assert np.isfinite(w).all()


@pytest.mark.parametrize("name", ROWS)
def test_not_a_number_stays_where_it_is_and_shows(backend, name):
    n = 2 * backend.lanes + 3
    for bad in (np.nan, np.inf, -np.inf):
        for at in (0, n - 1):
            w, g, *slots = (v.astype(backend.dtype) for v in start(name, n))
            want = w.copy()
            clean = [s.copy() for s in slots]
            _native.optimizer_update(name, want, g, clean, 2, DEFAULTS[name], isa=backend.isa)
            g[at] = bad
            _native.optimizer_update(name, w, g, slots, 2, DEFAULTS[name], isa=backend.isa)
            others = np.arange(n) != at
            np.testing.assert_array_equal(w[others], want[others])
            if np.isnan(bad):
                assert np.isnan(w[at])
            else:
                assert not all(np.isfinite(v[at]) for v in (w, *slots))


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
    before, slots = w.copy(), oracle.first_slots(name, w, DEFAULTS[name])
    _native.optimizer_update(name, w, np.zeros_like(w), slots, 1, DEFAULTS[name], isa=backend.isa)
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("name", ROWS)
def test_extreme_gradients_stay_finite(backend, name):
    """Tiny gradients do not divide by zero; 1e18 squares to what float32 still holds."""
    g = np.array([1e-30, -1e-20, 1e18, -1e18, 0.0] * 7, backend.dtype)
    w, slots = np.ones_like(g), oracle.first_slots(name, g, DEFAULTS[name])
    _native.optimizer_update(name, w, g, slots, 1, DEFAULTS[name], isa=backend.isa)
    assert np.isfinite(w).all()
    assert all(np.isfinite(s).all() for s in slots)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "nadam", "rmsprop", "adagrad"])
def test_a_second_moment_beyond_float32_stops_the_weight(isa, name):
    """Its root is infinite, or as good as: a quotient, not NaN."""
    for big in (1e20, 1e30):
        w = np.ones(lanes := 2 * isa.lanes + 1, isa.dtype)
        slots = [s.astype(isa.dtype) for s in oracle.first_slots(name, np.zeros(lanes), DEFAULTS[name])]
        _native.optimizer_update(name, w, np.full(lanes, big, isa.dtype), slots, 1, DEFAULTS[name], isa=isa.isa)
        assert not np.isnan(w).any(), big


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
# adagrad         (sum from 0.5, ε 0.5) w = 1 - 0.2/√5; w += 0.1/√6.
# rmsprop_centered  (ρ 0.9, ε 0.04) v = 0.4, a = 0.2: w = 1 - 0.2/√0.4; v = 0.46, a = 0.08: w += 0.1/√0.4936; with
#                 momentum 0.9 m = 0.2/√0.4, then m = 0.9·m - 0.1/√0.4936.
# amsgrad         (β 0.9, 0.5, ε 0.5) v = 2, then 1.5, the largest stays 2: w = 1 - √0.5·0.2/(√2 + 0.5);
#                 w -= 0.1·√0.75/0.19·0.08/(√2 + 0.5).
# nadam           (as adam) u = 0.468, 0.48528, 0.5018688: m̂ = u₂·0.2/(1 - u₁u₂) + 2, v̂ = 4: w = 1 - 0.1·m̂/2.5; then
#                 m̂ = u₃·0.08/(1 - u₁u₂u₃) - (1 - u₂)/(1 - u₁u₂), v̂ = 0.0496/0.0199.
# adamax          (β 0.9, 0.5, ε 0.5) m = 0.2, u = 2: w = 1 - 0.2/2.5 = 0.92; m = 0.08, u = 1: w -= 0.1/0.19·0.08/1.5.
# adadelta        (ρ 0.9, ε 0.04) step = 2·√0.04/√0.44, its average 0.16/4.4: w = 1 - 0.1·step; then
#                 step = -√(0.16/4.4 + 0.04)/√0.5, its average 0.048.
# lion            (β 0.9, 0.99) 0.9·0 + 0.2 > 0: w = 0.9, m = 0.02; 0.018 - 0.1 < 0: w = 1, m = 0.0098.
GOLDEN = {
    "sgd": ([], [0.8, 0.9], []),
    "sgd_momentum": ([0.9], [0.8, 0.72], [-0.08]),
    "sgd_nesterov": ([0.9], [0.62, 0.648], [-0.08]),
    "rmsprop": ([0.9, 0.04], [0.698488655422236, 0.839910011659546], [0.46]),
    "rmsprop_momentum": ([0.9, 0.04, 0.9], [0.698488655422236, 0.568549801539559], [0.46, 0.129938853882678]),
    "adam": ([0.9, 0.99, 0.5], [0.971428571428571, 0.963209958727037], [0.08, 0.0496]),
    "adagrad": ([0.5, 0.5], [0.910557280900008, 0.951382109946395], [5.5]),
    "rmsprop_centered": ([0.9, 0.04], [0.683772233983162, 0.826107469560555], [0.46, 0.08]),
    "rmsprop_centered_momentum": (
        [0.9, 0.04, 0.9], [0.683772233983162, 0.541502480145401], [0.46, 0.08, 0.142269753837761],
    ),
    "amsgrad": ([0.9, 0.5, 0.5], [0.926120387496374, 0.907071192440750], [0.08, 1.5, 2.0]),
    "nadam": ([0.9, 0.99, 0.5], [0.914976975735298, 0.944834025809368], [0.08, 0.0496]),
    "adamax": ([0.9, 0.5, 0.5], [0.92, 0.891929824561404], [0.08, 1.0]),
    "adadelta": ([0.9, 0.04], [0.939697731084447, 0.978778067921183], [0.46, 0.048]),
    "lion": ([0.9, 0.99], [0.9, 1.0], [0.0098]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_golden_values(backend, name):
    hyper, weights, slots_after = GOLDEN[name]
    w = np.ones(1, backend.dtype)
    slots = oracle.first_slots(name, w, [0.1, *hyper])
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
        ({"optimizer": "adamix"}, ValueError, ["optimizer_update", "adamix", "adam", "sgd"]),
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


QUOTIENTS = ["adam", "amsgrad", "nadam", "adamax", "rmsprop", "adagrad", "adadelta"]


@pytest.mark.parametrize("name", QUOTIENTS)
def test_first_move_over_the_range_of_gradients(isa, name):
    """From weights of 0 the move stands alone: roots and quotients, estimated or not, keep it within a few ULP."""
    g = np.float32(10.0 ** np.linspace(-14, 14, 301)).astype(np.float64)
    g[::2] *= -1
    w, moved = np.zeros(g.size), np.zeros(g.size, isa.dtype)
    slots = oracle.first_slots(name, w, DEFAULTS[name])
    own = [s.astype(isa.dtype) for s in slots]
    _native.optimizer_update(name, w, g, slots, 1, DEFAULTS[name])
    _native.optimizer_update(name, moved, g.astype(isa.dtype), own, 1, DEFAULTS[name], isa=isa.isa)
    assert_close(moved, w, 10 * isa.eps * np.abs(w), name)


@pytest.mark.parametrize("name", ROWS)
def test_no_gradient_and_no_past_move_nothing(backend, name):
    """As of an input that is always 0: a quotient of two zeros must not get into the weights."""
    w = np.linspace(-1, 1, 2 * backend.lanes + 3).astype(backend.dtype)
    slots = [s.astype(backend.dtype) for s in oracle.first_slots(name, w, DEFAULTS[name])]
    before = w.copy()
    for t in (1, 2):
        _native.optimizer_update(name, w, np.zeros_like(w), slots, t, DEFAULTS[name], isa=backend.isa)
    np.testing.assert_array_equal(w, before)
