"""Arrays in a device's memory: our own, and those of CuPy, PyTorch or JAX, which are taken without a copy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fusednet import _native
from fusednet._native import DeviceArray

__all__ = ["DeviceArray", "device_array", "found", "taken"]


_OF_THE_HOST = frozenset({np.ndarray, list, tuple, float, int, np.float64, np.float32})  # most that is given


def device_array(values: ArrayLike, device: str = "cuda") -> DeviceArray:
    """A copy of an array in a device's memory, C-contiguous.

    Args:
        values: anything that NumPy makes an array of, of real numbers of at most 64 bits; the type is kept.
        device: its name; `fusednet.show_config()` says whether there is one.

    Returns:
        DeviceArray: `numpy()` copies it back, `fusednet.ops` compute with it, models on that device train on it, and
        CuPy, PyTorch and JAX share its memory (`torch.from_dlpack(array)`).

    Raises:
        RuntimeError: this build, machine or driver has no such device; the message says which.
        MemoryError: the device has too little memory left; the message says how much.
        TypeError: no real numbers.

    Example:
        >>> import numpy as np
        >>> import fusednet
        >>> x = fusednet.device_array(np.ones((2, 3), np.float32), device="cuda")  # doctest: +SKIP
        >>> fusednet.ops.relu_forward(x).numpy().sum()  # doctest: +SKIP
        6.0
    """
    there = found("device_array", "values", values)
    if there is not None:
        raise TypeError(
            f"[device_array] 'values' expects an array of the host, got one on device {there.device!r} already"
        )
    return _native.device_array(np.asarray(values), device)


def found(owner: str, argument: str, value: object) -> DeviceArray | None:
    """The array if it lies on a device, whoever has made it; the same memory. Its producer's work is waited for.

    Raises:
        TypeError, ValueError, RuntimeError: it says that it does, but not so that it can be read.
    """
    if type(value) in _OF_THE_HOST:
        return None
    return _native.as_device_array(f"[{owner}] {argument}", value)


def taken(owner: str, argument: str, value: object, device: str) -> DeviceArray | None:
    """The same, and it has to be that device; None for what is the host's."""
    there = found(owner, argument, value)
    if there is None or there.device == device:
        return there
    if device == "cpu":
        raise TypeError(
            f"[{owner}] {argument} expects an array of the host, got one on device {there.device!r}: a model compiled "
            f"with device={there.device!r} trains and predicts on it as it is; else hand over a copy, as its numpy(), "
            "cpu() or get() makes"
        )
    raise TypeError(
        f"[{owner}] {argument} expects an array of the host or on device {device!r}, where the model is, got one on "
        f"device {there.device!r}"
    )


def lies_there(array: object) -> bool:
    """Whether it is one of ours on a device, where the type that it goes by does not tell."""
    return isinstance(array, DeviceArray)


def shape_of(owner: str, argument: str, value: object) -> tuple[int, ...]:
    """An array's shape, wherever it lies."""
    from fusednet import _samples

    there = found(owner, argument, value)
    return _samples.as_array(owner, argument, value).shape if there is None else there.shape


def pieces(array: DeviceArray) -> Any:
    """Copies of a matrix's rows in the host's memory with the number of the first, some megabytes at a time."""
    rows = max(1, (1 << 25) // max(1, array.nbytes // max(1, len(array))))
    for first in range(0, len(array), rows):
        yield first, array[first : first + rows].numpy()
