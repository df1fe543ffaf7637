"""Layers that keep the largest value of each region of an image; channels are last."""

import math
from typing import Any

from fusednet._layer import Layer, Shape, checked_pair, number


def _image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels of a sample."""
    if len(shape) not in (2, 3):
        given = ", ".join(str(size) for size in shape)
        raise ValueError(
            f"{layer.label} expects (n, height, width) or (n, height, width, channels), got (n, {given}): "
            "give images, or put Reshape((height, width)) before it"
        )
    return shape[0], shape[1], math.prod(shape[2:])


class MaxPooling2D(Layer):
    """The largest value of each region: y[i, j, c] = max of x[i s : i s + p, j s : j s + p, c].

    Args:
        pool_size: p, height and width of a region, one integer or two.
        strides: s, the distance between regions, one integer or two; None is pool_size.
        padding: "valid" leaves out what does not fill a region, floor((size - p) / s) + 1 of them along an axis;
            "same" has ceil(size / s), which reach over the edges by as much on both sides (by one more at the end where
            that is odd) and look only at what is inside.
        name, input_shape: see `Layer`.

    x is (n, height, width) or (n, height, width, channels). Of equal values the first has the gradient.

    Raises:
        ValueError, TypeError: for sizes that are not positive, flat input, or an image smaller than one region.

    Example:
        >>> from fusednet.layers import MaxPooling2D
        >>> MaxPooling2D().output_shape((5, 5)), MaxPooling2D(padding="same").output_shape((5, 5, 3))
        ((2, 2), (3, 3, 3))
    """

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    _arguments = ("pool_size", "strides", "padding")

    def __init__(self, pool_size: object = 2, strides: object = None, padding: str = "valid", **options: Any) -> None:
        owner = self._owner(options)
        pool = checked_pair(owner, "pool_size", pool_size)
        stride = pool if strides is None else checked_pair(owner, "strides", strides)
        kind = str(padding).lower()
        if kind not in ("valid", "same"):
            raise ValueError(f"[{owner}] padding expects 'valid' or 'same', got {padding!r}")
        super().__init__(**options)
        self._set_all({"pool_size": pool, "strides": stride, "padding": kind})

    def output_shape(self, shape: Shape) -> Shape:
        sizes = _image(self, shape)[:2]
        return (*(self._count(sizes, axis) for axis in (0, 1)), *shape[2:])

    def native(self, shape: Shape) -> dict[str, Any]:
        height, width, channels = _image(self, shape)
        rows, cols = self._regions((height, width), 0), self._regions((height, width), 1)
        return self._described(
            "pool",
            shape,
            height=height,
            width=width,
            channels=channels,
            row_begin=[begin for begin, _ in rows],
            row_end=[end for _, end in rows],
            col_begin=[begin for begin, _ in cols],
            col_end=[end for _, end in cols],
        )

    def _count(self, sizes: tuple[int, int], axis: int) -> int:
        """How many regions there are along an axis."""
        size, pool, stride = sizes[axis], self.pool_size[axis], self.strides[axis]
        if self.padding == "same":
            return -(-size // stride)
        if size < pool:
            raise ValueError(f"{self.label} expects images of at least {self.pool_size}, got {sizes}")
        return (size - pool) // stride + 1

    def _regions(self, sizes: tuple[int, int], axis: int) -> list[tuple[int, int]]:
        """Where each begins and ends."""
        size, pool, stride = sizes[axis], self.pool_size[axis], self.strides[axis]
        count = self._count(sizes, axis)
        before = max((count - 1) * stride + pool - size, 0) // 2 if self.padding == "same" else 0
        starts = (i * stride - before for i in range(count))
        return [(max(start, 0), min(start + pool, size)) for start in starts]


class FractionalMaxPooling2D(Layer):
    """The largest value of each of a given number of regions, whose sizes differ and are drawn anew for each batch.

    Along an axis of N values the i-th of n regions goes from a_(i-1) to a_i, with a_0 = 0 and a_n = N; the steps
    a_i - a_(i-1) are integers on either side of N / n.

    Args:
        pool_ratio: alpha = N / n, one number of at least 1 or two; n = floor(N / alpha).
        output_size: n itself, one integer or two; either this or pool_ratio is given.
        overlapping: whether a region also holds the first row and column of the next.
        pseudo_random: a_i = ceil(alpha (i + u)) with one u a batch, or the steps in random order. At inference a_i is
            that of u = 0.5.
        name, input_shape: see `Layer`.

    x is (n, height, width) or (n, height, width, channels), channels last.

    Raises:
        ValueError, TypeError: for a ratio below 1, flat input, or more regions than the image has rows or columns.

    Source: Graham 2014, sections 2 and 3.

    Example:
        >>> from fusednet.layers import FractionalMaxPooling2D
        >>> FractionalMaxPooling2D(2**0.5).output_shape((28, 28))
        (19, 19)
    """

    pool_ratio: tuple[float, float] | None
    output_size: tuple[int, int] | None
    overlapping: bool
    pseudo_random: bool
    _arguments = ("pool_ratio", "output_size", "overlapping", "pseudo_random")

    def __init__(
        self,
        pool_ratio: object = None,
        output_size: object = None,
        overlapping: bool = True,
        pseudo_random: bool = True,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        if (pool_ratio is None) == (output_size is None):
            given = "neither" if pool_ratio is None else "both"
            raise ValueError(f"[{owner}] expects pool_ratio or output_size, got {given}")
        values: dict[str, object] = {
            "pool_ratio": None if pool_ratio is None else _ratios(owner, pool_ratio),
            "output_size": None if output_size is None else checked_pair(owner, "output_size", output_size),
            "overlapping": bool(overlapping),
            "pseudo_random": bool(pseudo_random),
        }
        super().__init__(**options)
        self._set_all(values)

    def output_shape(self, shape: Shape) -> Shape:
        height, width, _ = _image(self, shape)
        rows, cols = self.output_size or (0, 0)
        if self.pool_ratio is not None:
            rows, cols = (int(size / ratio) for size, ratio in zip((height, width), self.pool_ratio, strict=True))
        if not (1 <= rows <= height and 1 <= cols <= width):
            raise ValueError(
                f"{self.label} expects from 1 to as many regions as the image has rows and columns, "
                f"({height}, {width}), got ({rows}, {cols})"
            )
        return (rows, cols, *shape[2:])

    def native(self, shape: Shape) -> dict[str, Any]:
        height, width, channels = _image(self, shape)
        rows, cols = self.output_shape(shape)[:2]
        drawn = {"overlapping": self.overlapping, "pseudo_random": self.pseudo_random}
        fractional = {"out_height": rows, "out_width": cols, **drawn}
        return self._described("pool", shape, height=height, width=width, channels=channels, fractional=fractional)


def _ratios(owner: str, value: Any) -> tuple[float, float]:
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"[{owner}] pool_ratio expects one number or two, got {value!r}")
    wanted = "a finite number of at least 1"
    first, second = (number(owner, "pool_ratio", v, wanted, lambda r: 1.0 <= r < math.inf) for v in pair)
    return first, second
