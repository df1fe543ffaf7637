"""fusednet: training by `fit`, inference by `predict`, kernels by `fusednet.ops`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import fusednet
from fusednet.benchmarks import nets
from fusednet.benchmarks.kernels_fusednet import KERNELS
from fusednet.benchmarks.nets import Net


def start(threads: int) -> None:
    fusednet.set_num_threads(threads)


def versions() -> dict[str, str]:
    return {"fusednet": fusednet.__version__, "numpy": np.__version__}


def set_precision(name: str) -> None:
    """The precision of products, where this version can choose it."""
    choose: Callable[[str], object] | None = getattr(fusednet, "set_float32_matmul_precision", None)
    if choose is not None:
        choose(name)
    elif name != "highest":
        raise LookupError(f"this version of fusednet has no float32 precision {name!r}")


def build(net: Net) -> fusednet.Sequential:
    """The compiled model with its first weights."""
    os.environ["FUSEDNET_PROGRAMS"] = "1" if net.programs else "0"
    layers: list[Any] = [fusednet.Input(shape=(net.widths[0],))]
    for units in net.widths[1:-1]:
        layers.append(fusednet.layers.Dense(units, kernel_initializer="zeros"))  # its weights are set below
        if net.batchnorm:
            layers.append(fusednet.layers.BatchNormalization(momentum=nets.MOMENTUM, epsilon=nets.EPSILON))
        layers.append(fusednet.layers.Activation(net.activation))
    layers.append(fusednet.layers.Dense(net.widths[-1], activation="softmax", kernel_initializer="zeros"))
    model = fusednet.Sequential(layers, seed=1)
    restart(model, net)
    return model


def restart(model: fusednet.Sequential, net: Net) -> None:
    """First weights and a new optimizer."""
    clip: dict[str, Any] = {"norm": {"global_clipnorm": nets.CLIP_NORM}, "value": {"clipvalue": nets.CLIP_VALUE}}
    rule: Any = {
        "adam": lambda **o: fusednet.optimizers.Adam(nets.RATE["adam"], epsilon=nets.ADAM_EPSILON, **o),
        "sgd": lambda **o: fusednet.optimizers.SGD(nets.RATE["sgd"], **o),
    }[net.optimizer]
    optimizer = rule(**clip.get(net.clip, {}))
    model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer, metrics=[], device=net.device)
    model.set_weights(nets.weights(net))


class Step:
    """An epoch by `fit`: shuffling, gathering and the Python call are part of it."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.net = nets.of_work(work)
        set_precision(self.net.precision)
        self.model = build(self.net)
        self.x, self.y = nets.data(self.net)
        self.units = self.net.steps

    def results(self) -> list[float]:
        batches = nets.checked_batches(self.net)
        losses = [float(np.ravel(self.model.train_on_batch(x, y))[0]) for x, y in batches]
        restart(self.model, self.net)
        return losses

    def run(self) -> object:
        set_precision(self.net.precision)
        epochs = self.units if self.net.full_batch else 1
        return self.model.fit(self.x, self.y, batch_size=self.net.batch, epochs=epochs, verbose=0)


class DeviceStep(Step):
    """Epochs by one `fit` over rows that lie on the device; labels, some bytes a row, are sent."""

    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__(work)
        there: Any = fusednet.device_array(self.x, self.net.device)  # taken wherever an array of the host is
        self.x = there
        self.units = self.net.steps * self.net.epochs

    def run(self) -> object:
        set_precision(self.net.precision)
        epochs = self.net.epochs * (self.net.steps if self.net.full_batch else 1)
        return self.model.fit(self.x, self.y, batch_size=self.net.batch, epochs=epochs, verbose=0)


class PlainStep(Step):
    """The same without anything to compare."""

    def results(self) -> list[float]:
        return []


class Inference:
    """`predict` from and to NumPy arrays."""

    units = 1

    def __init__(self, work: dict[str, Any]) -> None:
        net = nets.of_work(work)
        set_precision(net.precision)
        self.model = build(net)
        self.x = nets.data(net, 1)[0]

    def results(self) -> list[float]:
        return [float(value) for value in self.model.predict(self.x, verbose=0)[:10].ravel()]

    def run(self) -> object:
        return self.model.predict(self.x, verbose=0)


class Pair:
    """Two models, each of which trains an epoch: in two Python threads at once, or one after the other."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.at_once = work["at_once"]
        self.steps = [Step(work["net"]) for _ in range(2)]
        self.units = 2 * self.steps[0].units

    def results(self) -> list[float]:
        return self.steps[0].results() + self.steps[1].results()

    def run(self) -> object:
        if not self.at_once:
            return [step.run() for step in self.steps]
        threads = [threading.Thread(target=step.run) for step in self.steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return None


class PlanBytes:
    """What a model's plan occupies; nothing is timed."""

    units = 1

    def __init__(self, work: dict[str, Any]) -> None:
        net = nets.of_work(work)
        model = build(net)
        x, y = nets.data(net, 1)
        model.train_on_batch(x, y)
        self.bytes = float(model.plan.nbytes)

    def results(self) -> list[float]:
        return [self.bytes]

    def run(self) -> object:
        return None


TASKS: dict[str, Any] = {
    "step": Step,
    "device step": DeviceStep,
    "plain step": PlainStep,
    "inference": Inference,
    "pair": Pair,
    "plan bytes": PlanBytes,
    **KERNELS,
}
