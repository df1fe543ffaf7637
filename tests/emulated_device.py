"""What the emulated device counts for tests, and what it does wrong for them; of the calling thread."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator

from fusednet import _native

WAIT, TRANSFER, KERNEL, ALLOCATION = range(4)


def _function(name: str, result: object = None):
    found = getattr(ctypes.CDLL(_native.__file__), f"fusednet_emulated_{name}")
    found.restype = result
    return found


def count(what: int, call: Callable[[], object]) -> int:
    """How often it is asked for in a call."""
    so_far = _function("count", ctypes.c_long)
    before = so_far(what)
    call()
    return so_far(what) - before


@contextlib.contextmanager
def failing(what: int, behind: int) -> Iterator[None]:
    """A transfer, a kernel or an allocation, behind so many others."""
    fail = _function("fail")
    fail(what, ctypes.c_long(behind))
    try:
        yield
    finally:
        fail(what, ctypes.c_long(-1))  # the one before
