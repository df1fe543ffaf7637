"""What the package shows: Keras's paths lead somewhere, and every public class says all of what a user needs."""

from __future__ import annotations

import inspect

import pytest

import fusednet as keras

MODULES = (
    *(keras.layers, keras.optimizers, keras.optimizers.schedules, keras.losses, keras.metrics),
    *(keras.initializers, keras.regularizers, keras.constraints),
)
KERAS = """
Input((4,))
Sequential()
models.Sequential()
layers.Input((4,))
layers.Dense(3, kernel_regularizer=keras.regularizers.l1_l2(l1=0.1, l2=0.1))
layers.LeakyReLU(negative_slope=0.3)
layers.PReLU(shared_axes=[1])
layers.MaxPooling2D(pool_size=(2, 2), strides=2, padding="same")
layers.Activation("swish")
layers.deserialize(keras.layers.serialize(keras.layers.Dropout(0.5)))
activations.gelu([1.0], approximate=True)
activations.get("hard_swish")
regularizers.l1(0.01)
regularizers.l2(0.01)
regularizers.L1L2(l1=0.01, l2=0.02)
regularizers.deserialize(keras.regularizers.serialize(keras.regularizers.L2(0.1)))
constraints.max_norm(3.0)
constraints.non_neg()
constraints.MinMaxNorm(min_value=0.5, max_value=1.0)
constraints.deserialize(keras.constraints.serialize(keras.constraints.UnitNorm()))
initializers.he_normal(seed=1)
initializers.VarianceScaling(2.0, "fan_avg", "uniform")
initializers.deserialize(keras.initializers.serialize(keras.initializers.Zeros()))
optimizers.AdamW(learning_rate=1e-3, weight_decay=4e-3)
optimizers.SGD(learning_rate=keras.optimizers.schedules.ExponentialDecay(0.1, 1000, 0.96, staircase=True))
optimizers.schedules.CosineDecay(0.0, 1000, warmup_target=0.1, warmup_steps=100)
optimizers.deserialize(keras.optimizers.serialize(keras.optimizers.Lion()))
losses.Huber(delta=2.0)
losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
losses.deserialize(keras.losses.serialize(keras.losses.LogCosh()))
metrics.AUC()
metrics.SparseTopKCategoricalAccuracy(k=3)
metrics.deserialize(keras.metrics.serialize(keras.metrics.Recall()))
callbacks.Callback()
"""


@pytest.mark.parametrize("path", KERAS.split("\n")[1:-1])
def test_paths_of_keras(path):
    eval(f"keras.{path}", {"keras": keras})


def classes():
    for module in MODULES:
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and kind.__name__ == name:
                yield pytest.param(kind, id=f"{module.__name__.rpartition('.')[2]}.{name}")


@pytest.mark.parametrize("kind", list(classes()))
def test_docstrings_are_complete(kind):
    text = inspect.getdoc(kind)
    first, _, rest = text.partition("\n")
    assert first.endswith((".", ":", ","))
    assert len(first) <= 130
    takes = [name for name, p in inspect.signature(kind).parameters.items() if p.kind is not p.VAR_KEYWORD]
    sections = (
        ["Args:", "Raises:"] if takes and "__init__" in {n for base in kind.__mro__[:-1] for n in vars(base)} else []
    )
    if kind.__name__ not in ("Layer", "Constraint"):  # of which there are no objects
        sections.append("Example:")
    missing = [section for section in sections if f"\n{section}\n" not in rest]
    assert not missing
