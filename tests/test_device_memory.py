"""A device's memory between its uses: kept within limits, given back where room is short, handed out once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fusednet
from devices import DEVICES, NETS, data
from fusednet import _native, ops

EIGHTH = 8 << 20  # of the emulated device's memory


@pytest.fixture
def kept(device):
    """How many bytes are kept; none at first."""
    gc.collect()
    _native.keep_device_memory(device, 0)
    assert _native.kept_device_memory(device) == 0
    _native.keep_device_memory(device, EIGHTH)
    yield lambda: _native.kept_device_memory(device)
    _native.keep_device_memory(device, EIGHTH)


def test_memory_is_used_again(device, kept):
    first, second = (fusednet.device_array(np.zeros(n, np.float32), device) for n in (1000, 500_000))
    view = first[10:20]
    del first
    assert kept() == 0  # a view has it
    del view
    assert kept() == 4096
    del second
    assert kept() == 4096 + (2 << 20)
    again = fusednet.device_array(np.ones(990, np.float32), device)
    assert kept() == 2 << 20
    np.testing.assert_array_equal(again.numpy(), np.ones(990))
    small = fusednet.device_array([1.0], device)  # nothing as large is given for it
    assert kept() == 2 << 20
    assert small.numpy() == 1.0


def test_no_more_is_kept_than_the_limit(device, kept):
    _native.keep_device_memory(device, 10_000)
    arrays = [fusednet.device_array(np.full(100, i), device) for i in range(30)]
    for i, array in enumerate(arrays):
        np.testing.assert_array_equal(array.numpy(), np.full(100, i))
    while arrays:
        arrays.pop()
        assert kept() <= 10_000
    assert kept() == 9 * 1024
    large = fusednet.device_array(np.zeros(4000), device)
    del large
    assert kept() == 0  # the oldest went first; then it was too large itself
    _native.keep_device_memory(device, 0)
    del array
    assert kept() == 0


def test_what_is_kept_makes_room(device, kept):
    del_me = fusednet.device_array(np.zeros(1000), device)
    del del_me
    assert kept() > 0
    with pytest.raises(MemoryError):
        fusednet.device_array(np.broadcast_to(np.float32(1), (1 << 45,)), device)
    assert kept() == 0


def test_what_others_have_seen_is_not_used_again(device, kept):
    """They may have work under way in streams of their own."""
    array = fusednet.device_array(np.zeros(1000), device)
    view = array[5:]
    del array
    assert view.__dlpack__(max_version=(1, 0)) is not None
    del view
    assert kept() == 0
    if device == "cuda":
        array = fusednet.device_array(np.zeros(1000), device)
        assert array.__cuda_array_interface__["version"] == 3
        del array
        assert kept() == 0


def test_nothing_is_handed_out_twice(device, kept):
    """Threads that make, compute with, check and drop arrays of a few sizes."""

    def work(thread):
        g = np.random.default_rng(thread)
        held = []
        for i in range(150):
            value = 1000.0 * thread + i
            array = fusednet.device_array(np.full(g.choice([100, 120, 1000, 20_000]), value), device)
            held.append((ops.relu_forward(array), value))
            if len(held) > 6:
                array, value = held.pop(int(g.integers(len(held))))
                found = array.numpy()
                assert (found == value).all(), (found[0], value)
                assert ops.squared_norm(array) == pytest.approx(value**2 * len(found))
        return len(held)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [6] * 4
    gc.collect()
    assert 0 < kept() <= EIGHTH


def test_a_call_leaves_nothing_behind(device, kept):
    x = fusednet.device_array(np.ones((30, 7), np.float32), device)
    w, m, v = (fusednet.device_array(np.zeros(210, np.float32), device) for _ in range(3))
    for _ in range(3):
        ops.squared_norm(x)
        ops.adam_update(w, x.reshape(210), m, v, step=1)
        with pytest.raises(TypeError):
            ops.elu_forward(x, out=np.zeros((30, 7), np.float32))
    before = kept()
    for _ in range(20):
        ops.squared_norm(x)
        ops.adam_update(w, x.reshape(210), m, v, step=1)
    assert kept() == before


def test_a_plan_gives_its_memory_back(device, kept):
    x, y = data()
    losses = []
    for _ in range(3):
        model = fusednet.Sequential(NETS["batchnorm"](), seed=5)
        model.compile("adam", "sparse_categorical_crossentropy", device=device)
        losses.append(model.fit(x, y, epochs=2, verbose=0).history["loss"])
        del model
        gc.collect()
    assert losses[0] == losses[1] == losses[2]
    assert kept() > 0
    fusednet.utils.clear_session()
    assert kept() == 0


def test_queues_that_nobody_uses_give_their_workspaces_back(device):
    """And what they have for small numbers; the next call has a queue of its own again."""
    x = fusednet.device_array(np.ones((900, 40), np.float32), device)
    assert ops.squared_norm(x) == 36000
    assert _native.idle_device_queues() > 0
    fusednet.utils.clear_session()
    assert _native.idle_device_queues() == 0
    assert ops.squared_norm(x) == 36000
    assert _native.idle_device_queues() == 1


def test_queues_that_nobody_uses_make_room(device):
    x = fusednet.device_array(np.ones(9, np.float32), device)
    assert ops.squared_norm(x) == 9
    assert _native.idle_device_queues() > 0
    with pytest.raises(MemoryError):
        _native.device_empty([1 << 46], np.dtype(np.uint8), x)
    assert _native.idle_device_queues() == 0
    assert ops.squared_norm(x) == 9


FORK = """
import os, sys, threading, warnings
import numpy as np
import fusednet
from fusednet import _native
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
device = sys.argv[1]
def busy():
    while True:
        fusednet.device_array(np.zeros(100), device)
for _ in range(2):
    threading.Thread(target=busy, daemon=True).start()
for i in range(20):
    array, other, idle = (fusednet.device_array(np.full(100, i), device) for _ in range(3))
    del idle  # which a child must not take for its own
    child = os.fork()
    if child == 0:
        del array
        if device != "cuda":  # which no forked process can use
            assert _native.kept_device_memory(device) == 0
            array = fusednet.device_array(np.full(100, -1), device)
            assert (other.numpy() == i).all() and (array.numpy() == -1).all()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (array.numpy() == i).all()
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_arrays_in_a_forked_process(device):
    """Whatever other threads were about: a child lets go of what it has, and has no memory of its parent's to give."""
    done = subprocess.run([sys.executable, "-c", FORK, device], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_call_on_the_host_within_one_on_a_device(device):
    """As a finalizer may make it: here, the text of a type in an error."""
    x = fusednet.device_array(np.ones((4, 3), np.float32), device)
    isa = _native.isa_info()["tables"][0]["name"]  # no device has a choice
    seen = []

    class Meta(type):
        def __repr__(cls):
            seen.append(ops.elu_forward(np.full((2, 3), -1.0, np.float32), isa=isa))
            seen.append(ops.elu_forward(x).numpy())
            return "odd"

    class Odd(metaclass=Meta):
        pass

    y = fusednet.device_array(np.zeros((4, 3), np.float32), device)
    with pytest.raises(TypeError, match="'slope' expects an array for prelu, got odd"):
        _native.activation_forward(x, y, "prelu", slope=Odd())
    np.testing.assert_allclose(seen[0], np.expm1(-1.0), rtol=1e-6)
    np.testing.assert_array_equal(seen[1], np.ones((4, 3)))
    np.testing.assert_array_equal(ops.elu_forward(x).numpy(), np.ones((4, 3)))


@pytest.mark.parametrize("way", ["there", "back"])
def test_other_threads_run_meanwhile(device, way):
    """Python's lock is not held while rows travel; another thread gets it in one of a few tries on a busy machine."""
    values = np.zeros(4_000_000)
    there = fusednet.device_array(values, device)
    assert any(
        _runs_meanwhile(lambda: there.numpy() if way == "back" else fusednet.device_array(values, device))
        for _ in range(5)
    )


def _runs_meanwhile(transfer):
    read, write = os.pipe()
    ran = []

    def wait():
        os.read(read, 1)
        ran.append(True)

    thread = threading.Thread(target=wait)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)  # nobody is asked for the lock
    try:
        thread.start()
        os.write(write, b".")
        transfer()
        seen = bool(ran)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
        os.close(read)
        os.close(write)
    return seen


def test_the_limit_of_what_is_no_device():
    with pytest.raises(RuntimeError, match=r"\[keep_device_memory\] device 'abacus' cannot be used"):
        _native.keep_device_memory("abacus", 0)
    assert all(_native.kept_device_memory(name) >= 0 for name in DEVICES)
