"""Random layers: one class for each noise of the catalogue, under the name that Keras gives it.

While a model is trained each element is changed at random; at inference a random layer gives back its input. What is
drawn follows from the model's seed, the step and the element.
"""

import math
from typing import Any

from fusednet import _names, _native
from fusednet._layer import Layer, Shape, at_least_zero, number, share


class Noise(Layer):
    """What the random layers share: y = noise(x), element by element, while training; y = x at inference."""

    _row: dict[str, Any]

    def native(self, shape: Shape) -> dict[str, Any]:
        noise = {"name": self._row["name"], "params": [vars(self)[key] for key in self._arguments]}
        return self._described("noise", shape, noise=noise)


def _finite(owner: str, argument: str, value: object) -> float:
    return number(owner, argument, value, "a finite number", math.isfinite)


_DOMAINS = {"rate": share, "stddev": at_least_zero}


def make(row: dict[str, Any]) -> type[Noise]:
    """The layer class of a row: its parameters, all to be given, and the arguments of every layer."""
    kind = "".join(part.capitalize() for part in row["name"].split("_"))
    names = tuple(dict(row["params"]))

    def init(self: Noise, *args: float, **options: Any) -> None:
        owner = self._owner(options)
        if len(args) > len(names):
            raise TypeError(f"[{owner}] expects {', '.join(names)}, got {len(args)} positional arguments")
        given: dict[str, object] = dict(zip(names, args, strict=False))
        for key in [key for key in options if key in names]:
            if key in given:
                raise TypeError(f"[{owner}] got {key} twice")
            given[key] = options.pop(key)
        missing = [key for key in names if key not in given]
        if missing:
            raise TypeError(f"[{owner}] expects {', '.join(names)}, got no {missing[0]}")
        values = {key: _DOMAINS.get(key, _finite)(owner, key, given[key]) for key in names}
        Layer.__init__(self, **options)
        self._set_all(values)

    example = ", ".join(f"{value:g}" for value in dict(row["params"]).values())
    domains = {"rate": "in [0, 1)", "stddev": "at least 0"}
    doc = (
        f"{kind}({', '.join(names)}): y = {row['formula']} while training; y = x at inference.\n\n"
        f"u is uniform on [0, 1) and z standard normal, drawn for each element at each step. x and y are (n, ...), of "
        f"any shape.\n\nArgs:\n"
        + "".join(f"    {key}: {domains.get(key, 'any finite number')}.\n" for key in names)
        + "    name, trainable, input_shape: see `Layer`.\n\nRaises:\n"
        "    ValueError, TypeError: for an argument outside its domain.\n\n" + _names.sourced(row) + "Example:\n"
        f"    >>> from fusednet.layers import {kind}\n    >>> {kind}({example}).output_shape((28, 28))\n    (28, 28)\n"
    )
    members = {"__init__": init, "_row": row, "_arguments": names, "__doc__": doc, "__module__": "fusednet.layers"}
    return type(kind, (Noise,), members)


CLASSES = {kind.__name__: kind for kind in map(make, _native.noise_rows())}
