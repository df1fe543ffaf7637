"""The devices of this build and machine, and models that are trained on them."""

from __future__ import annotations

import numpy as np

import fusednet
from fusednet import _native
from fusednet.layers import (
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    LayerNormalization,
    MaxPooling2D,
    PReLU,
    Reshape,
)

DEVICES = [name for name in _native.device_names() if name != "cpu" and not _native.why_no_device(name)]


def data(rows=330, features=12, classes=4, seed=0):
    g = np.random.default_rng(seed)
    return g.normal(size=(rows, features)).astype(np.float32), g.integers(0, classes, rows)


def train(device, layers, optimizer="adam", loss="sparse_categorical_crossentropy", epochs=3, batch=32, **fit):
    model = fusednet.Sequential(layers(), seed=5)
    model.compile(optimizer, loss, ["accuracy"], device=device)
    x, y = data()
    if loss == "mse":
        y = np.eye(4, dtype=np.float32)[y]
    history = model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, **fit)
    return model, history.history


NETS = {
    "batchnorm": lambda: [Dense(20, use_bias=False, input_shape=[12]), BatchNormalization(), Dense(4, "softmax")],
    "wide": lambda: [Dense(150, "elu", input_shape=[12]), Dense(70, "gelu"), Dense(4, "softmax")],
    "dropout": lambda: [Dense(24, "selu", input_shape=[12]), AlphaDropout(0.2), Dropout(0.3), Dense(4, "softmax")],
    "layernorm": lambda: [Dense(20, input_shape=[12]), LayerNormalization(), PReLU(), Dense(4, "softmax")],
    "penalties": lambda: [
        Dense(20, "tanh", kernel_regularizer="l2", kernel_constraint="max_norm", input_shape=[12]),
        Dense(8, activity_regularizer="l2"),
        Dense(4, "softmax"),
    ],
    "pooling": lambda: [
        Dense(36, input_shape=[12]),
        Reshape([6, 6, 1]),
        MaxPooling2D(2),
        fusednet.layers.Flatten(),
        Dense(4, "softmax"),
    ],
}
