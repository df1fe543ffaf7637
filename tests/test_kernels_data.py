"""Gathering of rows and the search for what is not finite, on every table."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
from fusednet import _native
from helpers import Guarded


@pytest.mark.parametrize("source", [np.uint8, np.float32, np.float64])
def test_gather(backend, source):
    for cols in backend.sizes:
        g = helpers.rng(cols)
        wide = g.integers(0, 256, (9, cols + 2)).astype(source)
        order = g.permutation(9)[:5].astype(np.int64)
        for picked in (order, None):
            out = Guarded((len(order) if picked is not None else 9, cols), backend.dtype)
            _native.gather(wide[:, 1 : cols + 1], picked, out.view, backend.isa)
            rows = wide[:, 1 : cols + 1]
            np.testing.assert_array_equal(out.check(), rows[order] if picked is not None else rows)


def test_first_nonfinite_row():
    for dtype in (np.float32, np.float64):
        x = Guarded((9, 21), dtype, np.ones((9, 21))).view
        assert _native.first_nonfinite_row(x) == -1
        for value in (np.nan, np.inf, -np.inf):
            x[4:, :] = 1
            x[6, 20] = x[8, 0] = value
            assert _native.first_nonfinite_row(x) == 6
            x[6:] = 1
        x[0, 0] = np.finfo(dtype).max
        assert _native.first_nonfinite_row(x) == -1  # large is not infinite
        large = np.zeros((3000, 130), dtype)  # which threads share
        assert _native.first_nonfinite_row(large) == -1
        large[[2999, 1700, 1234, 2000], 129] = np.nan
        assert _native.first_nonfinite_row(large) == 1234


def test_gather_refuses_rows_out_of_range():
    x, out = np.zeros((4, 3), np.float32), np.zeros((2, 3), np.float32)
    for bad in (4, -1):
        with pytest.raises((IndexError, ValueError), match=r"gather.*order"):
            _native.gather(x, np.array([0, bad]), out)
