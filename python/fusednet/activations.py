"""Activation functions, one object for each row of the compiled catalogue.

`fusednet.activations.elu` names a function for a layer (`Dense(300, activation=activations.elu)`), carries its
parameters (`activations.elu.with_params(alpha=0.5)`) and computes on arrays (`activations.elu(x)`).

    >>> import numpy as np
    >>> from fusednet import activations
    >>> activations.relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    >>> activations.leaky_relu.with_params(negative_slope=0.2)
    leaky_relu(negative_slope=0.2)

A learned slope (`prelu`) and a random one (`rrelu`) are no parameters: the layer that has the activation keeps or draws
them, and on arrays they are given as `slope`. Keras's second names exist too: `swish` is silu, `hard_swish` hard_silu,
`logistic` sigmoid, and `gelu(x, approximate=True)` is gelu_tanh.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native

_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.activation_rows()}
VARIANTS = {("gelu", "approximate"): "gelu_tanh"}  # a flag in Keras, a row here


class ActivationFunction:
    """A row of the catalogue together with its parameters; it cannot be changed.

    Attributes:
        name: the row's name, for example "elu".
        params: its parameters by name, for example {"alpha": 1.0}.
        formula: the row's formula in words.
        source: where it comes from; empty for what everybody knows.
        slope: where the slope of the negative side comes from: "none" (or a parameter), "learned" or "random".
        over_rows: whether it looks at whole rows, as softmax does, or at single elements.
    """

    __slots__ = ("formula", "name", "over_rows", "params", "slope", "source")
    name: str
    params: Mapping[str, float]
    formula: str
    source: str
    slope: str
    over_rows: bool

    def __init__(self, name: str, **params: float) -> None:
        name = _names.ACTIVATION_ALIASES.get(name, name)
        if name not in _ROWS:
            raise _names.unknown("activations", "activation", name, _ROWS)
        for key in [key for key in params if (name, key) in VARIANTS]:
            name = VARIANTS[name, key] if params.pop(key) else name
        row = _ROWS[name]
        values = dict(row["params"])
        for key, value in params.items():
            if key not in values:
                known = ", ".join(values) or "none"
                raise ValueError(f"[{name}] parameters expected: {known}; got {key!r}")
            values[key] = _parameter(name, key, value)
        if values.get("lower", 0.0) > values.get("upper", math.inf):
            upper, lower = values["upper"], values["lower"]
            raise ValueError(f"[{name}] lower expects a number of at most upper={upper:g}, got {lower:g}")
        fields = {"name": name, "params": values, "formula": row["formula"], "source": row["source"]}
        for key, field in {**fields, "slope": row["slope"], "over_rows": row["row"]}.items():
            object.__setattr__(self, key, field)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an activation cannot be changed; use {self.name}.with_params(...)")

    def with_params(self, **params: float) -> "ActivationFunction":
        """The same function with other parameters."""
        return ActivationFunction(self.name, **{**self.params, **params})

    def __call__(self, x: ArrayLike, *, slope: ArrayLike | None = None, **params: float) -> NDArray[Any]:
        """The function's value, element by element or over the last axis (`over_rows`).

        Args:
            x: any shape; other types than float32 become float64.
            slope: of a row that has one, see `fusednet.ops.activation_forward`.
            **params: in place of the function's own.
        """
        from fusednet import ops

        values = np.asarray(x)
        values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
        function = self.with_params(**params) if params else self
        given = slope if slope is None else np.asarray(slope, values.dtype)
        return ops.activation_forward(values, function.name, slope=given, **dict[str, Any](function.params))

    def native(self, shared: bool = False) -> dict[str, Any]:
        """As the compiled plan reads it; `shared`: whether all features have one learned slope."""
        native = {"name": self.name, "params": list(self.params.values())}
        return {**native, "shared": shared} if self.slope == "learned" else native

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={value:g}" for key, value in self.params.items())
        return f"{self.name}({inner})" if inner else self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActivationFunction) and (self.name, self.params) == (other.name, other.params)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.params.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, dict(self.params))


def _rebuild(name: str, params: dict[str, float]) -> ActivationFunction:
    return ActivationFunction(name, **params)


def _parameter(owner: str, key: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {key} expects a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"[{owner}] {key} expects a finite number, got {value!r}")
    if number < 0.0 and _ROWS[owner]["from_output"] and _ROWS[owner]["reads_saved"]:
        # the derivative is read off the output, whose sign must be the input's
        raise ValueError(f"[{owner}] {key} expects a number of at least 0, got {value!r}")
    return number


def names() -> list[str]:
    """The names of all activations, in the order of the catalogue."""
    return list(_ROWS)


def get(identifier: object, owner: str = "activations") -> ActivationFunction:
    """The activation that a name, an activation object, an activation layer or None (linear) stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else, Python functions included.
    """
    if identifier is None:
        return ActivationFunction("linear")
    if isinstance(identifier, ActivationFunction):
        return identifier
    if isinstance(identifier, str):
        identifier = _names.ACTIVATION_ALIASES.get(identifier, identifier)
        if identifier not in _ROWS:
            raise _names.unknown(owner, "activation", identifier, _ROWS)
        return ActivationFunction(identifier)
    if isinstance(identifier, Mapping) and set(identifier) == {"name", "params"}:
        return ActivationFunction(get(identifier["name"], owner).name, **dict(identifier["params"]))
    inner = getattr(identifier, "activation", None)
    if isinstance(inner, ActivationFunction) and not hasattr(identifier, "units"):
        return inner  # an activation layer given as the activation of another layer
    raise TypeError(f"[{owner}] activation expects a name or a fusednet activation, got {identifier!r}")


for _name in _ROWS:
    globals()[_name] = ActivationFunction(_name)
for _name, _row in _names.ACTIVATION_ALIASES.items():
    globals()[_name] = ActivationFunction(_row)
del _name, _row
__all__ = ["ActivationFunction", "get", "names"]
__all__.extend(_ROWS)
__all__.extend(_names.ACTIVATION_ALIASES)


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:

    def __getattr__(name: str) -> ActivationFunction: ...
