"""As test_kernels_memory.py, for the kernels of random layers, layer normalization, Maxout, pooling, residual sums."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import helpers
from fusednet import _native
from test_kernels_memory import fenced


def touch_every_kernel(name: str) -> None:
    backend = next(b for b in helpers.backends() if b.name == name)
    w = backend.lanes
    for at_end in (True, False):
        for cols in sorted({1, w - 1, w + 1, 2 * w + 3, 4 * w + 5, 67, 300} - {0}):
            for rows in (1, 7):
                touch(rows, cols, backend, at_end)
    print("done")


def touch(rows, cols, backend, at_end):
    g = helpers.rng(rows, cols)

    def f(*shape):
        return fenced(g.uniform(0.1, 0.9, shape), backend.dtype, at_end)

    def call(op, *args):
        print(op, rows, cols, "end" if at_end else "start", flush=True)
        getattr(_native, op)(*args, backend.isa)

    x, dy, out = f(rows, cols), f(rows, cols), f(rows, cols)
    of_rows, of_cols = [f(rows) for _ in range(2)], [f(cols) for _ in range(4)]
    for row in _native.noise_rows():
        params = [d for _, d in row["params"]]
        for place in ((0, 0, cols), (3, 1, cols + 2), (0, 2, 0)):
            call("noise_forward", x, out, row["name"], params, 1, 2, *place)
            call("noise_backward", dy, out, row["name"], params, 1, 2, *place)
    call("uniform", out, 0.0, 1.0, 1, 2, 3, 1, cols + 2)
    call("layernorm_forward", x, *of_cols[:2], out, *of_rows, 1e-3)
    call("layernorm_backward", dy, x, of_cols[0], *of_rows, out)
    call("layernorm_gradients", dy, x, *of_rows, *of_cols[2:])
    call("scaled_add", x, dy, of_rows[0], out)
    for pieces in (1, 2, 5):
        wide, dx = f(rows, pieces * cols), f(rows, pieces * cols)
        call("maxout_forward", wide, out)
        call("maxout_backward", dy, wide, out, dx)
    rows_of, cols_of = (fenced(r, np.int32, at_end) for r in ([[0, 1], [2, 3]], [[0, 3], [3, 5]]))
    image, pooled, dx = f(rows, 15 * cols), f(rows, 4 * cols), f(rows, 15 * cols)
    argmax = fenced(np.zeros((rows, 4 * cols)), np.int32, at_end)
    call("pool_forward", image, rows_of, cols_of, pooled, argmax, 3, 5, cols)
    call("pool_forward", image, rows_of, cols_of, pooled, None, 3, 5, cols)
    call("pool_backward", pooled, argmax, dx)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_outside_the_arrays_is_touched(backend):
    code = f"import test_kernels_memory_layers as t; t.touch_every_kernel({backend.name!r})"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert (done.returncode, last) == (0, "done"), f"exit status {done.returncode} in: {last}\n{done.stderr[-2000:]}"
