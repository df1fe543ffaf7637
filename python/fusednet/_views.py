"""Layers and arrays as seen through a model."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet._engine import Tensor
from fusednet._layer import Layer, Shape

if TYPE_CHECKING:
    from fusednet.models import Sequential

Array = NDArray[Any]


class Variable:
    """One array of a model: read it with `numpy()` or `np.asarray`, set it with `assign`."""

    def __init__(self, model: "Sequential", tensor: Tensor) -> None:
        self._model = model
        self.name = tensor.name
        self.shape = tensor.shape
        self.trainable = tensor.spec.trainable
        self.dtype = model.dtype

    def numpy(self) -> Array:
        """A copy of the values."""
        return self._model.plan.get(self.name)

    def assign(self, value: ArrayLike) -> None:
        """Set the values; the shape must be the same."""
        self._model._write({self.name: value})

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.numpy().astype(dtype) if dtype is not None else self.numpy()

    def __repr__(self) -> str:
        return f"<Variable name={self.name} shape={self.shape} dtype={self.dtype} trainable={self.trainable}>"


class Weighted:
    """What has arrays: a model, and each of its layers."""

    @property
    def weights(self) -> list[Variable]:
        """All arrays, in the order of `get_weights`."""
        raise NotImplementedError

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The arrays that training changes by gradients."""
        return [variable for variable in self.weights if variable.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Moving averages, and the arrays of layers that are not trainable."""
        return [variable for variable in self.weights if not variable.trainable]

    def get_weights(self) -> list[Array]:
        """Copies of all arrays in Keras's order: kernel, bias; or gamma, beta, moving mean, moving variance."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all arrays, in the order of `get_weights`. Raises ValueError for a wrong number or shape: none is set."""
        names = [variable.name for variable in self.weights]
        if len(weights) != len(names):
            raise ValueError(f"{self._setter()} expects {len(names)} arrays, got {len(weights)}")
        self._write(dict(zip(names, weights, strict=True)))

    def count_params(self) -> int:
        """Number of values in all arrays."""
        return sum(int(np.prod(variable.shape)) for variable in self.weights)

    def _setter(self) -> str:
        """How errors call what sets the arrays."""
        raise NotImplementedError

    def _write(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Sets arrays by name, all or none."""
        raise NotImplementedError


class BoundLayer(Weighted):
    """A layer of a model: its description's attributes, and its weights, which the model holds."""

    def __init__(self, model: "Sequential", spec: Layer) -> None:
        self._model = model
        self._spec = spec

    @property
    def spec(self) -> Layer:
        """The description, which can be used in another model."""
        return self._model._engine.find(self._spec.name) or self._spec

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer. Setting it takes effect at the next call of the model.

        The optimizer's state of a layer that is unfrozen starts anew while the count of steps goes on: compile again,
        as in Keras, to start both anew.
        """
        return self.spec.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        spec = self.spec
        if any(layer.trainable != bool(value) for layer in (spec, *spec.inside())):
            self._model._engine.replace_layer(spec, spec.with_trainable(bool(value)))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return (None, *self._shapes()[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        return (None, *self._shapes()[1])

    @property
    def weights(self) -> list[Variable]:
        """All arrays of the layer, in the order of `get_weights`."""
        self._model._need_built("weights")
        names = set(self.spec.names())
        tensors = self._model._engine.tensors()
        return [Variable(self._model, tensor) for tensor in tensors if tensor.layer in names]

    def _setter(self) -> str:
        return self._spec.label

    def _write(self, arrays: Mapping[str, ArrayLike]) -> None:
        self._model._write(arrays)

    def _shapes(self) -> tuple[Shape, Shape]:
        self._model._need_built("shapes")
        for layer, before, after in self._model._engine.shapes():
            for found, a, b in ((layer, before, after), *layer.shapes_inside(before)):
                if found.name == self._spec.name:
                    return a, b
        raise LookupError(f"{self._spec.label} is in the model no more")

    def __getattr__(self, name: str) -> Any:
        object.__getattribute__(self, "_spec")  # an AttributeError where a copy has nothing yet
        spec = self.spec
        if name in ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "alpha", "mean", "variance"):
            for variable in self.weights:
                if variable.name == f"{spec.name}/{name}":
                    return variable
        return getattr(spec, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("_model", "_spec", "trainable"):
            raise AttributeError(f"{self._spec.label} only trainable can be set, got {name!r}")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundLayer) and (self._model, self.spec) == (other._model, other.spec)

    def __hash__(self) -> int:
        return hash((id(self._model), self._spec.name))

    def __repr__(self) -> str:
        return repr(self._spec)
