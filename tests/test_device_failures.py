"""What is asked of a device fails in turn: the call that meets it says so, and the next is as if nothing had been."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fusednet
from devices import DEVICES, data
from emulated_device import ALLOCATION, KERNEL, TRANSFER, count, failing
from fusednet.layers import BatchNormalization, Dense, Dropout

pytestmark = pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")

SHAPES = [(12, 9), *[(9,)] * 5, (9, 4), (4,)]
ROWS, BATCH, EPOCHS = 40, 16, 2
MOST = 60  # of what fails in a call, at like distances
TOLD = r"device 'cuda_emulated'(: (kernel '\w+'|(copying|clearing) .*): a test wants it to fail|, got \d+ MB free of)"
COUNTERS = ("step", "passes", "pending")


def made(name=""):
    layers = [
        Dense(9, "tanh", kernel_regularizer="l2", input_shape=[12], name="first"),
        BatchNormalization(name="second"),
        *([] if name == "differences" else [Dropout(0.2)]),
        Dense(4, "softmax", name="third"),
    ]
    model = fusednet.Sequential(layers, "model", seed=5, dtype="float64" if name == "differences" else "float32")
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], device="cuda_emulated")
    return model


def state(model):
    plan = model._engine.plan()
    return {**model._engine.read(), **{name: getattr(plan, name) for name in COUNTERS}}


def put_back(model, before):
    plan = model._engine.plan()
    model._engine.write({name: values for name, values in before.items() if name not in COUNTERS})
    for name in COUNTERS:
        setattr(plan, name, before[name])


def hold(model, x, y):
    model._engine.plan(BATCH).hold(x, y.astype(np.int32))


def held(model, x, y):
    plan, y = model._engine.plan(BATCH), y.astype(np.int32)
    plan.hold(x, y)
    result = plan.train(x, y, None, 0, ROWS, BATCH, np.inf)
    plan.release()
    return result["loss"], result["steps"]


def refused(model, x, y):
    x = x.copy()
    x[20, 3] = np.nan
    with pytest.raises(fusednet.NonFiniteError) as told:
        model.fit(x, y, BATCH, EPOCHS, shuffle=False, check_finite=False, verbose=0)
    return str(told.value).partition("; ")[2]  # the step is another one each time


def gradients_refused(model, x, y):
    x = x[:BATCH].copy()
    x[9, 3] = np.nan
    result = model._engine.plan(BATCH, gradients=True).compute_gradients(x, y[:BATCH].astype(np.int32), None, None)
    return result["status"], result["bad"]


def differences(model, x, y):
    plan = model._engine.plan(BATCH)
    return plan.differences(x[:BATCH], y[:BATCH].astype(np.int32), "first/kernel", np.arange(5), 1e-2, np.inf)


CALLS = {
    "fit": lambda model, x, y: model.fit(x, y, BATCH, EPOCHS, shuffle=False, verbose=0).history,
    "hold": hold,
    "held": held,
    "refused": refused,
    "evaluate": lambda model, x, y: model.evaluate(x, y, BATCH, verbose=0),
    "predict": lambda model, x, y: model.predict(x, BATCH, verbose=0),
    "recalibrate_batchnorm": lambda model, x, y: model.recalibrate_batchnorm(x),
    "compute_gradients": lambda model, x, y: model.compute_gradients(x, y),
    "gradients refused": gradients_refused,
    "apply_gradients": lambda model, x, y: model.apply_gradients([np.full(s, 0.5) for s in SHAPES[:4] + SHAPES[6:]]),
    "differences": differences,
    "get_weights": lambda model, x, y: model.get_weights(),
    "set_weights": lambda model, x, y: model.set_weights([np.full(shape, 0.5) for shape in SHAPES]),
}
TRAINS = ("fit", "held", "refused")
NONE = {(f"{way}_weights", what) for way in ("get", "set") for what in (KERNEL, ALLOCATION)} | {
    ("hold", KERNEL),
    ("hold", ALLOCATION),  # the rows come in turns then
}  # of these it has none, or none that is told


def kernels(model):
    """Of the step that is kept."""
    return model._engine.plan(BATCH).kernels


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other is None or bool(np.array_equal(one, other))


@pytest.fixture(scope="module")
def states():
    """After each step of a fit."""
    model, (x, y) = made(), data(rows=ROWS)
    found = [state(model)]
    for _ in range(EPOCHS):
        for first in range(0, ROWS, BATCH):
            model.train_on_batch(x[first : first + BATCH], y[first : first + BATCH])
            found.append(state(model))
    return found


@pytest.mark.parametrize("what", [TRANSFER, KERNEL, ALLOCATION], ids=["transfer", "kernel", "allocation"])
@pytest.mark.parametrize("name", CALLS)
def test_what_fails_in_a_call(name, what, states):
    x, y = data(rows=ROWS)
    call, alike, found = CALLS[name], made(name), None
    before = state(alike)

    def go_well():
        nonlocal found
        found = call(alike, x, y)

    asked = count(what, go_well)
    want, after, told = found, state(alike), []
    for behind in range(0, asked, -(-asked // MOST) or 1):
        model = made(name)
        state(model)  # as before
        try:
            with failing(what, behind):
                found = call(model, x, y)
        except (RuntimeError, MemoryError) as error:
            told.append(str(error))
        else:  # there was another way
            assert same(found, want)
            assert same(state(model), after)
            continue
        if name in TRAINS:
            now = state(model)
            if not same(now, states[model.step]):
                # a step is counted before its metrics and its launch of updates
                assert re.search("kernel '(accuracy|optimizer_update)'", told[-1]), told[-1]
                assert same(now, {**states[model.step - 1], **{each: now[each] for each in COUNTERS}})
            steps = 3 * model._engine.epochs  # of those that ended
            assert name != "fit" or model.step - 3 <= steps <= model.step
        elif name != "set_weights":
            assert same(state(model), before)
        put_back(model, before)
        assert same(call(model, x, y), want)
        assert same(state(model), after)
        assert name not in TRAINS or kernels(model) == kernels(alike)
    assert all(re.search(TOLD, text) for text in told), told
    assert told or (name, what) in NONE
