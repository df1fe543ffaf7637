"""Random layers: what an element draws is a function of seed, stream and its number alone."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusednet import _names, _native
from fusednet.ops import _arrays

Array = NDArray[Any]
_ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in _native.noise_rows()}


def noise_forward(
    x: ArrayLike,
    noise: str,
    *,
    seed: int,
    stream: int = 0,
    first_row: int = 0,
    first_col: int = 0,
    width: int | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """y = the row's formula of x and of draws u, uniform on [0, 1), or z, standard normal.

    Element (i, j) is number e = (first_row + i) * width + first_col + j. Its u is the upper 24 bits of word e % 4 of
    Philox block e // 4; two neighbours, 2k and 2k + 1, make their two z from their words by Box and Muller. So a
    matrix may be processed in panels or chunks, in float32 or float64, on any instruction set: the draws are the same.

    Args:
        x: any shape, float32 or float64; all axes but the last count as rows.
        noise: name of a row: "dropout", "alpha_dropout", "gaussian_noise" or "gaussian_dropout".
        seed, stream: integers in [0, 2**64).
        first_row, first_col: where x lies in the whole matrix.
        width: the whole matrix's columns, x's own by default; 0: each row draws the same.
        out: receives y, may be x.
        isa: see the module.
        **params: the row's parameters by name, for example rate=0.5.

    Returns:
        y, of x's shape and type.

    Raises:
        ValueError: unknown noise, a parameter or a position out of its range, or `out` of another shape.
        TypeError: unknown parameter or wrong type.

    Sources: Salmon et al. 2011; Box and Muller 1958; those of the rows in `csrc/formulas/noises.h`.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y = ops.noise_forward(np.ones((2, 3)), "dropout", rate=0.25, seed=7)
        >>> sorted(set(y.ravel().round(4).tolist()))
        [0.0, 1.3333]
    """
    return _call("noise_forward", "x", x, noise, (seed, stream, first_row, first_col, width), out, isa, params)


def noise_backward(
    dy: ArrayLike,
    noise: str,
    *,
    seed: int,
    stream: int = 0,
    first_row: int = 0,
    first_col: int = 0,
    width: int | None = None,
    out: Array | None = None,
    isa: str | None = None,
    **params: float,
) -> Array:
    """dx = dy * dy/dx of the forward pass, which is drawn again: nothing has to be saved.

    Args, Raises: as `noise_forward`, with dy in place of x.

    Returns:
        dx, of dy's shape and type.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> y = ops.noise_forward(np.ones(8), "dropout", rate=0.5, seed=1)
        >>> bool((ops.noise_backward(np.ones(8), "dropout", rate=0.5, seed=1) == y).all())
        True
    """
    return _call("noise_backward", "dy", dy, noise, (seed, stream, first_row, first_col, width), out, isa, params)


def uniform(
    shape: int | tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
    *,
    seed: int,
    stream: int = 0,
    first_row: int = 0,
    first_col: int = 0,
    width: int | None = None,
    dtype: DTypeLike = "float32",
    out: Array | None = None,
    isa: str | None = None,
) -> Array:
    """low + (high - low) u, with the u that `noise_forward` draws for the same position.

    Args:
        shape: of the result; all axes but the last count as rows.
        low, high: the ends of the range, finite.
        dtype: float32 or float64.
        Others: as `noise_forward`.

    Raises:
        ValueError, TypeError: as `noise_forward`.

    Example:
        >>> from fusednet import ops
        >>> r = ops.uniform((2, 3), -1.0, 1.0, seed=5)
        >>> r.shape, bool((abs(r) <= 1).all())
        ((2, 3), True)
    """
    op = "uniform"
    for name, value in (("low", low), ("high", high)):
        if not math.isfinite(value):
            raise ValueError(f"[{op}] {name} expects a finite number, got {value}")
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"[{op}] dtype expects float32 or float64, got {kind}")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    out = np.empty(sizes, kind) if out is None else _arrays.fitting(op, out, sizes, kind)
    view = _arrays.flat(op, "out", out)
    _native.uniform(view, float(low), float(high), *_position(op, view, seed, stream, first_row, first_col, width), isa)
    return out


def checked(op: str, noise: str, params: dict[str, float]) -> list[float]:
    """The parameters of a row in its order, each within its range."""
    if noise not in _ROWS:
        raise _names.unknown(op, "noise", noise, _ROWS)
    known = dict(_ROWS[noise]["params"])
    values = _arrays.parameters(op, known, params)
    for name, value in zip(known, values, strict=True):
        if name == "rate" and not 0.0 <= value < 1.0:
            raise ValueError(f"[{op}] rate expects a number in [0, 1), got {value:g}")
        if not 0.0 <= value < math.inf:
            raise ValueError(f"[{op}] {name} expects a finite number of at least 0, got {value:g}")
    return values


def _call(
    op: str,
    argument: str,
    value: ArrayLike,
    noise: str,
    draw: tuple[int, int, int, int, int | None],
    out: Array | None,
    isa: str | None,
    params: dict[str, float],
) -> Array:
    name = op if noise not in _ROWS else op.replace("noise", noise, 1)
    values = checked(name, noise, params)
    value = _arrays.array(name, argument, value)
    out = _arrays.output(name, out, value.shape, value)
    if value.ndim not in (1, 2):
        value = _arrays.contiguous(name, argument, value)
    view, to = _arrays.flat(name, argument, value), _arrays.flat(name, "out", out)
    kernel = _native.noise_forward if op == "noise_forward" else _native.noise_backward
    kernel(view, to, noise, values, *_position(name, view, *draw), isa)
    return out


def _position(
    op: str, view: Array, seed: int, stream: int, first_row: int, first_col: int, width: int | None
) -> tuple[int, int, int, int, int]:
    given = {"seed": seed, "stream": stream, "first_row": first_row, "first_col": first_col}
    given["width"] = view.shape[-1] if width is None else width
    found = []
    for name, value in given.items():
        bits = 64 if name in ("seed", "stream") else 48
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"[{op}] {name} expects an integer, got {value!r}") from None
        if not 0 <= number < 1 << bits:
            raise ValueError(f"[{op}] {name} expects an integer in [0, 2**{bits}), got {value}")
        found.append(number)
    return found[0], found[1], found[2], found[3], found[4]
