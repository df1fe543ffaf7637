"""What all layers share, and the checks of their arguments."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fusednet import _names
from fusednet.initializers import Initializer

Shape = tuple[int, ...]
_L = TypeVar("_L", bound="Layer")


@dataclass(frozen=True)
class WeightSpec:
    """One array of a layer: what `get_weights` returns at its place."""

    role: str
    shape: Shape
    trainable: bool
    initializer: Initializer


class Layer:
    """What all layers share: a name, whether they are trained, and the input's shape where it is given.

    Args:
        name: unique within a model; made from the class's name if not given (`dense`, `dense_1`, ...).
        trainable: False keeps the layer's weights as they are; a BatchNormalization then infers.
        input_shape: shape of one sample, for the first layer of a model.
    """

    name: str
    trainable: bool
    input_shape: Shape | None

    def __init__(
        self, *, name: str | None = None, trainable: bool = True, input_shape: Sequence[int] | int | None = None
    ) -> None:
        kind = type(self).__name__
        self._set("name", _names.automatic(kind) if name is None else _names.checked(kind, name))
        self._set("trainable", bool(trainable))
        self._set("input_shape", None if input_shape is None else checked_shape(kind, input_shape))

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one sample after the layer, given the shape before it."""
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        """The layer's arrays for an input of this shape, in the order of `get_weights`."""
        return []

    def native(self) -> dict[str, Any] | None:
        """As the compiled plan reads it; None if there is nothing to compute."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        shape = None if self.input_shape is None else list(self.input_shape)
        return {"name": self.name, "trainable": self.trainable, "input_shape": shape}

    @classmethod
    def from_config(cls: type[_L], config: Mapping[str, Any]) -> _L:
        """The layer that has this configuration."""
        return cls(**config)

    @property
    def label(self) -> str:
        """How error messages call the layer, for example [Dense 'fc1']."""
        return f"[{type(self).__name__} {self.name!r}]"

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{self.label} is a description and cannot be changed; once in a model, set "
            f"model.get_layer({self.name!r}).{name}, or make a new layer"
        )

    def __getattr__(self, name: str) -> Any:
        if name in ("get_weights", "set_weights", "weights", "variables", "kernel", "bias", "gamma", "beta"):
            raise AttributeError(f"{self.label} holds no arrays; use model.get_layer({self.name!r}).{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def flat(layer: Layer, shape: Shape) -> None:
    if len(shape) != 1:
        given = ", ".join(str(size) for size in shape)
        raise ValueError(f"{layer.label} expects (n, features), got (n, {given}): put Flatten() before it")


def checked_size(owner: str, argument: str, value: object) -> int:
    """A positive integer that fits the compiled code's sizes."""
    try:
        size = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"[{owner}] {argument} expects a positive integer, got {value!r}") from None
    if isinstance(value, bool) or not 0 < size < 1 << 31:
        raise ValueError(f"[{owner}] {argument} expects a positive integer below 2**31, got {value!r}")
    return size


def checked_shape(owner: str, shape: Sequence[int] | int) -> Shape:
    """The shape of one sample from a sequence or a single size."""
    if isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):
        return (checked_size(owner, "input_shape", shape),)
    if not shape:
        raise ValueError(f"[{owner}] input_shape expects at least one size, got {shape!r}")
    sizes = tuple(checked_size(owner, "input_shape", size) for size in shape)
    if math.prod(sizes) >= 1 << 31:
        raise ValueError(f"[{owner}] input_shape expects fewer than 2**31 values in a sample, got {tuple(shape)}")
    return sizes


def number(owner: str, argument: str, value: object, wanted: str, valid: Callable[[float], bool]) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}") from None
    if not valid(number):
        raise ValueError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return number
