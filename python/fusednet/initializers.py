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

import numpy as np
from numpy.typing import NDArray

from fusednet import _frozen, _names, _native
from fusednet._frozen import serialize
from fusednet._initializer import Initializer, truncated
from fusednet._initializers_scaled import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)


class Zeros(Initializer):
    """All zeros. A kernel of zeros never learns: every unit has the same gradient.

    Example:
        >>> from fusednet.initializers import Zeros
        >>> Zeros()((3,)).tolist()
        [0.0, 0.0, 0.0]
    """

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.zeros(shape)


class Ones(Initializer):
    """All ones.

    Example:
        >>> from fusednet.initializers import Ones
        >>> Ones()((3,)).tolist()
        [1.0, 1.0, 1.0]
    """

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.ones(shape)


class Constant(Initializer):
    """All equal to `value`.

    Args:
        value: any finite number.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.initializers import Constant
        >>> Constant(0.25)((3,)).tolist()
        [0.25, 0.25, 0.25]
    """

    def __init__(self, value: float = 0.0) -> None:
        self._number("value", value)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.full(shape, float(vars(self)["value"]))


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation.

    Args:
        mean: of the values.
        stddev: at least 0.
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.initializers import RandomNormal
        >>> w = RandomNormal(stddev=2.0, seed=1)((400, 300), dtype="float64")
        >>> bool(abs(w.std() - 2.0) < 0.02)
        True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self._number("mean", mean)
        self._number("stddev", stddev, least=0.0)
        self._seed(seed)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        values = _native.random_normal(seed, stream, math.prod(shape)).reshape(shape)
        return np.asarray(vars(self)["mean"] + vars(self)["stddev"] * values)


class TruncatedNormal(RandomNormal):
    """Normal with values beyond two standard deviations drawn again.

    Args:
        mean, stddev: before values are drawn again; the result's deviation is 0.88 stddev.
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.initializers import TruncatedNormal
        >>> bool(abs(TruncatedNormal(stddev=1.0, seed=1)((400, 300))).max() <= 2.0)
        True
    """

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        values = truncated(seed, stream, math.prod(shape)).reshape(shape)
        return np.asarray(vars(self)["mean"] + vars(self)["stddev"] * values)


class RandomUniform(Initializer):
    """Uniform on [minval, maxval).

    Args:
        minval, maxval: maxval is at least minval.
        seed: fixes the values; without it the model's seed does.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.initializers import RandomUniform
        >>> w = RandomUniform(-1.0, 3.0, seed=1)((400, 300))
        >>> bool(w.min() >= -1.0), bool(w.max() < 3.0)
        (True, True)
    """

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

    Args:
        gain: factor, any finite number.

    Raises:
        ValueError: when drawn, for a tensor that is no matrix.

    Example:
        >>> from fusednet.initializers import Identity
        >>> Identity(2.0)((2, 3)).tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self._number("gain", gain)

    def draw(self, shape: Sequence[int], seed: int, stream: int) -> NDArray[np.float64]:
        return np.asarray(vars(self)["gain"] * np.eye(*_matrix(self, shape)))


def _matrix(initializer: Initializer, shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"[{type(initializer).__name__}] expects the shape of a matrix, got {tuple(shape)}")
    return shape[0], shape[1]


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


deserialize = get
__all__ = ["Initializer", "deserialize", "get", "serialize"]
__all__.extend([*_CLASSES, *_BY_NAME])


def __dir__() -> list[str]:
    return sorted(__all__)
