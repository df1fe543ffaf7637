"""Arrays and options given by the user, checked once, before anything changes."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _native
from fusednet.callbacks import Callback
from fusednet.losses import Loss

Array = NDArray[Any]
Samples = tuple[Array, Array, "NDArray[np.float64] | None"]  # x, y and the weights of the samples
_EXACT = {"float32": 1 << 24, "float64": 1 << 53}  # largest magnitude up to which all integers are exact


def inputs(
    owner: str, argument: str, x: object, shape: tuple[int, ...], dtype: str, *, check_finite: bool = True
) -> Array:
    """Samples as an (n, features) array of uint8, float32 or float64 with unit column stride, copied only if needed.

    float16, bool and small integers are converted; larger integers where every one is exact in the model's type.

    Raises:
        TypeError: for a type that would lose data (complex, object, string, longdouble, large integers).
        ValueError: for a wrong shape, no rows, or a NaN or infinity, naming its row.
    """
    array = as_array(owner, argument, x)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        expected = ", ".join(["n", *map(str, shape)])
        raise ValueError(f"[{owner}] {argument} expects shape ({expected}), got {_shape(array.shape)}")
    if array.shape[0] == 0:
        raise ValueError(f"[{owner}] {argument} expects at least one row, got shape {_shape(array.shape)}")
    array = _numbers(owner, argument, array, dtype)
    rows = array.reshape(array.shape[0], math.prod(shape))
    if (rows.shape[1] > 1 and rows.strides[1] != rows.itemsize) or not rows.flags.aligned:
        rows = np.array(rows, order="C")  # the compiled code wants the values of a row side by side
    if check_finite and rows.dtype != np.uint8:
        _finite(owner, argument, rows, dtype, shape)
    return rows


def targets(owner: str, argument: str, y: object, rows: int, loss: Loss, outputs: int, dtype: str) -> Array:
    """Targets as the loss wants them: int32 labels (n,), or (n, outputs) of the model's type.

    Raises:
        TypeError: for a type that is no number.
        ValueError: for another number of rows than x has, a wrong shape, a label outside 0 .. outputs - 1, a target
            outside the loss's domain, NaN or infinity; the row and the value are named.
    """
    array = as_array(owner, argument, y)
    if array.ndim == 0:
        raise ValueError(f"[{owner}] {argument} expects {rows} rows, got a single value")
    if array.shape[0] != rows:
        raise ValueError(f"[{owner}] {argument} expects {rows} rows as x has, got {array.shape[0]}")
    if loss.takes_labels:
        return labels(owner, argument, array, outputs)
    if array.ndim == 1 and outputs == 1:
        array = array[:, None]
    if array.shape != (rows, outputs):
        hint = ""
        if loss.name.startswith("categorical") and array.size == rows:
            hint = ": integer labels go with sparse_categorical_crossentropy, or through utils.to_categorical"
        raise ValueError(
            f"[{owner}] {argument} expects shape ({rows}, {outputs}) for {loss.name}, got {_shape(array.shape)}{hint}"
        )
    array = np.ascontiguousarray(_numbers(owner, argument, array, dtype), dtype=dtype)
    _finite(owner, argument, array, dtype, (outputs,))
    least, most = loss.domain
    bad = (array < least) | (array > most)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        domain = f"targets of at least {least:g}" if most == math.inf else f"targets in [{least:g}, {most:g}]"
        raise ValueError(
            f"[{owner}] {argument} expects {domain} for {loss.name}, got {array[row, column]:g} in row {row}"
        )
    return array


def labels(owner: str, argument: str, array: Array, classes: int) -> NDArray[np.int32]:
    """Integer labels (n,) in 0 .. classes - 1, from any real type that holds integers."""
    if array.ndim == 2 and array.shape[1] == classes > 1:
        raise ValueError(
            f"[{owner}] {argument} expects integer labels (n,) for sparse_categorical_crossentropy, got "
            f"{_shape(array.shape)}: one-hot rows go with categorical_crossentropy"
        )
    if array.size != array.shape[0]:
        raise ValueError(f"[{owner}] {argument} expects integer labels (n,), got shape {_shape(array.shape)}")
    flat = array.reshape(-1)
    if flat.dtype.kind not in "iubf":
        raise TypeError(f"[{owner}] {argument} expects integer labels, got dtype {flat.dtype}")
    with np.errstate(invalid="ignore"):
        bad = ~((flat >= 0) & (flat < classes))  # so written, NaN is bad as well
        if flat.dtype.kind == "f":
            bad |= flat != np.floor(flat)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"[{owner}] {argument} expects labels in 0..{classes - 1}, got {flat[row]} in row {row}")
    # a copy always: the compiled code reads it later, as an index, while other threads may write to the original
    return np.array(flat, dtype=np.int32, order="C")


def weight(owner: str, name: str, value: object, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of state or a gradient, as a new array of the model's type; NaN and infinity pass."""
    array = as_array(owner, name, value)
    if array.shape != shape:
        raise ValueError(f"[{owner}] {name} expects shape {_shape(shape)}, got {_shape(array.shape)}")
    with np.errstate(over="ignore"):
        values = np.array(_numbers(owner, name, array, dtype), dtype=dtype, order="C")
    if (np.isinf(values) & np.isfinite(array)).any():
        raise ValueError(f"[{owner}] {name} expects values in the range of {dtype}, got {np.abs(array).max():g}")
    return values


def as_array(owner: str, argument: str, value: object) -> Array:
    """Anything array-like as an array; ragged nesting and masked entries are errors."""
    if value is None:
        raise TypeError(f"[{owner}] {argument} expects an array, got None")
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        raise TypeError(f"[{owner}] {argument} expects an array without masked entries")
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"[{owner}] {argument} expects an array, got {type(value).__name__}: {error}") from None


def _numbers(owner: str, argument: str, array: Array, dtype: str) -> Array:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.dtype in (np.uint8, np.float32, np.float64):
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


def _finite(owner: str, argument: str, rows: Array, dtype: str, shape: tuple[int, ...]) -> None:
    row = _native.first_nonfinite_row(rows)
    if row < 0 and rows.dtype == np.float64 and dtype == "float32":
        # Finite here, yet infinite once it is rounded to the model's type.
        limit = float(np.finfo(np.float32).max)
        if rows.max() > limit or rows.min() < -limit:
            row = int(np.argmax((np.abs(rows) > limit).any(axis=1)))
            column = int(np.argmax(np.abs(rows[row]) > limit))
            raise ValueError(
                f"[{owner}] {argument} expects values in the range of float32, got {rows[row, column]:g} in row {row}"
            )
    if row >= 0:
        column = int(np.argmin(np.isfinite(rows[row])))
        place = ", ".join(map(str, np.unravel_index(column, shape)))
        allow = " (check_finite=False allows it)" if argument.startswith("x") else ""
        raise ValueError(
            f"[{owner}] {argument} expects finite values, got {rows[row, column]} in row {row} at [{place}]{allow}"
        )


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def integer(owner: str, argument: str, value: object, least: int) -> int:
    """An integer option of at least `least`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"[{owner}] {argument} expects an integer of at least {least}, got {value!r}") from None
    if isinstance(value, bool) or number < least:
        raise ValueError(f"[{owner}] {argument} expects an integer of at least {least}, got {value!r}")
    return number


def batch_size(owner: str, value: object, rows: int) -> int:
    """The batch size: 32, or fewer where there are fewer rows, if none is given."""
    if value is None:
        return min(32, rows)
    size = integer(owner, "batch_size", value, 1)
    if size > rows:
        raise ValueError(f"[{owner}] batch_size expects at most the {rows} rows of x, got {size}")
    return size


def fraction(owner: str, argument: str, value: object) -> float:
    """A share in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)):
        raise TypeError(f"[{owner}] {argument} expects a number in [0, 1), got {value!r}")
    if not 0.0 <= value < 1.0:
        raise ValueError(f"[{owner}] {argument} expects a number in [0, 1), got {value!r}")
    return float(value)


def split(owner: str, data: Samples, share: float) -> tuple[Samples, Samples]:
    """The data without and with only the last share of its rows."""
    x, y, weights = data
    rows = int(x.shape[0] * (1.0 - share))
    if not 0 < rows < x.shape[0]:
        raise ValueError(
            f"[{owner}] validation_split expects a share that leaves rows on both sides of {x.shape[0]}, got {share}"
        )
    if weights is None:
        return (x[:rows], y[:rows], None), (x[rows:], y[rows:], None)
    return (x[:rows], y[:rows], weights[:rows]), (x[rows:], y[rows:], weights[rows:])


def verbosity(owner: str, value: object) -> int:
    """0 silent, 1 progress bar, 2 a line an epoch; "auto" is 1 at a terminal or in a notebook, else 2."""
    if isinstance(value, str) and value == "auto":
        import sys

        notebook = "ipykernel" in sys.modules
        return 1 if notebook or (sys.stderr is not None and sys.stderr.isatty()) else 2
    if isinstance(value, int) and value in (0, 1, 2):
        return int(value)
    raise ValueError(f"[{owner}] verbose expects 'auto', 0, 1 or 2, got {value!r}")


def held_out(owner: str, argument: str, value: object) -> tuple[Any, Any, Any]:
    """x, y and the samples' weights or None, from (x, y) or (x, y, sample_weight)."""
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise TypeError(f"[{owner}] {argument} expects (x, y) or (x, y, sample_weight), got {type(value).__name__}")
    return value[0], value[1], value[2] if len(value) == 3 else None


def callbacks(owner: str, value: object) -> list[Callback]:
    """The callbacks given to `fit`."""
    given: list[Any] = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(f"[{owner}] callbacks expects fusednet.callbacks.Callback objects, got {callback!r}")
    return given
