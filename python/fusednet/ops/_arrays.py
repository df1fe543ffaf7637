"""Arrays on their way to a kernel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]
_TYPES = _SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def array(op: str, name: str, value: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """A float32 or float64 array with contiguous columns; `dtype` is what the call's other arrays have."""
    try:
        result = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"[{op}] {name!r} expects an array, got {type(value).__name__}: {error}") from None
    if result.dtype not in _TYPES or not result.dtype.isnative:
        raise TypeError(f"[{op}] {name!r} expects float32 or float64, got {result.dtype}")
    if dtype is not None and result.dtype != dtype:
        raise TypeError(f"[{op}] {name!r} expects {np.dtype(dtype)} as the arrays before it, got {result.dtype}")
    apart = result.ndim > 0 and result.shape[-1] > 1 and result.strides[-1] != result.itemsize
    return np.array(result, order="C") if apart or not result.flags.aligned else result


def ready(value: Any, *others: Any) -> bool:
    """Whether all are arrays of one shape and type that kernels take as they are; small calls then skip the rest."""
    if type(value) is not np.ndarray or not 0 < value.ndim < 3 or not value.size:
        return False
    shape, dtype, flags = value.shape, value.dtype, value.flags
    if not (dtype is _SINGLE or dtype is _DOUBLE) or not (flags.c_contiguous and flags.aligned):
        return False
    for other in others:
        if type(other) is not np.ndarray or other.dtype is not dtype or other.shape != shape:
            return False
        flags = other.flags
        if not (flags.c_contiguous and flags.aligned):
            return False
    return True


def matrix(op: str, name: str, value: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """The same, (n, c)."""
    result = array(op, name, value, dtype)
    if result.ndim != 2:
        raise ValueError(f"[{op}] {name!r} expects shape (n, c), got {result.shape}")
    return result


def vector(op: str, name: str, value: ArrayLike | None, dtype: DTypeLike) -> Array | None:
    """The same, (c,), or None."""
    if value is None:
        return None
    result = array(op, name, value, dtype)
    if result.ndim != 1:
        raise ValueError(f"[{op}] {name!r} expects shape (c,), got {result.shape}")
    return result


def in_place(op: str, name: str, value: object) -> Array:
    """An array that the call updates: its own memory, C-contiguous."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"[{op}] {name!r} expects a NumPy array, which is updated in place, got {type(value).__name__}")
    if not value.flags.c_contiguous:
        raise ValueError(f"[{op}] {name!r} expects a C-contiguous array, which is updated in place")
    return array(op, name, value)


def output(op: str, out: Array | None, shape: tuple[int, ...], dtype: DTypeLike, name: str = "out") -> Array:
    """The array to write to: the one given, which has to fit, or a new one."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"[{op}] {name!r} expects a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"[{op}] {name!r} expects {np.dtype(dtype)}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"[{op}] {name!r} expects shape {shape}, got {out.shape}")
    return out


def flat(op: str, name: str, value: Array) -> Array:
    """A view as (n, c) of an array that is not copied: what the kernel writes, the caller sees."""
    if value.ndim in (1, 2):
        return value
    if not value.flags.c_contiguous:
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
