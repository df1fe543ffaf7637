"""What layers share whose arrays are statistics of the training data, and how these are computed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _samples
from fusednet._layer import Layer, Shape
from fusednet.initializers import Initializer

Array = NDArray[np.float64]
_A = TypeVar("_A", bound="Adapted")
_CHUNK = 1 << 20  # values that are converted to float64 at a time


class _Statistics:
    """What `adapt` found, shared by all copies of a description."""

    def __init__(self, *, restored: bool = False) -> None:
        self.shape: Shape = ()
        self.arrays: dict[str, Array] = {}
        self.restored = restored  # described by a file or a configuration; a model holds the arrays
        self.taken = False  # a model has its arrays from here


class Adapted(Layer):
    """A layer that `adapt` gives its arrays."""

    _statistics: _Statistics

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._set("_statistics", _Statistics())

    @property
    def adapted(self) -> bool:
        """Whether the layer has its statistics."""
        return bool(self._statistics.arrays) or self._statistics.restored

    def adapt(self, data: ArrayLike) -> None:
        """Take the statistics of these samples, of the training part of the data and no other.

        Args:
            data: (n, ...), two rows or more, of any real type; what is computed is float64.

        A second call replaces the first one's statistics, until a model has taken them for its first weights.

        Raises:
            ValueError, TypeError: for another shape than input_shape, fewer than two rows, NaN, infinity, or anything
                but real numbers; the statistics stay as they were.
            RuntimeError: a model has taken the statistics.
        """
        if self._statistics.taken or self._statistics.restored:
            raise RuntimeError(
                f"{self.label} adapt expects a layer whose statistics no model has taken: set those of a model with "
                f"model.get_layer({self.name!r}).set_weights, or make a new layer"
            )
        owner = self.label[1:-1]
        array = _samples.as_array(owner, "data", data)
        if array.ndim < 2:
            raise ValueError(f"{self.label} data expects shape (n, ...), got {array.shape}")
        shape = array.shape[1:] if self.input_shape is None else self.input_shape
        rows = _samples.inputs(owner, "data", array, shape, "float64")
        if rows.shape[0] < 2:
            raise ValueError(f"{self.label} data expects at least two rows to take statistics from, got one")
        self._fits(shape)
        with np.errstate(over="ignore", invalid="ignore"):
            arrays = self._measure(rows, shape)
        for role, values in arrays.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{self.label} data expects values whose {role} float64 holds, got an infinite one")
        self._statistics.arrays, self._statistics.shape = arrays, shape

    def validate(self) -> None:
        if not self.adapted:
            raise ValueError(f"{self.label} expects adapt(data) with the training data before it is used")

    def restore(self, shape: Shape, arrays: Mapping[str, NDArray[Any]]) -> None:
        found = self._statistics
        if found.restored:
            found.arrays = {role: values.astype(np.float64) for role, values in arrays.items()}
            found.shape, found.restored, found.taken = shape, False, True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "adapted": self.adapted}

    @classmethod
    def from_config(cls: type[_A], config: Mapping[str, Any]) -> _A:
        """The layer of this configuration; if it says adapted, the model it came from holds the statistics."""
        layer = cls(**{key: value for key, value in config.items() if key != "adapted"})
        if config.get("adapted"):
            layer._set("_statistics", _Statistics(restored=True))
        return layer

    def _fits(self, shape: Shape) -> None:
        """Raises ValueError if the layer cannot have an input of this shape, whatever it was adapted to."""

    def _check_adapted(self, shape: Shape) -> None:
        found = self._statistics
        if found.arrays and found.shape != shape:
            raise ValueError(f"{self.label} expects samples of shape {found.shape} as adapted, got {shape}")

    def _measure(self, rows: NDArray[Any], shape: Shape) -> dict[str, Array]:
        """The arrays by role."""
        raise NotImplementedError

    def _first(self, role: str, shape: Shape) -> Array:
        """An array for a model that is about to be built, for samples of this shape."""
        self.validate()
        if not self._statistics.arrays:
            raise ValueError(
                f"{self.label} expects the model that its configuration comes from, which holds its statistics; "
                "load that model, or adapt a new layer"
            )
        self._statistics.taken = True
        return self._statistics.arrays[role]


class Given(Initializer):
    """First values that are the statistics of an adapted layer."""

    def __init__(self, layer: "Adapted", role: str, sample: Shape) -> None:
        vars(self).update(layer=layer, role=role, sample=sample)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> Array:
        layer: Adapted = vars(self)["layer"]
        return layer._first(vars(self)["role"], vars(self)["sample"]).reshape(shape)


def chunks(rows: NDArray[Any]) -> Iterator[Array]:
    """The rows in float64, some at a time."""
    step = max(1, _CHUNK // rows.shape[1])
    for begin in range(0, rows.shape[0], step):
        yield rows[begin : begin + step].astype(np.float64)


def mean_row(rows: NDArray[Any]) -> Array:
    total: Array = sum(chunk.sum(axis=0) for chunk in chunks(rows)) / rows.shape[0]
    # a second pass takes off what rounding has left in the first
    rest: Array = sum((chunk - total).sum(axis=0) for chunk in chunks(rows)) / rows.shape[0]
    return total + rest
