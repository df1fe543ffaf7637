"""Ctrl-C during fit: answered in under 0.2 s, and the model goes on working."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import fusednet
from fusednet._config import default_device
from fusednet.layers import Dense
from fusednet.optimizers import SGD, Adam


@pytest.fixture(autouse=True)
def _answers_to_ctrl_c():
    """Also where whoever started the tests ignores the signal, as shells do for jobs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


on_cpu = pytest.mark.skipif(default_device() != "cpu", reason="of the CPU: a device is asked to stop between slices")


@on_cpu
@pytest.mark.timed
@pytest.mark.parametrize(
    ("features", "units", "batch"),
    [(8, 8, 16), (600, 700, 256), pytest.param(3000, 3000, 1024, marks=pytest.mark.slow)],
)
def test_ctrl_c(features, units, batch):
    g = np.random.default_rng(0)
    x = g.normal(size=(4096, features)).astype(np.float32)
    y = g.integers(0, 4, 4096)
    model = fusednet.Sequential(
        [Dense(units, activation="tanh", input_shape=[features]), Dense(units, activation="tanh"), Dense(4, "softmax")]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    model.fit(x[:batch], y[:batch], batch_size=batch, verbose=0)

    def answer():
        sent = []

        def interrupt():
            time.sleep(0.4)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, batch_size=batch, epochs=1_000_000, verbose=0)
        late = time.perf_counter() - sent[0]
        thread.join()
        return late

    # the best of three: other processes may hold the cores
    assert any(answer() < 0.2 for _ in range(3))
    assert np.isfinite(model.evaluate(x, y, verbose=0))
    step = model.step
    model.fit(x, y, batch_size=batch, verbose=0)
    assert model.step == step + 4096 // batch


# Steps of more than the 20 ms between two looks for a signal, of which the update is a large part.
@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "width", "batch", "optimizer"),
    [(2, 2000, 512, SGD(0.01)), (2, 2400, 256, SGD(0.01, global_clipnorm=0.1)), (6, 2800, 8, Adam())],
    ids=["unstored", "unstored, clipped", "stored"],
)
def test_ctrl_c_amid_an_update(layers, width, batch, optimizer):
    """A step that has begun to write its update is whole for whoever looks at it next."""
    g = np.random.default_rng(0)
    x = g.normal(size=(batch, width)).astype(np.float32)
    y = g.integers(0, 4, batch)

    def make():
        model = fusednet.Sequential(seed=3)
        model.add(Dense(width, activation="tanh", input_shape=[width], kernel_constraint="max_norm"))  # comes last
        for _ in range(layers - 1):
            model.add(Dense(width, activation="tanh"))
        model.add(Dense(4, "softmax"))
        model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer)
        model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        return model

    model = make()
    start = time.perf_counter()
    model.fit(x, y, batch_size=batch, epochs=4, shuffle=False, verbose=0)
    step = (time.perf_counter() - start) / 4

    def train(seconds):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
        model.fit(x, y, batch_size=batch, epochs=1_000_000, shuffle=False, verbose=0)

    for delay in g.uniform(1, 3, 100) * step:
        with pytest.raises(KeyboardInterrupt):
            train(delay)
        if model.plan.interrupted_update:
            break
    assert model.plan.interrupted_update
    twin = make()
    twin.fit(x, y, batch_size=batch, epochs=model.step - 1, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_two_models_train_in_two_threads():
    """Both get what they get alone: the kernels hold no state of their own."""
    g = np.random.default_rng(0)
    x = g.normal(size=(600, 300)).astype(np.float32)
    y = g.integers(0, 4, 600)

    def train(seed):
        model = fusednet.Sequential([Dense(500, activation="elu", input_shape=[300]), Dense(4, "softmax")], seed=seed)
        model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
        model.fit(x, y, epochs=4, verbose=0)
        return model.get_weights()

    alone = [train(0), train(1)]
    results: dict[int, list[np.ndarray]] = {}
    threads = [threading.Thread(target=lambda s=s: results.update({s: train(s)})) for s in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        for a, b in zip(alone[seed], results[seed], strict=True):
            np.testing.assert_array_equal(a, b)
