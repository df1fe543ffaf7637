"""Layers, as plain descriptions: they hold no arrays, cannot be changed and may be used in any number of models.

`model.layers` gives them together with their weights. Beside the classes written here there is one for each
activation of the catalogue (`ReLU`, `LeakyReLU(negative_slope=0.01)`, `ELU(alpha=1.0)`, `SELU`, `Softmax`, ...).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusednet import _activation_layers, activations, initializers
from fusednet._activation_layers import Activation
from fusednet._layer import Layer, Shape, WeightSpec, checked_size, flat, number
from fusednet.activations import ActivationFunction
from fusednet.initializers import Initializer


class InputLayer(Layer):
    """The shape of one sample."""

    def __init__(self, shape: Sequence[int] | int, *, name: str | None = None) -> None:
        super().__init__(name=name, input_shape=shape)

    def get_config(self) -> dict[str, Any]:
        return {"shape": list(self.input_shape or ()), "name": self.name}


def Input(shape: Sequence[int] | int, *, name: str | None = None) -> InputLayer:
    """The shape of one sample, as the first entry of a model: `Sequential([Input((28, 28)), Flatten(), ...])`."""
    return InputLayer(shape, name=name)


class Flatten(Layer):
    """Makes one row of each sample: (n, 28, 28) becomes (n, 784)."""

    def __init__(
        self, *, name: str | None = None, trainable: bool = True, input_shape: Sequence[int] | int | None = None
    ) -> None:
        super().__init__(name=name, trainable=trainable, input_shape=input_shape)

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


class Dense(Layer):
    """Each output is a weighted sum of all inputs: y = activation(x W + b).

    Args:
        units: number of outputs.
        activation: name, `fusednet.activations` object or activation layer; None is linear.
        use_bias: whether b exists. Leave it out before a BatchNormalization, which subtracts it again.
        kernel_initializer, bias_initializer: names or `fusednet.initializers` objects.
        name, trainable, input_shape: see `Layer`.
        input_dim: short for `input_shape=(input_dim,)`.

    x is (n, k), W is (k, units), b is (units,), y is (n, units).

    Raises:
        ValueError, TypeError: for an argument outside its domain, naming the known values.

    Example:
        >>> from fusednet.layers import Dense
        >>> Dense(300, activation="elu", kernel_initializer="he_normal", name="hidden").output_shape((784,))
        (300,)
    """

    units: int
    activation: ActivationFunction
    use_bias: bool
    kernel_initializer: Initializer
    bias_initializer: Initializer

    def __init__(
        self,
        units: int,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
        input_dim: int | None = None,
    ) -> None:
        values = {
            "units": checked_size("Dense", "units", units),
            "activation": activations.get(activation, "Dense"),
            "use_bias": bool(use_bias),
            "kernel_initializer": initializers.get(kernel_initializer, "Dense", "kernel_initializer"),
            "bias_initializer": initializers.get(bias_initializer, "Dense", "bias_initializer"),
        }
        if input_dim is not None and input_shape is not None:
            raise ValueError("[Dense] expects input_shape or input_dim, got both")
        super().__init__(name=name, trainable=trainable, input_shape=input_dim if input_shape is None else input_shape)
        for key, value in values.items():
            self._set(key, value)

    def output_shape(self, shape: Shape) -> Shape:
        flat(self, shape)
        return (self.units,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        kernel = WeightSpec("kernel", (shape[0], self.units), self.trainable, self.kernel_initializer)
        bias = WeightSpec("bias", (self.units,), self.trainable, self.bias_initializer)
        return [kernel, bias] if self.use_bias else [kernel]

    def native(self) -> dict[str, Any]:
        return {
            "kind": "dense",
            "name": self.name,
            "units": self.units,
            "use_bias": self.use_bias,
            "activation": self.activation.native(),
            "trainable": self.trainable,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "activation": {"name": self.activation.name, "params": dict(self.activation.params)},
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            **super().get_config(),
        }


class BatchNormalization(Layer):
    """Normalises each feature over the batch: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    Training uses the batch's mean and biased variance and updates the moving ones,
    moving = momentum * moving + (1 - momentum) * batch; inference, and a layer that is not trainable, use the
    moving ones. Keras's conventions: the moving variance is biased too, epsilon is inside the root.

    Args:
        axis: of the features: -1, the last.
        momentum: of the moving averages, in [0, 1].
        epsilon: added to the variance, positive.
        center, scale: whether beta and gamma exist.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: first values.
        name, trainable, input_shape: see `Layer`.

    x and y are (n, c); gamma, beta and the moving averages are (c,). Training needs batches of two or more.

    Source: Ioffe & Szegedy 2015, algorithms 1 and 2.

    Example:
        >>> from fusednet.layers import BatchNormalization
        >>> [spec.role for spec in BatchNormalization(momentum=0.9).weight_specs((300,))]
        ['gamma', 'beta', 'moving_mean', 'moving_variance']
    """

    momentum: float
    epsilon: float
    center: bool
    scale: bool
    _first_values = (
        ("gamma", "ones"), ("beta", "zeros"), ("moving_mean", "zeros"), ("moving_variance", "ones"),
    )  # fmt: skip

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
    ) -> None:
        kind = "BatchNormalization"
        if axis not in (-1, 1):
            raise ValueError(f"[{kind}] axis expects -1, the features of flat inputs, got {axis!r}")
        values: dict[str, object] = {
            "momentum": number(kind, "momentum", momentum, "a number in [0, 1]", lambda v: 0.0 <= v <= 1.0),
            "epsilon": number(kind, "epsilon", epsilon, "a positive number", lambda v: 0.0 < v < math.inf),
            "center": bool(center),
            "scale": bool(scale),
        }
        given = (gamma_initializer, beta_initializer, moving_mean_initializer, moving_variance_initializer)
        for (role, _), initializer in zip(self._first_values, given, strict=True):
            values[f"{role}_initializer"] = initializers.get(initializer, kind, f"{role}_initializer")
        super().__init__(name=name, trainable=trainable, input_shape=input_shape)
        for key, value in values.items():
            self._set(key, value)

    def output_shape(self, shape: Shape) -> Shape:
        flat(self, shape)
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        absent = {"gamma": not self.scale, "beta": not self.center}
        return [
            WeightSpec(role, shape, self.trainable and not role.startswith("moving"), vars(self)[f"{role}_initializer"])
            for role, _ in self._first_values
            if not absent.get(role)
        ]

    def native(self) -> dict[str, Any]:
        keys = ("name", "momentum", "epsilon", "center", "scale", "trainable")
        return {"kind": "batch_normalization", **{key: vars(self)[key] for key in keys}}

    def get_config(self) -> dict[str, Any]:
        config = {key: vars(self)[key] for key in ("momentum", "epsilon", "center", "scale")}
        for role, _ in self._first_values:
            key = f"{role}_initializer"
            config[key] = initializers.serialize(vars(self)[key])
        return {**config, **super().get_config()}


globals().update(_activation_layers.CLASSES)
CLASSES: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (InputLayer, Flatten, Dense, BatchNormalization, Activation)
}
CLASSES.update(_activation_layers.CLASSES)
__all__ = ["Activation", "BatchNormalization", "Dense", "Flatten", "Input", "InputLayer", "Layer"]
__all__.extend(_activation_layers.CLASSES)


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
