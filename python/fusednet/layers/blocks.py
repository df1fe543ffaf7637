"""Residual blocks, and the survival probabilities of stochastic depth."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from fusednet._layer import Layer, Shape, checked_size, natives, number
from fusednet.layers.core import InputLayer

_R = TypeVar("_R", bound="Residual")
_WANTED = "a number above 0 and at most 1"


class Residual(Layer):
    """Adds what a stack of layers makes of its input to that input: y = x + branch(x).

    With a survival probability p below 1, stochastic depth: while training y = x + b branch(x), where b is 1 with
    probability p, else 0; at inference y = x + p branch(x).

    Args:
        layers: the branch, from its input to its output.
        survival_probability: p, above 0 and at most 1.
        per_sample: draw b for each sample, not for each batch.
        trainable: False makes all layers inside not trainable.
        name, input_shape: see `Layer`. learning_rate_multiplier belongs to the layers inside.

    A branch that does not survive is computed all the same: a BatchNormalization inside it still moves its statistics.
    x, branch(x) and y have one shape. The names of the layers inside are unique in the model too.

    Raises:
        TypeError, ValueError: for anything that is no layer, no layers, or a branch that changes the shape.

    Source: He et al. 2016 (deep residual learning), eq. 1; Huang et al. 2016, eq. 2 and 5.

    Example:
        >>> from fusednet.layers import Dense, Residual
        >>> block = Residual([Dense(64, "relu", name="in"), Dense(16, name="out")], survival_probability=0.8)
        >>> block.output_shape((16,)), [leaf.name for leaf, _ in block.leaves((16,))]
        ((16,), ['in', 'out'])
    """

    layers: tuple[Layer, ...]
    survival_probability: float
    per_sample: bool
    _arguments = ("survival_probability", "per_sample")

    def __init__(
        self,
        layers: Iterable[Layer],
        survival_probability: float = 1.0,
        per_sample: bool = False,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        inner = _checked(owner, layers, options.get("name"))
        if options.get("learning_rate_multiplier", 1.0) != 1.0:
            raise ValueError(
                f"[{owner}] learning_rate_multiplier expects 1, got "
                f"{options['learning_rate_multiplier']!r}: give it to the layers inside"
            )
        if not options.get("trainable", True):
            inner = tuple(layer.with_trainable(False) for layer in inner)
        if options.get("input_shape") is None:
            options["input_shape"] = inner[0].input_shape
        survival = number(owner, "survival_probability", survival_probability, _WANTED, lambda v: 0.0 < v <= 1.0)
        if options.get("learning_rate_multiplier", 1.0) != 1.0:
            raise ValueError(
                f"[{owner}] learning_rate_multiplier expects 1, since the block has no weights of its own: give it to "
                f"the layers inside, got {options['learning_rate_multiplier']!r}"
            )
        super().__init__(**options)
        self._set_all({"layers": inner, "survival_probability": survival, "per_sample": bool(per_sample)})

    def output_shape(self, shape: Shape) -> Shape:
        *_, (_, _, after) = self.shapes(shape)
        if after != shape:
            raise ValueError(
                f"{self.label} expects a branch that gives back the shape of its input, (n, {_sizes(shape)}), got "
                f"(n, {_sizes(after)}) after {self.layers[-1].label}"
            )
        return shape

    def native(self, shape: Shape) -> dict[str, Any]:
        return {
            "kind": "residual",
            "name": self.name,
            "trainable": self.trainable,
            "layers": [entry for layer, before, _ in self.shapes(shape) for entry in natives(layer, before)],
            "survival": self.survival_probability,
            "per_sample": self.per_sample,
        }

    def leaves(self, shape: Shape) -> Iterator[tuple[Layer, Shape]]:
        for layer, before, _ in self.shapes(shape):
            yield from layer.leaves(before)

    def names(self) -> Iterator[str]:
        yield self.name
        for layer in self.layers:
            yield from layer.names()

    def inside(self) -> Iterator[Layer]:
        for layer in self.layers:
            yield layer
            yield from layer.inside()

    def shapes_inside(self, shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
        for layer, before, after in self.shapes(shape):
            yield layer, before, after
            yield from layer.shapes_inside(before)

    def validate(self) -> None:
        for layer in self.layers:
            layer.validate()

    def with_trainable(self: _R, trainable: bool) -> _R:
        """The same block with all layers inside trainable or not."""
        new = super().with_trainable(trainable)
        new._set("layers", tuple(layer.with_trainable(trainable) for layer in self.layers))
        return new

    def replaced(self, old: Layer, new: Layer) -> Layer:
        if self is old:
            return new
        inner = tuple(layer.replaced(old, new) for layer in self.layers)
        if inner == self.layers:
            return self
        other = super().with_trainable(self.trainable)
        other._set("layers", inner)
        return other

    def get_config(self) -> dict[str, Any]:
        from fusednet.layers import serialize

        return {"layers": [serialize(layer) for layer in self.layers], **super().get_config()}

    @classmethod
    def from_config(cls: type[_R], config: Mapping[str, Any]) -> _R:
        from fusednet.layers import deserialize

        return cls(**{**config, "layers": [deserialize(entry, cls.__name__) for entry in config["layers"]]})

    def shapes(self, shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
        """Each layer of the branch with the shape of a sample before and after it."""
        for layer in self.layers:
            if layer.input_shape not in (None, shape):
                raise ValueError(f"{layer.label} expects input_shape {shape} at its place, got {layer.input_shape}")
            after = layer.output_shape(shape)
            yield layer, shape, after
            shape = after


def stochastic_depth(blocks: int, last: float = 0.5) -> list[float]:
    """Survival probabilities of residual blocks that fall linearly with depth: p_l = 1 - l / L (1 - p_L).

    Args:
        blocks: L, their number.
        last: p_L, of the last one, above 0 and at most 1.

    Returns:
        p_1 to p_L.

    Raises:
        ValueError, TypeError: for a number of blocks that is not positive, or p_L outside its domain.

    Source: Huang et al. 2016, eq. 4.

    Example:
        >>> from fusednet.layers import stochastic_depth
        >>> stochastic_depth(4)
        [0.875, 0.75, 0.625, 0.5]
    """
    count = checked_size("stochastic_depth", "blocks", blocks)
    final = number("stochastic_depth", "last", last, _WANTED, lambda v: 0.0 < v <= 1.0)
    return [1.0 - block / count * (1.0 - final) for block in range(1, count + 1)]


def _checked(owner: str, layers: Any, name: object) -> tuple[Layer, ...]:
    if isinstance(layers, (str, bytes)) or not isinstance(layers, Iterable):
        raise TypeError(f"[{owner}] layers expects a list of layers, got {layers!r}")
    inner = tuple(layers)
    for layer in inner:
        if not isinstance(layer, Layer) or isinstance(layer, InputLayer):
            raise TypeError(f"[{owner}] layers expects layers that are in no model, got {layer!r}")
    if not inner:
        raise ValueError(f"[{owner}] layers expects at least one layer, got none")
    seen = {name}
    for inside in (inside for layer in inner for inside in layer.names()):
        if inside in seen:
            raise ValueError(f"[{owner}] layers expects layers with different names, got {inside!r} twice")
        seen.add(inside)
    return inner


def _sizes(shape: Shape) -> str:
    return ", ".join(map(str, shape))
