"""What a metric is: a row of the compiled catalogue with its parameters, and the number that is made of its sums."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _names, _native
from fusednet._loss import number

ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.metric_rows()}


class Metric:
    """A row of the catalogue with its parameters and the name that is reported; it cannot be changed.

    Args:
        name: the reported name; without it, Keras's for the class.
        **params: the row's parameters.

    Attributes:
        row: the row of the catalogue that counts.
        labels: True where it goes with losses of integer labels only, False where with others only, else None.

    Raises:
        TypeError, ValueError: for a parameter that does not exist or is no finite number.

    Example:
        >>> from fusednet import metrics
        >>> metrics.Accuracy(name="right").get_config()
        {'threshold': 0.5, 'name': 'right'}
    """

    default: str
    aliases: tuple[str, ...] = ()
    row: str
    labels: bool | None = None
    name: str
    params: Mapping[str, float]

    def __init__(self, name: str | None = None, **params: float) -> None:
        owner = type(self).__name__
        values = dict(ROWS[self.row]["params"])
        for key, value in params.items():
            if key not in values:
                raise TypeError(f"[{owner}] arguments expected: {', '.join([*values, 'name'])}; got {key!r}")
            values[key] = number(owner, key, value)
        object.__setattr__(self, "name", self.default if name is None else _names.checked(owner, name))
        object.__setattr__(self, "params", values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"[{type(self).__name__}] a metric cannot be changed; make a new one")

    def result(self, sums: NDArray[np.float64], outputs: int) -> float:
        """The reported number, from the sums of all batches and the number of the model's outputs."""
        return _ratio(sums[0], sums[1])

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": self.row, "params": list(self.params.values())}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**self.params, "name": self.name}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def make(row: str) -> type[Metric]:
    """The class of a row that reports the first of its sums over the second."""
    kind = "".join(part.capitalize() for part in row.split("_"))
    doc = f"{kind}: {ROWS[row]['formula']}."
    return type(kind, (Metric,), {"default": row, "row": row, "__doc__": doc, "__module__": "fusednet.metrics"})
