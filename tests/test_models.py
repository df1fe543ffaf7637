"""Keras's way of working: the course's listings with one import changed, and what each method promises."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet as keras
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten

COURSE_SUMMARY = [0, 3136, 235500, 1200, 30100, 400, 1010]


def blobs(rows=240, features=6, classes=3, seed=0):
    """Classes that a straight line nearly separates."""
    g = np.random.default_rng(seed)
    y = g.integers(0, classes, rows)
    x = g.normal(size=(rows, features)) + 2.5 * np.eye(classes, features)[y]
    return x.astype(np.float32), y


def small_model(**options):
    model = keras.Sequential(
        [Dense(8, input_shape=[6]), BatchNormalization(), Activation("elu"), Dense(3, activation="softmax")],
        seed=3,
        **options,
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def test_the_course_batchnorm_listing_and_its_summary():
    model = keras.models.Sequential(
        [
            keras.layers.Flatten(input_shape=[28, 28]),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(300, activation="elu", kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(100, activation="elu", kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert [layer.count_params() for layer in model.layers] == COURSE_SUMMARY
    for figure in ("271,346", "268,978", "2,368", "235,500", "3,136"):
        assert figure in text
    assert [(v.name.split("/")[-1], v.trainable) for v in model.layers[1].variables] == [
        ("gamma", True),
        ("beta", True),
        ("moving_mean", False),
        ("moving_variance", False),
    ]


def test_the_course_listing_with_batchnorm_before_the_activation():
    model = keras.models.Sequential()
    model.add(keras.layers.Flatten(input_shape=[8, 8]))
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Dense(30, kernel_initializer="he_normal", use_bias=False))
    model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Activation("elu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    optimizer = keras.optimizers.SGD(learning_rate=0.05, momentum=0.9, nesterov=True, clipvalue=1.0)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    (x, y), (x_test, y_test) = keras.datasets.load_digits()
    history = model.fit(x, y, epochs=3, validation_data=(x_test, y_test), verbose=0)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(history.history["loss"]) == 3
    assert history.epoch == [0, 1, 2]
    assert history.history["val_accuracy"][-1] > 0.9


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "linear"])
@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal", "lecun_normal"])
def test_every_activation_learns(name, initializer):
    x, y = blobs()
    model = keras.Sequential(
        [Dense(16, activation=name, kernel_initializer=initializer, input_shape=[6]), Dense(3, activation="softmax")],
        seed=1,
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(0.01), metrics=["accuracy"])
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.85


def test_activation_layers_follow_from_the_catalogue():
    for layer, like in [
        (keras.layers.ReLU(), "relu"),
        (keras.layers.LeakyReLU(), "leaky_relu"),
        (keras.layers.ELU(), "elu"),
        (keras.layers.Softmax(), "softmax"),
    ]:
        models = [keras.Sequential([Dense(5, input_shape=[6]), last], seed=7) for last in (layer, Activation(like))]
        x, _ = blobs(20)
        np.testing.assert_array_equal(models[0].predict(x), models[1].predict(x))


def test_evaluate_predict_and_accuracy_agree():
    x, y = blobs()
    model = small_model()
    model.fit(x, y, epochs=2, verbose=0)
    p = model.predict(x)
    assert p.shape == (240, 3)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy == pytest.approx(np.mean(p.argmax(axis=1) == y))
    assert loss == pytest.approx(-np.mean(np.log(p[np.arange(240), y])), rel=1e-5)
    # inference does not depend on how the rows are cut
    np.testing.assert_array_equal(p, model.predict(x, batch_size=7))
    assert model.evaluate(x, y, batch_size=11, verbose=0)[0] == pytest.approx(loss, rel=1e-12)


def test_sum_reduction_reports_the_batch_sums_as_keras_does():
    x, y = blobs(100)
    model = small_model()
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
        optimizer=keras.optimizers.SGD(0.0),
        metrics=["accuracy"],
    )
    sums = [model.evaluate(x[i : i + 30], y[i : i + 30], 30, 0)[0] for i in (0, 30, 60)]
    sums.append(model.evaluate(x[90:], y[90:], 10, 0)[0])
    whole = model.evaluate(x, y, batch_size=30, verbose=0)[0]
    assert whole == pytest.approx(np.average(sums, weights=[30, 30, 30, 10]), rel=1e-9)


def test_validation_split_holds_out_the_last_rows():
    x, y = blobs()
    a, b = small_model(), small_model()
    first = a.fit(x, y, epochs=2, validation_split=0.25, verbose=0).history
    second = b.fit(x[:180], y[:180], epochs=2, validation_data=(x[180:], y[180:]), verbose=0).history
    assert first == second


def test_uint8_float64_and_strided_rows_train_alike():
    g = np.random.default_rng(0)
    x = g.integers(0, 256, (64, 6)).astype(np.uint8)
    y = g.integers(0, 3, 64)
    wide = np.zeros((64, 9), np.float32)
    wide[:, 2:8] = x
    weights = []
    for data in (x, x.astype(np.float32), x.astype(np.float64), x.astype(np.int64), wide[:, 2:8], x[::-1].copy()[::-1]):
        model = small_model()
        model.fit(data, y, epochs=1, verbose=0)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_gradients_in_two_steps_are_train_on_batch():
    x, y = blobs(32)
    one, two = small_model(), small_model()
    one.train_on_batch(x, y)
    gradients = two.compute_gradients(x, y)
    assert list(gradients) == [v.name for v in two.trainable_weights]
    two.apply_gradients(gradients)
    for a, b in zip(one.trainable_weights, two.trainable_weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_train_on_batch_returns_the_loss_before_the_step():
    x, y = blobs(32)
    model = keras.Sequential([Dense(3, activation="softmax", input_shape=[6])], seed=0)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd")
    before = model.evaluate(x, y, verbose=0)
    assert model.train_on_batch(x, y) == pytest.approx(before, rel=1e-5)
    assert model.evaluate(x, y, verbose=0) < before


def test_weights_go_in_and_out():
    a, b = small_model(), keras.models.clone_model(small_model())
    b.set_weights(a.get_weights())
    x, _ = blobs(10)
    np.testing.assert_array_equal(a.predict(x), b.predict(x))


def test_one_seed_one_training():
    x, y = blobs()
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        model = keras.Sequential([Dense(4, input_shape=[6], activation="tanh"), Dense(3, activation="softmax")])
        model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd")
        model.fit(x, y, epochs=2, verbose=0)
        runs.append(model.get_weights())
    for p, q in zip(*runs, strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_larger_batch_later_keeps_the_state():
    x, y = blobs()
    a, b = small_model(), small_model()
    a.fit(x, y, batch_size=20, epochs=2, verbose=0)
    b.fit(x, y, batch_size=20, epochs=1, verbose=0)
    b.predict(x, batch_size=240)
    b.fit(x, y, batch_size=20, epochs=1, verbose=0)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_callbacks_see_every_batch_and_can_stop():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"]))

        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    x, y = blobs(100)
    model = small_model()
    history = model.fit(x, y, batch_size=30, epochs=9, verbose=0, callbacks=[Watch()])
    assert [batch for batch, _ in seen] == [0, 1, 2, 3] * 2
    assert history.epoch == [0, 1]
    assert seen[-1][1] == history.history["loss"][-1]


def test_the_learning_rate_can_change_between_epochs():
    x, y = blobs()
    model = small_model()
    model.fit(x, y, epochs=1, verbose=0)
    before = [v.numpy() for v in model.trainable_weights]
    model.optimizer.learning_rate = 0.0
    model.fit(x, y, epochs=1, verbose=0)
    for a, b in zip(before, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_float64_models():
    x, y = blobs()
    model = small_model(dtype="float64")
    model.fit(x, y, epochs=1, verbose=0)
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}


def test_initializer_variances():
    for name, gain, uniform in [
        ("glorot_normal", 1 / 250, False),
        ("glorot_uniform", 1 / 250, True),
        ("he_normal", 2 / 300, False),
        ("he_uniform", 2 / 300, True),
        ("lecun_normal", 1 / 300, False),
        ("lecun_uniform", 1 / 300, True),
    ]:
        model = keras.Sequential([Dense(200, kernel_initializer=name, input_shape=[300])], seed=5)
        w = model.get_weights()[0].astype(np.float64)
        # 60,000 draws: the variance's own deviation is below 0.6 % of it
        assert w.var() == pytest.approx(gain, rel=0.03), name
        assert abs(w.mean()) < 4 * np.sqrt(gain / w.size), name
        if uniform:
            assert np.abs(w).max() <= np.sqrt(3 * gain)
    for name, value in [("zeros", 0.0), ("ones", 1.0), (keras.initializers.Constant(0.25), 0.25)]:
        model = keras.Sequential([Dense(4, kernel_initializer=name, input_shape=[3])])
        assert np.all(model.get_weights()[0] == value)
    model = keras.Sequential(
        [Dense(200, kernel_initializer=keras.initializers.RandomNormal(0.5, 0.1), input_shape=[300])], seed=5
    )
    w = model.get_weights()[0]
    assert w.mean() == pytest.approx(0.5, abs=0.002)
    assert w.std() == pytest.approx(0.1, rel=0.03)


def test_flatten_is_no_step():
    flat = keras.Sequential([Flatten(input_shape=[2, 3]), Dense(4)], seed=1)
    assert "flatten" not in flat.plan.describe()
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    other = keras.Sequential([Dense(4, input_shape=[6])], seed=1)
    other.set_weights(flat.get_weights())
    np.testing.assert_array_equal(flat.predict(x), other.predict(x.reshape(2, 6)))
