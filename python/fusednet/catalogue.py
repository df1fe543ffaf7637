"""The catalogue: every activation, layer, initializer, optimizer, schedule, loss, metric, regularizer, constraint and
noise that this build has.

Rows come from the compiled tables and the classes of this package; nothing is listed by hand. `fusednet catalogue`
prints them with figures computed then and there.

    >>> from fusednet import catalogue
    >>> row, = [row for row in catalogue.rows("activation") if row.name == "elu"]
    >>> row.python, row.formula
    (('layers.ELU',), 'x if x > 0 else alpha * (exp(x) - 1)')
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fusednet import (
    _activation_layers,
    _names,
    _native,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from fusednet.layers import noise
from fusednet.optimizers import schedules


@dataclass(frozen=True)
class Row:
    """One row of the catalogue.

    Attributes:
        kind: one of `KINDS`.
        name: as the compiled tables have it; of a layer, initializer or regularizer the class's name.
        python: what makes it in Python, for example ("layers.ELU",).
        formula: the formula, or one line.
        params: the names of its parameters and their defaults as Python spells them; "" for none.
        source: where it comes from, with section or equation; empty for what everybody knows.
    """

    kind: str
    name: str
    python: tuple[str, ...]
    formula: str
    params: Mapping[str, str]
    source: str


def _activations() -> Iterator[Row]:
    for row in _native.activation_rows():
        kind = layers.CLASSES[_activation_layers.class_name(row["name"])]
        yield _of_class("activation", row["name"], kind, "layers", row["formula"], _numbers(row), row["source"])


def _layers() -> Iterator[Row]:
    for kind in layers.CLASSES.values():
        if kind.__name__ not in _activation_layers.CLASSES and kind.__name__ not in noise.CLASSES:
            yield _of_class("layer", kind.__name__, kind, "layers")


def _noises() -> Iterator[Row]:
    for row, kind in zip(_native.noise_rows(), noise.CLASSES.values(), strict=True):
        params = dict.fromkeys(dict(row["params"]), "")
        yield _of_class("noise", row["name"], kind, "layers", row["formula"], params, row["source"])


def _initializers() -> Iterator[Row]:
    for kind in _classes(initializers, initializers.Initializer):
        yield _of_class("initializer", kind.__name__, kind, "initializers")


def _regularizers() -> Iterator[Row]:
    for kind in _classes(regularizers, regularizers.Regularizer):
        yield _of_class("regularizer", kind.__name__, kind, "regularizers")


def _optimizers() -> Iterator[Row]:
    made = list(optimizer_variants())
    for row in _native.optimizer_rows():
        python = tuple(text for text, instance in made if instance.row == row["name"])
        yield Row("optimizer", row["name"], python, row["formula"], _numbers(row, "hyper"), row["source"])


def optimizer_variants() -> Iterator[tuple[str, optimizers.Optimizer]]:
    """Each optimizer with its flags and momentum off and on, one for each row that it uses, and how it is written."""
    for kind in _classes(optimizers, optimizers.Optimizer):
        signature = inspect.signature(kind).parameters
        options: dict[str, list[Any]] = {
            key: [False, True] if p.default is False else [0.0, 0.9]
            for key, p in signature.items()
            if p.default is False or key == "momentum"
        }
        seen = set()
        for given in _choices(options):
            instance = kind(**given)
            if instance.row not in seen:
                seen.add(instance.row)
                text = ", ".join(f"{key}={value}" for key, value in given.items() if value)
                yield f"optimizers.{kind.__name__}" + f"({text})" * bool(text), instance


def _choices(options: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """All ways to set options, those with the fewest changes first."""
    found: list[dict[str, Any]] = [{}]
    for key, values in options.items():
        found = [{**given, key: value} for given in found for value in values]
    return sorted(found, key=lambda given: sum(map(bool, given.values())))


def _schedules() -> Iterator[Row]:
    kinds = {kind.row: kind for kind in _classes(schedules, schedules.LearningRateSchedule)}
    for row in _native.schedule_rows():
        kind = kinds.get(row["name"])
        if kind is None:
            yield Row("schedule", row["name"], ("a number",), row["formula"], dict.fromkeys(row["params"], ""), "")
        else:
            yield _of_class("schedule", row["name"], kind, "optimizers.schedules", row["formula"])


def _losses() -> Iterator[Row]:
    made: dict[str, list[str]] = {}
    for kind in _classes(losses, losses.Loss):
        name = loss_row(kind.name)
        made.setdefault(name, []).append(f"losses.{kind.__name__}")
        for logits in _ROWS_OF_LOGITS.get(name, ()):
            made.setdefault(logits, []).append(f"losses.{kind.__name__}(from_logits=True)")
    for row in _native.loss_rows():
        python = tuple(made.get(row["name"], ()))
        source = row["source"]
        yield Row("loss", row["name"], python, row["formula"], _numbers(row), source)


def loss_row(name: str) -> str:
    """The row that computes the loss of this name: of its own name, or of the longest that its name ends in."""
    ends: list[str] = [row["name"] for row in _native.loss_rows() if name.endswith(row["name"])]
    return max(ends, key=len)


_ROWS_OF_LOGITS: dict[str, list[str]] = {}
for _row in _native.loss_rows():
    if _row["logits_of"]:
        _ROWS_OF_LOGITS.setdefault(_row["logits_of"], []).append(_row["name"])


def _metrics() -> Iterator[Row]:
    kinds = _classes(metrics, metrics.Metric)
    for row in _native.metric_rows():
        python = tuple(f"metrics.{kind.__name__}" for kind in kinds if kind.row == row["name"])
        yield Row("metric", row["name"], python, row["formula"], _numbers(row), "")


def _constraints() -> Iterator[Row]:
    kinds = {kind.row: kind for kind in _classes(constraints, constraints.Constraint)}
    for row in _native.constraint_rows():
        yield _of_class("constraint", row["name"], kinds[row["name"]], "constraints", row["formula"])


_OF_KIND: dict[str, Callable[[], Iterator[Row]]] = {
    "activation": _activations,
    "layer": _layers,
    "noise": _noises,
    "initializer": _initializers,
    "optimizer": _optimizers,
    "schedule": _schedules,
    "loss": _losses,
    "metric": _metrics,
    "regularizer": _regularizers,
    "constraint": _constraints,
}
KINDS = tuple(_OF_KIND)


def rows(kind: str | None = None) -> list[Row]:
    """The rows of one kind, or of all.

    Args:
        kind: one of `KINDS`, or None.

    Raises:
        ValueError: for an unknown kind; the message lists the known ones.

    Example:
        >>> from fusednet import catalogue
        >>> [row.name for row in catalogue.rows("regularizer")]
        ['L1', 'L1L2', 'L2']
    """
    if kind is not None and kind not in _OF_KIND:
        raise _names.unknown("catalogue", "kind", kind, KINDS)
    return [row for name in KINDS if kind in (None, name) for row in _OF_KIND[name]()]


def _classes(module: Any, base: type) -> list[type[Any]]:
    """The public classes of a module that are of this base, each once."""
    found = (getattr(module, name) for name in module.__all__)
    kinds = [kind for kind in found if isinstance(kind, type) and issubclass(kind, base) and kind is not base]
    return list(dict.fromkeys(kinds))


def _of_class(
    kind: str,
    name: str,
    made_by: type,
    module: str,
    formula: str = "",
    params: Mapping[str, str] | None = None,
    source: str = "",
) -> Row:
    defaults = _defaults(made_by) if params is None else params
    python = (f"{module}.{made_by.__name__}",)
    return Row(kind, name, python, formula or _summary(made_by), defaults, source or _source(made_by))


def _numbers(row: Mapping[str, Any], key: str = "params") -> dict[str, str]:
    return {name: f"{value:.6g}" for name, value in row[key]}


# Arguments that every description may have.
_COMMON = ("name", "trainable", "input_shape", "learning_rate_multiplier", "seed")


def _defaults(kind: type) -> dict[str, str]:
    """The constructor's arguments; "" where one has to be given."""
    plain = not any("__init__" in vars(base) for base in kind.__mro__[:-1])  # object's takes none
    found = {} if plain else inspect.signature(kind).parameters
    return {
        key: "" if p.default is p.empty else repr(p.default)
        for key, p in found.items()
        if key not in _COMMON and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _summary(kind: type) -> str:
    """The first line of a docstring, up to a full stop that ends a sentence."""
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def _source(kind: type) -> str:
    """What a docstring gives as its source."""
    found = re.search(r"^Sources?: (.*?)(?=\n\n|\Z)", inspect.getdoc(kind) or "", re.MULTILINE | re.DOTALL)
    return " ".join(found.group(1).split()).rstrip(".") if found else ""
