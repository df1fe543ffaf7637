"""Activation layers: one class for each row of the catalogue, under the name that Keras would give it."""

from collections.abc import Mapping, Sequence
from typing import Any

from fusednet import _names, activations, constraints, initializers, regularizers
from fusednet._layer import Layer, Shape, WeightSpec, flat, parsed
from fusednet.activations import ActivationFunction
from fusednet.constraints import Constraint
from fusednet.initializers import Initializer
from fusednet.regularizers import Regularizer

_SPELLING = {
    "relu": "ReLU", "relu6": "ReLU6", "elu": "ELU", "selu": "SELU", "gelu": "GELU", "silu": "SiLU", "prelu": "PReLU",
    "rrelu": "RReLU",
}  # fmt: skip
# Names of parameters in older Keras.
_FORMER = {("leaky_relu", "alpha"): "negative_slope"}
_COMMON = ("name", "trainable", "input_shape", "learning_rate_multiplier")
# What a layer with a learned slope takes, in Keras's order.
_OWN = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes", "shared")


class Activation(Layer):
    """Applies an activation function: `Activation("elu")`, `Activation(activations.elu.with_params(alpha=0.5))`.

    One over single elements takes samples of any shape; one over rows, or with a learned slope, takes (n, c). A
    learned slope is the array `alpha` (c,), zeros at first.

    Args:
        activation: name, `fusednet.activations` object or activation layer.
        name, trainable, input_shape, learning_rate_multiplier: see `Layer`.

    Raises:
        ValueError, TypeError: for an unknown name, listing the known ones, or anything else.

    Example:
        >>> from fusednet.layers import Activation
        >>> Activation("elu").activation
        elu(alpha=1)
    """

    activation: ActivationFunction
    alpha_initializer: Initializer
    shared: bool
    alpha_regularizer: Regularizer | None
    alpha_constraint: Constraint | None

    def __init__(
        self,
        activation: object,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
        learning_rate_multiplier: float = 1.0,
    ) -> None:
        function = activations.get(activation, "Activation")
        super().__init__(
            name=name,
            trainable=trainable,
            input_shape=input_shape,
            learning_rate_multiplier=learning_rate_multiplier,
        )
        self._set("activation", function)
        if function.slope == "learned":
            self._set("alpha_initializer", initializers.get("zeros"))
            self._set_all({"shared": False, "alpha_regularizer": None, "alpha_constraint": None})

    def output_shape(self, shape: Shape) -> Shape:
        if self.activation.over_rows or self.activation.slope == "learned":
            flat(self, shape)
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        if self.activation.slope != "learned":
            return []
        return [WeightSpec("alpha", (1,) if self.shared else shape, self.trainable, self.alpha_initializer)]

    def native(self, shape: Shape) -> dict[str, Any]:
        shared = self.activation.slope == "learned" and self.shared
        return self._described("activation", shape, activation=self.activation.native(shared))

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
    own = _OWN if function.slope == "learned" else ()
    flags = {flag: row for (of, flag), row in activations.VARIANTS.items() if of == name}
    takes = [*own, *function.params, *flags]

    def init(
        self: Activation,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        common = {key: kwargs.pop(key) for key in _COMMON if key in kwargs}
        if len(args) > len(takes):
            raise TypeError(f"[{kind}] expects at most {len(takes)} positional arguments, got {len(args)}")
        given = dict(zip(takes, args, strict=False))
        for key, value in kwargs.items():
            key = _FORMER.get((name, key), key)
            if key in given:
                raise TypeError(f"[{kind}] got {key} twice")
            given[key] = value
        unknown = [key for key in given if key not in takes]
        if unknown:
            known = [*takes, *_COMMON]
            raise TypeError(f"[{kind}] arguments expected: {', '.join(known)}; got {unknown[0]!r}")
        learned = {key: given.pop(key) for key in own if key in given}
        values = _slope_options(kind, **learned) if own else {}
        Activation.__init__(self, function.with_params(**given), **common)
        for key, value in values.items():
            self._set(key, value)

    def get_config(self: Activation) -> dict[str, Any]:
        config = Activation.get_config(self)
        del config["activation"]
        config.update({flag: self.activation.name == row for flag, row in flags.items()})
        if own:
            config.update(alpha_initializer=initializers.serialize(self.alpha_initializer), shared=self.shared)
            if self.alpha_regularizer is not None:
                config["alpha_regularizer"] = regularizers.serialize(self.alpha_regularizer)
            if self.alpha_constraint is not None:
                config["alpha_constraint"] = constraints.serialize(self.alpha_constraint)
        return {**self.activation.params, **config}

    doc = _doc(kind, function, flags)
    members = {"__init__": init, "get_config": get_config, "__doc__": doc, "__module__": "fusednet.layers"}
    return type(kind, (Activation,), members)


def _slope_options(
    kind: str,
    alpha_initializer: object = "zeros",
    alpha_regularizer: object = None,
    alpha_constraint: object = None,
    shared_axes: object = None,
    shared: bool = False,
) -> dict[str, object]:
    """The checked arguments of a learned slope; Keras's shared_axes=[1] means one slope for all features."""
    if shared_axes not in (None, 1, -1, [], (), [1], (1,), [-1], (-1,)):
        raise ValueError(f"[{kind}] shared_axes expects None or [1], the features of flat inputs, got {shared_axes!r}")
    given = parsed(
        kind,
        alpha_initializer=alpha_initializer,
        alpha_regularizer=alpha_regularizer,
        alpha_constraint=alpha_constraint,
    )
    return {**given, "shared": bool(shared or shared_axes)}


def _doc(kind: str, function: ActivationFunction, flags: Mapping[str, str]) -> str:
    learned = function.slope == "learned"
    arguments = [f"{key}={value:g}" for key, value in function.params.items()] + [f"{flag}=False" for flag in flags]
    about = f"{kind}({', '.join(arguments)}): f(x) = {function.formula}.\n\n"
    if function.slope == "random":
        about += "Training draws a slope for each element; inference takes (lower + upper) / 2.\n\n"
    about += "Args:\n" + "".join(f"    {key}: a finite number.\n" for key in function.params)
    about += "".join(f"    {flag}: True makes it {row}.\n" for flag, row in flags.items()) + _SLOPE_ARGUMENTS * learned
    about += "    name, trainable, input_shape, learning_rate_multiplier: see `Layer`.\n\n"
    about += _SLOPE_SHAPES if learned else f"x and y are {'(n, c)' if function.over_rows else '(n, ...)'}.\n\n"
    about += "Raises:\n    ValueError, TypeError: for an argument outside its domain.\n\n"
    about += _names.sourced({"source": function.source}) + f"Example:\n    >>> from fusednet.layers import {kind}\n"
    return about + (_SLOPE_EXAMPLE.format(kind) if learned else f"    >>> {kind}().activation\n    {function}\n")


_SLOPE_ARGUMENTS = """\
    alpha_initializer: first slopes, an initializer or its name; Keras's "zeros" begins as ReLU, He et al. begin with
        Constant(0.25).
    alpha_regularizer, alpha_constraint: penalty on the slopes, and what they are projected on after an update.
    shared_axes: [1] is Keras's word for shared=True.
    shared: one slope for all features.
"""
_SLOPE_SHAPES = """\
x and y are (n, c); the array `alpha` is (c,), or (1,) if shared. Its gradient is the sum of dy * min(x, 0).

"""
_SLOPE_EXAMPLE = """\
    >>> [(spec.role, spec.shape) for spec in {}(shared=True).weight_specs((8,))]
    [('alpha', (1,))]
"""
CLASSES = {class_name(name): make(name) for name in activations.names()}
