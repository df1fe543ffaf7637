"""scikit-learn's MLPClassifier, which has no BatchNormalization, ELU or clipping, and draws its own weights.

It trains the nearest that it can: the same widths, batch and optimizer with ReLU or tanh. Nothing is there to compare
before timing, and the row says so.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np

from fusednet.benchmarks import nets


def start(threads: int) -> None:
    importlib.import_module("sklearn")  # its threads are BLAS's, which the environment has set


def versions() -> dict[str, str]:
    return {"scikit-learn": str(importlib.import_module("sklearn").__version__)}


class Step:
    """An epoch by `partial_fit`, which shuffles and gathers too."""

    def __init__(self, work: dict[str, Any]) -> None:
        net = nets.of_work(work)
        if net.precision != "highest":
            raise LookupError(f"scikit-learn has no float32 precision {net.precision!r}")
        self.x, self.y = nets.data(net)
        self.units = net.steps
        self.calls = net.steps if net.full_batch else 1
        make = importlib.import_module("sklearn.neural_network").MLPClassifier
        self.model = make(
            net.widths[1:-1],
            activation="tanh" if net.activation == "tanh" else "relu",
            solver=net.optimizer,
            batch_size=net.batch,
            alpha=0.0,
            learning_rate_init=nets.RATE[net.optimizer],
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=nets.ADAM_EPSILON,
            random_state=1,
        )
        self.classes = np.arange(net.widths[-1])

    def results(self) -> list[float]:
        return []

    def run(self) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(self.calls):
                self.model.partial_fit(self.x, self.y, classes=self.classes)
        return None


TASKS: dict[str, Any] = {"step": Step}
