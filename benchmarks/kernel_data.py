"""The arrays of a kernel, which every side makes for itself, and what is compared of its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet.benchmarks import nets

Array = NDArray[Any]
EPSILON = 1e-12  # where the sides add it in different places and it would show
_SHOWN = 64


def shape(elements: int) -> tuple[int, int]:
    """(n, c) of so many elements, a power of two times 300 or not: about square, a row at least."""
    columns = 300 if elements % 300 == 0 else 1 << (elements.bit_length() // 2)
    return max(1, elements // columns), min(columns, elements)


def normal(size: tuple[int, ...] | int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(size, dtype=np.float32)


def fractions(size: tuple[int, int], seed: int) -> Array:
    """Rows of positive numbers whose sum is 1."""
    values = np.random.default_rng(seed).random(size, np.float32)
    values *= 0.9
    values += np.float32(0.05)
    values /= values.sum(axis=1, keepdims=True)
    return values


def on_host(array: Any) -> Array:
    """An array of any side as NumPy's, copied where it lies on a device."""
    if hasattr(array, "cpu"):  # torch's
        array = array.detach().cpu()
    return np.asarray(array.numpy() if hasattr(array, "numpy") else array)


def sample(*arrays: Any) -> list[float]:
    """Some of the values of each, evenly spaced, and their mean magnitude."""
    found: list[float] = []
    for array in arrays:
        flat = on_host(array).reshape(-1)
        found += [float(value) for value in flat[:: max(1, flat.size // _SHOWN)]]
        found.append(float(np.abs(flat).mean(dtype=np.float64)))
    return found


def tensors(work: dict[str, Any]) -> tuple[list[Array], list[Array]]:
    """The weights of a network, or of one array of so many elements, and gradients."""
    if "net" in work:
        net = nets.of_work(work["net"])
        values = [a for a in nets.weights(net) if a.size]
        if net.batchnorm:  # without the moving statistics, which are not trained
            hidden = len(net.widths) - 2
            values = [a for i, a in enumerate(values) if i >= 6 * hidden or i % 6 < 4]
    else:
        values = [normal(work["elements"], 1)]
    return values, [normal(a.shape, 2 + i) for i, a in enumerate(values)]


def epsilon(optimizer: str) -> float:
    """Ours is inside of RMSprop's root, torch's outside: so small that they agree."""
    return EPSILON if optimizer.startswith("rmsprop") else nets.ADAM_EPSILON


def moved(before: Iterable[Any], after: Iterable[Any]) -> list[float]:
    """How an optimizer's step changed the weights."""
    return sample(*(on_host(b) - on_host(a) for a, b in zip(before, after, strict=True)))
