"""Kernels read and write nothing outside their arrays: every array ends, or begins, at a page that may not be touched.

Run in a subprocess, since a kernel that strays ends it; the last line it printed names the kernel.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import helpers
from fusednet import _native

KEPT: list[mmap.mmap] = []  # a view does not keep the protected pages alive


def fenced(data, dtype, at_end: bool) -> np.ndarray:
    """A copy of `data` whose last (or first) byte is the last (first) one of a page beside a forbidden one."""
    data = np.ascontiguousarray(data, dtype)
    page = mmap.PAGESIZE
    length = -(-max(data.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, length + 2 * page)
    KEPT.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for guard in (start, start + page + length):
        assert protect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    offset = page + (length - data.nbytes if at_end else 0)
    view = np.frombuffer(memory, dtype, data.size, offset).reshape(data.shape)
    view[...] = data
    return view


def touch_every_kernel(name: str) -> None:
    backend = next(b for b in helpers.backends() if b.name == name)
    w, isa, dtype = backend.lanes, backend.isa, backend.dtype
    for at_end in (True, False):
        for cols in sorted({1, w - 1, w + 1, 2 * w + 3, 4 * w + 5, 67} - {0}):
            for rows in (1, 7):
                touch(lambda a, d=dtype, e=at_end: fenced(a, d, e), rows, cols, isa, at_end)
    print("done")


def touch(f, rows, cols, isa, at_end):
    g = helpers.rng(rows, cols)

    def matrix(r=rows, c=cols):
        return f(g.uniform(0.1, 0.9, (r, c)))

    def call(op, *args, **named):
        print(op, rows, cols, "end" if at_end else "start", flush=True)
        getattr(_native, op)(*args, **named, isa=isa)

    x, y, dy, out = matrix(), matrix(), matrix(), matrix()
    vector = [f(g.uniform(0.1, 0.9, cols)) for _ in range(7)]
    labels = fenced(np.zeros(rows), np.int32, at_end)
    for row in _native.activation_rows():
        params, learned = [d for _, d in row["params"]], row["slope"] == "learned"
        for slope in [None] if row["slope"] == "none" else [vector[0], matrix()]:
            dslope = vector[6] if learned else None
            call("activation_forward", x, out, row["name"], params, slope=slope)
            call("activation_backward", dy, y, out, row["name"], params, slope=slope, dslope=dslope)
            if not row["row"]:
                named = {"activation": row["name"], "params": params, "slope": slope}
                call("batchnorm_forward", x, *vector[:4], out, **named)
                call("batchnorm_backward", dy, x, y, *vector[:4], out, *vector[4:6], **named, dslope=dslope)
                call("gemm", matrix(rows, 3), matrix(3, cols), out, **named)
    call("batchnorm_statistics", x, *vector[:2])
    call("batchnorm_forward", x, *vector[:4], out)
    call("batchnorm_backward", dy, x, y, *vector[:4], out, *vector[4:6])
    call("moving_average", vector[0], vector[1], 0.9)
    call("column_sums", x, vector[0])
    call("squared_norm", x)
    for row in _native.loss_rows():
        probabilities = out if row["name"].startswith(("softmax", "sigmoid")) else None
        more = {"params": [d for _, d in row["params"]], "weights": matrix(1, rows)[0]}
        call("loss", row["name"], x, y, probabilities, dy, **more)
        if row["labels"] and cols > 1:
            call("loss", row["name"], x, labels, probabilities, dy, **more)
    for row in _native.metric_rows():
        fixed, per_output = row["sums"]
        sums = fenced(np.zeros(fixed + per_output * cols), np.float64, at_end)
        for target in (y, labels):
            call("metric", row["name"], x, target, sums, [d for _, d in row["params"]])
    call("smooth_targets", out, 0.1)
    call("smooth_targets", out, 0.1, labels=labels)
    for row in _native.optimizer_rows():
        hyper = [0.1, *(d for _, d in row["hyper"][1:])]
        call("optimizer_update", row["name"], vector[0], vector[1], vector[2 : 2 + len(row["slots"])], 1, hyper)
        call(
            "optimizer_update", row["name"], vector[0], vector[1], vector[2 : 2 + len(row["slots"])], 1, hyper,
            decay=0.1, average=vector[5], average_momentum=0.9,
        )  # fmt: skip
    for row in _native.constraint_rows():
        call("constrain", row["name"], matrix(), [d for _, d in row["params"]])
    call("penalty", x, 0.1, 0.1)
    call("penalty_gradient", x, dy, 0.1, 0.1)
    call("accumulate", out, dy, 0.0)
    call("accumulate", out, dy, 0.5)
    for source in (np.uint8, np.float32, np.float64):
        call("gather", fenced(np.ones((rows, cols)), source, at_end), np.arange(rows)[::-1].copy(), out)
    for k in (1, 5, 40):
        for a in (matrix(rows, k), matrix(k, rows).T):
            for b in (matrix(k, cols), matrix(cols, k).T):
                call("gemm", a, b, out, bias=vector[0], activation="elu", params=[1.0])


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_outside_the_arrays_is_touched(backend):
    code = f"import test_kernels_memory as t; t.touch_every_kernel({backend.name!r})"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    last = (done.stdout.splitlines() or ["nothing"])[-1]
    assert (done.returncode, last) == (0, "done"), f"exit status {done.returncode} in: {last}\n{done.stderr[-2000:]}"
