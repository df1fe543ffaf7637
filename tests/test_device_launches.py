"""Short batches on a device, whose kernels share launches: the CPU's results, whatever the shapes, and few launches."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

import fusednet
from devices import DEVICES
from foreign_arrays import CudaInterface
from fusednet import _native, ops
from fusednet.layers import (
    ELU,
    BatchNormalization,
    Dense,
    DropConnect,
    Maxout,
    PReLU,
)
from fusednet.optimizers import SGD, Adam

CROSSENTROPY = "sparse_categorical_crossentropy"


def normalized(*widths, classes=2, **dense):
    layers = [layer for width in widths for layer in (Dense(width, **dense), BatchNormalization(), ELU())]
    return [*layers, Dense(classes, "softmax")]


# The network, its inputs, the batch and the most kernels that a step may have.
STEPS = {
    "64-64-64-2": (lambda: normalized(64, 64), 64, 32, 13),
    # the first layer's product is large: it and its bias go apart, and its gradient's norm is joined from parts
    "784-300-100-10": (lambda: normalized(300, 100, classes=10), 784, 50, 17),
    "a taller batch": (lambda: normalized(64, 64), 64, 256, 20),
    "no bias": (lambda: normalized(64, 64, use_bias=False), 64, 32, 13),
    "tanh": (lambda: [Dense(32, "tanh"), Dense(16, "tanh"), Dense(4, "softmax")], 4, 32, 13),
}


@pytest.mark.parametrize("net", STEPS)
def test_launches_of_a_step(device, net):
    layers, features, batch, most = STEPS[net]
    model = fusednet.Sequential(layers(), seed=5)
    model.compile(Adam(0.01, global_clipnorm=1.0), CROSSENTROPY, device=device)
    g = np.random.default_rng(0)
    x, y = g.normal(size=(4 * batch, features)).astype(np.float32), g.integers(0, 2, 4 * batch)
    model.fit(x, y, batch_size=batch, verbose=0)
    # two large products, which a library may split along k: a kernel more each
    library = 2 if device == "cuda" and net == "784-300-100-10" else 0
    assert 0 < model.plan.kernels <= most + library


def test_launches_with_all_that_a_batch_can_have(device):
    """Rows of targets and weights come with those of x."""
    model = fusednet.Sequential([Dense(5, input_shape=[3]), Dense(2)], seed=5)
    model.compile("sgd", "mse", device=device)
    g = np.random.default_rng(0)
    x, y = g.normal(size=(64, 3)), g.normal(size=(64, 2))
    counts = []
    for weights in (None, g.uniform(0.5, 1.5, 64)):
        model.fit(x, y, batch_size=16, sample_weight=weights, verbose=0)
        counts.append(model.plan.kernels)
    assert counts == [9, 9]


NETS = {
    "odd": (lambda: normalized(33, 7, classes=5), 13),
    "one column": (lambda: normalized(1, 5, classes=3), 1),
    "wide": (lambda: normalized(257, 66, classes=5), 70),
    "first": (lambda: [BatchNormalization(), Dense(9), BatchNormalization(center=False), Dense(5, "softmax")], 6),
    "logits": (lambda: [Dense(6, "relu"), Dense(5), BatchNormalization(scale=False), fusednet.layers.Softmax()], 4),
    "learned slopes": (
        lambda: [
            *(Dense(20, use_bias=False), BatchNormalization(), PReLU()),
            *(Dense(11), BatchNormalization(), PReLU(shared=True)),
            Dense(5, "softmax"),
        ],
        9,
    ),
    "frozen": (
        lambda: [
            *(Dense(10), BatchNormalization(trainable=False), ELU()),
            *(Dense(9, trainable=False), BatchNormalization(), ELU()),
            Dense(5, "softmax"),
        ],
        8,
    ),
    "pieces": (lambda: [Maxout(7, 3), DropConnect(9, 0.3), Dense(5, "softmax", kernel_regularizer="l2")], 5),
}


def batch_of(rows, features, seed=0):
    g = np.random.default_rng([rows, features, seed])
    return g.normal(1.0, 2.0, (rows, features)).astype(np.float32), g.integers(0, 5, rows) % 3


def pair(device, net, optimizer=None):
    layers, features = NETS[net]
    for name in (device, "cpu"):
        model = fusednet.Sequential(layers(), seed=5)
        model.compile(optimizer or SGD(0.05, global_clipnorm=0.7), CROSSENTROPY, device=name)
        yield model, features


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 50, 65, 127, 128, 129, 200])
@pytest.mark.parametrize("net", NETS)
def test_gradients_are_the_cpus(device, net, rows):
    """Around where batches are short enough, for columns that no vector's width divides."""
    (there, features), (here, _) = pair(device, net)
    x, y = batch_of(rows, features)
    got, want = there.compute_gradients(x, y), here.compute_gradients(x, y)
    for (name, gradient), ours in zip(want.items(), got.values(), strict=True):
        size = max(float(np.abs(gradient).max()), 3e-2)  # a bias's before BatchNorm is rounding alone
        np.testing.assert_allclose(ours, gradient, atol=1e-4 * size, rtol=0, err_msg=name)


@pytest.mark.parametrize("batch", [1, 5, 32, 129])
@pytest.mark.parametrize("net", NETS)
def test_training_is_the_cpus(device, net, batch):
    """Weights, moving statistics and losses after two epochs, the last batch of each a short one."""
    (there, features), (here, _) = pair(device, net)
    x, y = batch_of(3 * batch + 2 if batch > 1 else 6, features)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(x))
    ours, theirs = (m.fit(x, y, batch_size=batch, epochs=2, sample_weight=weights, verbose=0) for m in (there, here))
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=2e-4)
    for got, want in zip(there.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("rows", [2, 7, 130])
@pytest.mark.parametrize("net", [name for name in NETS if name != "pieces"])
def test_gradients_in_float64(device, net, rows):
    model = next(pair(device, net))[0]
    assert fusednet.check_gradients(model, *batch_of(rows, NETS[net][1]), max_elements=6, inputs=True)


@pytest.mark.parametrize("bad", [0, 2])
def test_a_refused_step_leaves_moving_statistics(device, bad):
    """They move in the launch of the update, which does nothing then."""
    x, y = batch_of(96, NETS["odd"][1])
    broken = x.copy()
    broken[32 * bad + 3] = np.nan
    model, twin = (next(pair(device, "odd", Adam(0.01)))[0] for _ in range(2))
    for one in (model, twin):
        one.fit(x, y, batch_size=32, verbose=0, shuffle=False)
    with pytest.raises(fusednet.NonFiniteError, match=f"step {3 + bad + 1}\\b"):
        model.fit(broken, y, batch_size=32, shuffle=False, verbose=0, check_finite=False)
    if bad:
        twin.fit(x[: 32 * bad], y[: 32 * bad], batch_size=32, shuffle=False, verbose=0)
    for ours, theirs in zip(model._engine.read().values(), twin._engine.read().values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.fit(x, y, batch_size=32, verbose=0)


def test_statistics_beyond_the_type_refuse_a_step(device):
    """A finite loss and finite gradients, but a variance that float32 does not hold."""
    layers = lambda: [BatchNormalization(center=False, scale=False), Dense(2, "softmax")]  # noqa: E731
    model = fusednet.Sequential(layers(), seed=5)
    model.compile("sgd", CROSSENTROPY, device=device)
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    x[:, 1] *= np.float32(1e25)
    with pytest.raises(fusednet.NonFiniteError, match="variance became inf in epoch 1, step 1"):
        model.fit(x, np.arange(32) % 2, batch_size=32, verbose=0)


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
@pytest.mark.parametrize("rows", [1, 7, 31, 32, 33, 65, 128, 129])
@pytest.mark.parametrize("sizes", [(13, 37, 5, 3), (33, 64, 32, 2), (1, 1, 1, 4), (70, 257, 66, 64)])
def test_the_bits_of_separate_launches(rows, sizes):
    """Each kernel by itself, on the host's arrays, leaves what the step's shared launches do."""
    isa = {"isa": "cuda_emulated"}
    features, wide, narrow, classes = sizes
    layers = [Dense(wide, input_shape=[features]), BatchNormalization(), ELU(), Dense(narrow, "tanh")]
    model = fusednet.Sequential([*layers, Dense(classes, "softmax")], seed=3)
    model.compile("sgd", CROSSENTROPY, device="cuda_emulated")
    g = np.random.default_rng(rows)
    x, y = g.normal(1, 2, (rows, features)).astype(np.float32), g.integers(0, classes, rows).astype(np.int32)
    k1, b1, gamma, beta, _, _, k2, b2, k3, b3 = model.get_weights()
    z1, y1, dy1, dz1 = (np.empty((rows, wide), np.float32) for _ in range(4))
    z2, y2, dy2, dz2 = (np.empty((rows, narrow), np.float32) for _ in range(4))
    z3, dz3 = (np.empty((rows, classes), np.float32) for _ in range(2))
    mean, variance, dgamma, dbeta = (np.empty(wide, np.float32) for _ in range(4))
    _native.gemm(x, k1, z1, b1, **isa)
    _native.batchnorm_statistics(z1, mean, variance, **isa)
    _native.batchnorm_forward(z1, mean, variance, gamma, beta, y1, 1e-3, "elu", [1.0], **isa)
    _native.gemm(y1, k2, z2, b2, **isa)
    _native.activation_forward(z2, y2, "tanh", (), **isa)
    _native.gemm(y2, k3, z3, b3, **isa)
    _native.loss("softmax_crossentropy", z3, y, None, dz3, 1.0 / rows, **isa)
    _native.gemm(dz3, k3.T, dy2, **isa)
    _native.activation_backward(dy2, y2, dz2, "tanh", (), **isa)
    _native.gemm(dz2, k2.T, dy1, **isa)
    statistics = mean, variance, gamma, beta
    _native.batchnorm_backward(dy1, z1, y1, *statistics, dz1, dgamma, dbeta, 1e-3, "elu", [1.0], True, **isa)
    want = []
    for into, dz in ((x, dz1), (y1, dz2), (y2, dz3)):
        kernel, bias = np.empty((into.shape[1], dz.shape[1]), np.float32), np.empty(dz.shape[1], np.float32)
        _native.gemm(into.T, dz, kernel, **isa)
        _native.column_sums(dz, bias, **isa)
        want += [kernel, bias]
    want[2:2] = [dgamma, dbeta]
    for (name, got), separate in zip(model.compute_gradients(x, y).items(), want, strict=True):
        np.testing.assert_array_equal(got, separate, err_msg=name)


def test_orders_of_smaller_batches_than_the_plans(device):
    """Rounded down to whole batches, more rows of 4096 go at once than of 5000."""
    model = fusednet.Sequential([Dense(1, input_shape=[1])], seed=5)
    model.compile("sgd", "mse", device=device)
    x = np.random.default_rng(0).normal(size=(1_050_000, 1)).astype(np.float32)
    model.evaluate(x[:5000], x[:5000], batch_size=5000, verbose=0)
    history = model.fit(x, 2 * x, batch_size=4096, verbose=0)
    assert model.plan.step == 257
    assert history.history["loss"][0] < 1.0
    np.testing.assert_allclose(model.get_weights()[0], 2.0, atol=0.1)


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
def test_more_blocks_than_a_launch_has():
    """A block has four rows. They lie in address space that has no memory behind it: nothing is launched."""
    rows = (1 << 33) + 1
    space = mmap.mmap(
        -1, 4 * rows, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    )
    array = np.frombuffer(space, np.float32).reshape(rows, 1)
    x = CudaInterface(array)
    said = "kernel 'softmax_forward': expects at most 2147483647 blocks, got 2147483649"
    with pytest.raises(RuntimeError, match=rf"\[\w+\] device 'cuda_emulated': {said}$"):
        ops.softmax_forward(x, out=x)
    assert not array[:2].any()
    assert not array[-2:].any()
    few = CudaInterface(array[:2])
    ops.softmax_forward(few, out=few)
    assert array[:3].tolist() == [[1], [1], [0]]
