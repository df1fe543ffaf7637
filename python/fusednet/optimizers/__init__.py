"""Optimizers, with Keras's names, defaults and conventions: gradient clipping, weight decay, averages, schedules.

Each takes at most one of

- `clipvalue`: every gradient element is clamped to [-clipvalue, clipvalue];
- `clipnorm`: each tensor's gradient g is scaled by min(1, clipnorm / ||g||);
- `global_clipnorm`: all gradients are scaled by min(1, global_clipnorm / ||all of them||).

`learning_rate` can be set at any time, also while the model trains, unless it follows one of
`fusednet.optimizers.schedules`; everything else is fixed.
"""

from fusednet import _frozen
from fusednet._frozen import serialize
from fusednet.optimizers import schedules
from fusednet.optimizers._adam import Adam, Adamax, AdamW, Nadam
from fusednet.optimizers._base import Optimizer
from fusednet.optimizers._gradient import SGD, Lion
from fusednet.optimizers._scaled import Adadelta, Adagrad, RMSprop

_KINDS = (SGD, RMSprop, Adam, AdamW, Nadam, Adamax, Adagrad, Adadelta, Lion)
_BY_NAME: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in _KINDS}


def get(identifier: object, owner: str = "optimizers") -> Optimizer:
    """The optimizer that a name, a class, a configuration or an optimizer stands for.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
        TypeError: for anything else.
    """
    return _frozen.resolve(identifier, Optimizer, _BY_NAME, owner, "optimizer", "an optimizer")


deserialize = get
__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
