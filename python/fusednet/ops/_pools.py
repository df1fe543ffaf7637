"""Maxima: over the pieces of a Maxout layer, over the regions of an image."""

import math
import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _native
from fusednet.ops import _arrays
from fusednet.ops._arrays import Array

Regions = NDArray[np.int32]


def maxout_forward(x: ArrayLike, pieces: int, *, out: Array | None = None, isa: str | None = None) -> Array:
    """y_j = max_k x[k c + j]: the largest of the linear pieces of each of c features; a NaN stays.

    Args:
        x: (n, pieces c), piece after piece, float32 or float64.
        pieces: at least 1.
        out: receives y (n, c).
        isa: see the module.

    Raises:
        ValueError, TypeError: shapes or types that do not fit.

    Source: Goodfellow et al. 2013, "Maxout Networks", section 2.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> ops.maxout_forward(np.array([[1.0, 2.0, 3.0, -4.0]]), 2).tolist()
        [[3.0, 2.0]]
    """
    op = "maxout_forward"
    x = _arrays.matrix(op, "x", x)
    pieces = _integer(op, "pieces", pieces, 1)
    if x.shape[1] < pieces or x.shape[1] % pieces:
        raise ValueError(f"[{op}] 'x' expects shape (n, {pieces} * c), got {x.shape}")
    out = _arrays.output(op, out, (x.shape[0], x.shape[1] // pieces), x)
    _native.maxout_forward(x, out, isa)
    return out


def maxout_backward(
    dy: ArrayLike, x: ArrayLike, y: ArrayLike, *, out: Array | None = None, isa: str | None = None
) -> Array:
    """dx of the largest piece is dy (the first of equals), of the others 0.

    Args:
        dy, y: (n, c); y is the output of `maxout_forward`.
        x: (n, pieces c).
        out: receives dx (n, pieces c), may be x.
        isa: see the module.

    Raises:
        ValueError, TypeError: shapes or types that do not fit.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> x = np.array([[1.0, 2.0, 3.0, -4.0]])
        >>> ops.maxout_backward(np.array([[5.0, 6.0]]), x, ops.maxout_forward(x, 2)).tolist()
        [[0.0, 6.0, 5.0, 0.0]]
    """
    op = "maxout_backward"
    dy = _arrays.matrix(op, "dy", dy)
    x, y = _arrays.matrix(op, "x", x, dy.dtype), _arrays.matrix(op, "y", y, dy.dtype)
    if y.shape != dy.shape:
        raise ValueError(f"[{op}] 'y' expects shape {dy.shape}, got {y.shape}")
    if x.shape[0] != dy.shape[0] or x.shape[1] < dy.shape[1] or not dy.shape[1] or x.shape[1] % dy.shape[1]:
        raise ValueError(f"[{op}] 'x' expects shape ({dy.shape[0]}, pieces * {dy.shape[1]}), got {x.shape}")
    out = _arrays.output(op, out, x.shape, x)
    _native.maxout_backward(dy, x, y, out, isa)
    return out


def max_pool_forward(
    x: ArrayLike, rows: ArrayLike, cols: ArrayLike, *, out: Array | None = None, isa: str | None = None
) -> tuple[Array, Regions]:
    """y[n, i, j, c] = the maximum of x[n, rows[0, i]:rows[1, i], cols[0, j]:cols[1, j], c]; a NaN stays.

    Args:
        x: (n, height, width, channels), float32 or float64.
        rows, cols: (2, i) and (2, j) integers: where each region begins and ends. Regions may overlap and leave gaps.
        out: receives y (n, i, j, channels), C-contiguous.
        isa: see the module.

    Returns:
        y, and where in a sample's height * width * channels numbers each was found (the first of equals), int32.

    Raises:
        ValueError, TypeError: shapes or types that do not fit, or a region that is empty or not within x.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> halves = np.array([[0, 2], [2, 4]])
        >>> y, argmax = ops.max_pool_forward(np.arange(16.0).reshape(1, 4, 4, 1), halves, halves)
        >>> y.ravel().tolist(), argmax.ravel().tolist()
        ([5.0, 7.0, 13.0, 15.0], [5, 7, 13, 15])
    """
    op = "max_pool_forward"
    x = _arrays.array(op, "x", x)
    if x.ndim != 4:
        raise ValueError(f"[{op}] 'x' expects shape (n, height, width, channels), got {x.shape}")
    n, height, width, channels = x.shape
    high, wide = _regions(op, "rows", rows, height), _regions(op, "cols", cols, width)
    shape = n, high.shape[1], wide.shape[1], channels
    out = _arrays.output(op, out, shape, x)
    if not _arrays.is_contiguous(out):
        raise ValueError(f"[{op}] 'out' expects a C-contiguous array of 4 dimensions")
    argmax = _arrays.empty(x, shape, np.int32)
    flat = _arrays.contiguous(op, "x", x).reshape(n, height * width * channels)
    features = math.prod(shape[1:])
    views = out.reshape(n, features), argmax.reshape(n, features)
    _native.pool_forward(flat, high, wide, *views, height, width, channels, isa)
    return out, argmax


def max_pool_backward(
    dy: ArrayLike,
    argmax: ArrayLike,
    shape: tuple[int, int, int],
    *,
    out: Array | None = None,
    isa: str | None = None,
) -> Array:
    """dx = 0, then dx[argmax] += dy: where regions overlap, gradients add up.

    Args:
        dy: (n, i, j, channels), float32 or float64.
        argmax: of `max_pool_forward`.
        shape: (height, width, channels) of x.
        out: receives dx (n, height, width, channels), C-contiguous.
        isa: see the module.

    Raises:
        ValueError, TypeError: shapes or types that do not fit, or an argmax outside of x.

    Example:
        >>> import numpy as np
        >>> from fusednet import ops
        >>> all_of_it = np.array([[0], [2]])
        >>> y, argmax = ops.max_pool_forward(np.array([1.0, 9.0, 3.0, 4.0]).reshape(1, 2, 2, 1), all_of_it, all_of_it)
        >>> ops.max_pool_backward(np.full((1, 1, 1, 1), 7.0), argmax, (2, 2, 1)).ravel().tolist()
        [0.0, 7.0, 0.0, 0.0]
    """
    op = "max_pool_backward"
    dy = _arrays.contiguous(op, "dy", _arrays.array(op, "dy", dy))
    places = _arrays.contiguous(op, "argmax", _arrays.anywhere(op, "argmax", argmax))
    if dy.ndim != 4 or places.shape != dy.shape:
        raise ValueError(f"[{op}] expects dy and argmax (n, i, j, channels), got {dy.shape} and {places.shape}")
    if places.dtype != np.int32:
        raise TypeError(f"[{op}] 'argmax' expects int32, got {places.dtype}")
    sizes = tuple(_integer(op, "shape", size, 0) for size in shape)
    n, features = dy.shape[0], math.prod(dy.shape[1:])
    out = _arrays.output(op, out, (n, *sizes), dy)
    if not _arrays.is_contiguous(out):
        raise ValueError(f"[{op}] 'out' expects a C-contiguous array of 4 dimensions")
    flat = out.reshape(n, math.prod(sizes))
    _native.pool_backward(dy.reshape(n, features), places.reshape(n, features), flat, isa)
    return out


def fractional_pool_regions(
    size: int,
    out_size: int,
    *,
    overlapping: bool = False,
    pseudo_random: bool = False,
    seed: int | None = None,
    stream: int = 0,
) -> Regions:
    """The regions of fractional max pooling along one axis, for `max_pool_forward`.

    Borders 0 = a_0 < a_1 < ... rise by floor(alpha) or ceil(alpha), in an order drawn uniformly or, pseudo-random, by
    a_i = ceil(alpha (i + u)) - ceil(alpha u) with one u. Disjoint: region i is a_i to a_(i+1) - 1, the last border is
    `size` and alpha = size / out_size. Overlapping: a_i to a_(i+1), so that neighbours share a border, and
    alpha = (size - 1) / out_size.

    Args:
        size, out_size: of the axis before and after; 1 <= out_size <= size.
        overlapping, pseudo_random: see above.
        seed, stream: integers in [0, 2**64) that the draws are a function of. Without a seed the regions are those of
            inference: pseudo-random with u = 1/2.

    Returns:
        (2, out_size) int32: begins, and ends (exclusive). The first begins at 0, the last ends at `size`.

    Raises:
        ValueError, TypeError: sizes or seeds out of their range.

    Source: Graham 2014, "Fractional Max-Pooling", section 2.

    Example:
        >>> from fusednet import ops
        >>> ops.fractional_pool_regions(7, 5).tolist()
        [[0, 2, 3, 4, 6], [2, 3, 4, 6, 7]]
    """
    op = "fractional_pool_regions"
    size, out_size = _integer(op, "size", size, 1), _integer(op, "out_size", out_size, 1)
    if size >= 1 << 31:
        raise ValueError(f"[{op}] size expects an integer below 2**31, got {size}")
    if out_size > size:
        raise ValueError(f"[{op}] out_size expects an integer from 1 to {size}, got {out_size}")
    for name, value in (("seed", seed), ("stream", stream)):
        if value is not None and _integer(op, name, value, 0) >= 1 << 64:
            raise ValueError(f"[{op}] {name} expects an integer in [0, 2**64), got {value}")
    return _native.fractional_pool_regions(size, out_size, bool(overlapping), bool(pseudo_random), seed, stream)


def _integer(op: str, name: str, value: object, least: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"[{op}] {name} expects an integer of at least {least}, got {value!r}") from None
    if number < least:
        raise ValueError(f"[{op}] {name} expects an integer of at least {least}, got {number}")
    return number


def _regions(op: str, name: str, value: ArrayLike, size: int) -> Regions:
    given = _arrays.on_host(op, name, value)
    if given.dtype.kind not in "iu":
        raise TypeError(f"[{op}] {name!r} expects integers, got {given.dtype}")
    if given.ndim != 2 or given.shape[0] != 2:
        raise ValueError(f"[{op}] {name!r} expects shape (2, regions), got {given.shape}")
    bad = ~((given[0] >= 0) & (given[0] < given[1]) & (given[1] <= size))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"[{op}] {name!r} expects 0 <= begin < end <= {size}, got {given[0, at]} and {given[1, at]} in region {at}"
        )
    return np.ascontiguousarray(given, np.int32)
