"""What a learning-rate schedule is."""

from typing import Any

from fusednet import _names, _native
from fusednet._frozen import Frozen, number

_POSITIVE = ("a positive number", lambda x: x > 0.0)
_PARAMS: dict[str, list[str]] = {row["name"]: row["params"] for row in _native.schedule_rows()}


class LearningRateSchedule(Frozen):
    """What all schedules share: they are called with a step and cannot be changed.

    Example:
        >>> from fusednet.optimizers.schedules import ExponentialDecay
        >>> ExponentialDecay(0.1, 10, 0.5).native()
        {'name': 'exponential_decay', 'params': [0.1, 10.0, 0.5, 0.0]}
    """

    row: str  # name of the compiled function

    def params(self) -> list[float]:
        """The row's parameters in its order."""
        raise NotImplementedError

    def __call__(self, step: float) -> float:
        """The learning rate after `step` updates.

        Raises:
            ValueError, TypeError: for a step that is no number of at least 0.
        """
        t = number(type(self).__name__, "step", step)
        return _native.schedule_value(self.row, self.params(), t)

    def native(self) -> dict[str, Any]:
        """As the compiled plan reads it."""
        return {"name": self.row, "params": self.params()}

    def _numbers(self, **values: Any) -> list[float]:
        return [float({**vars(self), **values}[key]) for key in _PARAMS[self.row]]

    def _steps(self, **values: object) -> None:
        for key, value in values.items():
            self._set(**{key: number(type(self).__name__, key, value, *_POSITIVE)})

    def _rates(self, **values: object) -> None:
        for key, value in values.items():
            self._set(**{key: number(type(self).__name__, key, value)})


def named(schedule: LearningRateSchedule, name: str | None) -> str:
    kind = type(schedule).__name__
    return kind if name is None else _names.checked(kind, name)
