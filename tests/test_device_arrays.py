"""Arrays in a device's memory: ours, and those that other libraries hand over. Of the emulated device, whose memory is
the host's, since only there can a test stand in for the other library."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import fusednet
from foreign_arrays import CUDA, MANAGED, CudaInterface, DLPack
from fusednet import _native

EMULATED = "cuda_emulated"
TYPES = [np.float32, np.float64, np.uint8, np.int32, np.int64, np.bool_]
HAS_EMULATED = EMULATED in _native.device_names()
emulated = pytest.mark.skipif(not HAS_EMULATED, reason="this build has no emulated device")


def numbers(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def taken(value):
    return _native.as_device_array("[test] 'x'", value)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 4), (0, 7), (2, 3, 4)])
def test_there_and_back(device, dtype, shape):
    values = numbers(shape, dtype)
    there = fusednet.device_array(values, device)
    assert there.shape == shape
    assert (there.ndim, there.size, there.nbytes, there.itemsize) == (
        values.ndim, values.size, values.nbytes, values.itemsize,
    )  # fmt: skip
    assert there.dtype == values.dtype
    assert there.device == device
    assert there.c_contiguous
    back = there.numpy()
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)
    back.fill(0)  # a copy
    np.testing.assert_array_equal(there.numpy(), values)


def test_what_is_copied_there(device):
    """Anything that NumPy reads, in this machine's byte order, side by side."""
    values = numbers((4, 6))
    np.testing.assert_array_equal(fusednet.device_array(values[::2, ::-1], device).numpy(), values[::2, ::-1])
    np.testing.assert_array_equal(fusednet.device_array([[1, 2], [3, 4]], device).numpy(), [[1, 2], [3, 4]])
    swapped = fusednet.device_array(values.astype(">f4"), device)
    assert swapped.dtype == np.float32
    np.testing.assert_array_equal(swapped.numpy(), values)


def test_views(device):
    """Of the same memory: rows, another shape, transposed."""
    values = numbers((6, 4, 2))
    there = fusednet.device_array(values, device)
    for rows in (slice(None), slice(1, 3), slice(4, None), slice(-2, None), slice(None, None, 2), slice(3, 3)):
        np.testing.assert_array_equal(there[rows].numpy(), values[rows])
    np.testing.assert_array_equal(there.T.numpy(), values.T)
    np.testing.assert_array_equal(there.reshape(6, 8).numpy(), values.reshape(6, 8))
    np.testing.assert_array_equal(there.reshape((-1, 2)).numpy(), values.reshape(-1, 2))
    np.testing.assert_array_equal(there[::3].reshape(2, 8).numpy(), values[::3].reshape(2, 8))
    assert len(there[1:5]) == 4
    assert not there.T.c_contiguous
    with pytest.raises(ValueError, match="C-contiguous"):
        there.T.reshape(48)
    for shape in ((5, 9), (-1, -1), (-3, -16), (-1, 0), (4294967299, 6148914668330024976), (2**62, -1, 8)):
        with pytest.raises(ValueError, match="48 elements, got shape"):
            there.reshape(shape)
    with pytest.raises(TypeError, match=r"sizes of 64 bits, got \(18446744073709551616,\)"):
        there.reshape((2**64,))
    assert there[:0].reshape(0, 5).shape == (0, 5)
    assert there[:0].reshape(-1, 5).shape == (0, 5)


def test_a_view_keeps_the_memory(device):
    there = fusednet.device_array(numbers((6, 4)), device)
    view = there[2:4]
    del there
    gc.collect()
    np.testing.assert_array_equal(view.numpy(), numbers((6, 4))[2:4])


def test_numpy_does_not_read_it_by_mistake(device):
    there = fusednet.device_array([1.0, 2.0], device)
    with pytest.raises(TypeError, match=rf"array of the host, got one on device '{device}': numpy\(\) makes a copy"):
        np.asarray(there)
    assert repr(there) == f"<DeviceArray (2,) float64 on device '{device}'>"
    with pytest.raises(TypeError, match="got one on device"):
        fusednet.device_array(there, device)


def test_what_no_device_takes(device):
    with pytest.raises(TypeError, match="real numbers of at most 64 bits, got complex128"):
        fusednet.device_array([1j], device)
    with pytest.raises(RuntimeError, match="device 'abacus' cannot be used"):
        fusednet.device_array([1.0], "abacus")
    with pytest.raises(MemoryError, match=rf"\[device_array\] expects .* of device '{device}', got .* free"):
        fusednet.device_array(np.broadcast_to(np.float32(1), (1 << 45,)), device)


def test_without_a_device():
    if not _native.why_no_device("cuda"):
        pytest.skip("this machine has one")
    with pytest.raises(RuntimeError, match=r"\[device_array\] device 'cuda' cannot be used: [^ ]+ "):
        fusednet.device_array([1.0])


@emulated
def test_others_share_the_memory():
    """NumPy and PyTorch read the emulated device's memory as DLPack's of the CPU, and write there."""
    values = numbers((3, 4))
    there = fusednet.device_array(values, EMULATED)
    assert there.__dlpack_device__() == (1, 0)
    assert not hasattr(there, "__cuda_array_interface__")
    shared = np.from_dlpack(there[1:])
    np.testing.assert_array_equal(shared, values[1:])
    torch = pytest.importorskip("torch")
    tensor = torch.from_dlpack(there)
    tensor[1, 2] = -5
    assert there.numpy()[1, 2] == -5
    watch = weakref.ref(there)
    del there
    gc.collect()
    assert watch() is not None  # kept by both
    del shared, tensor
    gc.collect()
    assert watch() is None


@emulated
def test_a_capsule_that_nobody_takes():
    there = fusednet.device_array([1.0], EMULATED)
    watch = weakref.ref(there)
    for version in (None, (0, 8), (1, 0)):
        assert there.__dlpack__(max_version=version) is not None
    with pytest.raises(BufferError, match="the device where the array lies"):
        there.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="no copy"):
        there.__dlpack__(copy=True)
    del there
    gc.collect()
    assert watch() is None


@emulated
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("export", [CudaInterface, DLPack, lambda a: DLPack(a, versioned=False, strides=False)])
def test_taken_without_a_copy(export, dtype, shape):
    values = numbers(shape, dtype)
    there = taken(export(values))
    assert there.device == EMULATED
    assert there.dtype == values.dtype
    np.testing.assert_array_equal(there.numpy(), values)
    if values.size:
        values.reshape(-1)[0] = not values.reshape(-1)[0]
    np.testing.assert_array_equal(there.numpy(), values)


@emulated
@pytest.mark.parametrize("export", [CudaInterface, DLPack])
def test_views_are_taken_as_they_lie(export):
    values = numbers((6, 9))
    for view in (values[::2], values[:, 2:5], values[::-1], values.T, values[1:4, ::3]):
        there = taken(export(view))
        assert there.strides == view.strides
        np.testing.assert_array_equal(there.numpy(), view)
    values.flags.writeable = False
    assert not taken(export(values)).writeable


@emulated
def test_what_is_the_hosts_is_left_to_numpy():
    torch = pytest.importorskip("torch")
    for value in (np.ones(2), [1.0], 2.0, None, "x", np.ones(2).tolist(), torch.ones(2), DLPack(np.ones(2), kind=1)):
        assert taken(value) is None


@emulated
@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"data": (16, False)}, TypeError, "on a device of this build and machine, got another: .*no memory"),
        ({"data": None}, TypeError, "__cuda_array_interface__ of version 2 or 3, got {"),
        ({"shape": None}, TypeError, "__cuda_array_interface__ of version 2 or 3, got {"),
        ({"typestr": "nonsense"}, TypeError, "not understood"),
        ({"strides": (4,)}, ValueError, "a stride for each axis"),
        ({"shape": (-2, 3)}, ValueError, "sizes of at least 0"),
        ({"typestr": "|O8"}, TypeError, "real numbers of at most 64 bits"),
        ({"typestr": "<c16"}, TypeError, "real numbers of at most 64 bits"),
        ({"mask": np.ones(2)}, TypeError, "without a mask"),
        ({"stream": 0}, ValueError, "a stream that is not 0"),
        ({"stream": 7}, RuntimeError, "cannot be waited for in stream 7: there is no such stream"),
        ({"stream": 7, "version": 2}, RuntimeError, "cannot be waited for in stream 7"),
    ],
)
def test_interfaces_that_are_refused(fields, error, text):
    with pytest.raises(error, match=text):
        taken(CudaInterface(numbers((2, 3)), **fields))


@emulated
@pytest.mark.parametrize("stream", [None, 1, 2])
def test_streams_that_are_waited_for(stream):
    assert taken(CudaInterface(numbers((2, 3)), stream=stream)) is not None


@emulated
@pytest.mark.parametrize("versioned", [False, True])
def test_the_deleter_is_called_once(versioned):
    """When the last view of the memory is gone, and not before."""
    producer = DLPack(numbers((4, 3)), versioned=versioned)
    view = taken(producer)[1:]
    assert producer.calls[-1]["stream"] == 1  # the producer's work is behind it, and waited for there
    gc.collect()
    assert producer.deleted == 0
    np.testing.assert_array_equal(view.numpy(), producer.array[1:])
    del view
    gc.collect()
    assert producer.deleted == 1


@emulated
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"number": 1}, ValueError, "on CUDA device 0, got one on device 1"),
        ({"inside": 1}, TypeError, "memory of the device that it named, got memory of kind 1"),
        ({"lanes": 2}, TypeError, "real numbers of at most 64 bits"),
    ],
)
@pytest.mark.parametrize("versioned", [False, True])
def test_the_deleter_is_called_once_after_an_error(options, error, text, versioned):
    producer = DLPack(numbers((4, 3)), versioned=versioned, **options)
    with pytest.raises(error, match=text):
        taken(producer)
    gc.collect()
    assert producer.deleted == 1


@emulated
def test_other_dlpack_errors():
    with pytest.raises(TypeError, match="got DLPack type 5 of 64 bits"):
        taken(DLPack(np.ones(2, np.complex64)))
    with pytest.raises(TypeError, match="expects DLPack 1, got version 2"):
        taken(DLPack(np.ones(2), major=2))
    assert taken(DLPack(np.ones(2), kind=MANAGED, inside=MANAGED)) is not None

    class Broken:
        def __dlpack_device__(self):
            return CUDA, 0

        def __dlpack__(self, **options):
            raise BufferError("tensors that require a gradient")

    with pytest.raises(BufferError, match="require a gradient"):
        taken(Broken())
    Broken.__dlpack__ = lambda self, **options: object()
    with pytest.raises(TypeError, match="a DLPack capsule from __dlpack__, got <class 'object'>"):
        taken(Broken())
