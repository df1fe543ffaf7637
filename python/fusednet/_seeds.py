"""Seeds. Every random number is a function of (seed, stream, position), so a model that knows its seed and its
epoch can be resumed anywhere."""

import operator
import os

_LIMIT = 1 << 64
_ORDER_STREAM = 0  # + epoch: the order of an epoch's samples
_WEIGHT_STREAM = 1 << 32  # + tensor number: a tensor's first values

_state: dict[str, int | None] = {"seed": None, "drawn": 0}


def checked_seed(owner: str, seed: object) -> int:
    """A seed as an integer in 0 .. 2**64 - 1."""
    try:
        value = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"[{owner}] seed expects an integer, got {seed!r}") from None
    if isinstance(seed, bool) or not 0 <= value < _LIMIT:
        raise ValueError(f"[{owner}] seed expects an integer in 0..2**64 - 1, got {seed!r}")
    return value


def set_global_seed(seed: int) -> None:
    """Make the seeds that models and initialisers draw for themselves a fixed sequence."""
    _state["seed"] = checked_seed("set_random_seed", seed)
    _state["drawn"] = 0


def next_seed() -> int:
    """A seed for an object that was given none: from the global seed if one is set, else from the system."""
    seed, drawn = _state["seed"], _state["drawn"] or 0
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    _state["drawn"] = drawn + 1
    return _mix(seed + drawn * 0x9E3779B97F4A7C15)


def order_stream(epoch: int) -> int:
    return _ORDER_STREAM + epoch


def weight_stream(tensor: int) -> int:
    return _WEIGHT_STREAM + tensor


def _mix(z: int) -> int:
    """The output function of splitmix64, so that neighbouring seeds give unrelated ones."""
    z = (z + 0x9E3779B97F4A7C15) % _LIMIT
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % _LIMIT
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % _LIMIT
    return z ^ (z >> 31)
