"""Initial values of weights: Keras's names, defaults and distributions.

With fan_in and fan_out a kernel's rows and columns, the variances are

| name | variance | for |
| --- | --- | --- |
| `GlorotNormal`, `GlorotUniform` | 2 / (fan_in + fan_out) | linear, tanh, sigmoid, softmax |
| `HeNormal`, `HeUniform` | 2 / fan_in | ReLU and its variants |
| `LecunNormal`, `LecunUniform` | 1 / fan_in | SELU |

The `*Normal` ones are normal distributions cut off at two standard deviations and widened by 1/0.87962566 so that
the variance after the cut is the one stated, as in Keras. Values are drawn in float64 from Philox4x32-10, keyed by
the seed and the tensor, then rounded to the model's type.

`Orthogonal` keeps lengths, whatever the fans; the other names say what they do.

Sources: Glorot & Bengio 2010, eq. 12 and 16; He et al. 2015, eq. 10; LeCun et al. 1998, section 4.6.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _frozen, _names, _native, _seeds
from fusednet._frozen import Frozen, serialize

_TRUNCATED_STDDEV = 0.87962566103423978  # of a standard normal cut off at +-2


class Initializer(Frozen):
    """How a tensor gets its first values. Subclasses state the distribution; objects cannot be changed."""

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


class Zeros(Initializer):
    """All zeros. A kernel of zeros never learns: every unit has the same gradient."""

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones."""

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.ones(shape)


class Constant(Initializer):
    """All equal to `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self._number("value", value)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.full(shape, float(vars(self)["value"]))


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self._number("mean", mean)
        self._number("stddev", stddev, least=0.0)
        self._seed(seed)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        values = _native.random_normal(seed, stream, math.prod(shape)).reshape(shape)
        return np.asarray(vars(self)["mean"] + vars(self)["stddev"] * values)


class TruncatedNormal(RandomNormal):
    """Normal with values beyond two standard deviations drawn again."""

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        values = _truncated(seed, stream, math.prod(shape)).reshape(shape)
        return np.asarray(vars(self)["mean"] + vars(self)["stddev"] * values)


class RandomUniform(Initializer):
    """Uniform on [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self._number("minval", minval)
        self._number("maxval", maxval, least=vars(self)["minval"])
        self._seed(seed)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        low, high = vars(self)["minval"], vars(self)["maxval"]
        return np.asarray(low + (high - low) * _native.random_uniform(seed, stream, math.prod(shape)).reshape(shape))


class Orthogonal(Initializer):
    """Rows or columns, whichever are fewer, are orthogonal and of length gain: lengths of signals and gradients stay.

    Q of the QR factorisation of a normal matrix, with the signs that make R's diagonal positive, so that all
    orthogonal matrices are equally likely. Equal seeds give equal values to within the rounding of the factorisation.

    Args:
        gain: factor.
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError: when drawn, for a tensor that is no matrix.

    Sources: Saxe et al. 2014, section 3; Mezzadri 2007 (signs).

    Example:
        >>> from fusednet.initializers import Orthogonal
        >>> w = Orthogonal(gain=2.0, seed=1)((3, 5), dtype="float64")
        >>> (w @ w.T).round(6).tolist()
        [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self._number("gain", gain)
        self._seed(seed)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        rows, cols = _matrix(self, shape)
        tall = (max(rows, cols), min(rows, cols))
        q, r = np.linalg.qr(_native.random_normal(seed, stream, rows * cols).reshape(tall))
        q = q * np.where(np.diag(r) < 0.0, -1.0, 1.0)
        return np.asarray(vars(self)["gain"] * (q if rows >= cols else q.T))


class Identity(Initializer):
    """gain on the diagonal, zeros beside it.

    Raises:
        ValueError: when drawn, for a tensor that is no matrix.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self._number("gain", gain)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.asarray(vars(self)["gain"] * np.eye(*_matrix(self, shape)))


class VarianceScaling(Initializer):
    """Variance scale / fan, where mode says which fan.

    Args:
        scale: positive factor.
        mode: "fan_in", "fan_out" or "fan_avg" (their mean).
        distribution: "truncated_normal", "untruncated_normal" or "uniform" (on +-sqrt(3 * variance)).
        seed: fixes the values; without it the model's seed does.

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
            values = _truncated(seed, stream, count) / _TRUNCATED_STDDEV
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
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    _settings = (1.0, "fan_avg", "truncated_normal")


class GlorotUniform(_Scaled):
    """Uniform on +-sqrt(6 / (fan_in + fan_out)); the default of `Dense` kernels."""

    _settings = (1.0, "fan_avg", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in."""

    _settings = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform on +-sqrt(6 / fan_in)."""

    _settings = (2.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in."""

    _settings = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform on +-sqrt(3 / fan_in)."""

    _settings = (1.0, "fan_in", "uniform")


def _matrix(initializer: Initializer, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"[{type(initializer).__name__}] expects the shape of a matrix, got {tuple(shape)}")
    return shape[0], shape[1]


def _truncated(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """Standard normals within +-2: a longer draw begins with the same numbers, so rejection stays a function of
    (seed, stream)."""
    drawn = count + count // 16 + 64
    while True:
        values = _native.random_normal(seed, stream, drawn)
        kept = values[np.abs(values) <= 2.0]
        if kept.size >= count:
            return np.asarray(kept[:count])
        drawn *= 2


_CLASSES: dict[str, type[Initializer]] = {
    kind.__name__: kind
    for kind in (
        *(Zeros, Ones, Constant, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling, Orthogonal, Identity),
        *(GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform),
    )
}
_BY_NAME = {_names.snake_case(name): kind for name, kind in _CLASSES.items()}

_FORMER = {"normal": "random_normal", "uniform": "random_uniform", "zero": "zeros", "one": "ones"}

zeros, ones, constant = Zeros, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal, identity = VarianceScaling, Orthogonal, Identity
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform


def get(identifier: object, owner: str = "initializers", argument: str = "initializer") -> Initializer:
    """The initializer that a name, a class, a configuration or an initializer stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    if isinstance(identifier, str):
        identifier = _FORMER.get(identifier, identifier)
    return _frozen.resolve(identifier, Initializer, _BY_NAME, owner, argument, "an initializer")


__all__ = ["Initializer", "get", "serialize"]
__all__.extend([*_CLASSES, *_BY_NAME])


def __dir__() -> list[str]:
    return sorted(__all__)
