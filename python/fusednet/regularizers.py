"""Penalties on weights or outputs, as Keras has them: they are added to the loss and to its gradient.

`"l1"`, `"l2"` and `"l1_l2"` stand for the classes with factors of 0.01.

    >>> import numpy as np
    >>> from fusednet import regularizers
    >>> regularizers.L1L2(l1=0.1, l2=0.5)(np.array([1.0, -2.0]))
    2.8
"""

from numpy.typing import ArrayLike

from fusednet import _frozen, ops
from fusednet._frozen import Frozen, number, serialize


class Regularizer(Frozen):
    """l1 * sum(abs(w)) + l2 * sum(w**2), whose gradient is l1 * sign(w) + 2 * l2 * w, with sign(0) = 0.

    Example:
        >>> from fusednet.regularizers import L2
        >>> L2(0.5)([3.0, 4.0])
        12.5
    """

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, w: ArrayLike) -> float:
        """The penalty of float32 or float64 weights, summed in float64."""
        return ops.penalty(w, l1=self.l1, l2=self.l2)

    def native(self) -> list[float]:
        """As the compiled plan reads it."""
        return [self.l1, self.l2]

    def _factors(self, **factors: object) -> None:
        self._set(**{key: number(type(self).__name__, key, value) for key, value in factors.items()})


class L1(Regularizer):
    """l1 * sum(abs(w)).

    Args:
        l1: at least 0.

    Raises:
        ValueError, TypeError: for a factor outside its domain.

    Source: Tibshirani 1996 (lasso).

    Example:
        >>> from fusednet.regularizers import L1
        >>> L1(0.5)([3.0, -4.0])
        3.5
    """

    def __init__(self, l1: float = 0.01) -> None:
        self._factors(l1=l1)


class L2(Regularizer):
    """l2 * sum(w**2): no half, so the gradient is 2 * l2 * w, as in Keras.

    Args:
        l2: at least 0.

    Raises:
        ValueError, TypeError: for a factor outside its domain.

    Source: Hoerl & Kennard 1970 (ridge regression).

    Example:
        >>> from fusednet.regularizers import L2
        >>> L2(0.5)([3.0, -4.0])
        12.5
    """

    def __init__(self, l2: float = 0.01) -> None:
        self._factors(l2=l2)


class L1L2(Regularizer):
    """l1 * sum(abs(w)) + l2 * sum(w**2), the elastic net.

    Args:
        l1, l2: at least 0.

    Raises:
        ValueError, TypeError: for a factor outside its domain.

    Source: Zou & Hastie 2005, eq. 3.

    Example:
        >>> from fusednet.regularizers import L1L2
        >>> L1L2(l1=0.5, l2=0.5)([3.0, -4.0])
        16.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self._factors(l1=l1, l2=l2)


_BY_NAME: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}
l1, l2, l1_l2 = L1, L2, L1L2


def get(identifier: object, owner: str = "regularizers", argument: str = "regularizer") -> Regularizer | None:
    """The regularizer that a name, a class, a configuration or a regularizer stands for; None is none.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else, Python functions included.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and identifier.lower() in ("l1_l2", "l1l2"):
        return L1L2(0.01, 0.01)  # as a name it is a penalty; as a class it starts without one
    return _frozen.resolve(identifier, Regularizer, _BY_NAME, owner, argument, "a regularizer")


deserialize = get
__all__ = ["L1", "L1L2", "L2", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2", "serialize"]
