"""Models on a device: the CPU's results within rounding, and the same again for every way in which rows reach it.

They run on each device that this build and machine have; a build with FUSEDNET_EMULATED_CUDA has one without a GPU.
"""

from __future__ import annotations

import gc
import signal
from dataclasses import replace

import numpy as np
import pytest

import fusednet
from devices import DEVICES, NETS, data, train
from fusednet.benchmarks import kernels_device, nets, steps
from fusednet.benchmarks.compare import Bench
from fusednet.benchmarks.team import Team
from fusednet.layers import (
    Dense,
    FractionalMaxPooling2D,
    Reshape,
)
from fusednet.optimizers import SGD, Adam, AdamW, Lion


@pytest.mark.parametrize(
    "optimizer", [SGD(0.05), Adam(0.01, global_clipnorm=0.5), AdamW(0.01), Lion(0.001, clipvalue=0.1)]
)
@pytest.mark.parametrize("net", NETS)
def test_same_as_on_the_cpu(device, net, optimizer):
    """Losses, metrics and weights after 33 steps, the last batch of each epoch a short one."""
    there, history = train(device, NETS[net], optimizer)
    here, expected = train("cpu", NETS[net], optimizer)
    assert there.plan.device == device
    assert here.plan.device == "cpu"
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_allclose(history["accuracy"], expected["accuracy"], atol=0.01)
    # a sign that rounding turns moves a weight by Lion's whole step
    tolerance = 4e-3 if isinstance(optimizer, Lion) else 2e-4
    for ours, theirs in zip(there.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=1e-3)
    x, y = data(seed=1)
    np.testing.assert_allclose(there.predict(x, verbose=0), here.predict(x, verbose=0), atol=tolerance)
    np.testing.assert_allclose(there.evaluate(x, y, verbose=0), here.evaluate(x, y, verbose=0), atol=1e-2)


def test_more_arrays_than_a_launch_takes(device):
    """Each of several blocks: norms are found and joined, and parameters updated, by more than one launch."""
    layers = lambda: [Dense(96, "tanh", input_shape=[12]), *(Dense(96, "tanh") for _ in range(60)), Dense(4, "softmax")]  # noqa: E731
    there, here = (train(name, layers, SGD(0.5, global_clipnorm=0.1), epochs=1)[0] for name in (device, "cpu"))
    first = there.get_weights()[0] - train(device, layers, SGD(0.0), epochs=1)[0].get_weights()[0]
    assert np.abs(first).max() > 1e-4
    for ours, theirs in zip(there.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("net", NETS)
def test_gradients(device, net):
    """In float64, on the device, against two-sided differences taken there."""
    model = fusednet.Sequential(NETS[net](), seed=5)
    model.compile("sgd", "sparse_categorical_crossentropy", device=device)
    x, y = data(rows=9)
    assert fusednet.check_gradients(model, x, y, max_elements=20, inputs=True)


def test_another_model_meanwhile(device):
    """A signal's handler that uses and drops models leaves the one that was at work where it was."""
    x, y = data()

    def make():
        model = fusednet.Sequential(NETS["wide"](), seed=5)
        model.compile("adam", "sparse_categorical_crossentropy", device=device)
        model.fit(x, y, verbose=0)
        return model

    others = [make() for _ in range(2)]
    seen = []

    def handler(number, frame):
        seen.append(others[0].predict(x, verbose=0))
        others.pop()
        gc.collect()

    model = make()
    expected = model.predict(x, verbose=0)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        while not seen:
            np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(seen[0].shape, expected.shape)


@pytest.mark.parametrize("bad", ["input", "rate"])
def test_a_refused_step_changes_nothing(device, bad):
    """What is enqueued behind it does nothing: weights, slots, statistics and counters are those before it."""
    x, y = data()
    model = fusednet.Sequential(NETS["batchnorm"](), seed=5)
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", device=device)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    twin = fusednet.Sequential(NETS["batchnorm"](), seed=5)
    twin.compile(Adam(0.01), "sparse_categorical_crossentropy", device=device)
    twin.fit(x, y, batch_size=32, epochs=2, verbose=0)
    broken = x.copy()
    if bad == "input":
        broken[32 * 4 + 20, 3] = np.inf  # the fifth batch; the last one has 10 rows
        steps = 4
    else:
        model.optimizer.learning_rate = 1e38
        steps = 0
    where = "the input" if bad == "input" else "kernel|gamma"
    with pytest.raises(fusednet.NonFiniteError, match=f"step {2 * 11 + steps + 1}.*({where})"):
        model.fit(broken, y, batch_size=32, shuffle=False, verbose=0, check_finite=False)
    if steps:
        twin.fit(x[: 32 * steps], y[: 32 * steps], batch_size=32, shuffle=False, verbose=0)
    assert model.step == twin.step
    for ours, theirs in zip(model._engine.read().values(), twin._engine.read().values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.optimizer.learning_rate = 0.01
    model.fit(x, y, batch_size=32, verbose=0)


@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(0.01, gradient_accumulation_steps=3),
        Adam(0.01, use_ema=True, ema_overwrite_frequency=4),
        SGD(0.1, clipnorm=0.2),
    ],
    ids=["accumulation", "averages", "clipnorm"],
)
def test_steps_that_differ(device, optimizer):
    """Where one step is not like the one before it, none is replayed in its place."""
    there, history = train(device, NETS["wide"], optimizer)
    here, expected = train("cpu", NETS["wide"], optimizer)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert there.step == here.step
    assert there.plan.pending == here.plan.pending


def test_schedule_and_regions_drawn_for_each_batch(device):
    schedule = fusednet.optimizers.schedules.ExponentialDecay(0.05, 5, 0.5)

    def layers():
        pool = [Reshape([7, 7, 1]), FractionalMaxPooling2D(1.4), fusednet.layers.Flatten()]
        return [Dense(49, input_shape=[12]), *pool, Dense(4, "softmax")]

    _, history = train(device, layers, SGD(schedule))
    _, expected = train("cpu", layers, SGD(schedule))
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)


def test_from_device_to_device_and_back(device):
    """compile moves a model, its weights go with it; a file knows nothing of devices."""
    x, _ = data()
    model, _ = train("cpu", NETS["batchnorm"])
    before = model.predict(x, verbose=0)
    model.compile("adam", "sparse_categorical_crossentropy", device=device)
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-6)
    assert model.device == model.plan.device == device
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


def test_resume(device, tmp_path):
    """Bit for bit, from a file in the middle."""
    x, y = data()
    whole = fusednet.Sequential(NETS["dropout"](), seed=5)
    whole.compile("adam", "sparse_categorical_crossentropy", device=device)
    whole.fit(x, y, epochs=2, verbose=0)
    whole.save(tmp_path / "model.safetensors")
    whole.fit(x, y, epochs=1, verbose=0)
    again = fusednet.models.load_model(tmp_path / "model.safetensors", device=device)
    assert again.device == again.plan.device == device
    again.fit(x, y, epochs=1, verbose=0)
    for ours, theirs in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loading_onto_a_device(device, tmp_path, monkeypatch):
    """Named, or by the environment; a name that is unknown is not the file's fault."""
    model, _ = train("cpu", NETS["batchnorm"])
    path = tmp_path / "model.safetensors"
    model.save(path)
    x, _ = data()
    for compiled in (True, False):
        again = fusednet.load_model(path, compiled, device=device)
        assert again.plan.device == device
        np.testing.assert_allclose(again.predict(x), model.predict(x), atol=1e-6)
    monkeypatch.setenv("FUSEDNET_DEVICE", device)
    assert fusednet.load_model(path).device == device
    assert fusednet.load_model(path, device="cpu").device == "cpu"
    with pytest.raises(ValueError, match=r"\[load_model\] 'device' expects one of 'cpu', .*, got 'abacus'"):
        fusednet.load_model(path, device="abacus")
    monkeypatch.setenv("FUSEDNET_DEVICE", "abacus")
    with pytest.raises(
        ValueError, match=r"\[FUSEDNET_DEVICE\] 'device' expects one of 'cpu', .*, got 'abacus'"
    ) as error:
        fusednet.load_model(path)
    assert not isinstance(error.value, fusednet.ModelFileError)


def test_metrics_of_a_refused_step(device):
    """Are not counted, as on the CPU."""
    x, y = data()
    x[32 * 4 + 20, 3] = np.inf
    results = []
    for where in ("cpu", device):
        model = fusednet.Sequential(NETS["wide"](), seed=5)
        model.compile(SGD(0.01), "sparse_categorical_crossentropy", ["accuracy"], device=where)
        results.append(model._engine.plan(32).train(x, y.astype(np.int32), None, 0, 330, 32, np.inf))
    for result in results:
        assert result["status"] == "loss"
        assert result["samples"] == result["metrics"][0][1] == 4 * 32
    assert results[0]["metrics"] == results[1]["metrics"]


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="another device may have the room")
def test_no_room_for_partial_results():
    """The same error where kernels lack room for what they leave half done; the model goes on."""
    rows = 9_000_000
    x = np.zeros((rows, 1), np.float32)
    model = fusednet.Sequential([fusednet.layers.ReLU(input_shape=[1])])
    model.compile("sgd", "mse", device="cuda_emulated")
    with pytest.raises(
        MemoryError, match=r"\[Plan\] expects 72 MB of memory of device 'cuda_emulated', got 68 MB free"
    ):
        model.evaluate(x, x, batch_size=rows, verbose=0)
    assert model.evaluate(x[:10] + 1, x[:10], verbose=0) == 1.0
    there = fusednet.device_array(x, "cuda_emulated")
    with pytest.raises(MemoryError, match=r"\[loss\] expects 72 MB of memory of device 'cuda_emulated'"):
        fusednet.ops.loss("mean_squared_error", there, there)
    assert fusednet.ops.loss("mean_squared_error", there[:10], there[:10], gradient=False)[0] == 0.0


def test_no_room(device):
    """The error says how much was asked for; the model goes on where it was."""
    model, _ = train("cpu", NETS["wide"])
    x, _ = data()
    before = model.predict(x, verbose=0)
    huge = fusednet.Sequential([Dense(4_000_000, input_shape=[4_000_000])])
    huge.compile("sgd", "mse", device=device)
    with pytest.raises(MemoryError, match=rf"MB of memory of device '{device}', got .* MB free of"):
        huge.predict(np.zeros((1, 4_000_000), np.float32), verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


def test_unknown_and_missing_devices(monkeypatch):
    model = fusednet.Sequential(NETS["wide"]())
    with pytest.raises(ValueError, match=r"'device' expects one of 'cpu', 'cuda'.*, got 'gpu'"):
        model.compile("adam", "mse", device="gpu")
    if "cuda" not in DEVICES:
        with pytest.raises(RuntimeError, match="device 'cuda' cannot be used: "):
            model.compile("adam", "mse", device="cuda")
    assert model.device == fusednet._config.default_device()
    monkeypatch.setenv("FUSEDNET_DEVICE", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        fusednet.Sequential(NETS["wide"]()).compile("adam", "mse")


@pytest.mark.parametrize("when", ["first", "only", "last"])
def test_the_benchmark_has_rows_for_each_device(monkeypatch, when):
    """Without a device it is said why there are none."""
    net = nets.Net((6, 8, 7, 3), 5)
    other = replace(net, batch=6)
    wide = replace(net, precision="medium")
    monkeypatch.setattr(nets, "NARROW_WITH_TARGET", (net,))
    monkeypatch.setattr(nets, "WIDE_WITH_TARGET", (wide,))
    monkeypatch.setattr(nets, "WITH_TARGET", (net, wide))
    monkeypatch.setattr(nets, "WITHOUT_TARGET", (other,))
    monkeypatch.setattr(nets, "FROM_THE_HOST", net)
    monkeypatch.setattr(nets, "IN_PROGRAMS", (replace(net, programs=True),))
    monkeypatch.setattr(kernels_device, "NORM", (40, 12))
    monkeypatch.setattr(kernels_device, "ADAM", 1000)
    monkeypatch.setattr(kernels_device, "COPIED", 4096)
    monkeypatch.setattr(kernels_device, "SQUARE", 24)
    said = []
    with Team([]) as workers:
        bench = Bench(workers, [1], rounds=3, seconds=0.01, say=said.append, targets=when)
        steps.device(bench)
    expected = []
    for name in DEVICES:
        kernels = [kernels_device.norm_name(name), kernels_device.adam_name(name)]
        narrow, large, rest, last = (replace(net, device=name).name for net in (net, wide, other, *nets.IN_PROGRAMS))
        rates = [f"copy, 4096 elements, {name}", kernels_device.gemm_name(name)]
        targeted, others = [*kernels, narrow, large], [rest, f"{narrow}, rows of the host", last]
        expected += {
            "first": [*rates, *targeted, *others],
            "only": [large, *kernels, narrow],
            "last": [*rates, *others, *targeted],
        }[when]
        if when == "only":
            continue
        assert bench.roof[f"copy on {name}"] > 0
        (gemm,) = (row for row in bench.rows if row["row"] == kernels_device.gemm_name(name))
        assert bench.roof[f"GFLOP/s, {name}"] == 2 * 24**3 / gemm["seconds"]["median"] / 1e9
        assert f"{bench.roof[f'GFLOP/s, {name}']:.1f} GFLOP/s" in next(line for line in said if gemm["row"] in line)
    assert [row["row"] for row in bench.rows] == expected
    assert all(row["seconds"]["median"] > 0 and row["device"] in DEVICES for row in bench.rows)
    for row in bench.rows:
        if "parameters" in row["row"] or "BatchNorm +" in row["row"]:
            assert [entry["side"] for entry in row["rivals"]] == [kernels_device.COPY]
        if "rows of the host" in row["row"]:
            assert [entry["side"] for entry in row["rivals"]] == [steps.ROWS_THERE]
    if not DEVICES:
        assert any("left out: all rows: " in line for line in said)
