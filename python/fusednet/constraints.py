"""Constraints, as Keras has them: after each update a weight is projected on what its constraint allows.

Norms are Euclidean, of the columns of a kernel (the weights that lead to one unit) or of a whole bias, and summed in
float64. Keras's epsilon of 1e-7 is added to the norm by which a column is divided.

    >>> import numpy as np
    >>> from fusednet import constraints
    >>> constraints.MaxNorm(2.5)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(6).tolist()
    [[1.5, 0.3], [2.0, 0.4]]
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _frozen, _native, ops
from fusednet._frozen import Frozen, number, serialize

_PARAMS = {row["name"]: [key for key, _ in row["params"]] for row in _native.constraint_rows()}


class Constraint(Frozen):
    """What all constraints share."""

    row: str  # name of the compiled kernel

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        """What the constraint makes of float32 or float64 weights, as a new array."""
        values = np.array(w, order="C")
        ops.constrain(self.row, values, **{key: vars(self)[key] for key in _PARAMS[self.row]})
        return values

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": self.row, "params": [float(vars(self)[key]) for key in _PARAMS[self.row]]}

    def _axis(self, axis: int) -> None:
        if axis != 0:
            raise ValueError(f"[{type(self).__name__}] axis expects 0, the columns of a kernel, got {axis!r}")
        self._set(axis=0)


class NonNeg(Constraint):
    """max(w, 0).

    Example:
        >>> from fusednet.constraints import NonNeg
        >>> NonNeg()([-1.0, 2.0]).tolist()
        [0.0, 2.0]
    """

    row = "non_negative"


class MaxNorm(Constraint):
    """w * min(norm, max_value) / (norm + 1e-7).

    Args:
        max_value: the largest norm of a column, at least 0.
        axis: only 0.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Srivastava et al. 2014, section 5.1.

    Example:
        >>> from fusednet.constraints import MaxNorm
        >>> MaxNorm(1.0)([3.0, 4.0]).round(4).tolist()
        [0.6, 0.8]
    """

    row = "max_norm"

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        self._set(max_value=number("MaxNorm", "max_value", max_value))
        self._axis(axis)


class UnitNorm(Constraint):
    """w / (norm + 1e-7).

    Args:
        axis: only 0.

    Raises:
        ValueError: for another axis.

    Example:
        >>> from fusednet.constraints import UnitNorm
        >>> UnitNorm()([3.0, 4.0]).round(4).tolist()
        [0.6, 0.8]
    """

    row = "unit_norm"

    def __init__(self, axis: int = 0) -> None:
        self._axis(axis)


class MinMaxNorm(Constraint):
    """w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (norm + 1e-7).

    Args:
        min_value, max_value: of a column's norm, at least 0 and not below min_value.
        rate: how much of the way is gone at each update, in [0, 1].
        axis: only 0.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Example:
        >>> from fusednet.constraints import MinMaxNorm
        >>> MinMaxNorm(min_value=10.0, max_value=20.0)([3.0, 4.0]).round(4).tolist()
        [6.0, 8.0]
    """

    row = "min_max_norm"

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int = 0) -> None:
        least = number("MinMaxNorm", "min_value", min_value)
        wanted = f"a finite number of at least min_value, {least:g}"
        self._set(
            min_value=least,
            max_value=number("MinMaxNorm", "max_value", max_value, wanted, lambda x: x >= least),
            rate=number("MinMaxNorm", "rate", rate, "a number in [0, 1]", lambda x: 0.0 <= x <= 1.0),
        )
        self._axis(axis)


_BY_NAME: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
}
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm


def get(identifier: object, owner: str = "constraints", argument: str = "constraint") -> Constraint | None:
    """The constraint that a name, a class, a configuration or a constraint stands for; None is none.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else, Python functions included.
    """
    if identifier is None:
        return None
    return _frozen.resolve(identifier, Constraint, _BY_NAME, owner, argument, "a constraint")


deserialize = get
__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]
