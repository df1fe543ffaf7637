"""What compute-sanitizer is to see of a device: steps in each way that they are run, a kernel of each kind; on little.

python tests/sanitized.py [DEVICE]

Without pytest and what comes with it: under a sanitizer all takes many times as long, and each kernel is patched when
it is first launched. Says the name of what has ended, so that a log tells how far it came.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

import fusednet
from fusednet import _native, ops
from fusednet.layers import ELU, BatchNormalization, Dense
from fusednet.optimizers import Adam
from ops_calls import CALLS, Side

SHAPE = 37, 9  # more rows than a warp has threads, and columns that no vector's width divides
SLICE = 256  # batches that are enqueued before somebody waits
LARGE = 128  # a side of a product that is the library's
KINDS = (  # of what a table has a row for, one of each kind
    "elu_forward",
    "elu_backward",
    "softmax_forward",
    "softmax_backward",
    "dropout_forward",
    "dropout_backward",
    "loss huber",
    "loss softmax_crossentropy",
    "metric accuracy",
    "adam_update",
    "constrain max_norm",
    # all that is in no table
    "batchnorm_forward batchnorm_backward batchnorm_inference batchnorm_statistics moving_average",
    "layer_norm_forward layer_norm_backward",
    "dense_forward dense_backward",
    "gemm",
    "gather",
    "max_pool_forward max_pool_backward maxout_forward maxout_backward",
    "penalty squared_norm global_norm clip_by_global_norm clip_by_norm clip_by_value",
    "scaled_add column_sums accuracy",
    "uniform",
)


def step(device: str, rows: int, *, programs: bool = False, dtype: str = "float32") -> None:
    """Two of them: one is captured, and what was captured is run again."""
    os.environ["FUSEDNET_PROGRAMS"] = "1" if programs else "0"
    layers = [layer for width in (33, 7) for layer in (Dense(width), BatchNormalization(), ELU())]
    model = fusednet.Sequential([*layers, Dense(5, "softmax")], dtype=dtype, seed=5)
    model.compile(Adam(0.01, global_clipnorm=0.7), "sparse_categorical_crossentropy", device=device)
    g = np.random.default_rng(0)
    x, y = g.normal(size=(2 * rows, SHAPE[1])).astype(dtype), g.integers(0, 5, 2 * rows)
    history = model.fit(x, y, batch_size=rows, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert model.step == 2
    assert (model.plan.programmed > 0) == programs
    assert model.plan.kernels > 0


def brought_back(device: str) -> None:
    """Predictions and statistics of two slices, by a plan of one row."""
    layers = [Dense(3, input_shape=[SHAPE[1]]), BatchNormalization()]
    model = fusednet.Sequential(layers, seed=5)
    model.compile("sgd", "mse", device=device)
    x = np.random.default_rng(1).normal(size=(SLICE + 2, SHAPE[1])).astype(np.float32)
    plan, out = model._engine.plan(1), np.empty((len(x), 3), np.float32)
    assert plan.recalibrate(x, 0, len(x))["status"] == "ok"
    assert plan.predict(x, out, 0, len(x), np.inf) == len(x)
    assert np.allclose(out.mean(0), 0, atol=1e-3)
    assert np.allclose(out.var(0), 1, atol=2e-2)


def call(name: str, device: str) -> None:
    CALLS[name](Side(device, np.float32, SHAPE))


def product(device: str) -> None:
    a, b = (fusednet.device_array(np.full((LARGE, LARGE), value, np.float32), device) for value in (0.5, 2.0))
    assert (ops.gemm(a, b).numpy() == LARGE).all()


def cases() -> Iterator[tuple[str, Callable[[str], None]]]:
    """First what no sanitizer has seen: kernels that share a launch, a program."""
    yield "step, a graph", lambda device: step(device, 32)
    yield "step, a program", lambda device: step(device, 32, programs=True)
    for name in KINDS:
        yield name, lambda device, name=name: call(name, device)
    yield "results of two slices", brought_back
    yield "step, float64", lambda device: step(device, 32, dtype="float64")
    yield "step of 65 rows, a graph", lambda device: step(device, 65)
    yield "product of the library", product


def main(device: str) -> None:
    _native.keep_device_memory(device, 0)  # so that the sanitizer knows where an array ends
    count = 0
    for name, run in cases():
        start = time.monotonic()
        run(device)
        count += 1
        print(f"ended: {name} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"all {count} ended", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cuda")
