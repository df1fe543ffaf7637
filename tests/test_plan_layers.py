"""Every kind of layer in a compiled plan: inference, training and ten steps with everything on are the oracle's."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
import plans
from fusednet import _native
from helpers import assert_close
from oracle_plan import Network
from plans import (
    MAX_NORM,
    SLOPES,
    activation,
    batchnorm,
    dense,
    fractional,
    layernorm,
    noise,
    optimizer,
    pool,
    residual,
    slope,
)

TANH = {"name": "tanh", "params": []}
ADAM = ("adam", (0.01, 0.9, 0.999, 1e-7))


CASES = {
    "layer normalization": [dense("d", 9), layernorm("n"), layernorm("m", center=False, scale=False)],
    "layer normalization first": [layernorm("n", scale=False), dense("d", 9, TANH), layernorm("m", center=False)],
    "drop connect": [dense("d", 9, TANH) | {"drop_rate": 0.3}, dense("e", 40) | {"drop_rate": 0.6}, batchnorm("b")],
    "maxout": [dense("d", 9) | {"pieces": 3}, batchnorm("b"), dense("e", 6, use_bias=False) | {"pieces": 2}],
    "dropped maxout": [dense("d", 9) | {"pieces": 3, "drop_rate": 0.3}],
    "normalization": [{"kind": "normalization", "name": "n"}, dense("d", 9), {"kind": "normalization", "name": "m"}],
    "residual": [residual("r", dense("d", 9, TANH), dense("e", 8)), residual("s", activation("a"), dense("f", 8))],
    "depth": [
        residual("r", noise("o"), dense("d", 8), batchnorm("b"), survival=0.6),
        residual("s", residual("t", dense("e", 8, TANH), survival=0.5, per_sample=True), survival=0.7, per_sample=True),
    ],
    "pool": [dense("d", 40), pool("p"), dense("e", 40, TANH), batchnorm("b"), pool("q")],
    **{
        f"fractional {overlapping} {pseudo}": [dense("d", 40), fractional("p", overlapping, pseudo)]
        for overlapping in (True, False)
        for pseudo in (True, False)
    },
    **{
        row["name"]: [noise("o", row["name"]), dense("d", 9, TANH), noise("p", row["name"], 0.2), batchnorm("b")]
        for row in _native.noise_rows()
    },
    **{f"{row} alone": [slope("a", row), dense("d", 9), slope("b", row)] for row in SLOPES},
    **{f"{row} behind": [dense("d", 9), batchnorm("n"), slope("b", row)] for row in SLOPES},
    **{
        f"{row} shared": [slope("a", row, True), dense("d", 33), batchnorm("n"), slope("b", row, True)]
        for row, kind in SLOPES.items()
        if kind == "learned"
    },
}
PENALTY, ACTIVITY = [0.01, 0.02], [0.003, 0.005]
NON_NEGATIVE = {"name": "non_negative", "params": []}
EVERYTHING = [
    layernorm("n") | {"penalties": {"gamma": PENALTY, "beta": PENALTY}},
    noise("o", "gaussian_noise", 0.1),
    dense("d", 40, TANH)
    | {"drop_rate": 0.2, "penalties": {"kernel": PENALTY, "bias": PENALTY}, "activity_penalty": ACTIVITY},
    fractional("p", True, False),
    residual(
        "r",
        dense("e", 18, plans.ELU) | {"constraints": {"kernel": MAX_NORM, "bias": NON_NEGATIVE}},
        batchnorm("b") | {"penalties": {"gamma": PENALTY}, "constraints": {"gamma": MAX_NORM}},
        dense("f", 18) | {"pieces": 2, "learning_rate": 0.5},
        survival=0.7,
        per_sample=True,
    ),
    noise("q", "alpha_dropout", 0.1),
    *(slope(f"s{row}", row, kind == "learned") | {"learning_rate": 3.0} for row, kind in SLOPES.items()),
    dense("h", 5, {"name": "softmax", "params": []}) | {"activity_penalty": ACTIVITY},
]  # fmt: skip
FULL = {
    "weight_decay": 0.03, "weight_decay_excluded": ["bias", "gamma"], "ema_momentum": 0.8,
    "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2,
    "schedule": {"name": "exponential_decay", "params": [0.05, 4.0, 0.8, 0.0]},
}  # fmt: skip
LOSS = {"name": "sparse_categorical_crossentropy", "from_logits": False, "reduction": "sum_over_batch_size"}


def pair(config, seed=0):
    plan = _native.Plan(config)
    values = plans.start(plan, seed)
    for name in values:
        if name.endswith("/variance"):
            values[name] = 1 + 0.2 * np.abs(values[name])
            plan.set(name, values[name])
    return plan, Network(config, values, [t["name"] for t in plan.tensors() if t["trainable"]])


def small(layers, rows=11, **more):
    return plans.config([*layers, dense("top", 5)], 8, rows, seed=77, **more)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 70])
def test_inference_and_a_training_pass(case, rows):
    plan, network = pair(small(CASES[case], rows, input_gradient=True))
    x, y = plans.data(rows, 8, 5)
    want, _ = network.forward(x, False)
    out = np.full_like(want, np.nan)
    plan.predict(x, out, 0, rows, 1e9)
    assert_close(out, want, 1e-12 * np.abs(want).max())
    for passes in (0, 5):
        plan.passes = network.passes = passes
        dx = np.full_like(x, np.nan)
        total, gradients, want_dx, _ = network.gradients(x, y)
        assert plan.compute_gradients(x, y, dx)["loss"] == pytest.approx(total / rows, rel=1e-11)
        assert_close(dx, want_dx, 1e-10 * np.abs(want_dx).max())
        for name, g in gradients.items():
            assert_close(plan.gradient(name), g, 1e-10 * (np.abs(g).max() + 1e-3), name)


def state_of(network, info):
    """The oracle's state under the plan's names."""
    state = dict(network.w)
    for t in info:
        own = {"average": network.averages, "accumulator": network.sums}
        for i, slot in enumerate(t["slots"]):
            what = slot.rpartition("/")[2]
            state[slot] = own[what][t["name"]] if what in own else network.slots[t["name"]][i]
    return state


def assert_same(plan, network, bound=1e-9):
    assert (plan.step, plan.passes, plan.pending) == (network.step, network.passes, network.pending)
    for name, want in state_of(network, plan.tensors()).items():
        assert_close(plan.get(name), want, bound * (1 + np.abs(want)), name)


@pytest.mark.parametrize(
    "rule", [ADAM, ("sgd_nesterov", (0.05, 0.9)), ("adagrad", (0.05, 0.1, 1e-7))], ids=lambda r: r[0]
)
@pytest.mark.parametrize("clip", [{}, {"clipvalue": 0.01}, {"clipnorm": 0.05}, {"global_clipnorm": 0.1}], ids=str)
def test_ten_steps_with_everything_on(rule, clip):
    spec = optimizer(*rule, **clip) | FULL
    plan, network = pair(plans.config(EVERYTHING, 8, 12, loss=LOSS, optimizer=spec, seed=3))
    x, y = plans.data(120, 8, 5)
    weights = np.random.default_rng(1).random(120)
    for begin in range(0, 120, 12):
        part = slice(begin, begin + 12)
        r = plan.train(x, y, None, begin, begin + 12, 12, 1e9, weights)
        assert r["status"] == "ok"
        total = network.train_step(x[part], y[part], weights[part])
        assert r["loss"] == pytest.approx(total, rel=1e-9)
        assert_same(plan, network)
    assert plan.step == 5


@pytest.mark.parametrize("case", CASES)
def test_training_each_layer(case):
    plan, network = pair(small(CASES[case], optimizer=optimizer(*ADAM)))
    x, y = plans.data(44, 8, 5)
    for begin in range(0, 44, 11):
        plan.train(x, y, None, begin, begin + 11, 11, 1e9)
        network.train_step(x[begin : begin + 11], y[begin : begin + 11])
    assert_same(plan, network)
    total, _ = network.loss(network.forward(x, False)[0], y)
    assert plan.evaluate(x, y, 0, 44, 1e9, False)["loss"] == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_penalties_are_reported_by_rows(reduction):
    config = plans.config(EVERYTHING, 8, 12, loss=LOSS | {"reduction": reduction}, optimizer=optimizer(*ADAM), seed=3)
    plan, network = pair(config)
    x, y = plans.data(20, 8, 5)
    want = 0.0
    for part in (slice(0, 12), slice(12, 20)):
        network.forward(x[part], False)
        want += network.penalty() * len(y[part])
    assert plan.evaluate(x, y, 0, 20, 1e9, False)["penalty"] == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slices_and_batches_of_the_plan_change_no_bit(dtype):
    """One call over an epoch, slice by slice, and in a plan with room for more."""
    config = plans.config(EVERYTHING, 8, 16, dtype, loss=LOSS, optimizer=optimizer(*ADAM) | FULL, seed=9)
    x, y = plans.data(75, 8, 5, dtype)
    order = np.random.default_rng(0).permutation(75)
    states = []
    for step, room in ((75, 16), (16, 16), (32, 40)):
        plan, _ = pair(config | {"batch": room})
        at = 0
        while at < 75:
            at = plan.train(x, y, order, at, min(at + step, 75), 16, 1e9)["next"]
        assert (plan.step, plan.passes, plan.pending) == (2, 5, 1)
        states.append(plans.state(plan))
    for other in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_failed_step_leaves_everything(bad):
    plan, _ = pair(plans.config(EVERYTHING, 8, 12, loss=LOSS, optimizer=optimizer(*ADAM) | FULL, seed=3))
    x, y = plans.data(48, 8, 5)
    weights = np.ones(48)
    plan.train(x, y, None, 0, 36, 12, 1e9, weights)
    assert (plan.step, plan.passes, plan.pending) == (1, 3, 1)
    before = plans.state(plan)
    if bad == "loss":
        x[40, 3] = np.nan
    else:
        weights[40] = 1e300
    r = plan.train(x, y, None, 36, 48, 12, 1e9, weights)
    assert (r["status"], r["next"], r["steps"]) == (bad, 36, 0)
    assert (plan.step, plan.passes, plan.pending) == (1, 3, 1)
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


# As Python names them: a row's labels, a pair of rows for probabilities and logits.
NAMED = ["sparse_categorical_crossentropy", "categorical_crossentropy"]
ROWS = {row["name"]: dict(row["params"]) for row in _native.loss_rows()}
NAMED += [name for name in ROWS if not name.startswith(("softmax_", "sigmoid_")) and name != "crossentropy"]


@pytest.mark.parametrize(
    ("name", "from_logits"), [(n, logits) for n in NAMED for logits in (False, True)[: 1 + ("crossentropy" in n)]]
)
def test_losses_with_parameters_smoothing_and_weights(name, from_logits):
    crossentropy = "crossentropy" in name
    end = "linear" if from_logits else "softmax" if "categorical" in name else "sigmoid"
    params = [0.6 * value for value in ROWS.get(name, {}).values()]
    spec = {"name": name, "from_logits": from_logits, "reduction": "sum_over_batch_size", "params": params}
    x, labels = plans.data(14, 8, 5)
    y, weights = labels if name.startswith("sparse") else oracle.one_hot(labels, 5), np.linspace(0, 2, 14)
    layers = [dense("d", 7, TANH), dense("e", 5, {"name": end, "params": []})]
    for smoothing in (0.0, 0.1) if crossentropy else (0.0,):
        config = plans.config(layers, 8, 14, loss=spec | {"label_smoothing": smoothing}, optimizer=optimizer(*ADAM))
        plan, network = pair(config)
        for _ in range(3):
            r = plan.train(x, y, None, 0, 14, 14, 1e9, weights)
            assert r["loss"] == pytest.approx(network.train_step(x, y, weights), rel=1e-9)
        assert_same(plan, network)


@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_an_order_moves_rows_targets_and_weights_together(name):
    spec = {"name": name, "from_logits": True, "reduction": "sum_over_batch_size", "label_smoothing": 0.1}
    config = plans.config([dense("d", 7, TANH), dense("e", 5)], 8, 70, loss=spec, optimizer=optimizer(*ADAM))
    x, labels = plans.data(150, 8, 5)
    y, weights = labels if name.startswith("sparse") else oracle.one_hot(labels, 5), np.linspace(0, 2, 150)
    order = np.random.default_rng(0).permutation(150)[:140]
    (shuffled, _), (sorted_, _) = pair(config), pair(config)
    results = [
        shuffled.train(x, y, order, 0, 140, 70, 1e9, weights),
        sorted_.train(x[order], y[order], None, 0, 140, 70, 1e9, weights[order]),
    ]
    assert results[0]["loss"] == results[1]["loss"]
    for key, value in plans.state(shuffled).items():
        np.testing.assert_array_equal(value, sorted_.get(key), err_msg=key)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [5, 131])
def test_float32_is_near_the_oracle(case, rows):
    plan, network = pair(small(CASES[case], rows, dtype="float32", input_gradient=True))
    x, y = plans.data(rows, 8, 5, "float32")
    want, _ = network.forward(x.astype(float), False)
    out, dx = np.full(want.shape, np.nan, np.float32), np.full_like(x, np.nan)
    plan.predict(x, out, 0, rows, 1e9)
    assert_near(out, want)
    _, gradients, want_dx, _ = network.gradients(x.astype(float), y)
    plan.compute_gradients(x, y, dx)
    assert_near(dx, want_dx)
    for name, g in gradients.items():
        if np.linalg.norm(g) > 1e-6:  # a bias before a BatchNormalization has none
            assert_near(plan.gradient(name), g, name)


def assert_near(got, want, what=""):
    """As a whole: where two maxima nearly agree, or an input is near a kink, float32 may take the other side."""
    assert np.linalg.norm(got - want) < 2e-4 * np.linalg.norm(want), what
