"""Constraints on weights, applied after each update."""

from collections.abc import Mapping
from typing import Any

from fusednet import _names


class NonNeg:
    """w = max(w, 0)."""

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": "non_negative", "params": []}


def get(identifier: object, owner: str = "constraints", argument: str = "constraint") -> NonNeg | None:
    """The constraint that a name, a configuration, a constraint or None stands for."""
    if identifier is None or isinstance(identifier, NonNeg):
        return identifier
    if isinstance(identifier, Mapping):
        identifier = "non_neg"
    if isinstance(identifier, str):
        if identifier != "non_neg":
            raise _names.unknown(owner, argument, identifier, ["non_neg"])
        return NonNeg()
    raise TypeError(f"[{owner}] {argument} expects a name or a constraint, got {identifier!r}")


def serialize(constraint: NonNeg) -> dict[str, Any]:
    """The configuration that `get` turns back into the same constraint."""
    return {"class": type(constraint).__name__, "config": {}}
