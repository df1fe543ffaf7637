"""Layers, as plain descriptions: they hold no weights, cannot be changed and may be used in any number of models.

`model.layers` gives them together with their weights. Beside the classes written here there is one for each
activation of the catalogue (`ReLU`, `LeakyReLU(negative_slope=0.01)`, `ELU(alpha=1.0)`, `SELU`, `Softmax`, ...) and one
for each of its noises (`Dropout(rate)`, ...).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusednet import _activation_layers, _names
from fusednet._activation_layers import Activation
from fusednet._layer import Layer
from fusednet.layers import noise
from fusednet.layers.blocks import Residual, stochastic_depth
from fusednet.layers.core import Flatten, Input, InputLayer, Reshape
from fusednet.layers.dense import Dense, DropConnect, Maxout
from fusednet.layers.normalization import BatchNormalization, LayerNormalization
from fusednet.layers.pooling import FractionalMaxPooling2D, MaxPooling2D
from fusednet.layers.preprocessing import Normalization, Whitening

CLASSES: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *(InputLayer, Flatten, Reshape, Dense, DropConnect, Maxout, BatchNormalization, LayerNormalization),
        *(MaxPooling2D, FractionalMaxPooling2D, Residual, Normalization, Whitening, Activation),
    )
}
CLASSES.update(_activation_layers.CLASSES)
CLASSES.update(noise.CLASSES)
globals().update(CLASSES)


def deserialize(entry: Mapping[str, Any], owner: str = "layers") -> Layer:
    """The layer that {"class": name, "config": configuration} describes.

    Raises:
        ValueError: for a class that does not exist; the message lists the known ones.
    """
    kind = CLASSES.get(entry["class"])
    if kind is None:
        raise _names.unknown(owner, "layer class", entry["class"], CLASSES)
    return kind.from_config(entry["config"])


def serialize(layer: Layer) -> dict[str, Any]:
    """What `deserialize` makes the same layer from, ready for JSON."""
    return {"class": type(layer).__name__, "config": layer.get_config()}


__all__ = [
    "Activation",
    "BatchNormalization",
    "Dense",
    "DropConnect",
    "Flatten",
    "FractionalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "MaxPooling2D",
    "Maxout",
    "Normalization",
    "Reshape",
    "Residual",
    "Whitening",
    "deserialize",
    "serialize",
    "stochastic_depth",
]
__all__.extend([*_activation_layers.CLASSES, *noise.CLASSES])


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
