"""Whatever is asked of a device fails in turn: the call that meets it says so, and the next one is as if nothing had
been."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fusednet
from devices import DEVICES, data
from emulated_device import ALLOCATION, KERNEL, TRANSFER, count, failing
from fusednet.layers import BatchNormalization, Dense

pytestmark = pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")

SHAPES = [(12, 9), *[(9,)] * 5, (9, 4), (4,)]
ROWS, BATCH, MOST = 40, 16, 60  # of what fails in a call
TOLD = r"device 'cuda_emulated'(: (kernel '\w+'|(copying|clearing) .*): a test wants it to fail|, got \d+ MB free of)"


def made(name):
    layers = [
        Dense(9, "tanh", kernel_regularizer="l2", input_shape=[12], name="first"),
        BatchNormalization(name="second"),
        Dense(4, "softmax", name="third"),
    ]
    model = fusednet.Sequential(layers, "model", seed=5, dtype="float64" if name == "differences" else "float32")
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"], device="cuda_emulated")
    return model


def differences(model, x, y):
    plan = model._engine.plan(BATCH)
    return plan.differences(x[:BATCH], y[:BATCH].astype(np.int32), "first/kernel", np.arange(5), 1e-2, np.inf)


def refused(model, x, y):
    x = x.copy()
    x[20, 3] = np.nan
    with pytest.raises(fusednet.NonFiniteError) as told:
        model.fit(x, y, BATCH, 2, shuffle=False, check_finite=False, verbose=0)
    return str(told.value).partition("; ")[2]  # the step is another one each time


CALLS = {
    "fit": lambda model, x, y: model.fit(x, y, BATCH, 2, shuffle=False, verbose=0).history,
    "refused": refused,
    "evaluate": lambda model, x, y: model.evaluate(x, y, BATCH, verbose=0),
    "predict": lambda model, x, y: model.predict(x, BATCH, verbose=0),
    "recalibrate_batchnorm": lambda model, x, y: model.recalibrate_batchnorm(x),
    "compute_gradients": lambda model, x, y: model.compute_gradients(x, y),
    "differences": differences,
    "get_weights": lambda model, x, y: model.get_weights(),
    "set_weights": lambda model, x, y: model.set_weights([np.full(shape, 0.5) for shape in SHAPES]),
}
TRAINS = ("fit", "refused", "set_weights")  # the state is in between where they fail

NONE = {(f"{way}_weights", what) for way in ("get", "set") for what in (KERNEL, ALLOCATION)}  # of these it has none


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one is other is None or bool(np.array_equal(one, other))


@pytest.mark.parametrize("what", [TRANSFER, KERNEL, ALLOCATION], ids=["transfer", "kernel", "allocation"])
@pytest.mark.parametrize("name", CALLS)
def test_what_fails_in_a_call(name, what):
    x, y = data(rows=ROWS)
    call, alike, found = CALLS[name], made(name), None
    before = alike.get_weights()

    def go_well():
        nonlocal found
        found = call(alike, x, y)

    asked = count(what, go_well)
    want, told = found, []
    for behind in range(0, asked, -(-asked // MOST) or 1):
        model = made(name)
        model.get_weights()  # as before
        try:
            with failing(what, behind):
                found = call(model, x, y)
        except (RuntimeError, MemoryError) as error:
            told.append(str(error))
        else:  # there was another way
            assert same(found, want)
            assert same(model.get_weights(), alike.get_weights())
            continue
        if name not in TRAINS:
            assert same(model.get_weights(), before)
        model.set_weights(before)
        assert same(call(model, x, y), want)
        assert same(model.get_weights(), alike.get_weights())
    assert all(re.search(TOLD, text) for text in told), told
    assert told or (name, what) in NONE
