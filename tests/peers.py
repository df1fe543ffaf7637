"""Agreement with Keras and PyTorch: what the test_peers_* files share, and the table that they fill.

`python tests/peers.py` runs them and prints how far apart we are; `--write` puts that into docs/agreement.md. Needs the
extra `peers`. Keras runs on JAX; all is float64 unless a subject says otherwise.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fusednet

TOLERANCE = 1e-10
STEPS = 10
HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "agreement.md"

# Where a peer means something else by the same name: what, and what the test does about it. A subject of the table
# refers to its row by the key.
CONVENTIONS: dict[str, tuple[str, str, str]] = {
    "adapt": ("Keras", "`Normalization.adapt` takes its statistics in float32.", "Tolerance 3e-7."),
    "accuracy": (
        "Keras",
        "The class `Accuracy` asks for equal values.",
        'Keras gets the class that `"accuracy"` stands for in `compile`.',
    ),
    "hinge": (
        "Keras",
        "0 becomes -1 where a whole batch is of 0 and 1; here every 0 does.",
        "Targets are of one kind, 0 and 1 or -1 and 1.",
    ),
    "saturated": (
        "Keras",
        "Probabilities are clipped to 1e-7 behind a softmax or sigmoid layer too, where ours are those of the logits.",
        "Keras gets the logits.",
    ),
    "smoothing": ("Keras", "No label smoothing for integer labels.", "Keras gets one-hot rows."),
    "updates": (
        "Keras",
        "Under gradient accumulation schedules count batches; ours count updates.",
        "Keras gets a schedule of the number of updates.",
    ),
    "average": (
        "Keras",
        "Under gradient accumulation the average of the weights moves with each batch; ours with each update.",
        "Keras gets the batches of an update joined.",
    ),
    "statistics": (
        "PyTorch",
        "BatchNormalization's momentum is 1 minus ours; its moving variance is unbiased, divided by n - 1.",
        "1 - momentum; the moving variance is multiplied by (n - 1) / n where batches have entered it.",
    ),
    "softplus": ("PyTorch", "Softplus is x itself above a threshold of 20.", "threshold = 100."),
    "features": (
        "PyTorch",
        'The reduction "sum" is over samples and features; ours is over samples of the mean over features.',
        "PyTorch's sum is divided by the number of outputs.",
    ),
    "class weights": (
        "PyTorch",
        "The mean over weighted classes divides by the sum of weights; ours by the number of rows, as Keras's.",
        "PyTorch's sum is divided by the number of rows.",
    ),
    "velocity": (
        "PyTorch",
        "The learning rate multiplies the velocity; in ours it is inside, v = momentum * v - rate * g.",
        "The same while the rate is constant; with a schedule ours is held against its formula.",
    ),
    "epsilon, RMSprop": ("PyTorch", "Epsilon is outside of the root, ours inside.", "epsilon = 0."),
    "epsilon, Adagrad": ("PyTorch", "Epsilon is outside of the root, ours inside.", "epsilon = 0."),
    "epsilon, Adam": (
        "PyTorch",
        'Epsilon is added to the corrected root, ours to the root as it is ("epsilon hat" of the paper).',
        "epsilon = 0; 1e-7 in float32.",
    ),
    "epsilon, Adamax": ("PyTorch", "Epsilon is added to the gradient's magnitude, ours to the norm.", "epsilon = 0."),
    "Nadam": (
        "PyTorch",
        "The momentum's discount changes with 0.96**(0.004 t), ours with 0.96**t, as in the paper.",
        "momentum_decay = 1.",
    ),
    "clipping": (
        "PyTorch",
        "A norm is scaled by limit / (norm + 1e-6), ours by limit / norm.",
        "PyTorch's limit is multiplied by (norm + 1e-6) / norm.",
    ),
    "weight decay": (
        "PyTorch",
        "`weight_decay` of all but AdamW is a penalty of weight_decay / 2 * sum(w**2); ours is always decoupled.",
        "Ours gets regularizers.L2(weight_decay / 2).",
    ),
    "milestones": (
        "PyTorch",
        "A milestone is the first step of the new rate; Keras's and our boundary the last of the old.",
        "Milestones are boundaries + 1.",
    ),
}


class Result(NamedTuple):
    """One line of the table."""

    difference: float
    tolerance: float
    convention: str


RESULTS: dict[tuple[str, str], Result] = {}
ABSENT: dict[tuple[str, str], str] = {}  # what a peer does not have, and why it is not compared


def keras() -> Any:
    """Keras on JAX in float64; skips the module without it.

    Off TensorFlow Keras makes float32 of the results of many float64 operations. Its table says so; here it does not.
    """
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    reason = 'Keras on JAX is not installed: pip install "fusednet[peers]"'
    jax = pytest.importorskip("jax", reason=reason)
    jax.config.update("jax_enable_x64", True)
    module = pytest.importorskip("keras", reason=reason)
    module.config.set_floatx("float64")
    module.config.set_dtype_policy("float64")
    importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    assert "float64" in str(module.ops.tanh(np.zeros(1)).dtype)
    return module


def torch() -> Any:
    """PyTorch on one thread; skips the module without it."""
    module = pytest.importorskip("torch", reason='PyTorch is not installed: pip install "fusednet[peers]"')
    module.set_num_threads(1)
    module.set_default_dtype(module.float64)  # of what NAdam keeps between steps, whatever the model's type
    return module


def arrays(values: Any) -> list[np.ndarray]:
    """Numbers, arrays, tensors and lists of these as arrays of float64."""
    if isinstance(values, (list, tuple)):
        return [array for value in values for array in arrays(value)]
    return [np.asarray(values.detach() if hasattr(values, "detach") else values, np.float64)]


def difference(got: Any, want: Any) -> float:
    """The largest |got - want| of an array over its largest |want|, the worst of all arrays."""
    ours, theirs = arrays(got), arrays(want)
    assert [a.shape for a in ours] == [a.shape for a in theirs]
    assert sum(a.size for a in theirs) > 0, "there is nothing to compare"
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert np.isfinite(b).all(), "the peer's result is not finite"
        scale = np.abs(b).max(initial=0.0) or 1.0
        worst = max(worst, float(np.abs(a - b).max(initial=0.0) / scale))
        assert np.isfinite(a).all(), "our result is not finite"
    return worst


def agree(subject: str, peer: str, got: Any, want: Any, *, tolerance: float = TOLERANCE, convention: str = "") -> None:
    """Holds two results against each other and notes how far apart they are.

    Args:
        subject: as the table names it; the worst of all comparisons under one subject counts.
        peer: "Keras" or "PyTorch".
        got, want: ours and the peer's, arrays or lists of them.
        tolerance: relative, see `difference`.
        convention: key of `CONVENTIONS`, where the test maps one meaning to the other.
    """
    assert not convention or CONVENTIONS[convention][0] == peer
    found = difference(got, want)
    old = RESULTS.get((subject, peer), Result(0.0, tolerance, convention))
    RESULTS[subject, peer] = Result(max(found, old.difference), tolerance, convention or old.convention)
    assert found <= tolerance, f"{subject}: {found:.3g} from {peer}, expected at most {tolerance:g}"


def absent(subject: str, peer: str, why: str) -> None:
    """Notes what a peer does not have."""
    ABSENT[subject, peer] = why


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng([2024, seed])


def inputs(rows: int = 12, features: int = 5, seed: int = 0) -> np.ndarray:
    return generator(seed).normal(size=(rows, features))


def labels(rows: int = 12, classes: int = 3, seed: int = 1) -> np.ndarray:
    """Integer labels, every class among them."""
    return generator(seed).permutation(np.arange(rows) % classes)


def one_hot(values: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.eye(classes)[values]


def targets(rows: int = 12, outputs: int = 3, seed: int = 2) -> np.ndarray:
    """Targets of a regression, of both signs."""
    return generator(seed).normal(size=(rows, outputs))


def weights(rows: int = 12, seed: int = 3) -> np.ndarray:
    """Sample weights, a zero among them."""
    values = generator(seed).uniform(0.2, 2.0, rows)
    values[rows // 2] = 0.0
    return values


def start(model: fusednet.Sequential, seed: int = 4) -> list[np.ndarray]:
    """First weights for both sides, none of them at a default: positive where they scale or are variances."""
    rng = generator(seed)
    values = []
    for variable in model.weights:
        role = variable.name.rsplit("/", 1)[-1]
        if role in ("gamma", "moving_variance", "alpha"):
            values.append(rng.uniform(0.2, 1.5, variable.shape))
        else:
            values.append(rng.normal(0.0, 1.2 / np.sqrt(variable.shape[0]), variable.shape))
    return values


class Ours:
    """A float64 model of ours in the hands of a test."""

    def __init__(
        self,
        layers: Iterable[Any],
        shape: Sequence[int],
        loss: Any = "mse",
        optimizer: Any = "sgd",
        metrics: Any = None,
        *,
        dtype: str = "float64",
    ) -> None:
        self.model = fusednet.Sequential([fusednet.Input(tuple(shape)), *layers], dtype=dtype, seed=5)
        self.model.compile(optimizer, loss, metrics)
        self.first = start(self.model) if self.model.weights else []
        self.model.set_weights(self.first)

    def gradients(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> list[np.ndarray]:
        return list(self.model.compute_gradients(x, y, weight).values())

    def steps(self, batches: Iterable[tuple[np.ndarray, ...]]) -> list[float]:
        """Losses of one step a batch, before the step."""
        return [float(np.ravel(self.model.train_on_batch(*batch))[0]) for batch in batches]

    def weights(self) -> list[np.ndarray]:
        return self.model.get_weights()

    def moved(self) -> None:
        """Training has to have changed every weight that it may change."""
        trainable = [variable.trainable for variable in self.model.weights]
        for before, after, may in zip(self.first, self.weights(), trainable, strict=True):
            assert not may or np.abs(after - before).max() > 1e-6 * np.abs(before).max(), "nothing was learned"


def batches(make: Callable[[int], tuple[np.ndarray, ...]], steps: int = STEPS) -> list[tuple[np.ndarray, ...]]:
    """Batches of other values each."""
    return [make(100 + 10 * i) for i in range(steps)]
