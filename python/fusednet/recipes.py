"""Ready networks with their training: what `fusednet train` runs.

Both are 784-300-100-10 networks with Glorot-uniform weights, trained by SGD with learning rate 0.01 on batches of 50.

| recipe | network | cost | clipping |
| --- | --- | --- | --- |
| `batchnorm` | BatchNormalization (momentum 0.9) after each dense layer, then ELU, at last softmax | sum | – |
| `clipping` | ReLU after the two hidden layers, no normalisation | mean | by value, ±1.0 |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fusednet import _names
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten, Layer
from fusednet.losses import SparseCategoricalCrossentropy
from fusednet.models import Sequential
from fusednet.optimizers import SGD

_HIDDEN = (300, 100)
_CLASSES = 10


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Attributes:
        name: of the recipe.
        summary: one line.
        layers: makes the layers for images of a shape.
        reduction: of the cost over a batch.
        clipvalue: limit of each gradient element, or None.
        batch_size, learning_rate: of training.
        epochs: of training on MNIST.
        digits_epochs: of training on the embedded digits, which are far fewer.
    """

    name: str
    summary: str
    layers: Callable[[Sequence[int]], list[Layer]]
    reduction: str
    clipvalue: float | None = None
    batch_size: int = 50
    learning_rate: float = 0.01
    epochs: int = 5
    digits_epochs: int = 20

    def build(
        self, input_shape: Sequence[int], *, seed: int | None = None, learning_rate: float | None = None
    ) -> Sequential:
        """The compiled model for images of this shape."""
        rate = self.learning_rate if learning_rate is None else learning_rate
        model = Sequential(self.layers(input_shape), self.name, seed=seed)
        model.compile(
            optimizer=SGD(rate, clipvalue=self.clipvalue),
            loss=SparseCategoricalCrossentropy(reduction=self.reduction),
            metrics=["accuracy"],
        )
        return model


def _batchnorm(input_shape: Sequence[int]) -> list[Layer]:
    layers: list[Layer] = [Flatten(input_shape=input_shape, name="flatten")]
    for number, units in enumerate((*_HIDDEN, _CLASSES), 1):
        # without bias: the normalisation would subtract it again
        layers.append(Dense(units, use_bias=False, name=f"dense{number}"))
        layers.append(BatchNormalization(momentum=0.9, name=f"norm{number}"))
        layers.append(Activation("softmax" if units == _CLASSES else "elu", name=f"act{number}"))
    return layers


def _clipping(input_shape: Sequence[int]) -> list[Layer]:
    hidden = [Dense(units, activation="relu", name=f"dense{number}") for number, units in enumerate(_HIDDEN, 1)]
    output = Dense(_CLASSES, activation="softmax", name="dense3")
    return [Flatten(input_shape=input_shape, name="flatten"), *hidden, output]


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("batchnorm", "ELU with batch normalisation, cost summed over the batch", _batchnorm, "sum"),
        Recipe(
            "clipping",
            "ReLU with gradients clipped by value to ±1.0, mean cost",
            _clipping,
            "sum_over_batch_size",
            clipvalue=1.0,
            digits_epochs=100,
        ),
    )
}


def get(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in RECIPES:
        raise _names.unknown("recipes", "recipe", name, RECIPES)
    return RECIPES[name]
