"""Launches of the device's kernels over more elements than 32 bits count: how many blocks there are, and where the
first and the last of them look. See cuda_geometry.cpp."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stand_in import CXX, FLAGS, TESTS, needs_a_compiler

LOOKED_AT = [
    *("elements", "pieces", "folds", "rows", "columns"),  # loops.h, columns.h
    *("products", "work", "parts"),  # gemm.h, products.h, products_reduced.h
    *("groups", "panels"),  # groups.h, panels.h
]


def test_beyond_what_32_bits_count(tmp_path):
    needs_a_compiler()
    if sys.platform != "linux":
        pytest.skip("needs Linux: address space without memory behind it")
    program = tmp_path / "geometry"
    subprocess.run([*CXX, *FLAGS, TESTS / "cuda_geometry.cpp", "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == 3:
        pytest.skip("no address space")
    assert (done.returncode, done.stdout.split("\n")) == (0, [*LOOKED_AT, ""]), done.stdout + done.stderr
