"""What small descriptions share (initializers, constraints, regularizers, schedules): attributes that are the
constructor's arguments and cannot be changed; and for all of them the way back from a name or a configuration."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from fusednet import _names

_D = TypeVar("_D")


class Frozen:
    """An object made of its constructor's arguments: equal to, printed like and saved as these."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        return dict(vars(self))

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        raise AttributeError(f"[{kind}] {name} cannot be set: a description cannot be changed; make a new {kind}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def _set(self, **values: object) -> None:
        vars(self).update(values)


def number(
    owner: str,
    argument: str,
    value: object,
    wanted: str = "a finite number of at least 0",
    valid: Callable[[float], bool] = lambda x: x >= 0.0,
) -> float:
    """A finite number of the domain that `wanted` states and `valid` tests."""
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"[{owner}] {argument} expects {wanted}, got {value!r}") from None
    if not math.isfinite(result) or not valid(result):
        raise ValueError(f"[{owner}] {argument} expects {wanted}, got {value!r}")
    return result


def resolve(
    identifier: object, kind: type[_D], names: Mapping[str, type[_D]], owner: str, argument: str, what: str
) -> _D:
    """The object that a name, a class, a configuration or such an object stands for. `names` holds the names that
    errors list; a class's own name is one as well, in any case.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    if isinstance(identifier, kind):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, kind) and identifier is not kind:
        return identifier()
    config: dict[str, Any] = {}
    if isinstance(identifier, Mapping) and set(identifier) == {"class", "config"}:
        config = dict(identifier["config"])
        identifier = identifier["class"]
    if not isinstance(identifier, str):
        raise TypeError(f"[{owner}] {argument} expects a name or {what}, got {identifier!r}")
    classes = {found.__name__.lower(): found for found in names.values()}
    found = names.get(identifier) or classes.get(identifier.lower())
    if found is None:
        raise _names.unknown(owner, argument, identifier, names)
    return found(**config)


class Described(Protocol):
    """What says its constructor's arguments."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""


def serialize(description: Described) -> dict[str, Any]:
    """The configuration that `get` turns back into an equal object."""
    return {"class": type(description).__name__, "config": description.get_config()}
