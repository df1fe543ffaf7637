"""Arrays and options given by the user, checked once, before anything changes."""

import math
import operator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fusednet import _device, _native
from fusednet._device import DeviceArray
from fusednet._samples import Array, finite, numbers, rows_there, shown
from fusednet._samples import as_array as as_array
from fusednet._samples import inputs as inputs
from fusednet.callbacks import Callback
from fusednet.losses import Loss

Samples = tuple[Array, Array, "NDArray[np.float64] | None"]  # x, y and the weights of the samples


def targets(
    owner: str,
    argument: str,
    y: object,
    rows: int,
    loss: Loss,
    outputs: int,
    dtype: str,
    *,
    device: str = "cpu",
    x_there: bool = False,
) -> Array:
    """Targets as the loss wants them: int32 labels (n,) of the host, or (n, outputs) where x lies.

    Those of the host get the model's type. Those that lie on `device` as x does stay as they are; where the loss has
    a domain, they are copied to the host to be looked at.

    Raises:
        TypeError: for a type that is no number.
        ValueError: for another number of rows than x has, a wrong shape, a label outside 0 .. outputs - 1, a target
            outside the loss's domain, NaN or infinity; the row and the value are named.
    """
    there = _device.taken(owner, argument, y, device)
    stays = there is not None and x_there and not loss.takes_labels
    array = cast(Array, there) if stays else as_array(owner, argument, y if there is None else there.numpy())
    if array.ndim == 0:
        raise ValueError(f"[{owner}] {argument} expects {rows} rows, got a single value")
    if array.shape[0] != rows:
        raise ValueError(f"[{owner}] {argument} expects {rows} rows as x has, got {array.shape[0]}")
    if loss.takes_labels:
        return labels(owner, argument, array, outputs)
    if array.ndim == 1 and outputs == 1:
        array = array.reshape(rows, 1)
    if array.shape != (rows, outputs):
        hint = ""
        if loss.name.startswith("categorical") and array.size == rows:
            hint = ": integer labels go with sparse_categorical_crossentropy, or through utils.to_categorical"
        raise ValueError(
            f"[{owner}] {argument} expects shape ({rows}, {outputs}) for {loss.name}, got {shown(array.shape)}{hint}"
        )
    if stays:
        values = rows_there(owner, argument, cast(DeviceArray, array), (outputs,), dtype, check_finite=True)
        if loss.domain != (-math.inf, math.inf):
            for first, copy in _device.pieces(cast(DeviceArray, values)):
                _within(owner, argument, copy, loss, first)
        return values
    array = np.ascontiguousarray(numbers(owner, argument, array, dtype), dtype=dtype)
    finite(owner, argument, array, dtype, (outputs,))
    _within(owner, argument, array, loss)
    return cast(Array, _native.device_array(array, device)) if x_there else array


def _within(owner: str, argument: str, array: Array, loss: Loss, first: int = 0) -> None:
    """Raises for a target outside of the loss's domain; `first` is the number of the first row."""
    least, most = loss.domain
    if least == -math.inf and most == math.inf:
        return
    bad = (array < least) | (array > most)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        domain = f"targets of at least {least:g}" if most == math.inf else f"targets in [{least:g}, {most:g}]"
        raise ValueError(
            f"[{owner}] {argument} expects {domain} for {loss.name}, got {array[row, column]:g} in row {first + row}"
        )


def labels(owner: str, argument: str, array: Array, classes: int) -> NDArray[np.int32]:
    """Integer labels (n,) in 0 .. classes - 1, from any real type that holds integers."""
    if array.ndim == 2 and array.shape[1] == classes > 1:
        raise ValueError(
            f"[{owner}] {argument} expects integer labels (n,) for sparse_categorical_crossentropy, got "
            f"{shown(array.shape)}: one-hot rows go with categorical_crossentropy"
        )
    if array.size != array.shape[0]:
        raise ValueError(f"[{owner}] {argument} expects integer labels (n,), got shape {shown(array.shape)}")
    flat = array.reshape(-1)
    if flat.dtype.kind not in "iubf":
        raise TypeError(f"[{owner}] {argument} expects integer labels, got dtype {flat.dtype}")
    if not _are_below(flat, classes):
        with np.errstate(invalid="ignore"):
            bad = ~((flat >= 0) & (flat < classes))  # so written, NaN is bad as well
            if flat.dtype.kind == "f":
                bad |= flat != np.floor(flat)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"[{owner}] {argument} expects labels in 0..{classes - 1}, got {flat[row]} in row {row}")
    # a copy always: the compiled code reads it later, as an index, while other threads may write to the original
    return np.array(flat, dtype=np.int32, order="C")


def _are_below(flat: Array, classes: int) -> bool:
    """Whether these are integers in 0 .. classes - 1, by one look at each: -1 is large unsigned. False: look again."""
    if flat.dtype.kind not in "iu" or not flat.dtype.isnative:
        return False
    positive = 1 << (8 * flat.dtype.itemsize - (flat.dtype.kind == "i"))
    return int(np.maximum.reduce(flat.view(f"u{flat.dtype.itemsize}"), initial=0)) < min(classes, positive)


def weight(owner: str, name: str, value: object, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of state or a gradient, as a new array of the model's type; NaN and infinity pass."""
    array = as_array(owner, name, value)
    if array.shape != shape:
        raise ValueError(f"[{owner}] {name} expects shape {shown(shape)}, got {shown(array.shape)}")
    if array.dtype == dtype:
        return np.array(array, order="C")
    with np.errstate(over="ignore"):
        values = np.array(numbers(owner, name, array, dtype), dtype=dtype, order="C")
    if (np.isinf(values) & np.isfinite(array)).any():
        raise ValueError(f"[{owner}] {name} expects values in the range of {dtype}, got {np.abs(array).max():g}")
    return values


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
