"""What is wrong is said clearly, and the model is as it was before."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import fusednet
from fusednet import _checks, recipes
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten, Input

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 40)


@pytest.fixture
def model():
    fusednet.utils.clear_session()
    model = fusednet.Sequential(
        [Dense(5, input_shape=[6]), BatchNormalization(), Activation("relu"), Dense(3, activation="softmax")], seed=0
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(X, Y, epochs=1, verbose=0)
    return model


@contextlib.contextmanager
def unchanged(model):
    """All state is the same afterwards: weights, moving statistics, slots, step, epoch."""
    before = (model._engine.read(), model.step, model.epochs_trained)
    yield
    after = (model._engine.read(), model.step, model.epochs_trained)
    assert before[1:] == after[1:]
    assert before[0].keys() == after[0].keys()
    for name, values in before[0].items():
        np.testing.assert_array_equal(values, after[0][name], err_msg=name)


def with_value(value, row=7, column=2):
    x = X.copy()
    x[row, column] = value
    return x


def labels_with(value, row=5):
    y = Y.copy()
    y[row] = value
    return y


BAD_DATA = {
    "too narrow": (X[:, :4], Y, ValueError, r"expects shape \(n, 6\), got \(40, 4\)"),
    "one axis too many": (X[:, :, None], Y, ValueError, r"got \(40, 6, 1\)"),
    "one axis too few": (X[:, 0], Y, ValueError, r"got \(40,\)"),
    "empty": (X[:0], Y[:0], ValueError, "at least one row"),
    "nan": (with_value(np.nan), Y, ValueError, r"nan in row 7 at"),
    "inf": (with_value(-np.inf), Y, ValueError, r"-inf in row 7 at"),
    "too large for float32": (with_value(1.0).astype(np.float64) * 1e300, Y, ValueError, "range of float32"),
    "complex": (X.astype(complex), Y, TypeError, "complex"),
    "objects": (X.astype(object), Y, TypeError, "object"),
    "strings": (X.astype(str), Y, TypeError, "<U"),
    "large integers": (with_value(1.0).astype(np.int64) + 2**40, Y, TypeError, "exactly"),
    "None": (None, Y, TypeError, "None"),
    "ragged": ([[1.0], [1.0, 2.0]], Y, TypeError, "array"),
    "fewer labels": (X, Y[:39], ValueError, "40 rows as x has, got 39"),
    "label too large": (X, labels_with(3), ValueError, r"labels in 0\.\.2, got 3 in row 5"),
    "label negative": (X, labels_with(-1), ValueError, r"got -1 in row 5"),
    "label fractional": (X, Y + 0.5, ValueError, r"in row 0"),
    "one-hot rows": (X, np.eye(3)[Y], ValueError, "categorical_crossentropy"),
    "a number": (1.0, Y, ValueError, r"x expects shape \(n, .*got \(\)"),
    "no labels": (X, None, TypeError, "None"),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "compute_gradients"])
def test_bad_data(model, case, method):
    x, y, error, match = BAD_DATA[case]
    options = {"verbose": 0} if method in ("fit", "evaluate") else {}
    with unchanged(model), pytest.raises(error, match=match) as caught:
        getattr(model, method)(x, y, **options)
    assert "Sequential" in str(caught.value)


@pytest.mark.parametrize("case", [case for case in BAD_DATA if "label" not in case and case != "one-hot rows"])
def test_bad_data_for_predict(model, case):
    x, _, error, match = BAD_DATA[case]
    with unchanged(model), pytest.raises(error, match=match):
        model.predict(x)


def test_nan_is_allowed_on_request(model):
    assert np.isnan(model.predict(with_value(np.nan), check_finite=False)[7]).all()


BAD_OPTIONS = {
    "batch larger than the data": ({"batch_size": 41}, ValueError, "at most the 40 rows of x, got 41"),
    "batch of none": ({"batch_size": 0}, ValueError, "batch_size"),
    "batch of a half": ({"batch_size": 0.5}, TypeError, "batch_size"),
    "epochs": ({"epochs": -1}, ValueError, "epochs"),
    "verbose": ({"verbose": 7}, ValueError, "verbose"),
    "split": ({"validation_split": 1.0}, ValueError, "validation_split"),
    "split of all": ({"validation_split": 0.999}, ValueError, "both sides"),
    "validation data": ({"validation_data": X}, TypeError, "validation_data"),
    "validation shape": ({"validation_data": (X[:, :2], Y)}, ValueError, "validation x"),
    "validation nan": ({"validation_data": (with_value(np.nan), Y)}, ValueError, "validation x.*row 7"),
    "callbacks": ({"callbacks": [print]}, TypeError, "callbacks"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_of_fit(model, case):
    options, error, match = BAD_OPTIONS[case]
    with unchanged(model), pytest.raises(error, match=match):
        model.fit(X, Y, **({"verbose": 0} | options))


def test_a_few_rows_with_the_default_batch_size_are_fine(model):
    model.fit(X[:10], Y[:10], verbose=0)


def build(*layers, loss="mse", optimizer="sgd", metrics=None):
    model = fusednet.Sequential(list(layers))
    model.compile(loss=loss, optimizer=optimizer, metrics=metrics)
    return model


UNKNOWN = {
    "activation": (lambda: Dense(3, activation="rleu"), "relu"),
    "initializer": (lambda: Dense(3, kernel_initializer="he_norml"), "he_normal"),
    "loss": (lambda: build(Dense(3), loss="msee"), "mean_squared_error"),
    "optimizer": (lambda: build(Dense(3), optimizer="adm"), "adam"),
    "metric": (lambda: build(Dense(3), metrics=["acuracy"]), "accuracy"),
    "dtype": (lambda: fusednet.Sequential(dtype="float16"), "float32"),
    "reduction": (lambda: fusednet.losses.MeanSquaredError(reduction="all"), "sum_over_batch_size"),
    "layer": (lambda: build(Dense(3, input_shape=[2], name="a")).get_layer("b"), "a"),
    "recipe": (lambda: recipes.get("dropout"), "batchnorm"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_names_list_the_known_ones(what):
    make, known = UNKNOWN[what]
    with pytest.raises(ValueError, match=known) as caught:
        make()
    assert "expects one of" in str(caught.value)


BAD_LAYERS = {
    "units": lambda: Dense(0),
    "units float": lambda: Dense(2.5),
    "momentum": lambda: BatchNormalization(momentum=1.5),
    "epsilon": lambda: BatchNormalization(epsilon=-1e-3),
    "shape": lambda: Input(shape=(0,)),
    "name": lambda: Dense(3, name=""),
    "slope": lambda: fusednet.layers.LeakyReLU(negative_slope=-0.1),
    "alpha": lambda: fusednet.layers.ELU(alpha=-1.0),
    "learning rate": lambda: fusednet.optimizers.SGD(-0.1),
    "learning rate nan": lambda: fusednet.optimizers.SGD(float("nan")),
    "two clippings": lambda: fusednet.optimizers.SGD(0.1, clipvalue=1.0, clipnorm=1.0),
    "clipping": lambda: fusednet.optimizers.SGD(0.1, clipnorm=0.0),
    "beta": lambda: fusednet.optimizers.Adam(beta_1=1.0),
    "same names": lambda: fusednet.Sequential([Dense(2, name="a"), Dense(2, name="a")]),
    "no layer": lambda: fusednet.Sequential([3]),
    "input in the middle": lambda: fusednet.Sequential([Dense(2), Input(shape=(2,))]),
    "dense on images": lambda: fusednet.Sequential([Input(shape=(2, 2)), Dense(2)]),
}


@pytest.mark.parametrize("case", BAD_LAYERS)
def test_bad_descriptions(case):
    with pytest.raises((ValueError, TypeError), match=r"^\[.*expects"):
        BAD_LAYERS[case]()


def test_not_compiled_not_built():
    model = fusednet.Sequential([Dense(3)])
    with pytest.raises(ValueError, match="compile"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match="input_shape"):
        model.get_weights()
    with pytest.raises(ValueError, match="at least one layer"):
        fusednet.Sequential().predict(X)


def test_set_weights(model):
    weights = model.get_weights()
    for bad in (weights[:-1], [w.T for w in weights], [w[:1] for w in weights]):
        with unchanged(model), pytest.raises(ValueError, match="expects"):
            model.set_weights(bad)


def test_weights_beyond_the_type(model):
    weights = [w.astype(np.float64) for w in model.get_weights()]
    weights[0][0, 0] = 1e300
    with unchanged(model), pytest.raises(ValueError, match="range of float32"):
        model.set_weights(weights)


def test_apply_gradients(model):
    gradients = model.compute_gradients(X, Y)
    name = next(iter(gradients))
    cases = [
        {k: v for k, v in gradients.items() if k != name},
        gradients | {"nothing": np.zeros(3)},
        gradients | {name: gradients[name][:2]},
    ]
    for bad in cases:
        with unchanged(model), pytest.raises(ValueError, match="expects"):
            model.apply_gradients(bad)
    poisoned = gradients | {name: np.full_like(gradients[name], np.nan)}
    with unchanged(model), pytest.raises(fusednet.NonFiniteError, match=name):
        model.apply_gradients(poisoned)


def test_training_that_diverges_names_epoch_step_and_layer():
    fusednet.utils.clear_session()
    model = fusednet.Sequential([Dense(4, activation="relu", input_shape=[6]), Dense(2, name="top"), Dense(1)], seed=0)
    model.compile(loss="mse", optimizer=fusednet.optimizers.SGD(1e6))
    kept = []

    class Keep(fusednet.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.append(self.model.get_weights())

    with pytest.raises(fusednet.NonFiniteError, match=r"epoch \d+, step \d+.*weights are those before") as caught:
        model.fit(X, X[:, :1], epochs=20, batch_size=8, verbose=0, callbacks=[Keep()])
    error = caught.value
    assert error.step == len(kept) + 1
    assert error.epoch == len(kept) // 5 + 1
    assert not error.value < 1e18
    assert error.where in str(error)
    for a, b in zip(kept[-1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()
    model.optimizer.learning_rate = 1e-9
    assert model.step == len(kept)


def test_an_update_that_would_overflow_the_weights_is_not_made():
    """Finite gradients, but w - lr g beyond float32: the weights of that step would be the first bad ones."""
    model = fusednet.Sequential([Dense(1, input_shape=[6])], seed=0)
    model.compile(loss="mse", optimizer=fusednet.optimizers.SGD(1e38))
    with unchanged(model), pytest.raises(fusednet.NonFiniteError, match="too large"):
        model.fit(X, 10 * X[:, :1], batch_size=40, verbose=0)


def test_a_variance_that_overflows_does_not_enter_the_moving_average(model):
    x = X.copy()
    x[::2] *= 1e25
    first = fusednet.Sequential([BatchNormalization(input_shape=[6]), Dense(3, "softmax")])
    first.compile(loss="sparse_categorical_crossentropy", optimizer="sgd")
    with unchanged(first), pytest.raises(fusednet.NonFiniteError, match=r"variance became inf.*batch_normalization"):
        first.fit(x, Y, batch_size=40, verbose=0)


def test_a_batchnorm_keeps_its_moving_statistics_when_the_step_fails(model):
    with unchanged(model), pytest.raises(fusednet.NonFiniteError, match="input") as caught:
        model.fit(with_value(np.inf), Y, batch_size=40, verbose=0, check_finite=False)
    assert caught.value.where == "input"


def test_flatten_and_input_shapes():
    with pytest.raises(ValueError, match="expects"):
        fusednet.Sequential([Flatten(input_shape=[0, 3])])
    model = fusednet.Sequential([Flatten(input_shape=[2, 3]), Dense(1)])
    with pytest.raises(ValueError, match=r"\(n, 2, 3\), got \(4, 6\)"):
        model.predict(np.zeros((4, 6), np.float32))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", ">i2", "uint8", "uint16", "float32", "bool"])
@pytest.mark.parametrize("classes", [2, 100, 200, 300, 40_000])
def test_labels_of_every_type(dtype, classes):
    """A negative label is none, however large it is as an unsigned number of that size."""
    kind = np.dtype(dtype)
    most = 1 if kind.kind in "bf" else min(np.iinfo(kind).max, classes - 1)
    good = np.array([0, most, 1], kind)
    found = _checks.labels("m", "y", good[::-1], classes)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [1, most, 0])
    assert _checks.labels("m", "y", good[:0], classes).size == 0
    signed = [classes, -1, -128, 256] if classes < 256 else [classes, -1, -128]
    bad = {"b": [], "u": [classes], "i": signed, "f": [classes, -1, 0.5, np.nan, np.inf]}[kind.kind]
    for value in bad:
        if kind.kind == "f" or np.iinfo(kind).min <= value <= np.iinfo(kind).max:
            for after in (0, 1):
                with pytest.raises(ValueError, match=rf"y expects labels in 0..{classes - 1}, got .* in row 1"):
                    _checks.labels("m", "y", np.array([0, value, after], kind), classes)
