"""Pooling layers: which regions they look at, held against a plain search over padded images."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fusednet
from fusednet.layers import FractionalMaxPooling2D, MaxPooling2D


def oracle(x: np.ndarray, pool: tuple[int, int], strides: tuple[int, int], padding: str) -> np.ndarray:
    """Maxima over windows of the image (height, width, channels); "same" surrounds it with -inf beforehand."""
    for axis in (0, 1):
        if padding == "same":
            size = x.shape[axis]
            out = math.ceil(size / strides[axis])
            total = max((out - 1) * strides[axis] + pool[axis] - size, 0)
            widths = [(0, 0)] * 3
            widths[axis] = (total // 2, total - total // 2)
            x = np.pad(x, widths, constant_values=-np.inf)
    rows = range(0, x.shape[0] - pool[0] + 1, strides[0])
    cols = range(0, x.shape[1] - pool[1] + 1, strides[1])
    return np.array([[x[i : i + pool[0], j : j + pool[1]].max(axis=(0, 1)) for j in cols] for i in rows])


def pooled(x: np.ndarray, native: dict) -> np.ndarray:
    rows = list(zip(native["row_begin"], native["row_end"], strict=True))
    cols = list(zip(native["col_begin"], native["col_end"], strict=True))
    return np.array([[x[a:b, c:d].max(axis=(0, 1)) for c, d in cols] for a, b in rows])


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (3, 2), (2, 5)])
@pytest.mark.parametrize("strides", [None, (1, 1), (2, 3), (4, 1)])
@pytest.mark.parametrize("shape", [(5, 5, 1), (6, 7, 3), (9, 5, 2), (3, 8, 1)])
def test_regions(shape, strides, pool, padding):
    x = np.random.default_rng(0).normal(size=shape) - 10.0  # padding with 0 would win
    layer = MaxPooling2D(pool, strides, padding)
    expected = oracle(x, pool, strides or pool, padding)
    assert layer.output_shape(shape) == expected.shape
    native = layer.native(shape)
    assert (native["kind"], native["height"], native["width"], native["channels"]) == ("pool", *shape)
    np.testing.assert_array_equal(pooled(x, native), expected)
    assert all(
        0 <= begin < end <= size
        for side, size in (("row", shape[0]), ("col", shape[1]))
        for begin, end in zip(native[f"{side}_begin"], native[f"{side}_end"], strict=True)
    )


def test_an_image_smaller_than_a_region_with_same_padding():
    x = np.random.default_rng(1).normal(size=(2, 1, 1))
    layer = MaxPooling2D(5, 1, "same")
    np.testing.assert_array_equal(pooled(x, layer.native((2, 1, 1))), oracle(x, (5, 5), (1, 1), "same"))


def test_strides_wider_than_the_regions():
    x = np.random.default_rng(2).normal(size=(11, 10, 1))
    for padding in ("valid", "same"):
        native = MaxPooling2D(2, 5, padding).native(x.shape)
        np.testing.assert_array_equal(pooled(x, native), oracle(x, (2, 2), (5, 5), padding))


def test_without_channels():
    layer = MaxPooling2D(name="p")
    assert layer.output_shape((6, 5)) == (3, 2)
    assert layer.native((6, 5)) == {
        "kind": "pool", "name": "p", "trainable": True, "height": 6, "width": 5, "channels": 1,
        "row_begin": [0, 2, 4], "row_end": [2, 4, 6], "col_begin": [0, 2], "col_end": [2, 4],
    }  # fmt: skip


def test_fractional():
    layer = FractionalMaxPooling2D(2**0.5, name="f")
    assert layer.output_shape((28, 30, 3)) == (19, 21, 3)
    assert layer.output_shape((28, 30)) == (19, 21)
    assert layer.native((28, 30, 3)) == {
        "kind": "pool", "name": "f", "trainable": True, "height": 28, "width": 30, "channels": 3,
        "fractional": {"out_height": 19, "out_width": 21, "overlapping": True, "pseudo_random": True},
    }  # fmt: skip
    sized = FractionalMaxPooling2D(output_size=(4, 3), overlapping=False, pseudo_random=False)
    assert sized.output_shape((6, 5)) == (4, 3)
    assert sized.native((6, 5))["fractional"] == {
        "out_height": 4, "out_width": 3, "overlapping": False, "pseudo_random": False,
    }  # fmt: skip
    assert FractionalMaxPooling2D((1.0, 2.0)).output_shape((6, 5)) == (6, 2)
    assert FractionalMaxPooling2D(output_size=3).output_shape((3, 4)) == (3, 3)


BAD = {
    "size 0": (lambda: MaxPooling2D(0), r"\[MaxPooling2D\] pool_size expects a positive integer"),
    "three sizes": (lambda: MaxPooling2D((1, 2, 3)), r"pool_size expects one integer or two, got \(1, 2, 3\)"),
    "strides": (lambda: MaxPooling2D(2, (1, -1), name="p"), r"\[MaxPooling2D 'p'\] strides expects a positive"),
    "padding": (lambda: MaxPooling2D(padding="full"), r"padding expects 'valid' or 'same', got 'full'"),
    "flat": (lambda: MaxPooling2D(name="p").output_shape((16,)), r"'p'\] expects \(n, height, width\) .*\(n, 16\)"),
    "four axes": (lambda: MaxPooling2D().native((4, 4, 4, 4)), r"got \(n, 4, 4, 4, 4\)"),
    "small": (lambda: MaxPooling2D(3).output_shape((2, 9)), r"images of at least \(3, 3\), got \(2, 9\)"),
    "no size": (lambda: FractionalMaxPooling2D(), r"expects pool_ratio or output_size, got neither"),
    "two ways": (lambda: FractionalMaxPooling2D(1.5, 3), r"expects pool_ratio or output_size, got both"),
    "ratio": (lambda: FractionalMaxPooling2D(0.9), r"pool_ratio expects a finite number of at least 1, got 0\.9"),
    "ratio nan": (lambda: FractionalMaxPooling2D((1.5, math.nan)), r"at least 1, got nan"),
    "ratios": (lambda: FractionalMaxPooling2D((1.5,)), r"one number or two"),
    "wide ratio": (lambda: FractionalMaxPooling2D(9.0).output_shape((8, 9)), r"got \(0, 1\)"),
    "large": (lambda: FractionalMaxPooling2D(output_size=6).output_shape((8, 5)), r"\(8, 5\), got \(6, 6\)"),
    "flat fractional": (lambda: FractionalMaxPooling2D(1.5).output_shape((16,)), r"expects \(n, height, width\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    make, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        make()


def test_a_model_refuses_pooling_of_flat_input():
    model = fusednet.Sequential([fusednet.layers.Dense(9, input_shape=[4])])
    with pytest.raises(ValueError, match=r"put Reshape"):
        model.add(MaxPooling2D())
    assert len(model.layers) == 1
