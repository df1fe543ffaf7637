"""How rows reach a device: held there for a fit, or packed in turns; the same bits either way."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest

import fusednet
from devices import NETS, data, train
from fusednet.layers import BatchNormalization, Dense, Dropout
from fusednet.optimizers import Adam


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_held_or_sent_in_turns(device, dtype, weighted):
    """The same bits: held there for a fit, packed slice by slice, and a batch at a time."""
    g = np.random.default_rng(2)
    x, y = g.integers(0, 255, (700, 30)).astype(dtype), g.integers(0, 3, 700).astype(np.int32)
    weights = g.uniform(0.5, 2.0, 700) if weighted else None

    def plan():
        model = fusednet.Sequential(
            [BatchNormalization(input_shape=[30]), Dense(9, "elu"), Dropout(0.2), Dense(3, "softmax")], seed=1
        )
        model.compile(Adam(0.01), "sparse_categorical_crossentropy", device=device)
        return model._engine.plan(50)

    order = g.permutation(700)
    plans = [plan() for _ in range(3)]
    held, turns, single = plans
    held.hold(x, y, weights)
    total = held.train(x, y, order, 0, 700, 50, np.inf, weights)
    assert total["next"] == total["samples"] == 700
    assert total["steps"] == 14
    total = turns.train(x, y, order, 0, 700, 50, np.inf, weights)
    assert total["next"] == 700
    for begin in range(0, 700, 50):
        single.train(x, y, order, begin, begin + 50, 50, np.inf, weights)
    held.release()

    def arrays(plan):
        return [plan.get(name) for info in plan.tensors() for name in [info["name"], *info["slots"]]]

    for ours, turned, alone in zip(*map(arrays, plans), strict=True):
        np.testing.assert_array_equal(ours, turned)
        np.testing.assert_array_equal(ours, alone)
    assert held.step == turns.step == single.step == 14


def test_rows_changed_after_the_hold(device):
    """Nobody looks at what was held before."""
    model, _ = train(device, NETS["wide"])
    x, y = data()
    plan = model._engine.plan(32)
    labels = y.astype(np.int32)
    plan.hold(x, labels)
    plan.release()
    before = model.get_weights()
    x[:] = np.nan
    assert plan.train(x, labels, None, 0, 32, 32, np.inf)["status"] == "loss"
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rows_beyond_those_held(device):
    """A call with more rows of the same array takes them from there."""
    x, y = data()
    labels = y.astype(np.int32)
    plans = []
    for held in (True, False):
        model = fusednet.Sequential(NETS["wide"](), seed=5)
        model.compile("adam", "sparse_categorical_crossentropy", device=device)
        plan = model._engine.plan(32)
        if held:
            plan.hold(x[:100], labels[:100])
        for order in (None, np.arange(330)[::-1].copy()):
            assert plan.train(x, labels, order, 0, 330, 32, np.inf)["samples"] == 330
        plans.append(plan)
    for info in plans[0].tensors():
        index = [i["name"] for i in plans[0].tensors()].index(info["name"])
        other = plans[1].tensors()[index]["name"]
        np.testing.assert_array_equal(plans[0].get(info["name"]), plans[1].get(other))


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_in_several_turns(device, dtype, stride):
    """More steps than are sent at once, in an order and in none: the next rows travel while these are read."""
    g = np.random.default_rng(0)
    x = (g.normal(size=(1400, 12)) * 3 + 9).astype(dtype)[::stride][:700]
    y = g.integers(0, 4, 700).astype(np.int32)
    weights = g.uniform(0.5, 2.0, 700)
    results = []
    for held in (True, False):
        model = fusednet.Sequential(NETS["layernorm"](), seed=5)
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], device=device)
        plan = model._engine.plan(1)
        if held:
            plan.hold(x, y, weights)
        for order in (None, g.permutation(700) if held else results[0][1]):
            assert plan.train(x, y, order, 0, 700, 1, np.inf, weights)["steps"] == 700
        plan.release()
        figures = plan.evaluate(x, y, 0, 700, np.inf, False, weights)
        assert figures["samples"] == 700
        parts = [plan.evaluate(x, y, i, i + 100, np.inf, False, weights) for i in range(0, 700, 100)]
        assert figures["loss"] == pytest.approx(sum(part["loss"] for part in parts), rel=1e-12)
        results.append((model.get_weights(), order, figures["loss"], [list(sums) for sums in figures["metrics"]]))
    for ours, theirs in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert results[0][2:] == results[1][2:]


@pytest.mark.parametrize("call", ["evaluate", "predict", "recalibrate_batchnorm"])
def test_rows_on_their_way_when_a_call_is_interrupted(device, call):
    """The next call does not meet them, and the state is whole."""
    x, y = data(rows=20_000, features=40)
    model = fusednet.Sequential([Dense(60, input_shape=[40]), BatchNormalization(), Dense(4, "softmax")], seed=1)
    model.compile("adam", "sparse_categorical_crossentropy", device=device)
    model.fit(x[:64], y[:64], verbose=0)
    model.recalibrate_batchnorm(x)  # the same again whenever it is asked for
    expected = model.predict(x, verbose=0)
    calls = {
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
        "predict": lambda: model.predict(x, verbose=0),
        "recalibrate_batchnorm": lambda: model.recalibrate_batchnorm(x),
    }

    def over_and_over(one):
        while True:
            one()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for delay in (0.02, 0.05, 0.09):
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                over_and_over(calls[call])
            calls[call]()
    finally:
        signal.signal(signal.SIGINT, before)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
