"""Optimizer steps, norms, clipping, constraints and penalties."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _device, _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.optimizer_rows()}
NUMBERS = {name: number for number, name in enumerate(_ROWS)}
_CONSTRAINTS: dict[str, dict[str, float]] = {row["name"]: dict(row["params"]) for row in _native.constraint_rows()}


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
    decay: float = 0.0,
    average: Array | None = None,
    average_momentum: float = 0.0,
    isa: str | None = None,
) -> None:
    """One step of an optimizer on one array, in place.

    w = w - decay * w; then the optimizer's step; then, where an average is given,
    average = average_momentum * average + (1 - average_momentum) * w.

    Args:
        optimizer: name of a row, for example "adam".
        w: the weights, any shape, C-contiguous; updated.
        g: the gradient, of w's shape and type; it enters as clamp(g * scale, +-clip_value).
        slots: the row's state arrays, of w's shape and type, from `optimizer_slots`; updated.
        step: number of the step, from 1: the corrections for the slots' start need it.
        hyper: the row's hyper-parameters in order, the learning rate first.
        scale: factor of the gradient, for example from `clip_by_norm`.
        clip_value: largest magnitude of a gradient element, None for no limit.
        decay: learning rate times weight decay.
        average: of the weights, of w's shape and type; updated, with all it holds finite before.
        average_momentum: what the average keeps; 0 makes it a copy.
        isa: see the module.

    Raises:
        ValueError, TypeError: wrong shapes, types or numbers of arguments; nothing has changed then.

    `fusednet.optimizers` states formulas and sources.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> w, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
        >>> ops.adam_update(w, np.array([1.0, -2.0, 0.5]), m, v, step=1, learning_rate=0.1)
        >>> w.round(4).tolist()
        [-0.1, 0.1, -0.1]
    """
    number = NUMBERS.get(optimizer)
    if number is None:
        raise _names.unknown("optimizer_update", "optimizer", optimizer, _ROWS)
    plain = average is None and isa is None
    if plain and _native.ready_optimizer_update(number, w, g, slots, step, hyper, scale, clip_value, decay):
        return
    op = f"{optimizer}_update"
    w = _arrays.in_place(op, "w", w)
    g = _arrays.array(op, "g", g, w.dtype)
    if g.shape != w.shape:
        raise ValueError(f"[{op}] 'g' expects shape {w.shape} as w has, got {g.shape}")
    names = list(_ROWS[optimizer]["slots"])
    if len(slots) != len(names):
        raise ValueError(f"[{op}] 'slots' expects {', '.join(names) or 'none'}, got {len(slots)} arrays")
    state = [_state(op, name, slot, w) for name, slot in zip(names, slots, strict=True)]
    mean = None if average is None else _state(op, "average", average, w)
    flat_g = _arrays.contiguous(op, "g", g).reshape(-1)
    _native.optimizer_update(
        optimizer, w.reshape(-1), flat_g, state, step, list(hyper), scale, clip_value, isa, decay, mean,
        average_momentum,
    )  # fmt: skip


def optimizer_slots(optimizer: str, w: Array, **hyper: float) -> list[Array]:
    """An optimizer's state before its first step: arrays of w's shape and type, in the row's order.

    Args:
        optimizer: name of a row, for example "adam".
        w: the weights.
        **hyper: hyper-parameters by name, where a first value is one, as AdaGrad's initial_accumulator_value.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.optimizer_slots("adagrad", np.zeros(2), initial_accumulator_value=0.5)
        [array([0.5, 0.5])]
    """
    if optimizer not in _ROWS:
        raise _names.unknown("optimizer_slots", "optimizer", optimizer, _ROWS)
    values = _arrays.parameters("optimizer_slots", dict(_ROWS[optimizer]["hyper"]), hyper)
    like = _arrays.anywhere("optimizer_slots", "w", w)
    return [_arrays.full(like, like.shape, first) for first in _native.optimizer_first_values(optimizer, values)]


def constrain(name: str, w: Array, *, isa: str | None = None, **params: float) -> None:
    """Project weights on what a constraint allows, in place.

    Args:
        name: a row of the catalogue: "non_negative", "max_norm", "unit_norm" or "min_max_norm".
        w: (n, c), float32 or float64, C-contiguous; updated. Norms are those of its columns; a vector is one column.
        isa: see the module.
        **params: the row's parameters by name.

    `fusednet.constraints` states formulas and defaults.

    Raises:
        ValueError, TypeError: for an unknown name or parameter, a wrong shape or type; nothing has changed then.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> w = np.array([[3.0], [4.0]])
        >>> ops.constrain("max_norm", w, max_value=2.5)
        >>> w.round(6).tolist()
        [[1.5], [2.0]]
    """
    if name not in _CONSTRAINTS:
        raise _names.unknown("constrain", "name", name, _CONSTRAINTS)
    w = _arrays.in_place(name, "w", w)
    if w.ndim not in (1, 2):
        raise ValueError(f"[{name}] 'w' expects shape (n, c) or (n,), got {w.shape}")
    values = _arrays.parameters(name, _CONSTRAINTS[name], params)
    _native.constrain(name, w.reshape(-1, 1) if w.ndim == 1 else w, values, isa)


def penalty(w: ArrayLike, *, l1: float = 0.0, l2: float = 0.0, g: Array | None = None, isa: str | None = None) -> float:
    """l1 * sum(abs(w)) + l2 * sum(w**2), summed in float64; its gradient is added to g where that is given.

    Args:
        w: weights, float32 or float64, of any shape.
        l1, l2: factors of at least 0.
        g: of w's shape and type, C-contiguous; g += l1 * sign(w) + 2 * l2 * w, with sign(0) = 0.
        isa: see the module.

    Raises:
        ValueError, TypeError: for a factor below 0, a wrong shape or type; nothing has changed then.

    Source: Zou & Hastie 2005, eq. 3.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> g = np.zeros(2)
        >>> ops.penalty(np.array([1.0, -2.0]), l1=0.5, l2=0.25, g=g), g.tolist()
        (2.75, [1.0, -1.5])
    """
    values = _arrays.contiguous("penalty", "w", _arrays.array("penalty", "w", w))
    for factor, given in (("l1", l1), ("l2", l2)):
        if not 0.0 <= given < math.inf:
            raise ValueError(f"[penalty] {factor!r} expects a finite number of at least 0, got {given!r}")
    flat = values.reshape(-1)
    if g is not None:
        _native.penalty_gradient(flat, _state("penalty", "g", g, values), l1, l2, isa)
    return _native.penalty(flat, l1, l2, isa)


def _state(op: str, name: str, value: Array, w: Array) -> Array:
    """An array that is updated beside w, flat."""
    state = _arrays.in_place(op, name, value)
    if state.dtype != w.dtype:
        raise TypeError(f"[{op}] {name!r} expects {w.dtype} as w has, got {state.dtype}")
    if state.shape != w.shape:
        raise ValueError(f"[{op}] {name!r} expects shape {w.shape} as w has, got {state.shape}")
    return state.reshape(-1)


def squared_norm(x: ArrayLike, *, isa: str | None = None) -> float:
    """sum(x**2), summed in float64.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.squared_norm(np.array([3.0, 4.0]))
        25.0
    """
    if _arrays.ready(x):
        ready: Any = x
        return _native.squared_norm(ready, isa)
    values = _arrays.contiguous("squared_norm", "x", _arrays.array("squared_norm", "x", x))
    return float(_native.squared_norm(_arrays.flat("squared_norm", "x", values), isa))


def global_norm(arrays: Iterable[ArrayLike], *, isa: str | None = None) -> float:
    """sqrt(sum of x**2 over all elements of all arrays): the norm that `global_clipnorm` limits."""
    return math.sqrt(math.fsum(squared_norm(x, isa=isa) for x in arrays))


def clip_by_value(g: Array, clipvalue: float) -> None:
    """Clamp every element to +-clipvalue, in place. NaN stays NaN."""
    limit = _positive("clip_by_value", "clipvalue", clipvalue)
    if _device.found("clip_by_value", "'g'", g) is None:
        np.clip(g, -limit, limit, out=g)
        return
    there = _arrays.in_place("clip_by_value", "g", g).reshape(1, -1)
    clipped = _arrays.full(there, there.shape, 0)  # 0 - (-1) * g, the gradient of a step clipped
    optimizer_update("sgd", clipped, there, hyper=[-1.0], clip_value=limit)
    _native.scaled_add(None, clipped, None, there)


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
            _scale(g, limit / norm)
    return norm


def _scale(g: Array, factor: float) -> None:
    if _device.found("clip_by_global_norm", "'gradients'", g) is None:
        g *= g.dtype.type(factor)
        return
    row = _arrays.in_place("clip_by_global_norm", "gradients", g).reshape(1, -1)
    _native.scaled_add(None, row, _arrays.full(row, 1, factor), row)


def _positive(op: str, name: str, value: float) -> float:
    if not value > 0.0:
        raise ValueError(f"[{op}] {name!r} expects a positive number, got {value!r}")
    return float(value)
