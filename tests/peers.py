"""Agreement with Keras and PyTorch: what the test_peers_* files share, and the table that they fill.

`python tests/peers.py` runs them and prints how far apart we are; `--write` puts that into docs/agreement.md. It needs
the extra `peers`; without it these tests are skipped. Keras runs on JAX; all is float64 unless a subject says so.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fusednet
from peers_conventions import CONVENTIONS

PEERS = ("Keras", "PyTorch")
TOLERANCE = 1e-10
STEPS = 10
HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "agreement.md"


class Result(NamedTuple):
    """One line of the table."""

    difference: float
    tolerance: float
    convention: str
    count: int


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
        convention: keys of `CONVENTIONS` between semicolons, where the test maps one meaning to the other.
    """
    assert all(CONVENTIONS[key][0] == peer for key in filter(None, convention.split("; ")))
    found = difference(got, want)
    old = RESULTS.get((subject, peer), Result(0.0, tolerance, convention, 0))
    RESULTS[subject, peer] = Result(
        max(found, old.difference), tolerance, convention or old.convention, old.count + len(arrays(want))
    )
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


def versions() -> str:
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "keras", "jax", "torch")]
    python = ".".join(map(str, sys.version_info[:3]))
    return f"fusednet {fusednet.__version__}, Python {python}, {', '.join(found)}"


def base(subject: str) -> str:
    """What several subjects are variants of: "Adam, clipnorm: 10 steps" is "Adam"."""
    return re.split(r"[:,(]| after | under ", subject)[0].strip()


def table() -> list[str]:
    """A line for each base subject: the worst difference and the number of comparisons with each peer."""
    lines = [f"| subject | {' | '.join(PEERS)} | held to | convention |", "| --- " * (len(PEERS) + 3) + "|"]
    for name in dict.fromkeys(base(subject) for subject, _ in RESULTS):
        found = {key: result for key, result in RESULTS.items() if base(key[0]) == name}
        cells = [name]
        for peer in PEERS:
            mine = [result for (_, of), result in found.items() if of == peer]
            worst = max((result.difference for result in mine), default=0.0)
            cells.append(f"{worst:.0e} ({sum(result.count for result in mine)})" if mine else "–")
        cells.append(", ".join(dict.fromkeys(f"{result.tolerance:g}" for result in found.values())))
        keys = [key for result in found.values() for key in result.convention.split("; ") if key]
        lines.append("| " + " | ".join([*cells, "; ".join(dict.fromkeys(keys))]) + " |")
    return lines


def page() -> str:
    """docs/agreement.md."""
    conventions = [f"| {key} | {' | '.join(row)} |" for key, row in CONVENTIONS.items()]
    missing = [f"| {subject} | {peer} | {why} |" for (subject, peer), why in ABSENT.items()]
    return "\n".join(
        [
            "# Agreement with Keras and PyTorch",
            "",
            "Keras (on JAX) and PyTorch get our weights and our batches. Outputs, gradients, and what ten steps of",
            "training make of losses, weights and moving averages are compared. A difference is the largest of an",
            "array, divided by the largest value that the array has in the peer. All is float64 unless the subject",
            "says float32. Written by `python tests/peers.py --write` with",
            f"{versions()}.",
            "",
            "Where a peer means something else by a name, the tests map the one meaning to the other:",
            "",
            "| convention | peer | what differs | what the test does |",
            "| --- | --- | --- | --- |",
            *conventions,
            "",
            "The worst difference of each subject and, in brackets, the number of arrays compared. Of drawn values",
            "(initializers) the standard deviation, the least and the largest of 120,000 are compared. Keras rounds",
            "results of many float64 operations to float32 on JAX; the tests take that off.",
            "",
            *table(),
            "",
            "Not compared:",
            "",
            "| subject | peer | why |",
            "| --- | --- | --- |",
            *missing,
            "",
        ]
    )


def main() -> int:
    """Runs the comparisons with PyTorch and Keras, prints the table, and with --write makes the page of it."""
    import peers  # the module that the tests know, where this file is run as a program

    code = pytest.main(["-q", *sorted(str(path) for path in HERE.glob("test_peers_*.py"))])
    print("\n".join([peers.versions(), *peers.table()]))
    unheard = [peer for peer in PEERS if not any(of == peer for _, of in peers.RESULTS)]
    if unheard:
        print(f"not compared with {' and '.join(unheard)}: see what was skipped above", file=sys.stderr)
        return 1
    if code == 0 and "--write" in sys.argv[1:]:
        PAGE.write_text(peers.page(), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
