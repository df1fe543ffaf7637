"""Penalties on weights and activities: l1 * sum |w| + l2 * sum w**2."""

from collections.abc import Mapping
from typing import Any

from fusednet import _names


class L1L2:
    """l1 * sum |w| + l2 * sum w**2."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for key, value in (("l1", l1), ("l2", l2)):
            if not value >= 0.0:
                raise ValueError(f"[{type(self).__name__}] {key} expects a number of at least 0, got {value!r}")
        self.l1, self.l2 = float(l1), float(l2)

    def native(self) -> list[float]:
        """As the compiled plan reads it."""
        return [self.l1, self.l2]


_NAMES = {"l1": (0.01, 0.0), "l2": (0.0, 0.01), "l1_l2": (0.01, 0.01)}


def get(identifier: object, owner: str = "regularizers", argument: str = "regularizer") -> L1L2 | None:
    """The regularizer that a name, a configuration, a regularizer or None stands for."""
    if identifier is None or isinstance(identifier, L1L2):
        return identifier
    if isinstance(identifier, Mapping):
        return L1L2(**identifier["config"])
    if isinstance(identifier, str):
        if identifier not in _NAMES:
            raise _names.unknown(owner, argument, identifier, _NAMES)
        return L1L2(*_NAMES[identifier])
    raise TypeError(f"[{owner}] {argument} expects a name or a regularizer, got {identifier!r}")


def serialize(regularizer: L1L2) -> dict[str, Any]:
    """The configuration that `get` turns back into the same regularizer."""
    return {"class": "L1L2", "config": {"l1": regularizer.l1, "l2": regularizer.l2}}
