"""What an initializer is."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _frozen, _native, _seeds
from fusednet._frozen import Frozen


class Initializer(Frozen):
    """How a tensor gets its first values. Subclasses state the distribution; objects cannot be changed.

    Example:
        >>> from fusednet.initializers import Constant
        >>> Constant(2.0)((2, 2)).tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """

    seed: int | None = None

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        """Values of `shape` in float64, a function of (seed, stream) alone."""
        raise NotImplementedError

    def __call__(self, shape: Sequence[int], dtype: str = "float32") -> NDArray[Any]:
        """Values of `shape`; without a seed of its own, each call draws a new one."""
        seed = _seeds.next_seed() if self.seed is None else self.seed
        return self.draw(tuple(shape), seed, _seeds.weight_stream(0)).astype(dtype)

    def _number(self, name: str, value: object, least: float = -math.inf) -> None:
        wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
        self._set(**{name: _frozen.number(type(self).__name__, name, value, wanted, lambda x: x >= least)})

    def _seed(self, seed: int | None) -> None:
        self._set(seed=None if seed is None else _seeds.checked_seed(type(self).__name__, seed))


def truncated(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """Standard normals within +-2: a longer draw begins with the same numbers, so rejection stays a function of
    (seed, stream)."""
    drawn = count + count // 16 + 64
    while True:
        values = _native.random_normal(seed, stream, drawn)
        kept = values[np.abs(values) <= 2.0]
        if kept.size >= count:
            return np.asarray(kept[:count])
        drawn *= 2
