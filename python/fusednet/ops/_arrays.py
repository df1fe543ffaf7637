"""Arrays on their way to a kernel, of the host or of a device."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusednet import _device, _native
from fusednet._device import DeviceArray, lies_there

Array = NDArray[Any]
_TYPES = _SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def anywhere(op: str, name: str, value: object) -> Array:
    """Any array as it is; one on a device is typed as the others, since all that is asked of both is the same."""
    there = _device.found(op, repr(name), value)
    if there is not None:
        return cast(Array, there)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise TypeError(f"[{op}] {name!r} expects an array, got {type(value).__name__}: {error}") from None


def on_host(op: str, name: str, value: object) -> Array:
    """The same as a NumPy array, copied from a device: of labels and indices, which are looked at."""
    result = anywhere(op, name, value)
    return cast(DeviceArray, result).numpy() if lies_there(result) else result


def array(op: str, name: str, value: object, dtype: DTypeLike | None = None) -> Array:
    """A float32 or float64 array with contiguous columns; `dtype` is what the call's other arrays have."""
    result = checked_type(op, name, anywhere(op, name, value), dtype)
    apart = result.ndim > 0 and result.shape[-1] > 1 and result.strides[-1] != result.itemsize
    if lies_there(result):
        if apart and result.size:
            raise ValueError(
                f"[{op}] {name!r} expects columns side by side in the device's memory, got strides of "
                f"{tuple(result.strides)} bytes"
            )
        return result
    return np.array(result, order="C") if apart or not result.flags.aligned else result


def checked_type(op: str, name: str, result: Array, dtype: DTypeLike | None = None) -> Array:
    """The array, which is of float32 or float64 and of `dtype`."""
    if result.dtype not in _TYPES or not result.dtype.isnative:
        raise TypeError(f"[{op}] {name!r} expects float32 or float64, got {result.dtype}")
    if dtype is not None and result.dtype != dtype:
        raise TypeError(f"[{op}] {name!r} expects {np.dtype(dtype)} as the arrays before it, got {result.dtype}")
    return result


def contiguous(op: str, name: str, value: Array) -> Array:
    """C-contiguous: a copy where it is not, an error on a device."""
    if not lies_there(value):
        return np.ascontiguousarray(value)
    if not is_contiguous(value):
        raise ValueError(
            f"[{op}] {name!r} expects a C-contiguous array in the device's memory, got strides of "
            f"{tuple(value.strides)} bytes for shape {value.shape}"
        )
    return value


def is_contiguous(value: Array) -> bool:
    return cast(DeviceArray, value).c_contiguous if lies_there(value) else value.flags.c_contiguous


def empty(like: Array, shape: int | tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
    """A new array where `like` lies, of its type or another."""
    kind = np.dtype(like.dtype if dtype is None else dtype)
    if not lies_there(like):
        return np.empty(shape, kind)
    sizes = (shape,) if isinstance(shape, int) else shape
    return cast(Array, _native.device_empty(sizes, kind, cast(DeviceArray, like)))


def full(like: Array, shape: int | tuple[int, ...], value: object) -> Array:
    """The same, filled with a number, given as such or as an array of one element."""
    number = on_host("full", "value", value).reshape(())
    return beside(like, np.full(shape, number, like.dtype))


def beside(like: Array, values: Array) -> Array:
    """An array of the host where `like` lies: itself or a copy."""
    return cast(Array, _native.device_array(values, cast(DeviceArray, like).device)) if lies_there(like) else values


def ready(value: Any) -> bool:
    """Whether it is an array that kernels take as it is; small calls then skip the rest."""
    if type(value) is not np.ndarray or not 0 < value.ndim < 3 or not value.size:
        return False
    dtype, flags = value.dtype, value.flags
    return (dtype is _SINGLE or dtype is _DOUBLE) and flags.c_contiguous and flags.aligned


def matrix(op: str, name: str, value: object, dtype: DTypeLike | None = None) -> Array:
    """The same, (n, c)."""
    result = array(op, name, value, dtype)
    if result.ndim != 2:
        raise ValueError(f"[{op}] {name!r} expects shape (n, c), got {result.shape}")
    return result


def vector(op: str, name: str, value: object, dtype: DTypeLike) -> Array | None:
    """The same, (c,), or None."""
    if value is None:
        return None
    result = array(op, name, value, dtype)
    if result.ndim != 1:
        raise ValueError(f"[{op}] {name!r} expects shape (c,), got {result.shape}")
    return result


def in_place(op: str, name: str, value: object) -> Array:
    """An array that the call updates: its own memory, C-contiguous."""
    found = _written(op, name, value, "a NumPy or device array, which is updated in place")
    if not is_contiguous(found):
        raise ValueError(f"[{op}] {name!r} expects a C-contiguous array, which is updated in place")
    return array(op, name, found)


def output(op: str, out: Array | None, shape: tuple[int, ...], like: Array, name: str = "out") -> Array:
    """The array to write to: the one given, which has to fit, or a new one where `like` lies. It is of like's type."""
    return empty(like, shape) if out is None else fitting(op, out, shape, like.dtype, name)


def fitting(op: str, out: object, shape: tuple[int, ...], dtype: DTypeLike, name: str = "out") -> Array:
    """The array that was given to be written to."""
    found = _written(op, name, out, "a NumPy or device array")
    if found.dtype != dtype:
        raise TypeError(f"[{op}] {name!r} expects {np.dtype(dtype)}, got {found.dtype}")
    if found.shape != shape:
        raise ValueError(f"[{op}] {name!r} expects shape {shape}, got {found.shape}")
    return found


def _written(op: str, name: str, value: object, what: str) -> Array:
    if isinstance(value, np.ndarray):
        return value
    there = _device.found(op, repr(name), value)
    if there is None:
        raise TypeError(f"[{op}] {name!r} expects {what}, got {type(value).__name__}")
    return cast(Array, there)


def flat(op: str, name: str, value: Array) -> Array:
    """A view as (n, c) of an array that is not copied: what the kernel writes, the caller sees."""
    if value.ndim in (1, 2):
        return value
    if not is_contiguous(value):
        raise ValueError(f"[{op}] {name!r} expects a C-contiguous array of {value.ndim} dimensions")
    return value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1)


def parameters(op: str, known: Mapping[str, float], given: Mapping[str, float]) -> list[float]:
    """Parameters by name in the order of the row, defaults filled in."""
    if not given:
        return list(known.values())
    for name in given:
        if name not in known:
            raise TypeError(f"[{op}] parameters expected: {', '.join(known) or 'none'}; got {name!r}")
    return [float(given.get(name, default)) for name, default in known.items()]
