"""What a device brings back while it works: predictions and the statistics of a data set, in slices of many batches."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import fusednet
from devices import DEVICES, data
from emulated_device import ALLOCATION, KERNEL, WAIT, count, failing
from fusednet.layers import BatchNormalization, Dense

emulated = pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
SLICE = 256  # batches that are enqueued before somebody waits


def normalized(device, features=12, classes=4, **compiled):
    layers = [
        Dense(21, "tanh", input_shape=[features]),
        BatchNormalization(),
        Dense(7),
        BatchNormalization(),
        Dense(classes, "softmax"),
    ]
    model = fusednet.Sequential(layers, seed=5, **compiled)
    model.compile("adam", "sparse_categorical_crossentropy", device=device)
    return model


def waits(call):
    """How often the calling thread waits for the emulated device in it."""
    return count(WAIT, call)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 3, 32, 1400])
def test_the_cpus_results(device, batch, dtype):
    """Of less than a batch, of some slices and of a rest, in the bits of calls of one batch each."""
    x, _ = data(rows=1399)
    there, here = (normalized(name, dtype=dtype) for name in (device, "cpu"))
    plan = there._engine.plan(batch)
    assert plan.batch == batch  # a larger one would have fewer slices
    for one in (plan, here._engine.plan(batch)):
        assert one.recalibrate(x, 0, 1399)["status"] == "ok"
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    for one, other in zip(there.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    whole = there.predict(x, batch_size=batch, verbose=0)
    np.testing.assert_allclose(whole, here.predict(x, verbose=0), atol=tolerance)
    parts = np.empty((1399, 4), dtype)
    for begin in range(0, 1399, batch):
        assert plan.predict(x, parts, begin, min(begin + batch, 1399), np.inf) == min(begin + batch, 1399)
    np.testing.assert_array_equal(whole, parts)


def test_rows_that_lie_apart(device):
    """Only the columns of the outputs are written, from the first row that was asked for to the last."""
    x, _ = data(rows=900)
    model = normalized(device)
    plan = model._engine.plan(2)
    want = model.predict(x, batch_size=2, verbose=0)
    wide = np.full((900, 9), 7.0, np.float32)
    assert plan.predict(x, wide[:, 2:6], 5, 893, np.inf) == 893
    np.testing.assert_array_equal(wide[5:893, 2:6], want[5:893])
    wide[5:893, 2:6] = 7.0
    assert (wide == 7.0).all()


@pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("place", ["host", "apart", "device"])
def test_what_rows_are_made_of(device, source, place):
    """Each type that models take, in the host's memory, with gaps between the rows, or on the device; over slices."""
    x = np.random.default_rng(4).integers(0, 200, (2 * SLICE + 77, 12)).astype(source)
    model, here = normalized(device), normalized("cpu")
    given = x
    if place == "apart":
        given = np.zeros((len(x), 15), source)[:, 1:13]
        given[:] = x
    elif place == "device":
        given = fusednet.device_array(x, device)
    got = model.predict(given, batch_size=1, verbose=0)
    np.testing.assert_allclose(got, here.predict(x, verbose=0), atol=2e-5)
    for one, rows in ((model, given), (here, x)):
        one.recalibrate_batchnorm(rows)
    for one, other in zip(model.get_weights(), here.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def test_more_rows_than_before(device):
    """There is more room for what is next while results are under way."""
    x, _ = data(rows=3 * SLICE)
    model = normalized(device)
    plan, out = model._engine.plan(1), np.empty((len(x), 4), np.float32)
    want = np.concatenate([model.predict(row[None], verbose=0) for row in x])
    for rows in (SLICE + 10, 2 * SLICE + 20, len(x)):
        out[:] = 7.0
        plan.predict(x, out, 0, rows, np.inf)
        np.testing.assert_array_equal(out[:rows], want[:rows])


def test_no_time_left(device):
    """A call ends behind whole slices, which are all there; the next goes on."""
    x, _ = data(rows=1000)
    model = normalized(device)
    plan, begin, calls = model._engine.plan(1), 0, 0
    want = model.predict(x, batch_size=1, verbose=0)
    got = np.full_like(want, 7.0)
    while begin < 1000:
        done = plan.predict(x, got, begin, 1000, 0.0)
        np.testing.assert_array_equal(got[:done], want[:done])
        assert (got[done:] == 7.0).all()
        begin, calls = done, calls + 1
    assert calls == -(-1000 // SLICE)


@emulated
@pytest.mark.parametrize("slices", [1, 2, 3, 5])
def test_waits_once_for_a_slice(slices):
    x, y = data(rows=SLICE * slices)
    model = normalized("cuda_emulated")
    plan, out = model._engine.plan(1), np.empty((len(x), 4), np.float32)
    whole = lambda: plan.predict(x, out, 0, len(x), np.inf)  # noqa: E731
    whole()  # memory for rows and results is there
    assert waits(whole) <= slices + 2  # and at the call's end
    plan.recalibrate(x, 0, len(x))
    # of each of the layers, whose statistics are kept before and sent behind it, and at both ends: none of that a batch
    assert waits(lambda: plan.recalibrate(x, 0, len(x))) <= 2 * (slices + 2) + 6
    assert waits(lambda: plan.evaluate(x, y.astype(np.int32), 0, len(x), np.inf, False)) <= 5 * slices


@emulated
def test_wide_results_come_in_more_slices():
    """They have to fit where they wait for the host."""
    x, _ = data(rows=40)
    model = normalized("cuda_emulated", classes=300_000)
    plan, out = model._engine.plan(2), np.empty((40, 300_000), np.float32)
    plan.predict(x, out, 0, 40, np.inf)
    slices = -(-40 // 2 // 3)  # of three batches of 2.4 MB
    assert slices < waits(lambda: plan.predict(x, out, 0, 40, np.inf)) <= slices + 2
    here = normalized("cpu", classes=300_000)
    np.testing.assert_allclose(out, here.predict(x, verbose=0), rtol=1e-4, atol=1e-9)


def test_refusals_leave_all_as_it_was(device):
    x, _ = data(rows=700)
    model = normalized(device)
    before, want = model.get_weights(), model.predict(x, batch_size=1, verbose=0)
    broken = x.copy()
    broken[650, 3] = np.nan
    for call in (model.predict, model.recalibrate_batchnorm):
        with pytest.raises(ValueError, match=r"NaN|finite"):
            call(broken)
        with pytest.raises(ValueError, match="expects"):
            call(x[:, :11])
    got = model.predict(broken, batch_size=1, check_finite=False, verbose=0)
    assert np.isnan(got[650]).all()
    np.testing.assert_array_equal(np.delete(got, 650, 0), np.delete(want, 650, 0))
    with pytest.raises(fusednet.NonFiniteError):
        model.recalibrate_batchnorm(broken, check_finite=False)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.predict(x, batch_size=1, verbose=0), want)


def handed_out(out, want, untouched=7.0):
    """How many rows, which are the first ones; the others are untouched."""
    rows = int((out != untouched).any(1).sum())
    np.testing.assert_array_equal(out[:rows], want[:rows])
    assert (out[rows:] == untouched).all()
    return rows


def test_ctrl_c_between_slices(device):
    """Whole slices are handed out, and the next call is not disturbed by what was under way."""
    x, _ = data(rows=40 * SLICE)
    model = normalized(device)
    plan, want = model._engine.plan(1), model.predict(x, verbose=0, batch_size=1)
    out = np.full_like(want, 7.0)
    began = time.perf_counter()
    plan.predict(x, out, 0, len(x), np.inf)
    took = time.perf_counter() - began
    stopped = []

    def over_and_over(timer):  # a GPU may be done with some calls
        timer.start()
        while True:
            out[:] = 7.0
            plan.predict(x, out, 0, len(x), np.inf)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for turn in range(20):  # others may hold the cores
            timer = threading.Timer((turn % 5 + 1) / 6 * took, os.kill, (os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                over_and_over(timer)
            timer.join()
            stopped.append(handed_out(out, want))
            if turn >= 2 and any(0 < rows < len(x) for rows in stopped):
                break
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(rows % SLICE == 0 for rows in stopped)
    assert device != "cuda_emulated" or any(0 < rows < len(x) for rows in stopped), (took, stopped)
    out[:] = 7.0
    np.testing.assert_array_equal(model.predict(x, verbose=0, batch_size=1), want)
    assert (out == 7.0).all()


@emulated
@pytest.mark.parametrize("slices", [0, 1, 2, 4])
def test_a_kernel_that_fails(slices):
    """It is told at the end of its slice: nobody gets that, or waits for those behind it."""
    x, _ = data(rows=20 * SLICE)
    model = normalized("cuda_emulated")
    plan, want = model._engine.plan(1), model.predict(x, verbose=0, batch_size=1)
    out = np.full_like(want, 7.0)
    a_batch = count(KERNEL, lambda: plan.predict(x, out, 0, 1, np.inf))
    assert a_batch > 3
    for behind in (0, 100 * a_batch + 1, SLICE * a_batch - 1):
        out[:] = 7.0

        def fails(behind=behind):
            with failing(KERNEL, slices * SLICE * a_batch + behind), pytest.raises(RuntimeError, match="kernel '"):
                plan.predict(x, out, 0, len(x), np.inf)

        assert count(KERNEL, fails) <= (slices + 1) * SLICE * a_batch
        assert max(slices - 1, 0) * SLICE <= handed_out(out, want) <= slices * SLICE
    np.testing.assert_array_equal(model.predict(x, verbose=0, batch_size=1), want)


@emulated
def test_no_room_in_any_slice():
    """What is thrown while results are under way leaves none there."""
    x, y = data(rows=5 * SLICE)
    want = normalized("cuda_emulated").predict(x, verbose=0, batch_size=1)
    fresh = lambda: normalized("cuda_emulated")._engine.plan(1)  # noqa: E731
    plan, out = fresh(), np.empty_like(want)
    asked = count(ALLOCATION, lambda: plan.predict(x, out, 0, len(x), np.inf))
    reached = []
    for behind in range(asked):
        plan, out = fresh(), np.full_like(want, 7.0)
        with failing(ALLOCATION, behind), pytest.raises(MemoryError, match="memory of device 'cuda_emulated'"):
            plan.predict(x, out, 0, len(x), np.inf)
        reached.append(handed_out(out, want))
        out[:] = 7.0
        plan.evaluate(x, y.astype(np.int32), 0, 300, np.inf, False)
        assert (out == 7.0).all()
        plan.predict(x, out, 0, len(x), np.inf)
        np.testing.assert_array_equal(out, want)
    assert 0 in reached
    assert SLICE in reached  # in the second


@emulated
def test_a_recalibration_that_fails_changes_nothing():
    """Neither of its layers, whichever is at work."""
    x, _ = data(rows=2 * SLICE + 50)
    model = normalized("cuda_emulated")
    plan, before = model._engine.plan(1), model.get_weights()
    kernels = count(KERNEL, lambda: plan.recalibrate(x, 0, len(x)))
    after = model.get_weights()
    assert not all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    for share in (0.0, 0.2, 0.4, 0.6, 0.95):
        model.set_weights(before)
        with failing(KERNEL, int(share * kernels)), pytest.raises(RuntimeError, match="kernel '"):
            plan.recalibrate(x, 0, len(x))
        for one, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)
        plan.recalibrate(x, 0, len(x))
        for one, other in zip(model.get_weights(), after, strict=True):
            np.testing.assert_array_equal(one, other)
