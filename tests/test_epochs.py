"""Epochs that nothing looks at share a native call: what comes out is that of epochs one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusednet
from fusednet import _native, _training
from fusednet.layers import Dense, Dropout

ROWS = 70


class Looks(fusednet.callbacks.Callback):
    """A callback that does nothing makes `fit` go epoch by epoch."""


def network(optimizer="adam", metrics=("mae", "r2_score"), loss="mse"):
    layers = [Dense(16, activation="tanh", input_shape=[5]), Dropout(0.2), Dense(2)]
    model = fusednet.Sequential(layers, seed=3)
    model.compile(loss=loss, optimizer=optimizer, metrics=list(metrics))
    return model


def data():
    g = np.random.default_rng(0)
    x = g.normal(size=(ROWS, 5)).astype(np.float32)
    return x, np.stack([x.sum(axis=1), x[:, 0]], axis=1)


@pytest.fixture
def calls(monkeypatch):
    """How many epochs each native call was asked for."""
    seen = []
    run = _training.run_quiet_epochs

    class Watched:
        def __init__(self, plan):
            self.plan = plan

        def train_epochs(self, *arguments):
            seen.append(arguments[4])
            self.plan.train_epochs(*arguments)

    def watched(model, *rest):
        plan = model._engine.plan
        with monkeypatch.context() as patch:
            patch.setattr(model._engine, "plan", lambda batch: Watched(plan(batch)))
            return run(model, *rest)

    monkeypatch.setattr(_training, "run_quiet_epochs", watched)
    return seen


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("a_slice", [None, 12], ids=["one call", "several calls"])
def test_the_same_bits_and_the_same_history(calls, monkeypatch, shuffle, weighted, a_slice):
    if a_slice:
        monkeypatch.setattr(_training, "steps_a_slice", lambda *_: a_slice)
    x, y = data()
    options = {"batch_size": 16, "verbose": 0, "shuffle": shuffle, "initial_epoch": 2}
    if weighted:
        options["sample_weight"] = np.linspace(0, 2, ROWS)
    quiet, looked = network(), network()
    for epochs in (3, 9):  # the second `fit` goes on
        a = quiet.fit(x, y, epochs=epochs, **options)
        b = looked.fit(x, y, epochs=epochs, callbacks=[Looks()], **options)
        assert a.history == b.history
        assert a.epoch == b.epoch
        assert list(a.history) == ["mae", "r2_score", "loss"]
        assert len(a.epoch) == epochs - 2
    for p, q in zip(quiet.get_weights(), looked.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert quiet.epochs_trained == looked.epochs_trained == 8
    assert quiet.step == looked.step == 8 * 5
    assert calls == ([1, 2, 2, 2, 1] if a_slice else [1, 7])


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [Looks()]},
        {"validation_split": 0.2},
        {"verbose": 2},
        {"callbacks": [fusednet.callbacks.History()]},
    ],
    ids=["callback", "validation", "lines", "history"],
)
def test_whoever_looks_sees_each_epoch(calls, options, capsys):
    x, y = data()
    history = network().fit(x, y, epochs=3, **({"verbose": 0} | options))
    assert calls == []
    assert len(history.history["loss"]) == 3
    assert capsys.readouterr().out.count("Epoch") == (3 if "verbose" in options else 0)


def test_a_step_that_fails_in_a_later_epoch():
    """The epochs before it count; the weights are those before the step."""
    x, y = data()
    bad = y.copy()
    bad[:] = 1e19
    model, other = network("sgd"), network("sgd")
    for m, callbacks in ((model, None), (other, [Looks()])):
        with pytest.raises(fusednet.NonFiniteError, match=r"epoch \d+, step \d+") as error:
            m.fit(x, bad, batch_size=16, epochs=500, verbose=0, callbacks=callbacks)
        m.error = error.value
    assert (model.error.epoch, model.error.step) == (other.error.epoch, other.error.step)
    assert model.epochs_trained == other.epochs_trained == model.error.epoch - 1
    np.testing.assert_array_equal(model.history.history.get("loss", []), other.history.history.get("loss", []))
    for p, q in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    assert all(np.isfinite(p).all() for p in model.get_weights())


def test_stop_training_set_from_outside_ends_it(monkeypatch):
    x, y = data()
    model = network()
    monkeypatch.setattr(_training, "steps_a_slice", lambda *_: 10)
    extend = fusednet.callbacks.History.extend

    def stop(history, epochs, logs):
        extend(history, epochs, logs)
        model.stop_training = len(history.epoch) >= 3

    monkeypatch.setattr(fusednet.callbacks.History, "extend", stop)
    model.fit(x, y, batch_size=16, epochs=50, verbose=0)
    assert model.epochs_trained == len(model.history.epoch) == 4


def test_interrupted_while_results_are_counted(monkeypatch):
    """What was trained counts, and its history is there."""
    x, y = data()
    model = network()
    epochs, calls = _training.Meter.epochs, []

    def interrupted(meter, results):
        calls.append(results)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return epochs(meter, results)

    monkeypatch.setattr(_training, "steps_a_slice", lambda *_: 10)
    monkeypatch.setattr(_training.Meter, "epochs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=16, epochs=50, verbose=0)
    assert model.step == 5 * model.epochs_trained == 5 * len(model.history.history["loss"]) == 20


def test_the_native_call_checks_what_it_is_given():
    x, y = data()
    model = network()
    model.fit(x, y, batch_size=16, verbose=0)
    plan, targets = model.plan, y.astype(np.float32)
    results: dict[str, Any] = {}
    with pytest.raises(ValueError, match="'epochs' expects at least 0, got -1"):
        plan.train_epochs(x, targets, None, 0, -1, 16, None, results)
    with pytest.raises(ValueError, match="'batch' expects 1 to"):
        plan.train_epochs(x, targets, None, 0, 1, 10**6, None, results)
    with pytest.raises(ValueError, match=r"'x' expects shape"):
        plan.train_epochs(x[:, :4], targets, None, 0, 1, 16, None, results)
    with pytest.raises(ValueError, match=r"'y' expects shape"):
        plan.train_epochs(x, targets[:-1], None, 0, 1, 16, None, results)
    assert results == {}
    plan.train_epochs(x, targets, 1, 0, 2, 16, None, results)
    assert list(results) == ["epochs"]
    assert results["epochs"]["samples"].tolist() == [ROWS, ROWS]
    assert np.isfinite(results["epochs"]["loss"]).all()
    assert [sums.shape for sums in results["epochs"]["metrics"]] == [(2, 2), (2, 7)]
    plan.train_epochs(x, targets, None, 0, 0, 16, None, results)
    assert results["epochs"]["samples"].size == 0
    bare = _native.Plan(model._engine.config(16) | {"optimizer": None})
    with pytest.raises(ValueError, match="expects a plan with an optimizer"):
        bare.train_epochs(x, targets, None, 0, 1, 16, None, results)
