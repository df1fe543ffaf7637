"""Whole training steps of a compiled plan against the oracle, and against the two halves of a step."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
import plans
from fusednet import _native
from helpers import assert_close
from oracle_plan import Network
from plans import activation, batchnorm, dense, loss, optimizer

# The course's network, small: normalisation of the inputs, fused blocks, normalised logits.
COURSE = [
    batchnorm("bn0"),
    dense("d1", 13, use_bias=False), batchnorm("bn1"), activation("a1"),
    dense("d2", 9, {"name": "tanh", "params": []}), batchnorm("bn2", center=False),
    dense("d3", 5, use_bias=False), batchnorm("bn3", scale=False),
]  # fmt: skip
PLAIN = [dense("d1", 13, plans.ELU), dense("d2", 7, {"name": "relu", "params": []}), dense("d3", 5)]
ODD = [
    activation("a0", "leaky_relu", (0.3,)), dense("d1", 6), activation("a1", "selu", ()), batchnorm("bn"),
    activation("a2", "sigmoid", ()), activation("a3"), dense("d2", 5, {"name": "softmax", "params": []}),
]  # fmt: skip
ADAM = ("adam", (0.01, 0.9, 0.999, 1e-7))
OPTIMIZERS = [
    ("sgd", (0.05,)), ("sgd_momentum", (0.05, 0.9)), ("sgd_nesterov", (0.05, 0.9)), ("rmsprop", (0.01, 0.9, 1e-7)),
    ("rmsprop_momentum", (0.01, 0.9, 1e-7, 0.9)), ADAM,
]  # fmt: skip
CLIPS = [{}, {"clipvalue": 0.01}, {"clipnorm": 0.05}, {"global_clipnorm": 0.1}]


def pair(config):
    plan = _native.Plan(config)
    values = plans.start(plan)
    return plan, Network(config, values, [t["name"] for t in plan.tensors() if t["trainable"]])


def compare(plan, network, bound=1e-11):
    for name, want in network.w.items():
        assert_close(plan.get(name), want, bound * (1 + np.abs(want)), name)


def train(config, steps=4, rows=11):
    plan, network = pair(config)
    x, y = plans.data(rows, config["features"], plan.outputs)
    if not config["loss"]["name"].startswith("sparse"):
        y = oracle.one_hot(y, plan.outputs)
    for _ in range(steps):
        r = plan.train(x, y, None, 0, rows, rows, 1e9)
        assert (r["status"], r["steps"], r["next"], r["samples"]) == ("ok", 1, rows, rows)
        assert r["loss"] == pytest.approx(network.train_step(x, y), rel=1e-11)
    compare(plan, network)
    assert plan.step == steps
    return plan, network


@pytest.mark.parametrize("optimizer_row", OPTIMIZERS, ids=lambda o: o[0])
@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: next(iter(c), "unclipped"))
def test_training_is_the_oracle(optimizer_row, clip):
    train(plans.config(COURSE, 8, 11, optimizer=optimizer(*optimizer_row, **clip)))


@pytest.mark.parametrize("layers", [COURSE, PLAIN, ODD], ids=["course", "plain", "odd"])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
@pytest.mark.parametrize(
    ("name", "from_logits"),
    [
        ("sparse_categorical_crossentropy", True),
        ("categorical_crossentropy", True),
        ("binary_crossentropy", True),
        ("mean_squared_error", False),
    ],
)
def test_losses_and_reductions(layers, reduction, name, from_logits):
    if layers is ODD and from_logits:
        from_logits = False  # it ends in a softmax
    train(plans.config(layers, 8, 11, loss=loss(name, from_logits, reduction), optimizer=optimizer(*ADAM)), steps=3)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_output_activation_is_fused_without_a_difference(output):
    layers = [*PLAIN[:-1], dense("d3", 5, {"name": output, "params": []})]
    name = "categorical_crossentropy" if output == "softmax" else "binary_crossentropy"
    train(plans.config(layers, 8, 11, loss=loss(name, False), optimizer=optimizer(*ADAM)))


def test_fused_and_separate_logits_agree():
    """A softmax layer with its loss, and a loss from logits: the same weights after training."""
    ends = [(dense("d3", 5, {"name": "softmax", "params": []}), False), (dense("d3", 5), True)]
    got = [
        train(plans.config([*PLAIN[:-1], end], 8, 11, loss=loss(from_logits=logits)))[0].get("d1/kernel")
        for end, logits in ends
    ]
    assert_close(got[0], got[1], 1e-13)


def test_a_frozen_layer_keeps_its_weights_and_infers():
    layers = [dense("d1", 6, plans.ELU), batchnorm("bn", trainable=False), dense("d2", 5) | {"trainable": False}]
    config = plans.config(layers, 8, 11)
    before = plans.start(_native.Plan(config))
    plan, _ = train(config)
    for name in ("bn/gamma", "bn/moving_mean", "bn/moving_variance", "d2/kernel", "d2/bias"):
        np.testing.assert_array_equal(plan.get(name), before[name], err_msg=name)
    assert (plan.get("d1/kernel") != before["d1/kernel"]).any()


def test_gradients_inputs_and_halves_of_a_step():
    config = plans.config(COURSE, 8, 11, optimizer=optimizer(*ADAM, global_clipnorm=0.1), input_gradient=True)
    (plan, network), (whole, _) = pair(config), pair(config)
    x, y = plans.data(11, 8, 5)
    dx = np.full_like(x, np.nan)
    before = plans.state(plan)
    result = plan.compute_gradients(x, y, dx)
    total, gradients, want_dx, _ = network.gradients(x, y)
    assert result["loss"] == pytest.approx(total / 11, rel=1e-12)
    assert_close(dx, want_dx, 1e-12 * np.abs(want_dx).max())
    for name, want in gradients.items():
        assert_close(plan.gradient(name), want, 1e-12 * (np.abs(want).max() + 1e-3), name)
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=f"compute_gradients changed {name}")
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert plan.apply_gradients()["norm"] == pytest.approx(norm, rel=1e-12)
    whole.train(x, y, None, 0, 11, 11, 1e9)
    for name, value in plans.state(plan).items():
        if "moving" not in name:
            assert_close(value, whole.get(name), 1e-12, name)


def test_order_slices_and_last_batch():
    """One call over an epoch, or slice by slice: the same bits; the last batch is smaller."""
    config = plans.config(COURSE, 8, 16, "float32", optimizer=optimizer(*ADAM))
    x, y = plans.data(75, 8, 5, "float32")
    order = np.random.default_rng(0).permutation(75)
    results = []
    for step in (75, 16):
        plan, _ = pair(config)
        at = 0
        while at < 75:
            r = plan.train(x, y, order, at, min(at + step, 75), 16, 1e9)
            assert (r["status"], r["next"]) == ("ok", min(at + step, 75))
            at = r["next"]
        assert plan.step == 5
        results.append(plans.state(plan))
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name], err_msg=name)


def test_a_budget_of_nothing_does_one_step():
    plan, _ = pair(plans.config(PLAIN, 8, 16))
    x, y = plans.data(64, 8, 5)
    r = plan.train(x, y, None, 0, 64, 16, 0.0)
    assert (r["steps"], r["next"], r["samples"]) == (1, 16, 16)


@pytest.mark.parametrize("source", [np.uint8, np.float32, np.float64])
def test_rows_are_converted_as_they_are_gathered(source):
    x = np.random.default_rng(1).integers(0, 256, (16, 8)).astype(source)
    y = plans.data(16, 8, 5)[1]
    got = []
    for rows in (x, x.astype(np.float64)):
        plan, _ = pair(plans.config(COURSE, 8, 16))
        plan.train(rows, y, None, 0, 16, 16, 1e9)
        got.append(plan.get("d1/kernel"))
    np.testing.assert_array_equal(*got)


@pytest.mark.parametrize("layers", [COURSE, PLAIN, ODD], ids=["course", "plain", "odd"])
def test_inference_is_the_oracle(layers):
    plan, network = pair(plans.config(layers, 8, 16, loss=loss(from_logits=layers is not ODD)))
    x, y = plans.data(41, 8, 5)
    want, _ = network.forward(x, False)
    out = np.full(want.shape, np.nan)
    assert plan.predict(x, out, 0, 41, 1e9) == 41
    assert_close(out, want, 1e-12 * np.abs(want).max())
    r = plan.evaluate(x, y, 0, 41, 1e9, False)
    assert r["loss"] == pytest.approx(network.loss(want, y)[0], rel=1e-12)
    assert (r["next"], r["samples"], r["metrics"]) == (41, 41, [[int((want.argmax(axis=1) == y).sum()), 41.0]])


def assert_refused(plan, x, y, status, bad):
    """A good step, then a bad one in the rows from 11: it is named, and nothing of it stays."""
    assert plan.train(x, y, None, 0, 11, 11, 1e9)["status"] == "ok"
    before = plans.state(plan)
    r = plan.train(x, y, None, 11, 22, 11, 1e9)
    assert (r["status"], r["next"], r["steps"], r["bad"]) == (status, 11, 0, bad)
    assert not np.isfinite(r["value"])
    assert plan.step == 1
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert plan.train(x, y, None, 0, 11, 11, 1e9)["status"] == "ok"  # and the plan goes on


def test_a_step_whose_loss_is_not_finite_changes_nothing():
    plan, _ = pair(plans.config(COURSE, 8, 11, optimizer=optimizer(*ADAM, global_clipnorm=1.0)))
    x, y = plans.data(22, 8, 5)
    x[15, 3] = np.nan
    assert_refused(plan, x, y, "loss", "input")


def test_the_first_layer_that_overflows_is_named():
    plan, _ = pair(plans.config(PLAIN, 8, 11))
    x, y = plans.data(22, 8, 5)
    x[15] = 1.7e308 * np.sign(plan.get("d1/kernel")[:, 0])  # finite itself, its product with the kernel is not
    assert_refused(plan, x, y, "loss", "d1")


def test_a_step_whose_gradient_overflows_changes_nothing():
    """Inputs of 1e21 on a kernel of 0: the loss is small, the kernel's gradient, their product, beyond float32."""
    spec = {"loss": loss("mean_squared_error", False, "sum"), "optimizer": optimizer(*ADAM, clipvalue=1.0)}
    plan, _ = pair(plans.config([dense("d1", 5)], 8, 11, "float32", **spec))
    x, t = np.zeros((22, 8), np.float32), np.full((22, 5), 1e18, np.float32)
    plan.set("d1/kernel", np.zeros((8, 5), np.float32))
    x[11:] = 1e21
    assert_refused(plan, x, t, "gradient", "d1/kernel")


def test_differences_agree_with_the_gradient_and_restore():
    plan, _ = pair(plans.config(COURSE, 8, 11, input_gradient=True))
    x, y = plans.data(11, 8, 5)
    dx = np.empty_like(x)
    plan.compute_gradients(x, y, dx)
    before = plans.state(plan)
    for name, gradient in (
        ("d1/kernel", plan.gradient("d1/kernel")),
        ("bn1/gamma", plan.gradient("bn1/gamma")),
        (None, dx),
    ):
        indices = np.arange(0, gradient.size, 3)
        numeric = plan.differences(x, y, name, indices, 1e-4, 1e9)
        assert numeric.shape == (len(indices), 2)
        assert_close(numeric[:, 0], gradient.ravel()[indices], 1e-7, str(name))
    for name, value in plans.state(plan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_print_shows_every_layer_and_the_bytes():
    plan, _ = pair(plans.config(COURSE, 8, 11))
    text = plan.describe()
    assert all(layer["name"] in text for layer in COURSE)
    assert plan.nbytes > 0
