"""What `fit` tells others while it trains."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusednet.models import Sequential

Logs = dict[str, float]


class Callback:
    """Base of callbacks; override what you need. Logs hold `loss`, the metrics and, at an epoch's end, `val_*`.

    Attributes:
        model: the model that is trained. Setting `model.stop_training = True` ends training after the epoch.
        params: {"epochs": ..., "steps": ..., "verbose": ...}.

    Overriding a batch method makes `fit` return to Python after every batch, which costs small models speed.
    """

    model: "Sequential"
    params: dict[str, Any]

    def set_model(self, model: "Sequential") -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None: ...

    def on_train_end(self, logs: Logs | None = None) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    @property
    def wants_batches(self) -> bool:
        """Whether a batch method is overridden."""
        kind = type(self)
        return (
            kind.on_train_batch_begin is not Callback.on_train_batch_begin
            or kind.on_train_batch_end is not Callback.on_train_batch_end
        )


class History(Callback):
    """What `fit` returns: the logs of every epoch.

    Attributes:
        history: name -> values, one an epoch, for example history["val_accuracy"].
        epoch: the epochs' numbers, from `initial_epoch`.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.extend(range(epoch, epoch + 1), {name: [value] for name, value in (logs or {}).items()})

    def extend(self, epochs: range, logs: Mapping[str, list[float]]) -> None:
        """Take in several epochs: name -> values, one an epoch."""
        self.epoch.extend(epochs)
        for name, values in logs.items():
            self.history.setdefault(name, []).extend(values)
