"""Optimizer steps, norms and clipping."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.optimizer_rows()}


def optimizer_update(
    optimizer: str,
    w: Array,
    g: ArrayLike,
    slots: Sequence[Array] = (),
    *,
    step: int = 1,
    hyper: Sequence[float],
    scale: float = 1.0,
    clip_value: float | None = None,
    isa: str | None = None,
) -> None:
    """One step of an optimizer on one array, in place.

    Args:
        optimizer: name of a row, for example "adam".
        w: the weights, any shape, C-contiguous; updated.
        g: the gradient, of w's shape and type; it enters as clamp(g * scale, +-clip_value).
        slots: the row's state arrays, of w's shape and type; updated.
        step: number of the step, from 1: Adam's bias correction needs it.
        hyper: the row's hyper-parameters in order, the learning rate first.
        scale: factor of the gradient, for example from `clip_by_norm`.
        clip_value: largest magnitude of a gradient element, None for no limit.
        isa: see the module.

    Raises:
        ValueError, TypeError: wrong shapes, types or numbers of arguments; nothing has changed then.

    Sources: Kingma & Ba 2015, algorithm 1 (adam); Tieleman & Hinton 2012 (rmsprop); Sutskever et al. 2013, eq. 1 to
    4 (momentum). `fusednet.optimizers` states the formulas.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
        >>> ops.adam_update(w, np.array([1.0, -2.0, 0.5]), m, v, step=1, learning_rate=0.1)
        >>> w.round(4).tolist()
        [-0.1, 0.1, -0.1]
    """
    if optimizer not in _ROWS:
        raise _names.unknown("optimizer_update", "optimizer", optimizer, _ROWS)
    op = f"{optimizer}_update"
    w = _arrays.in_place(op, "w", w)
    g = _arrays.array(op, "g", g, w.dtype)
    if g.shape != w.shape:
        raise ValueError(f"[{op}] 'g' expects shape {w.shape} as w has, got {g.shape}")
    state = []
    for name, slot in zip(_ROWS[optimizer]["slots"], slots, strict=False):
        slot = _arrays.in_place(op, name, slot)
        if slot.dtype != w.dtype:
            raise TypeError(f"[{op}] {name!r} expects {w.dtype} as w has, got {slot.dtype}")
        if slot.shape != w.shape:
            raise ValueError(f"[{op}] {name!r} expects shape {w.shape} as w has, got {slot.shape}")
        state.append(slot.reshape(-1))
    if len(slots) != len(_ROWS[optimizer]["slots"]):
        names = ", ".join(_ROWS[optimizer]["slots"]) or "none"
        raise ValueError(f"[{op}] 'slots' expects {names}, got {len(slots)} arrays")
    _native.optimizer_update(
        optimizer, w.reshape(-1), np.ascontiguousarray(g).reshape(-1), state, step, list(hyper), scale, clip_value, isa
    )


def squared_norm(x: ArrayLike, *, isa: str | None = None) -> float:
    """sum(x**2), summed in float64.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.squared_norm(np.array([3.0, 4.0]))
        25.0
    """
    values = np.ascontiguousarray(_arrays.array("squared_norm", "x", x))
    return float(_native.squared_norm(_arrays.flat("squared_norm", "x", values), isa))


def global_norm(arrays: Iterable[ArrayLike], *, isa: str | None = None) -> float:
    """sqrt(sum of x**2 over all elements of all arrays): the norm that `global_clipnorm` limits."""
    return math.sqrt(math.fsum(squared_norm(x, isa=isa) for x in arrays))


def clip_by_value(g: Array, clipvalue: float) -> None:
    """Clamp every element to +-clipvalue, in place. NaN stays NaN."""
    limit = _positive("clip_by_value", "clipvalue", clipvalue)
    np.clip(g, -limit, limit, out=g)


def clip_by_norm(g: Array, clipnorm: float) -> float:
    """g *= min(1, clipnorm / ||g||), in place; returns ||g|| as it was.

    Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.
    """
    return clip_by_global_norm([g], _positive("clip_by_norm", "clipnorm", clipnorm))


def clip_by_global_norm(gradients: Iterable[Array], global_clipnorm: float) -> float:
    """Scale all arrays by min(1, global_clipnorm / global_norm), in place; returns the global norm as it was.

    Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> g = [np.array([3.0]), np.array([4.0])]
        >>> ops.clip_by_global_norm(g, 1.0), g[1].tolist()
        (5.0, [0.8])
    """
    limit = _positive("clip_by_global_norm", "global_clipnorm", global_clipnorm)
    arrays = list(gradients)
    norm = global_norm(arrays)
    if norm > limit:
        for g in arrays:
            g *= g.dtype.type(limit / norm)
    return norm


def _positive(op: str, name: str, value: float) -> float:
    if not value > 0.0:
        raise ValueError(f"[{op}] {name!r} expects a positive number, got {value!r}")
    return float(value)
