"""Keras on JAX: training by `fit`."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from fusednet.benchmarks import nets, side_jax

keras: Any = None  # imported in the worker: this module can be read without it


def start(threads: int) -> None:
    global keras
    side_jax.limit(threads)
    os.environ["KERAS_BACKEND"] = "jax"
    keras = importlib.import_module("keras")


def versions() -> dict[str, str]:
    return {"keras": str(keras.__version__), "jax": str(importlib.import_module("jax").__version__)}


class Step:
    """An epoch by `fit`, compiled by XLA; Keras shuffles and gathers too."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.net = nets.of_work(work)
        self.x, self.y = nets.data(self.net)
        self.units = self.net.steps
        self._restart()

    def results(self) -> list[float]:
        losses = [float(np.ravel(self.model.train_on_batch(x, y))[0]) for x, y in self._checked()]
        self._restart()
        return losses

    def run(self) -> object:
        epochs = self.units if self.net.full_batch else 1
        return self.model.fit(self.x, self.y, batch_size=self.net.batch, epochs=epochs, verbose=0)

    def _checked(self) -> list[tuple[Any, Any]]:
        return nets.checked_batches(self.net)

    def _restart(self) -> None:
        net = self.net
        layers = [keras.layers.Input(shape=(net.widths[0],))]
        for units in net.widths[1:-1]:
            layers.append(keras.layers.Dense(units))
            if net.batchnorm:
                layers.append(keras.layers.BatchNormalization(momentum=nets.MOMENTUM, epsilon=nets.EPSILON))
            layers.append(keras.layers.Activation(net.activation))
        layers.append(keras.layers.Dense(net.widths[-1], activation="softmax"))
        clip = {"norm": {"global_clipnorm": nets.CLIP_NORM}, "value": {"clipvalue": nets.CLIP_VALUE}}.get(net.clip, {})
        if net.optimizer == "adam":
            rule = keras.optimizers.Adam(nets.RATE["adam"], epsilon=nets.ADAM_EPSILON, **clip)
        else:
            rule = keras.optimizers.SGD(nets.RATE["sgd"], **clip)
        self.model = keras.Sequential(layers)
        self.model.compile(loss="sparse_categorical_crossentropy", optimizer=rule, jit_compile=True)
        self.model.set_weights(nets.weights(net))


TASKS: dict[str, Any] = {"step": Step}
