"""What keeps a model whole: other threads, odd orders of calls, numbers at the edge of their domains."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest

import fusednet
import plans
from fusednet import _native, ops, optimizers
from fusednet.callbacks import Callback
from fusednet.layers import BatchNormalization, Dense

X = np.random.default_rng(3).normal(size=(64, 6))
Y = X[:, :2].copy()


def build(*layers, optimizer="sgd", **options):
    model = fusednet.Sequential([Dense(6, "tanh", input_shape=[6], name="first"), *layers, Dense(2)], seed=5, **options)
    model.compile(optimizer, "mse")
    return model


def test_a_larger_batch_of_another_thread_does_not_undo_training():
    """Its plan would replace the one that is training: an error, and every step counts."""
    model = build()
    started = threading.Event()

    class Started(Callback):
        def on_train_batch_end(self, batch, logs=None):
            started.set()

    def larger():
        started.wait()
        for rows in range(40, 64):
            with contextlib.suppress(RuntimeError):  # while the model trains
                model.predict(X[:rows], batch_size=rows)

    other = threading.Thread(target=larger)
    other.start()
    epochs = 0
    while epochs == 0 or other.is_alive():
        model.fit(X, Y, batch_size=8, epochs=20, verbose=0, callbacks=[Started()])
        epochs += 20
    other.join()
    assert model.step == epochs * 8


def test_the_average_of_an_added_layer_begins_at_its_weights():
    model = build(optimizer=optimizers.SGD(1e-3, use_ema=True, ema_momentum=0.9))
    model.fit(X, Y, verbose=0)
    model.add(Dense(2, kernel_initializer="ones", name="added"))
    model.fit(X, Y, batch_size=64, verbose=0)
    assert np.abs(model.get_layer("added").kernel.numpy() - 1.0).max() < 0.1


@pytest.mark.parametrize("kind", ["RMSprop", "Adagrad", "Adam", "AdamW", "Nadam", "Adamax", "Adadelta"])
@pytest.mark.parametrize("epsilon", [0.0, 1e-46, -1.0, float("nan")])
def test_an_epsilon_that_divides_nothing_by_nothing(kind, epsilon):
    with pytest.raises(ValueError, match=rf"\[{kind}\] epsilon expects a finite number of at least 1.2e-38"):
        getattr(optimizers, kind)(epsilon=epsilon)


def test_a_decay_that_would_overflow_is_refused_before_it_is_done():
    model = build(optimizer=optimizers.SGD(1.0, weight_decay=1e300))
    before = model.get_weights()
    with pytest.raises(fusednet.NonFiniteError, match="first/kernel"):
        model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["step", "passes", "pending"])
@pytest.mark.parametrize("value", [-1, -(10**9), 1 << 44])
def test_counters_of_a_plan(name, value):
    plan = build(optimizer="nadam").plan
    with pytest.raises(ValueError, match=name):
        setattr(plan, name, value)


def test_labels_go_with_the_crossentropy_alone():
    config = plans.config([plans.dense("d", 3)], 6, 8, loss=plans.loss("sparse_mean_squared_error", False))
    with pytest.raises(ValueError, match="sparse_categorical_crossentropy only"):
        _native.Plan(config)


def test_metrics_changed_in_the_middle_of_training():
    class Compiles(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.compile("sgd", "mse", ["mae", "mse"])

    with pytest.raises(RuntimeError, match="compile expects a model that is not training"):
        build().fit(X, Y, epochs=2, verbose=0, callbacks=[Compiles()])


@pytest.mark.parametrize(
    ("src", "order", "error", "words"),
    [
        (np.float32(1.0), None, ValueError, "'src' expects shape"),
        (np.ones((3, 2), np.float32), [0.5, 1.0], TypeError, "'order' expects integers, got float64"),
        (np.ones((3, 2), np.float32), [np.nan], TypeError, "'order' expects integers"),
    ],
)
def test_gathered_rows(src, order, error, words):
    with pytest.raises(error, match=words):
        ops.gather(src, order)


def test_statistics_that_cannot_be_folded():
    model = build(BatchNormalization(name="norm"))
    mean = model.get_layer("norm").moving_mean
    mean.assign(np.full(mean.shape, np.inf))
    with pytest.raises(ValueError, match=r"\[BatchNormalization 'norm'\] fold_batchnorm expects finite"):
        model.fold_batchnorm()
