"""Batch normalization of large matrices, which are walked by rows: the same bits as of their columns alone."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import helpers
from fusednet import _native, ops

NAMES = [row["name"] for row in _native.activation_rows() if not row["row"]]
SLOPED = {row["name"] for row in _native.activation_rows() if row["slope"] != "none"}
SHAPES = [(600, 517), (4100, 64), (257, 1100), (16001, 17)]  # 256 Ki elements and more, whole and broken chunks
NARROW = 13  # columns that are few enough to be walked by columns


def arrays(shape, dtype, gap=0, key=0):
    rng = helpers.rng(91, key)
    held = [(3 + rng.normal(size=(shape[0], shape[1] + gap))).astype(dtype)[:, : shape[1]] for _ in range(2)]
    return *held, *(rng.normal(size=shape[1]).astype(dtype) for _ in range(3))


def both(x, dy, gamma, beta, slope, name, given=None, **options):
    """Forward and backward: all that comes out."""
    if name in SLOPED:
        options["slope"] = slope
    affine = (gamma, beta, 1e-3, name)
    y, mean, variance = ops.batchnorm_forward(x, *affine, **options)
    for alone, within in zip(ops.batchnorm_statistics(x, isa=options.get("isa")), (mean, variance), strict=True):
        np.testing.assert_array_equal(alone, within)
    return y, mean, variance, *ops.batchnorm_backward(dy, x, y, mean, variance, *affine, **options)


def by_columns(x, dy, gamma, beta, slope, name, **options):
    """The same, a few columns at a time."""
    parts = [slice(first, first + NARROW) for first in range(0, x.shape[1], NARROW)]
    found = [both(x[:, p], dy[:, p], gamma[p], beta[p], slope[p], name, **options) for p in parts]
    return [np.concatenate(some, axis=-1) for some in zip(*found, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_give_the_bits_of_columns(name, dtype):
    given = arrays(SHAPES[0], dtype, gap=7)
    assert given[0].size >= 1 << 18 > given[0].shape[0] * NARROW
    for found, wanted in zip(both(*given, name), by_columns(*given, name), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["elu", "silu", "prelu", "linear"])
def test_any_shape(name, shape):
    given = arrays(shape, np.float32)
    for found, wanted in zip(both(*given, name), by_columns(*given, name), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["elu", "silu", "prelu", "linear"])
def test_every_instruction_set(name, isa):
    given, options = arrays((600, 517), np.float32), {"isa": isa.isa}
    for found, wanted in zip(both(*given, name, **options), by_columns(*given, name, **options), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["elu", "silu", "prelu"])
def test_in_place(name):
    x, dy, gamma, beta, slope = arrays((600, 517), np.float32)
    wanted = both(x, dy, gamma, beta, slope, name)
    options = {"slope": slope} if name in SLOPED else {}
    dx = dy.copy()
    ops.batchnorm_backward(dx, x, *wanted[:3], gamma, beta, 1e-3, name, out=dx, **options)
    np.testing.assert_array_equal(dx, wanted[3])
    y = x.copy()
    ops.batchnorm_forward(y, gamma, beta, 1e-3, name, out=y, **options)
    np.testing.assert_array_equal(y, wanted[0])


def test_constants_and_frozen_statistics():
    """Without training the statistics have no gradient; the columns' sums are wanted all the same."""
    x, dy, gamma, beta, _ = arrays((600, 517), np.float32)
    y, mean, variance = ops.batchnorm_forward(x, gamma, beta, 1e-3, "silu")
    whole = ops.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, 1e-3, "silu", training=False)
    few = slice(0, NARROW)
    part = ops.batchnorm_backward(
        dy[:, few], x[:, few], y[:, few], mean[few], variance[few], gamma[few], beta[few], 1e-3, "silu", training=False
    )
    for found, wanted in zip(whole, part, strict=True):
        np.testing.assert_array_equal(found[..., few], wanted)


def test_the_same_for_any_number_of_threads():
    given = arrays((2100, 130), np.float32)
    before = fusednet.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            fusednet.set_num_threads(threads)
            found.append(both(*given, "elu"))
    finally:
        fusednet.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
