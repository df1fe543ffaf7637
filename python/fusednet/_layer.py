"""What all layers share, and the checks of their arguments."""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from numpy.typing import NDArray

from fusednet import _names, constraints, initializers, regularizers
from fusednet.activations import ActivationFunction
from fusednet.initializers import Initializer

Shape = tuple[int, ...]
Native = dict[str, Any] | list[dict[str, Any]] | None
_ARRAYS = (
    *("get_weights", "set_weights", "weights", "variables", "kernel", "bias", "alpha"),
    *("gamma", "beta", "moving_mean", "moving_variance", "mean", "variance"),
)
_L = TypeVar("_L", bound="Layer")


@dataclass(frozen=True)
class WeightSpec:
    """One array of a layer: what `get_weights` returns at its place."""

    role: str
    shape: Shape
    trainable: bool
    initializer: Initializer


class Layer:
    """What all layers share: a name, whether and how fast they are trained, and the input's shape where it is given.

    Args:
        name: unique within a model; made from the class's name if not given (`dense`, `dense_1`, ...).
        trainable: False keeps the layer's weights as they are; a BatchNormalization then infers.
        input_shape: shape of one sample, for the first layer of a model.
        learning_rate_multiplier: of the optimizer's learning rate for this layer's weights, at least 0.

    Raises:
        TypeError, ValueError: for an argument that is unknown or outside its domain.
    """

    name: str
    trainable: bool
    input_shape: Shape | None
    learning_rate_multiplier: float
    _arguments: ClassVar[tuple[str, ...]] = ()  # those that get_config returns beside the common ones

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
        learning_rate_multiplier: float = 1.0,
        **unknown: object,
    ) -> None:
        kind = type(self).__name__
        owner = self._owner({"name": name})
        for key in unknown:
            common = ("name", "trainable", "input_shape", "learning_rate_multiplier")
            raise TypeError(f"[{owner}] arguments expected: {', '.join((*self._arguments, *common))}; got {key!r}")
        self._set("trainable", bool(trainable))
        self._set("input_shape", None if input_shape is None else checked_shape(owner, input_shape))
        multiplier = at_least_zero(owner, "learning_rate_multiplier", learning_rate_multiplier)
        self._set("learning_rate_multiplier", multiplier)
        self._set("name", _names.automatic(kind) if name is None else _names.checked(kind, name))

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one sample after the layer, given the shape before it."""
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        """The layer's arrays for an input of this shape, in the order of `get_weights`."""
        return []

    def native(self, shape: Shape) -> Native:
        """As the compiled plan reads it, for an input of this shape; None if there is nothing to compute."""
        return None

    def leaves(self, shape: Shape) -> Iterator[tuple["Layer", Shape]]:
        """The layers that have arrays of their own, each with the shape before it: here the layer itself."""
        yield self, shape

    def names(self) -> Iterator[str]:
        """The layer's name, and those of the layers inside it."""
        yield self.name

    def inside(self) -> Iterator["Layer"]:
        """The layers inside it, at any depth."""
        return iter(())

    def shapes_inside(self, shape: Shape) -> Iterator[tuple["Layer", Shape, Shape]]:
        """The same, each with the shape of a sample before and after it."""
        return iter(())

    def validate(self) -> None:
        """Raises ValueError if the layer cannot be used yet."""

    def restore(self, shape: Shape, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Told of the layer's arrays by role, for an input of this shape, when a model file has been read."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        config = {key: _plain(key, vars(self)[key]) for key in self._arguments}
        shape = None if self.input_shape is None else list(self.input_shape)
        config.update(name=self.name, trainable=self.trainable, input_shape=shape)
        if self.learning_rate_multiplier != 1.0:
            config["learning_rate_multiplier"] = self.learning_rate_multiplier
        return config

    @classmethod
    def from_config(cls: type[_L], config: Mapping[str, Any]) -> _L:
        """The layer that has this configuration."""
        return cls(**config)

    def replaced(self, old: "Layer", new: "Layer") -> "Layer":
        """This layer, or what it becomes if `old`, itself or inside of it, becomes `new`."""
        return new if self is old else self

    def with_trainable(self: _L, trainable: bool) -> _L:
        """The same layer, trainable or not."""
        new = object.__new__(type(self))
        vars(new).update(vars(self), trainable=trainable)
        return new

    @property
    def label(self) -> str:
        """How error messages call the layer, for example [Dense 'fc1']."""
        return f"[{type(self).__name__} {self.name!r}]"

    def _owner(self, options: Mapping[str, object]) -> str:
        """The same without brackets while the layer is being made, when it may not have its name yet."""
        kind, name = type(self).__name__, options.get("name")
        return f"{kind} {name!r}" if isinstance(name, str) else kind

    def _described(self, kind: str, shape: Shape, **fields: object) -> dict[str, Any]:
        """What `native` returns for a layer of this kind: its fields, and what is set of the common ones."""
        described: dict[str, Any] = {"kind": kind, "name": self.name, "trainable": self.trainable, **fields}
        if self.learning_rate_multiplier != 1.0:
            described["learning_rate"] = self.learning_rate_multiplier
        for key, suffix in (("penalties", "regularizer"), ("constraints", "constraint")):
            found = {spec.role: vars(self).get(f"{spec.role}_{suffix}") for spec in self.weight_specs(shape)}
            given = {role: value.native() for role, value in found.items() if value is not None}
            if given:
                described[key] = given
        activity = vars(self).get("activity_regularizer")
        if activity is not None:
            described["activity_penalty"] = activity.native()
        return described

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _set_all(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            self._set(name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{self.label} is a description and cannot be changed; once in a model, set "
            f"model.get_layer({self.name!r}).{name}, or make a new layer"
        )

    def __getattr__(self, name: str) -> Any:
        if name in _ARRAYS:
            raise AttributeError(f"{self.label} holds no arrays; use model.get_layer({self.name!r}).{name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def natives(layer: Layer, shape: Shape) -> list[dict[str, Any]]:
    """What the plan reads for a layer with an input of this shape: nothing, one entry or several."""
    native = layer.native(shape)
    return [] if native is None else [native] if isinstance(native, dict) else native


_KINDS: dict[str, Any] = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}


def parsed(owner: str, **given: object) -> dict[str, object]:
    """Initializers, regularizers and constraints from arguments whose names end so."""
    return {key: _KINDS[key.rpartition("_")[2]].get(value, owner, key) for key, value in given.items()}


def _plain(key: str, value: Any) -> Any:
    """An argument as JSON holds it."""
    kind = _KINDS.get(key.rpartition("_")[2])
    if value is not None and kind is not None:
        return kind.serialize(value)
    if isinstance(value, ActivationFunction):
        return {"name": value.name, "params": dict(value.params)}
    return list(value) if isinstance(value, tuple) else value


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


def checked_pair(owner: str, argument: str, value: object) -> tuple[int, int]:
    """One positive integer for both of two axes, or one for each."""
    pair = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"[{owner}] {argument} expects one integer or two, got {value!r}")
    return checked_size(owner, argument, pair[0]), checked_size(owner, argument, pair[1])


def number(owner: str, argument: str, value: object, wanted: str, valid: Callable[[float], bool]) -> float:
    """A number of which `valid` is true; `wanted` says in words which those are."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}") from None
    if not valid(number):
        raise ValueError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return number


def share(owner: str, argument: str, value: object) -> float:
    """A share that may be dropped."""
    return number(owner, argument, value, "a number in [0, 1)", lambda v: 0.0 <= v < 1.0)


def at_least_zero(owner: str, argument: str, value: object) -> float:
    return number(owner, argument, value, "a finite number of at least 0", lambda v: 0.0 <= v < math.inf)


def positive(owner: str, argument: str, value: object) -> float:
    return number(owner, argument, value, "a positive number", lambda v: 0.0 < v < math.inf)
