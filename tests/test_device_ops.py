"""`fusednet.ops` on arrays of a device: the results of the same call on the host, and each function is here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fusednet
from foreign_arrays import CudaInterface, DLPack
from fusednet import DeviceArray, _native, ops
from ops_calls import CALLS, INDIRECT, Side

SHAPES = [(1, 1), (7, 5), (64, 33)]
TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 2e-6}, np.float64: {"rtol": 1e-12, "atol": 1e-13}}


def flat(results, device):
    """NumPy arrays of all results; on a device every array that was made lies there."""
    given = results if isinstance(results, (list, tuple)) else [results]
    found = []
    for value in given:
        if isinstance(value, DeviceArray):
            assert value.device == device
            found.append(value.numpy())
        elif value is not None:
            assert device is None or np.ndim(value) < 2
            found.append(np.asarray(value))
    return found


def test_every_function_is_called():
    named = {name for key in CALLS for name in key.split()}
    assert not set(ops.__all__) - named - INDIRECT


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("call", CALLS)
def test_as_on_the_host(device, call, shape, dtype):
    here, there = Side(None, dtype, shape), Side(device, dtype, shape)
    expected, results = flat(CALLS[call](here), None), flat(CALLS[call](there), device)
    assert len(results) == len(expected)
    # what was given is looked at as well: some of it is updated in place
    for ours, theirs in zip(results + flat(there.made, device), expected + here.made, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3, 5), (0, 4)])
def test_any_shape(device, shape):
    x = np.random.default_rng(0).normal(size=shape)
    there = fusednet.device_array(x, device)
    y = ops.elu_forward(there)
    assert y.shape == shape
    np.testing.assert_allclose(y.numpy(), ops.elu_forward(x), rtol=1e-12)
    y = ops.dropout_forward(there, rate=0.5, seed=1)
    np.testing.assert_allclose(y.numpy(), ops.dropout_forward(x, rate=0.5, seed=1), rtol=1e-12)
    assert ops.squared_norm(there) == pytest.approx(ops.squared_norm(x))


def test_rows_apart_and_in_place(device):
    """Row strides are read and written in place; what lies between the rows stays."""
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    there = fusednet.device_array(x, device)
    out = fusednet.device_array(np.full((6, 4), 7, np.float32), device)
    assert ops.tanh_forward(there[::2], out=out[1::2]).shape == (3, 4)
    expected = np.full((6, 4), 7, np.float32)
    expected[1::2] = ops.tanh_forward(x[::2])
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5)
    assert ops.tanh_forward(there, out=there) is there
    np.testing.assert_allclose(there.numpy(), ops.tanh_forward(x), rtol=1e-5)


@pytest.mark.skipif("cuda_emulated" not in _native.device_names(), reason="this build has no emulated device")
@pytest.mark.parametrize("export", [CudaInterface, DLPack])
def test_arrays_of_other_libraries(export):
    """Are read and written where they lie."""
    g = np.random.default_rng(0)
    x, w, out = (g.normal(size=shape).astype(np.float32) for shape in ((8, 5), (5, 3), (8, 3)))
    expected = ops.gemm(x, w)
    there = ops.gemm(export(x), export(w), out=export(out))
    assert isinstance(there, DeviceArray)
    np.testing.assert_allclose(out, expected, rtol=1e-5)
    padded = np.zeros((8, 9), np.float32)
    padded[:, 2:7] = x
    np.testing.assert_allclose(ops.gemm(export(padded[:, 2:7]), export(w)).numpy(), expected, rtol=1e-5)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="'out' expects a writable array, got a read-only one"):
        ops.gemm(export(x), export(w), out=export(out))


def test_threads(device):
    """Each call has a queue of its own, on whatever thread it is made."""
    g = np.random.default_rng(0)
    pairs = [tuple(g.normal(size=(17, 17)) for _ in range(2)) for _ in range(40)]
    there = [tuple(fusednet.device_array(a, device) for a in pair) for pair in pairs]

    def work(pair):
        product = ops.softmax_forward(ops.gemm(*pair))
        return product, ops.squared_norm(product), ops.column_sums(product)

    with ThreadPoolExecutor(4) as pool:
        for results, pair in zip(pool.map(work, there), pairs, strict=True):
            for ours, theirs in zip(results, work(pair), strict=True):
                np.testing.assert_allclose(ours.numpy() if isinstance(ours, DeviceArray) else ours, theirs, rtol=1e-12)


def test_mixing_is_refused(device):
    """Nothing is written then."""
    x = np.ones((4, 3), np.float32)
    there = fusednet.device_array(x, device)
    with pytest.raises(TypeError, match=rf"'out' expects an array on device '{device}' as 'x' is, got one of the host"):
        ops.elu_forward(there, out=x)
    with pytest.raises(TypeError, match=rf"'out' expects an array of the host as 'x' is, got one on device '{device}'"):
        ops.elu_forward(x, out=there)
    with pytest.raises(TypeError, match=rf"\[gemm\] 'b' expects an array on device '{device}' as 'a' is"):
        ops.gemm(there, np.ones((3, 2), np.float32))
    with pytest.raises(TypeError, match=r"'slots' expects an array on device .* as 'w' is, got one of the host"):
        ops.adagrad_update(there, there, x.copy())
    with pytest.raises(TypeError, match=r"'target' expects an array on device"):
        ops.loss("mean_squared_error", there, x)
    with pytest.raises(TypeError, match=r"'gamma' expects an array on device"):
        ops.batchnorm_forward(there, x[0], x[0])
    np.testing.assert_array_equal(there.numpy(), x)
    assert (x == 1).all()


def test_errors(device):
    there = fusednet.device_array(np.ones((4, 3), np.float32), device)
    with pytest.raises(ValueError, match="'x' expects columns side by side in the device's memory, got strides of"):
        ops.elu_forward(there.T)
    with pytest.raises(ValueError, match="'x' expects a C-contiguous array in the device's memory"):
        ops.squared_norm(there[::2])
    with pytest.raises(TypeError, match="'x' expects float32 or float64, got int32"):
        ops.elu_forward(fusednet.device_array(np.ones(3, np.int32), device))
    with pytest.raises(ValueError, match=rf"'isa' expects None for arrays on device '{device}', got 'baseline'"):
        ops.elu_forward(there, isa="baseline")
    with pytest.raises(ValueError, match=r"labels in 0\.\.2, got 3 in row 1"):
        ops.loss("softmax_crossentropy", there, fusednet.device_array([0, 3, 1, 1], device))
    dy, nine = np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 9, np.int32)
    with pytest.raises(ValueError, match="'argmax' expects columns from 0 to 3, got 9"):
        ops.max_pool_backward(fusednet.device_array(dy, device), fusednet.device_array(nine, device), (2, 2, 1))
    with pytest.raises(ValueError, match="'order' expects rows from 0 to 3, got 4"):
        ops.gather(there, fusednet.device_array([0, 4], device))
    with pytest.raises(ValueError, match="memory of its own, got an overlap"):
        ops.elu_forward(there[:3], out=there[1:])
    with pytest.raises(ValueError, match=r"'out' expects shape \(4, 3\), got \(3, 3\)"):
        ops.elu_forward(there, out=there[1:])
