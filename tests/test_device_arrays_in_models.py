"""Models that train, evaluate and predict on arrays where they lie in a device's memory: the same bits as on copies."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import fusednet
from devices import NETS, data
from foreign_arrays import CudaInterface, DLPack
from fusednet import _native
from fusednet.layers import BatchNormalization, Dense, Dropout
from fusednet.optimizers import Adam

EMULATED = "cuda_emulated"
emulated = pytest.mark.skipif(EMULATED not in _native.device_names(), reason="this build has no emulated device")
WAYS = {
    "ours": lambda a: fusednet.device_array(a, EMULATED),
    "cuda_array_interface": CudaInterface,
    "dlpack": DLPack,
    "strided": lambda a: CudaInterface(np.repeat(a, 2, axis=0)[::2]),
}
SPARSE = "sparse_categorical_crossentropy"


def compiled(device, loss=SPARSE, net="dropout", **options):
    model = fusednet.Sequential(NETS[net](), seed=5)
    model.compile(Adam(0.01), loss, ["accuracy"], device=device, **options)
    return model


def state(model):
    return model._engine.read()


def assert_same(ours, theirs):
    for (name, values), expected in zip(state(ours).items(), state(theirs).values(), strict=True):
        np.testing.assert_array_equal(values, expected, err_msg=name)


@emulated
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shuffle", [True, False])
def test_fit(way, dtype, shuffle):
    """Losses, weights, evaluation and predictions are those of the same rows sent from the host."""
    g = np.random.default_rng(3)
    x, y = g.integers(0, 9, (330, 12)).astype(dtype), g.integers(0, 4, 330)
    weights = g.uniform(0.5, 2.0, 330)
    here, there = compiled(EMULATED), compiled(EMULATED)
    options = {"batch_size": 32, "epochs": 3, "verbose": 0, "shuffle": shuffle}
    expected = here.fit(x, y, sample_weight=weights, **options).history
    given = WAYS[way](x), WAYS[way](y), WAYS[way](weights)
    assert there.fit(given[0], given[1], sample_weight=given[2], **options).history == expected
    assert_same(there, here)
    assert there.evaluate(*given[:2], verbose=0) == here.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(there.predict(given[0]), here.predict(x))
    np.testing.assert_array_equal(there(given[0]), here(x))


@emulated
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("x_there", [True, False])
@pytest.mark.parametrize("y_there", [True, False])
@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_rows_of_targets(way, x_there, y_there, loss):
    x, y = data()
    rows = np.eye(4, dtype=np.float32)[y]
    here, there = compiled(EMULATED, loss), compiled(EMULATED, loss)
    here.fit(x, rows, verbose=0)
    there.fit(WAYS[way](x) if x_there else x, WAYS[way](rows) if y_there else rows, verbose=0)
    assert_same(there, here)


@emulated
def test_one_target_a_row_and_images():
    """Shapes are made to fit there as well."""
    g = np.random.default_rng(1)
    x, y = g.normal(size=(40, 3, 4)).astype(np.float32), g.normal(size=40).astype(np.float32)

    def fitted(*given, **options):
        model = fusednet.Sequential([fusednet.layers.Flatten(), Dense(1)], seed=2)
        model.compile("sgd", "mse", device=EMULATED)
        model.fit(*given, verbose=0, validation_split=0.25, **options)
        return model

    here = fitted(x, y)
    assert_same(fitted(CudaInterface(x), CudaInterface(y)), here)
    assert_same(fitted(DLPack(x[::-1]), y[::-1]), fitted(x[::-1], y[::-1]))


@emulated
def test_validation_class_weights_and_callbacks():
    x, y = data()
    more_x, more_y = data(rows=70, seed=4)

    class Counts(fusednet.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    options = {"verbose": 0, "epochs": 2, "class_weight": {1: 3.0}, "callbacks": Counts()}
    here, there = compiled(EMULATED), compiled(EMULATED)
    expected = here.fit(x, y, validation_data=(more_x, more_y), **options).history
    held = (CudaInterface(more_x), CudaInterface(more_y))
    assert there.fit(CudaInterface(x), y, validation_data=held, **options).history == expected
    assert_same(there, here)
    rows = np.eye(4, dtype=np.float32)[y]
    here, there = compiled(EMULATED, "mse"), compiled(EMULATED, "mse")
    here.fit(x, rows, **options)
    there.fit(CudaInterface(x), CudaInterface(rows), **options)
    assert_same(there, here)


@emulated
def test_single_batches():
    x, y = data(rows=50)
    here, there = compiled(EMULATED), compiled(EMULATED)
    for first in range(0, 50, 10):
        rows = slice(first, first + 10)
        loss = there.train_on_batch(CudaInterface(x[rows]), DLPack(y[rows]), return_dict=True)
        assert loss == here.train_on_batch(x[rows], y[rows], return_dict=True)
    assert_same(there, here)
    assert there.test_on_batch(CudaInterface(x), y) == here.test_on_batch(x, y)
    ours, theirs = there.compute_gradients(CudaInterface(x), y), here.compute_gradients(x, y)
    for values, expected in zip(ours.values(), theirs.values(), strict=True):
        np.testing.assert_array_equal(values, expected)


@emulated
def test_exact_statistics():
    x, _ = data()
    models = [fusednet.Sequential([Dense(5, input_shape=[12]), BatchNormalization()], seed=1) for _ in range(2)]
    for model, rows in zip(models, (x, CudaInterface(x)), strict=True):
        model.compile("sgd", "mse", device=EMULATED)
        model.recalibrate_batchnorm(rows)
    assert_same(*models)


@emulated
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_plans_read_rows_where_they_lie(dtype):
    """In the order given, without a hold and with one; what is replayed is of these rows, and of this stride."""
    g = np.random.default_rng(2)
    x, y = g.integers(0, 255, (600, 30)).astype(dtype), g.integers(0, 3, 600).astype(np.int32)

    def plan():
        layers = [BatchNormalization(input_shape=[30]), Dense(9, "elu"), Dropout(0.2), Dense(3, "softmax")]
        model = fusednet.Sequential(layers, seed=1)
        model.compile(Adam(0.01), SPARSE, device=EMULATED)
        return model._engine.plan(50)

    order = g.permutation(300)
    sides = [(plan(), x, False), (plan(), fusednet.device_array(x, EMULATED), False)]
    sides.append((plan(), fusednet.device_array(x, EMULATED), True))
    # the same first row twice with other rows behind it, so that nothing but the stride tells them apart
    for trained, rows, holds in sides:
        labels = y[:300].copy()
        for wanted in (order, None):
            for some in (slice(0, 300), slice(0, 300), slice(0, 600, 2)):
                if holds:
                    trained.hold(rows[some], labels)
                trained.train(rows[some], labels, wanted, 0, 300, 50, np.inf)
                if holds:
                    trained.release()
                labels[:] = (labels + 1) % 3  # nothing of them is left there

    def arrays(trained):
        return [trained.get(name) for info in trained.tensors() for name in (info["name"], *info["slots"])]

    expected = arrays(sides[0][0])
    for trained, *_ in sides[1:]:
        for ours, theirs in zip(arrays(trained), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@emulated
def test_arrays_are_let_go():
    """Once each, when fit is done; also where it has failed."""
    x, y = data()
    model = compiled(EMULATED)
    rows, labels = DLPack(x), DLPack(y)
    model.fit(rows, labels, epochs=2, verbose=0)
    gc.collect()
    assert rows.deleted == len(rows.calls) == 1
    assert labels.deleted == len(labels.calls) == 1
    x[7, 3] = np.inf
    rows = DLPack(x)
    with pytest.raises(fusednet.NonFiniteError):
        model.fit(rows, y, verbose=0, check_finite=False)
    gc.collect()
    assert rows.deleted == 1


@emulated
def test_a_plan_keeps_what_it_holds():
    x, y = data()
    plan = compiled(EMULATED)._engine.plan(32)
    rows = DLPack(x)
    plan.hold(_native.as_device_array("x", rows), y.astype(np.int32))
    gc.collect()
    assert rows.deleted == 0
    plan.release()
    gc.collect()
    assert rows.deleted == 1


@emulated
def test_errors():
    x, y = data()
    model = compiled(EMULATED)
    before = state(model)
    bad = x.copy()
    bad[7, 3] = np.nan
    cases = [
        ((CudaInterface(x[:, :7]), y), ValueError, r"x expects shape \(n, 12\), got \(330, 7\)"),
        ((CudaInterface(x[:0]), y), ValueError, r"x expects at least one row, got shape \(0, 12\)"),
        ((CudaInterface(x.astype(np.int32)), y), TypeError, "x expects uint8, float32 or float64 .* got int32"),
        ((CudaInterface(x.astype(np.float16)), y), TypeError, "x expects uint8, float32 or float64 .* got float16"),
        ((CudaInterface(np.asfortranarray(x)), y), ValueError, r"x expects the values of a row side by side .*strides"),
        ((CudaInterface(bad), y), ValueError, r"x expects finite values, got nan in row 7 at \[3\]"),
        ((CudaInterface(x), CudaInterface(y[:-1])), ValueError, "y expects 330 rows as x has, got 329"),
        ((CudaInterface(x), CudaInterface(y + 1)), ValueError, r"y expects labels in 0\.\.3, got 4"),
        ((CudaInterface(x, stream=9), y), RuntimeError, r"x cannot be waited for in stream 9"),
        ((DLPack(x, number=1), y), ValueError, "x expects an array on CUDA device 0, got one on device 1"),
    ]
    for given, error, text in cases:
        with pytest.raises(error, match=rf"\[Sequential '.*'\] {text}"):
            model.fit(*given, verbose=0)
    with pytest.raises(ValueError, match=r"sample_weight expects finite numbers of at least 0, got -1 in row 0"):
        model.fit(CudaInterface(x), y, sample_weight=CudaInterface(-np.ones(330)), verbose=0)
    rows = np.eye(4, dtype=np.float32)[y]
    rows[300, 2] = -1.5
    with pytest.raises(ValueError, match=r"y expects targets of at least 0 for categorical_.*got -1.5 in row 300"):
        compiled(EMULATED, "categorical_crossentropy").fit(CudaInterface(x), CudaInterface(rows), verbose=0)
    for name, values in state(model).items():
        np.testing.assert_array_equal(values, before[name])


@emulated
def test_numbers_beyond_float32_are_infinite():
    """No step is taken with them; `predict` says what follows from them."""
    x, y = data()
    x = x.astype(np.float64)
    x[7, 3] = 1e300
    model = compiled(EMULATED, net="wide")
    before = state(model)
    with pytest.raises(fusednet.NonFiniteError, match="epoch 1, step 1"):
        model.fit(CudaInterface(x), y, batch_size=330, verbose=0)
    for name, values in state(model).items():
        np.testing.assert_array_equal(values, before[name])
    assert not np.isfinite(model.predict(CudaInterface(x), verbose=0)).all()


@emulated
def test_a_model_on_the_cpu_says_what_to_do():
    x, y = data()
    model = compiled("cpu")
    text = rf"x expects an array of the host, got one on device '{EMULATED}': a model compiled with device="
    for call in (
        lambda rows: model.fit(rows, y, verbose=0),
        lambda rows: model.evaluate(rows, y, verbose=0),
        model.predict,
        lambda rows: model.train_on_batch(rows, y),
    ):
        with pytest.raises(TypeError, match=text):
            call(CudaInterface(x))
    with pytest.raises(TypeError, match="y expects an array of the host"):
        model.fit(x, CudaInterface(y), verbose=0)
    model.fit(x, y, sample_weight=CudaInterface(np.ones(330)), verbose=0)  # some bytes a row, copied
    there = compiled(EMULATED)
    with pytest.raises(TypeError, match="x expects an array of the host"):
        fusednet.check_gradients(there, CudaInterface(x[:5]), y[:5])
    with pytest.raises(TypeError, match="data expects an array of the host"):
        fusednet.layers.Normalization().adapt(CudaInterface(x))


@emulated
def test_plans_refuse_what_is_elsewhere():
    x, y = data()
    there, labels = fusednet.device_array(x, EMULATED), y.astype(np.int32)
    with pytest.raises(TypeError, match=rf"\[evaluate\] 'x' expects .* plan's device 'cpu', got one on .*{EMULATED}"):
        compiled("cpu")._engine.plan(32).evaluate(there, labels, 0, 10, 0.0, False)
    plan = compiled(EMULATED)._engine.plan(32)
    with pytest.raises(TypeError, match=r"\[evaluate\] 'y' expects labels of the host, got an array on device"):
        plan.evaluate(there, fusednet.device_array(labels, EMULATED), 0, 10, 0.0, False)
    with pytest.raises(TypeError, match=r"\[evaluate\] 'weights' expects an array, got"):
        plan.evaluate(there, labels, 0, 10, 0.0, False, fusednet.device_array(np.ones(330), EMULATED))
    plan = compiled(EMULATED, "mse")._engine.plan(32)
    with pytest.raises(TypeError, match=r"\[hold\] 'y' expects an array on device .* as x is, got one of the host"):
        plan.hold(there, np.zeros((330, 4), np.float32))


@pytest.mark.parametrize("way", ["torch", "dlpack of the host", "__array__"])
def test_arrays_of_the_host_go_through_numpy(way):
    torch = pytest.importorskip("torch")

    class Converts:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    x, y = data()
    wrap = {"torch": torch.from_numpy, "dlpack of the host": lambda a: torch.from_dlpack(a), "__array__": Converts}[way]
    for device in ["cpu", *([EMULATED] if EMULATED in _native.device_names() else [])]:
        here, there = compiled(device), compiled(device)
        here.fit(x, y, verbose=0)
        there.fit(wrap(x), wrap(y), verbose=0)
        assert_same(there, here)
