"""Initializers whose variance follows from the number of a kernel's inputs and outputs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _names, _native
from fusednet._initializer import Initializer, truncated

_TRUNCATED_STDDEV = 0.87962566103423978  # of a standard normal cut off at +-2


class VarianceScaling(Initializer):
    """Variance scale / fan, where mode says which fan.

    Args:
        scale: positive factor.
        mode: "fan_in", "fan_out" or "fan_avg" (their mean).
        distribution: "truncated_normal", "untruncated_normal" or "uniform" (on +-sqrt(3 * variance)).
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a scale that is not positive, or an unknown mode or distribution.

    Source: Glorot & Bengio 2010, eq. 12 and 16, with any factor and fan.

    Example:
        >>> from fusednet.initializers import VarianceScaling
        >>> w = VarianceScaling(2.0, "fan_in", seed=1)((400, 300), dtype="float64")
        >>> bool(abs(w.var() * 400 / 2 - 1) < 0.02)
        True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        owner = type(self).__name__
        self._number("scale", scale)
        if vars(self)["scale"] <= 0.0:
            raise ValueError(f"[{owner}] scale expects a positive number, got {scale!r}")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise _names.unknown(owner, "mode", mode, modes)
        distributions = ("truncated_normal", "untruncated_normal", "uniform")
        if distribution == "normal":  # Keras reads it so
            distribution = "truncated_normal"
        if distribution not in distributions:
            raise _names.unknown(owner, "distribution", distribution, distributions)
        vars(self).update(mode=mode, distribution=distribution)
        self._seed(seed)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        fan_in, fan_out = (shape[0], shape[-1]) if shape else (1, 1)
        mode, count = vars(self)["mode"], math.prod(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        stddev = math.sqrt(vars(self)["scale"] / max(fan, 1.0))
        if vars(self)["distribution"] == "uniform":
            values = math.sqrt(3.0) * (2.0 * _native.random_uniform(seed, stream, count) - 1.0)
        elif vars(self)["distribution"] == "truncated_normal":
            values = truncated(seed, stream, count) / _TRUNCATED_STDDEV
        else:
            values = _native.random_normal(seed, stream, count)
        return np.asarray(stddev * values).reshape(shape)


class _Scaled(VarianceScaling):
    """A named variance scaling, whose only argument is the seed."""

    _settings: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._settings, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out).

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: Glorot & Bengio 2010, eq. 12.

    Example:
        >>> from fusednet.initializers import GlorotNormal
        >>> w = GlorotNormal(seed=1)((400, 300))
        >>> bool(abs(w.var() / (2 / 700) - 1) < 0.02)
        True
    """

    _settings = (1.0, "fan_avg", "truncated_normal")


class GlorotUniform(_Scaled):
    """Uniform on +-sqrt(6 / (fan_in + fan_out)); the default of `Dense` kernels.

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: Glorot & Bengio 2010, eq. 16.

    Example:
        >>> from fusednet.initializers import GlorotUniform
        >>> w = GlorotUniform(seed=1)((400, 300))
        >>> bool(abs(w).max() <= (6 / 700) ** 0.5)
        True
    """

    _settings = (1.0, "fan_avg", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in.

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: He et al. 2015, eq. 10.

    Example:
        >>> from fusednet.initializers import HeNormal
        >>> w = HeNormal(seed=1)((400, 300))
        >>> bool(abs(w.var() / (2 / 400) - 1) < 0.02)
        True
    """

    _settings = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform on +-sqrt(6 / fan_in).

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: He et al. 2015, eq. 10, for a uniform distribution.

    Example:
        >>> from fusednet.initializers import HeUniform
        >>> w = HeUniform(seed=1)((400, 300))
        >>> bool(abs(w).max() <= (6 / 400) ** 0.5)
        True
    """

    _settings = (2.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in.

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: LeCun et al. 1998, section 4.6.

    Example:
        >>> from fusednet.initializers import LecunNormal
        >>> w = LecunNormal(seed=1)((400, 300))
        >>> bool(abs(w.var() / (1 / 400) - 1) < 0.02)
        True
    """

    _settings = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform on +-sqrt(3 / fan_in).

    Args:
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for a seed that is no integer in 0 .. 2**64 - 1.

    Source: LeCun et al. 1998, section 4.6, for a uniform distribution.

    Example:
        >>> from fusednet.initializers import LecunUniform
        >>> w = LecunUniform(seed=1)((400, 300))
        >>> bool(abs(w).max() <= (3 / 400) ** 0.5)
        True
    """

    _settings = (1.0, "fan_in", "uniform")
