"""Activation layers: one class for each row of the catalogue, under the name that Keras would give it."""

from collections.abc import Sequence
from typing import Any

from fusednet import activations
from fusednet._layer import Layer, Shape, flat
from fusednet.activations import ActivationFunction

_SPELLING = {"relu": "ReLU", "elu": "ELU", "selu": "SELU", "gelu": "GELU", "silu": "SiLU", "prelu": "PReLU"}
# Names of parameters in older Keras.
_FORMER = {("leaky_relu", "alpha"): "negative_slope"}


class Activation(Layer):
    """Applies an activation function: `Activation("elu")`, `Activation(activations.elu.with_params(alpha=0.5))`."""

    activation: ActivationFunction

    def __init__(
        self,
        activation: object,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
    ) -> None:
        function = activations.get(activation, "Activation")
        super().__init__(name=name, trainable=trainable, input_shape=input_shape)
        self._set("activation", function)

    def output_shape(self, shape: Shape) -> Shape:
        flat(self, shape)
        return shape

    def native(self, shape: Shape) -> dict[str, Any]:
        return self._described("activation", shape, activation=self.activation.native())

    def get_config(self) -> dict[str, Any]:
        function = {"name": self.activation.name, "params": dict(self.activation.params)}
        return {"activation": function, **super().get_config()}


def class_name(name: str) -> str:
    """leaky_relu -> LeakyReLU."""
    return "".join(_SPELLING.get(part, part.capitalize()) for part in name.split("_"))


def make(name: str) -> type[Activation]:
    """The layer class of a row: its parameters, by position or name, and those of every layer."""
    function = ActivationFunction(name)
    kind = class_name(name)

    def init(
        self: Activation,
        *args: float,
        input_shape: Sequence[int] | int | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        layer_name = kwargs.pop("name", None)
        if len(args) > len(function.params):
            raise TypeError(f"[{kind}] expects at most {len(function.params)} positional arguments, got {len(args)}")
        given = dict(zip(function.params, args, strict=False))
        for key, value in kwargs.items():
            key = _FORMER.get((name, key), key)
            if key in given:
                raise TypeError(f"[{kind}] got {key} twice")
            given[key] = value
        unknown = [key for key in given if key not in function.params]
        if unknown:
            known = [*function.params, "name", "input_shape", "trainable"]
            raise TypeError(f"[{kind}] arguments expected: {', '.join(known)}; got {unknown[0]!r}")
        Activation.__init__(
            self, function.with_params(**given), name=layer_name, input_shape=input_shape, trainable=trainable
        )

    def get_config(self: Activation) -> dict[str, Any]:
        config = Activation.get_config(self)
        del config["activation"]
        return {**self.activation.params, **config}

    arguments = ", ".join(f"{key}={value:g}" for key, value in function.params.items())
    doc = f"{kind}({arguments}): f(x) = {function.formula}."
    members = {"__init__": init, "get_config": get_config, "__doc__": doc, "__module__": "fusednet.layers"}
    return type(kind, (Activation,), members)


CLASSES = {class_name(name): make(name) for name in activations.names()}
