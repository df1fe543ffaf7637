"""Where a device has no room for what is asked of it: what is said, and that models go on there and on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
from devices import NETS, data
from fusednet import _native, ops

ROOM = r"{} expects \d+ MB of memory of device '{}', got \d+ MB free of \d+ MB"


def test_no_room_then_the_cpu(device):
    """What the CPU has trained is there bit for bit after a device had no room for it, and training goes on."""
    loss = "sparse_categorical_crossentropy"
    x, y = data()
    model, alone = (fusednet.Sequential(NETS["wide"](), seed=3) for _ in range(2))
    for one in (model, alone):
        one.compile("sgd", loss, device="cpu")
        one.fit(x, y, epochs=1, verbose=0)
    before = model.get_weights()
    model.compile("sgd", loss, device=device)
    assert np.isfinite(model.evaluate(x, y, verbose=0))  # the plan is there
    with pytest.raises(MemoryError, match=ROOM.format(r"\[Plan\]", device)):
        model._engine.plan(1 << 36)
    assert np.isfinite(model.evaluate(x, y, verbose=0))  # and still is
    model.compile("sgd", loss, device="cpu")
    for ours, held in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, held)
    histories = [one.fit(x, y, epochs=2, verbose=0).history["loss"] for one in (model, alone)]
    assert histories[0] == histories[1]
    for ours, others, held in zip(model.get_weights(), alone.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, others)
        assert (ours != held).any()


def filled(device):
    """Arrays that leave no room for one of a MB."""
    if device == "cuda_emulated":
        return []  # whose workspaces have little room by themselves
    held, size, like = [], 1 << 36, fusednet.device_array([1.0], device)
    while size >= 1 << 20:
        array = taken(size, like)
        held += [array]
        size //= 2 if array is None else 1
    return held


def taken(size, like):
    try:
        return _native.device_empty([size], np.dtype(np.uint8), like)
    except MemoryError:
        return None


def test_a_plan_that_runs_out_of_room_then_the_cpu(device):
    """One that has trained lacks room for a step of more rows: how much was asked and is free is said, and the CPU goes
    on from what the device had learned."""
    rows = 9_000_000  # whose losses are 72 MB
    g = np.random.default_rng(0)
    x = g.normal(size=(300, 1)).astype(np.float32)
    model = fusednet.Sequential([fusednet.layers.Dense(1, input_shape=[1])], seed=3)
    model.compile("sgd", "mse", device=device)
    model.fit(x, 2 * x + 1, epochs=2, verbose=0)
    learned = model.get_weights()
    held, large = filled(device), np.zeros((rows, 1), np.float32)
    with pytest.raises(MemoryError, match=ROOM.format(r"\[Plan\]", device)):
        model.evaluate(large, large, batch_size=rows, verbose=0)
    for ours, there in zip(model.get_weights(), learned, strict=True):
        np.testing.assert_array_equal(ours, there)
    model.compile("sgd", "mse", device="cpu")
    loss = model.fit(x, 2 * x + 1, epochs=1, shuffle=False, batch_size=300, verbose=0).history["loss"][0]
    w, b = (float(value.reshape(())) for value in learned)
    error = w * x.astype(np.float64) + b - (2 * x + 1)
    assert loss == pytest.approx((error**2).mean(), rel=1e-4)
    want = w - 0.01 * (2 * error * x).mean(), b - 0.01 * 2 * error.mean()
    assert [float(value.reshape(())) for value in model.get_weights()] == pytest.approx(want, rel=1e-5)
    del held


@pytest.mark.parametrize("batch", [1 << 38, 1 << 60])
def test_a_plan_that_no_memory_holds(device, batch):
    model = fusednet.Sequential(NETS["wide"](), seed=3)
    model.compile("sgd", "sparse_categorical_crossentropy", device=device)
    said = rf"\[Plan\] expects more than 281474977 MB of memory of device '{device}', got \d+ MB free of \d+ MB"
    with pytest.raises(MemoryError, match=said):
        model._engine.plan(batch)
    model.compile("sgd", "sparse_categorical_crossentropy", device="cpu")
    with pytest.raises(MemoryError, match=r"\[Plan\] expects more than 281474977 MB of memory$"):
        model._engine.plan(batch)
    x, y = data()
    assert np.isfinite(model.fit(x, y, epochs=1, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    ("shape", "asked"),
    [
        ((1 << 50,), "4503599628"),
        ((1 << 30, 1 << 30), "4611686018428"),
        ((1 << 40, 1 << 40), "more than 281474977"),
        ((1 << 40, 0, 1 << 40), "more than 281474977"),
        ((0, 1 << 40, 1 << 40), "more than 281474977"),
        ((1 << 61,), "9223372036855"),
    ],
)
def test_an_array_that_no_memory_holds(device, shape, asked):
    x = fusednet.device_array(np.ones(9, np.float32), device)
    said = rf"\[DeviceArray\] expects {asked} MB of memory of device '{device}', got \d+ MB free of \d+ MB"
    with pytest.raises(MemoryError, match=said):
        _native.device_empty(shape, np.dtype(np.float32), x)
    assert ops.squared_norm(x) == 9


def test_products_of_sizes_that_no_memory_holds(device):
    a, b = (fusednet.device_array(np.ones(shape, np.float32), device) for shape in ((1 << 31, 0), (0, 1 << 31)))
    with pytest.raises(
        MemoryError, match=rf"expects more than 281474977 MB of memory of device '{device}', got .* free"
    ):
        ops.gemm(a, b)


def test_an_array_without_elements(device):
    x = fusednet.device_array(np.ones(9, np.float32), device)
    assert _native.device_empty((1 << 20, 0, 1 << 20), np.dtype(np.float32), x).nbytes == 0


def test_queues_that_nobody_uses_make_room_for_a_plan(device):
    x = fusednet.device_array(np.ones(9, np.float32), device)
    model = fusednet.Sequential(NETS["wide"](), seed=3)
    model.compile("sgd", "sparse_categorical_crossentropy", device=device)
    model.predict(np.zeros((2, 12), np.float32), verbose=0)
    assert ops.squared_norm(x) == 9
    assert _native.idle_device_queues() > 0
    with pytest.raises(MemoryError, match=ROOM.format(r"\[Plan\]", device)):
        model._engine.plan(1 << 36)
    assert _native.idle_device_queues() == 0
    assert ops.squared_norm(x) == 9
