"""Names: those of the catalogue, with a hint where one is misspelt, and those given to layers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

ACTIVATION_ALIASES = {"swish": "silu", "hard_swish": "hard_silu", "logistic": "sigmoid"}  # Keras's second names

_counts: dict[str, int] = {}


def unknown(owner: str, argument: str, given: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not in the catalogue: it lists the known ones and the nearest."""
    import difflib  # here, since it costs import time and errors are rare

    names = list(known)
    near = difflib.get_close_matches(str(given).lower(), [name.lower() for name in names], n=1)
    hint = next((f" (did you mean {name!r}?)" for name in names if near and name.lower() == near[0]), "")
    return ValueError(f"[{owner}] {argument} expects one of {', '.join(names)}; got {given!r}{hint}")


def snake_case(name: str) -> str:
    """BatchNormalization -> batch_normalization, LeakyReLU -> leaky_re_lu, as Keras names its layers."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def automatic(class_name: str) -> str:
    """The next free automatic name: dense, dense_1, dense_2, ..."""
    stem = snake_case(class_name)
    count = _counts.get(stem, 0)
    _counts[stem] = count + 1
    return f"{stem}_{count}" if count else stem


def reset() -> None:
    """Start automatic names from the beginning again."""
    _counts.clear()


def checked(owner: str, name: object) -> str:
    """A name given by the user, which tensors, error messages and files will carry."""
    if not isinstance(name, str):
        raise TypeError(f"[{owner}] name expects a string, got {name!r}")
    if not name or "/" in name or not name.isprintable():
        raise ValueError(f"[{owner}] name expects printable characters other than '/', got {name!r}")
    return name


def sourced(row: Mapping[str, Any]) -> str:
    """The paragraph of a docstring that gives a row's source, or nothing."""
    return f"Source: {row['source']}.\n\n" if row["source"] else ""
