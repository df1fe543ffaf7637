"""Layers that hold no weights and compute nothing: they say what shape a sample has."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from fusednet._layer import Layer, Shape, checked_size


class InputLayer(Layer):
    """The shape of one sample.

    Args:
        shape: of one sample, without the batch.
        name: see `Layer`.

    Raises:
        ValueError, TypeError: for sizes that are not positive integers.

    Example:
        >>> from fusednet.layers import InputLayer
        >>> InputLayer((28, 28)).input_shape
        (28, 28)
    """

    def __init__(self, shape: Sequence[int] | int, *, name: str | None = None) -> None:
        super().__init__(name=name, input_shape=shape)

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.input_shape or ()), "name": self.name}


def Input(shape: Sequence[int] | int, *, name: str | None = None) -> InputLayer:
    """The shape of one sample, as the first entry of a model: `Sequential([Input((28, 28)), Flatten(), ...])`.

    Args:
        shape, name: see `InputLayer`.

    Raises:
        ValueError, TypeError: for sizes that are not positive integers.

    Example:
        >>> from fusednet import Sequential, layers
        >>> model = Sequential([layers.Input((28, 28)), layers.Flatten()])
        >>> model.output_shape
        (None, 784)
    """
    return InputLayer(shape, name=name)


class Flatten(Layer):
    """Makes one row of each sample: (n, 28, 28) becomes (n, 784).

    Args:
        name, input_shape: see `Layer`.

    Raises:
        TypeError: for an argument that does not exist.

    Example:
        >>> from fusednet.layers import Flatten
        >>> Flatten().output_shape((28, 28))
        (784,)
    """

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


class Reshape(Layer):
    """Gives each sample another shape of as many values; their order in memory stays.

    Args:
        target_shape: of one sample; one size may be -1 and is then whatever is left.
        name, input_shape: see `Layer`.

    Raises:
        ValueError, TypeError: for sizes that are not positive, more than one -1, or a sample of another size.

    Example:
        >>> from fusednet.layers import Reshape
        >>> Reshape((28, -1)).output_shape((784,))
        (28, 28)
    """

    target_shape: Shape
    _arguments = ("target_shape",)

    def __init__(self, target_shape: Sequence[int] | int, **options: Any) -> None:
        owner = self._owner(options)
        target = _target(owner, target_shape)
        super().__init__(**options)
        self._set("target_shape", target)

    def output_shape(self, shape: Shape) -> Shape:
        values = math.prod(shape)
        known = math.prod(size for size in self.target_shape if size != -1)
        target = tuple(values // known if size == -1 else size for size in self.target_shape)
        if math.prod(target) != values or values == 0:
            raise ValueError(
                f"{self.label} expects samples that fit {self.target_shape}, got {shape}, which has {values} values"
            )
        return target


def _target(owner: str, shape: object) -> Shape:
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)):
        shape = (shape,)
    target = tuple(-1 if _is_rest(size) else checked_size(owner, "target_shape", size) for size in shape)
    if not target or target.count(-1) > 1:
        raise ValueError(f"[{owner}] target_shape expects at least one size and at most one -1, got {tuple(shape)}")
    return target


def _is_rest(size: Any) -> bool:
    try:
        return operator.index(size) == -1
    except TypeError:
        return False
