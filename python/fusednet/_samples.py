"""Arrays given by the user as samples, checked once, before anything changes."""

import math
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from fusednet import _device, _native
from fusednet._device import DeviceArray

Array = NDArray[Any]
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_BYTES = np.dtype(np.uint8)
_EXACT = {"float32": 1 << 24, "float64": 1 << 53}  # largest magnitude up to which all integers are exact


def inputs(
    owner: str,
    argument: str,
    x: object,
    shape: tuple[int, ...],
    dtype: str,
    *,
    check_finite: bool = True,
    device: str = "cpu",
) -> Array:
    """Samples as an (n, features) array of uint8, float32 or float64 with unit column stride, copied only if needed.

    float16, bool and small integers are converted; larger integers where every one is exact in the model's type. An
    array on `device` is taken as it lies there.

    Raises:
        TypeError: for a type that would lose data (complex, object, string, longdouble, large integers).
        ValueError: for a wrong shape, no rows, or a NaN or infinity, naming its row.
    """
    there = None if type(x) is np.ndarray else _device.taken(owner, argument, x, device)
    array = as_array(owner, argument, x) if there is None else cast(Array, there)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        expected = ", ".join(["n", *map(str, shape)])
        raise ValueError(f"[{owner}] {argument} expects shape ({expected}), got {shown(array.shape)}")
    if array.shape[0] == 0:
        raise ValueError(f"[{owner}] {argument} expects at least one row, got shape {shown(array.shape)}")
    if there is not None:
        return rows_there(owner, argument, there, shape, dtype, check_finite=check_finite)
    array = numbers(owner, argument, array, dtype)
    rows = array if array.ndim == 2 else array.reshape(array.shape[0], math.prod(shape))
    if (rows.shape[1] > 1 and rows.strides[1] != rows.itemsize) or not rows.flags.aligned:
        rows = np.array(rows, order="C")  # the compiled code wants the values of a row side by side
    if check_finite and rows.dtype != _BYTES:
        finite(owner, argument, rows, dtype, shape)
    return rows


def rows_there(
    owner: str, argument: str, x: DeviceArray, shape: tuple[int, ...], dtype: str, *, check_finite: bool
) -> Array:
    """Samples on a device as (n, features), typed as what the compiled code treats alike; they stay where they are.

    Raises:
        TypeError: for another type than uint8, float32 or float64, which would have to be converted.
        ValueError: for values of a row that are not side by side, or a NaN or infinity, naming its row.
    """
    if x.dtype not in (*_FLOATS, _BYTES):
        raise TypeError(
            f"[{owner}] {argument} expects uint8, float32 or float64 for an array on a device, got {x.dtype}"
        )
    try:
        rows = x.reshape(len(x), math.prod(shape))
    except ValueError:
        raise ValueError(
            f"[{owner}] {argument} expects the values of a row side by side in the device's memory, got strides of "
            f"{shown(x.strides)} bytes for shape {shown(x.shape)}: make a C-contiguous copy"
        ) from None
    if check_finite and rows.dtype != _BYTES:
        row = _native.first_nonfinite_row(cast(Array, rows))
        if row >= 0:
            refuse_row(owner, argument, rows[row : row + 1].numpy()[0], row, shape)
    return cast(Array, rows)


def as_array(owner: str, argument: str, value: object) -> Array:
    """Anything array-like as an array of the host; ragged nesting and masked entries are errors."""
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise TypeError(f"[{owner}] {argument} expects an array, got None")
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        raise TypeError(f"[{owner}] {argument} expects an array without masked entries")
    _device.taken(owner, argument, value, "cpu")
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"[{owner}] {argument} expects an array, got {type(value).__name__}: {error}") from None


def numbers(owner: str, argument: str, array: Array, dtype: str) -> Array:
    """An array of uint8, float32 or float64 in this machine's byte order; raises as `inputs`."""
    if array.dtype in _FLOATS or array.dtype == _BYTES:
        return array
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.dtype in _FLOATS or array.dtype == _BYTES:
        return array
    if kind == "b":
        return array.view(np.uint8)
    if array.dtype == np.float16 or (kind in "iu" and size <= 2):
        return array.astype(np.float32)
    if kind in "iu":
        limit = _EXACT[dtype]
        bad = (array > limit) | (array < -limit)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise TypeError(
                f"[{owner}] {argument} expects integers up to {limit}, which {dtype} holds exactly, got {array[at]} "
                f"in row {at[0]}; convert to a floating type yourself if rounding is meant"
            )
        return array.astype(dtype)
    raise TypeError(f"[{owner}] {argument} expects real numbers of at most 64 bits, got dtype {array.dtype}")


def finite(owner: str, argument: str, rows: Array, dtype: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError for the first row of samples of that shape which is not finite in the model's type."""
    row = _native.first_nonfinite_row(rows)
    if row < 0 and dtype == "float32" and rows.dtype == _FLOATS[1]:
        # Finite here, yet infinite once it is rounded to the model's type.
        limit = float(np.finfo(np.float32).max)
        if rows.max() > limit or rows.min() < -limit:
            row = int(np.argmax((np.abs(rows) > limit).any(axis=1)))
            column = int(np.argmax(np.abs(rows[row]) > limit))
            raise ValueError(
                f"[{owner}] {argument} expects values in the range of float32, got {rows[row, column]:g} in row {row}"
            )
    if row >= 0:
        refuse_row(owner, argument, rows[row], row, shape)


def refuse_row(owner: str, argument: str, values: Array, row: int, shape: tuple[int, ...]) -> NoReturn:
    """Raises ValueError for the first value of a sample that is not finite."""
    column = int(np.argmin(np.isfinite(values)))
    place = ", ".join(map(str, np.unravel_index(column, shape)))
    allow = " (check_finite=False allows it)" if argument.startswith("x") else ""
    raise ValueError(
        f"[{owner}] {argument} expects finite values, got {values[column]} in row {row} at [{place}]{allow}"
    )


def shown(shape: tuple[int, ...]) -> str:
    """A shape as errors write it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
