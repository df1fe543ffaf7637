"""The networks that are trained, and the data and first weights that every side makes for itself from their seeds."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CLIP_NORM, CLIP_VALUE = 1.0, 0.01
RATE = {"adam": 1e-3, "sgd": 1e-2}
EPSILON = 1e-3  # of BatchNormalization
MOMENTUM = 0.99  # of its moving statistics: what they keep
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7
_EPOCH_SECONDS = 0.1
_FLOPS, _BYTES, _ELEMENTS = 1.6e11, 2e10, 2e8  # a second, of a machine to guess an epoch by
_MOST_STEPS = 1000
_MOST_BYTES = 1 << 26
_DEVICE_FLOPS, _DEVICE_STEP = 4e13, 2e-4  # a second; seconds of a step that is nothing but launches
_DEVICE_STEPS, _DEVICE_BYTES = (4, 250), 1 << 30  # batches of an epoch there: the least and the most
_RUN_SECONDS = 0.5
_ACTIVATIONS = {"elu": "ELU", "tanh": "tanh"}
_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}
_CLIPS = {"norm": ", clip by global norm", "value": ", clip by value", "none": ""}


@dataclass(frozen=True)
class Net:
    """Dense, BatchNormalization and activation for each hidden width, then Dense; softmax cross-entropy, the mean.

    Attributes:
        widths: of the input, the hidden layers and the output.
        batch: rows a step.
        activation: "elu" or "tanh".
        batchnorm: whether the hidden layers have it.
        optimizer: "adam" or "sgd".
        clip: of the gradients: "norm" (global), "value" or "none".
        precision: of the products, as `fusednet.set_float32_matmul_precision` names it.
        full_batch: the data are one batch, an epoch is one step.
        device: where it trains, "cpu" or "cuda".
        programs: whether a device may run many of its steps in one launch.
    """

    widths: tuple[int, ...]
    batch: int
    activation: str = "elu"
    batchnorm: bool = True
    optimizer: str = "adam"
    clip: str = "norm"
    precision: str = "highest"
    full_batch: bool = False
    device: str = "cpu"
    programs: bool = False

    @property
    def name(self) -> str:
        norm = "BN, " if self.batchnorm else ""
        kind = f"{norm}{_ACTIVATIONS[self.activation]}, {_OPTIMIZERS[self.optimizer]}{_CLIPS[self.clip]}"
        rows = f"full batch of {self.batch}" if self.full_batch else f"batch {self.batch}"
        precision = "" if self.precision == "highest" else f', "{self.precision}"'
        device = "" if self.device == "cpu" else f", {self.device}"
        launches = ", many steps in one launch" if self.programs else ""
        return f"{'-'.join(map(str, self.widths))}, {kind}, {rows}{precision}{device}{launches}"

    @property
    def flops(self) -> float:
        """Of the matrix products of a step: forward, gradient of the weights, of the inputs but the first."""
        pairs = [a * b for a, b in itertools.pairwise(self.widths)]
        return 2.0 * self.batch * (3 * sum(pairs) - pairs[0])

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        dense = sum((a + 1) * b for a, b in itertools.pairwise(self.widths))
        return dense + (2 * sum(self.widths[1:-1]) if self.batchnorm else 0)

    @property
    def steps(self) -> int:
        """Batches of an epoch: about a tenth of a second, of data that would not be called large."""
        if self.device != "cpu":
            least, most = _DEVICE_STEPS
            room = _DEVICE_BYTES // (4 * self.batch * self.widths[0])
            return max(1, min(max(least, int(_EPOCH_SECONDS / self._device_seconds)), most, room))
        room = _MOST_BYTES // (4 * self.batch * self.widths[0])
        elements = self.batch * sum(self.widths)
        seconds = self.flops / _FLOPS + 28.0 * self.parameters / _BYTES + elements / _ELEMENTS
        return max(1, min(_MOST_STEPS, int(_EPOCH_SECONDS / seconds), room))

    @property
    def epochs(self) -> int:
        """Of one call on a device, so that what it costs beside its steps is spread over half a second of them."""
        return max(1, int(_RUN_SECONDS / (self.steps * self._device_seconds)))

    @property
    def _device_seconds(self) -> float:
        return max(_DEVICE_STEP, self.flops / _DEVICE_FLOPS)

    @property
    def checked_steps(self) -> int:
        """Steps whose losses are compared before anything is timed."""
        return 5 if self.flops < 1e10 else 3

    def near(self, by: int) -> Net:
        """The same with every size changed by so much."""
        return replace(self, widths=tuple(w + by for w in self.widths), batch=self.batch + by)

    def work(self) -> dict[str, Any]:
        """As a message to a worker."""
        return asdict(self)


def of_work(work: dict[str, Any]) -> Net:
    return Net(**{**work, "widths": tuple(work["widths"])})


FIRST = Net((784, 300, 100, 10), 50)
FIRST_SGD = replace(FIRST, optimizer="sgd", clip="value")
SMALL = Net((64, 64, 64, 2), 32)
TINY = Net((4, 32, 16, 4), 32, activation="tanh", batchnorm=False, clip="none", full_batch=True)
TINY_BATCHES = replace(TINY, full_batch=False)
MIDDLE = Net((1024, 1024, 1024, 10), 256)
LARGE = Net((4096, 4096, 4096, 10), 512)
LARGE_HIGH = replace(LARGE, precision="high")
LARGE_MEDIUM = replace(LARGE, precision="medium")
ODD_SMALL = Net((37, 211, 97, 3), 19)
ODD_MIDDLE = Net((1000, 777, 333, 11), 129)

WIDE = Net((8192, 8192, 8192, 10), 4096)
LARGE_BATCH = replace(LARGE, batch=4096)
NARROW = replace(SMALL, widths=(256, 256, 256, 2))
NARROW_WITH_TARGET = (SMALL, FIRST)  # on a device
WIDE_WITH_TARGET = (
    MIDDLE,
    LARGE_BATCH,
    replace(LARGE_BATCH, precision="high"),
    replace(LARGE_BATCH, precision="medium"),
)
WITH_TARGET = NARROW_WITH_TARGET + WIDE_WITH_TARGET
WITHOUT_TARGET = (
    WIDE,
    NARROW,
    TINY_BATCHES,
    TINY,
    FIRST_SGD,
    ODD_SMALL,
    ODD_MIDDLE,
    LARGE,
    LARGE_HIGH,
    LARGE_MEDIUM,
)
# Beside no rival. Of 248 wide, not 256: products of 2^21 multiplications are the library's, which no program has.
BLOCKS = replace(NARROW, widths=(248, 248, 248, 2))
IN_PROGRAMS = tuple(replace(net, programs=True) for net in (SMALL, TINY_BATCHES, BLOCKS))
FROM_THE_HOST = FIRST  # trained on a device from NumPy arrays as well

NETS = (FIRST, FIRST_SGD, SMALL, TINY, TINY_BATCHES, ODD_SMALL, ODD_MIDDLE, MIDDLE, LARGE, LARGE_HIGH, LARGE_MEDIUM)
WATCHED = (FIRST, FIRST_SGD, SMALL, TINY, MIDDLE)  # beside every rival; the others beside two
QUICK = (FIRST, FIRST_SGD, SMALL, TINY, ODD_SMALL)
NEIGHBOURED = (FIRST, FIRST_SGD, SMALL, TINY_BATCHES, MIDDLE, LARGE)


def weights(net: Net) -> list[Array]:
    """First weights in Keras's order: kernel, bias; gamma, beta, moving mean, moving variance."""
    generator = np.random.default_rng(1)
    arrays: list[Array] = []
    for number, (k, c) in enumerate(itertools.pairwise(net.widths), 1):
        limit = np.float32(np.sqrt(6.0 / (k + c)))  # Glorot's uniform
        kernel = generator.random((k, c), np.float32)
        kernel *= 2 * limit
        kernel -= limit
        arrays += [kernel, np.zeros(c, np.float32)]
        if net.batchnorm and number < len(net.widths) - 1:
            arrays += [np.ones(c, np.float32), np.zeros(c, np.float32)]
            arrays += [np.zeros(c, np.float32), np.ones(c, np.float32)]
    return arrays


def data(net: Net, steps: int | None = None) -> tuple[Array, Array]:
    """Rows (n, k) and labels (n,) of so many batches, `net.steps` if not given; one where the data are one batch."""
    generator = np.random.default_rng(0)
    rows = net.batch if net.full_batch else net.batch * (net.steps if steps is None else steps)
    x = generator.standard_normal((rows, net.widths[0]), dtype=np.float32)
    return x, generator.integers(0, net.widths[-1], rows).astype(np.int32)


def checked_batches(net: Net) -> list[tuple[Array, Array]]:
    """The batches of the steps that are compared."""
    x, y = data(net, net.checked_steps)
    starts = [0 if net.full_batch else i * net.batch for i in range(net.checked_steps)]
    return [(x[i : i + net.batch], y[i : i + net.batch]) for i in starts]


def batches(net: Net) -> list[tuple[Array, Array]]:
    """Ready-made batches of an epoch; of the one batch where the data are that."""
    x, y = data(net)
    if net.full_batch:
        return [(x, y)] * net.steps
    return [(x[i : i + net.batch], y[i : i + net.batch]) for i in range(0, len(x), net.batch)]
