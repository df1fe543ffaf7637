"""Train dense neural networks in compiled code, described with Keras's names.

>>> import fusednet as keras
>>> model = keras.models.Sequential([
...     keras.layers.Flatten(input_shape=[8, 8]),
...     keras.layers.Dense(100, activation="elu", kernel_initializer="he_normal"),
...     keras.layers.Dense(10, activation="softmax"),
... ])
>>> model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
>>> (x_train, y_train), (x_test, y_test) = keras.datasets.load_digits()
>>> history = model.fit(x_train / 16.0, y_train, epochs=10, verbose=0)
>>> loss, accuracy = model.evaluate(x_test / 16.0, y_test, verbose=0)
>>> accuracy > 0.9
True
"""

from fusednet import (
    activations,
    backend,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    utils,
)
from fusednet._config import (
    get_float32_matmul_precision,
    get_num_threads,
    set_float32_matmul_precision,
    set_num_threads,
    show_config,
)
from fusednet._device import DeviceArray, device_array
from fusednet._errors import ModelFileError, NonFiniteError
from fusednet._native import __version__
from fusednet.gradient_check import GradientReport, check_gradients
from fusednet.layers import Input
from fusednet.models import Sequential, load_model

load = load_model

__all__ = [
    "DeviceArray",
    "GradientReport",
    "Input",
    "ModelFileError",
    "NonFiniteError",
    "Sequential",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "check_gradients",
    "constraints",
    "datasets",
    "device_array",
    "get_float32_matmul_precision",
    "get_num_threads",
    "initializers",
    "layers",
    "load",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "set_float32_matmul_precision",
    "set_num_threads",
    "show_config",
    "utils",
]
