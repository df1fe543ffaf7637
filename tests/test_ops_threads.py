"""fusednet.ops on the pool: the same bits for any number of threads, and nothing beyond the outputs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fusednet
import helpers
from fusednet import _native, ops

ROWS = {r["name"]: r for r in _native.activation_rows()}
LABELS = {"softmax_crossentropy", "crossentropy", "softmax_focal_crossentropy", "categorical_focal_crossentropy"}
# Several tasks each, whole and broken ones: a batch, one long row, many short rows, rows with gaps between them.
STREAMED = _native.streamed_bytes() + 1  # an output that is written past the caches
SHAPES = {"batch": (300, 517), "row": (1, 150_001), "short": (9001, 17), "apart": (300, 517)}


def matrix(kind: str, key: int = 0, dtype=np.float32) -> np.ndarray:
    rows, cols = SHAPES[kind]
    held = helpers.rng(77, key).normal(size=(rows, cols + (7 if kind == "apart" else 0))).astype(dtype)
    return held[:, :cols]


def positive(kind: str, key: int = 0) -> np.ndarray:
    return np.abs(matrix(kind, key)) + np.float32(0.1)


def activation(name, kind):
    x, dy = matrix(kind), matrix(kind, 1)
    slope = {} if ROWS[name]["slope"] == "none" else {"slope": matrix(kind, 2)[0].copy()}
    y = ops.activation_forward(x, name, **slope)
    dx = ops.activation_backward(dy, y if ops.saves_output(name) else x, name, **slope)
    return [y, *(dx if isinstance(dx, tuple) else (dx,))]


def noise(name, kind):
    x = matrix(kind)
    options = {"seed": 5, "stream": 9, "first_row": 3, "first_col": 2, "width": x.shape[1] + 5}
    return [ops.noise_forward(x, name, **options), ops.noise_backward(x, name, **options)]


def loss(name, kind):
    x = positive(kind)
    target = positive(kind, 1)
    found = [*ops.loss(name, x, target / target.sum(axis=1, keepdims=True))]
    if name in LABELS:
        labels = np.arange(x.shape[0], dtype=np.int32) % x.shape[1]
        found += ops.loss(name, x, labels, sample_weight=positive("row", 2)[0, : x.shape[0]], label_smoothing=0.1)
    return found


def metric(name, kind):
    x = positive(kind)
    targets = np.zeros_like(x)
    targets[:, ::2] = 1
    return [ops.metric(name, x, targets)]


def update(name, kind):
    w, g = matrix(kind).copy(), matrix(kind, 1).copy()
    slots = ops.optimizer_slots(name, w)
    getattr(ops, f"{name}_update")(w, g, *slots, step=3, clip_value=0.5, decay=0.01)
    return [w, *slots]


def constrain(name, kind):
    w = matrix(kind).copy()
    ops.constrain(name, w)
    return [w]


def penalties(kind):
    g = matrix(kind, 1).copy()
    return [ops.penalty(matrix(kind).copy(), l1=0.1, l2=0.2, g=g), g, ops.squared_norm(matrix(kind))]


def accumulate(kind):
    total, g = matrix(kind).copy(), matrix(kind, 1).copy()
    return [_native.accumulate(total, g, 0.0), total, _native.accumulate(total, g, 0.5), g]


def clip(kind):
    g = [matrix(kind).copy(), matrix(kind, 1).copy()]
    return [ops.clip_by_global_norm(g, 1.0), *g]


def batchnorm(kind):
    x, dy = matrix(kind), matrix(kind, 1)
    gamma, beta = matrix(kind, 2)[0].copy(), matrix(kind, 3)[0].copy()
    y, mean, variance = ops.batchnorm_forward(x, gamma, beta, activation="elu")
    return [y, mean, variance, *ops.batchnorm_backward(dy, x, y, mean, variance, gamma, beta, activation="elu")]


def layer_norm(kind):
    x, dy, gamma = matrix(kind), matrix(kind, 1), matrix(kind, 2)[0].copy()
    y, mean, inverse = ops.layer_norm_forward(x, gamma)
    return [y, mean, inverse, *ops.layer_norm_backward(dy, x, mean, inverse, gamma)]


def averages(kind):
    moving = matrix("row").copy()[0]
    ops.moving_average(moving, matrix("row", 1)[0], 0.9)
    return [moving, ops.column_sums(matrix(kind))]


def dense(kind):
    x = matrix(kind)[:, :70]
    wide, thin = helpers.rng(78).normal(size=(x.shape[1], 333)).astype("f4"), matrix("short", 1)[: x.shape[1], :5]
    y = ops.dense_forward(x, wide, matrix("row", 2)[0, :333].copy(), "elu")
    return [y, ops.gemm(x, thin.copy()), *ops.dense_backward(y, x, wide)]


def gather(kind):
    x = matrix(kind)
    order = helpers.rng(79).permutation(x.shape[0])
    return [ops.gather(x, order), ops.gather(x)]


def blocks(kind):
    x = np.ascontiguousarray(matrix(kind)[:, : SHAPES[kind][1] // 4 * 4])
    y = ops.maxout_forward(x, 4)
    scale = matrix("row")[0, : x.shape[0]].copy()
    added = ops.scaled_add(x, matrix(kind, 1)[:, : x.shape[1]].copy(), scale)
    return [y, ops.maxout_backward(y, x, y), added, ops.uniform(x.shape, seed=3)]


def pools(kind):
    x = helpers.rng(80).normal(size=(700, 10, 11, 3)).astype("f4")
    regions = [ops.fractional_pool_regions(size, 4, seed=1) for size in x.shape[1:3]]
    y, argmax = ops.max_pool_forward(x, *regions)
    return [y, argmax, ops.max_pool_backward(y, argmax, x.shape[1:])]


def case(function, name=None):
    return pytest.param((function, name), id=f"{function.__name__}-{name}" if name else function.__name__)


CASES = [
    *(case(activation, name) for name in ROWS),
    *(case(noise, r["name"]) for r in _native.noise_rows()),
    *(case(loss, r["name"]) for r in _native.loss_rows()),
    *(case(metric, r["name"]) for r in _native.metric_rows()),
    *(case(update, r["name"]) for r in _native.optimizer_rows()),
    *(case(constrain, r["name"]) for r in _native.constraint_rows()),
    *map(case, (penalties, accumulate, clip, batchnorm, layer_norm, averages, dense, gather, blocks, pools)),
]


@pytest.fixture
def threads():
    before = fusednet.get_num_threads()
    yield fusednet.set_num_threads
    fusednet.set_num_threads(before)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("work", CASES)
def test_same_bits_for_any_number_of_threads(work, kind, threads):
    function, name = work
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append([np.asarray(part).tobytes() for part in function(*([name] if name else []), kind)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("cols", "offset", "pad"), [(1024, 0, 0), (1031, 3, 0), (1500, 1, 7), (1000, 1, 0)])
def test_rows_written_past_the_caches_are_the_same(isa, cols, offset, pad, threads):
    """Log-softmax, whose rows are whole: the bits of calls for few of them."""
    threads(2)
    rows = -(-STREAMED // (4 * cols)) + 1
    x = np.resize(helpers.rng(83).normal(0, 3, 4099).astype("f4"), (rows, cols))
    out = helpers.Guarded(x.shape, np.float32, offset=offset, pad=pad)
    _native.activation_forward(x, out.view, "log_softmax", [], isa.isa, None)
    got = out.check()
    for first in range(0, rows, 97):
        part = x[first : first + 97]
        few = np.empty_like(part)
        _native.activation_forward(part, few, "log_softmax", [], isa.isa, None)
        np.testing.assert_array_equal(got[first : first + 97], few)


@pytest.mark.parametrize("name", ["elu", "prelu", "linear"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    ("rows", "cols", "offset", "pad"), [(1, -1, 1, 0), (1, 0, 0, 0), (1, 3, 5, 0), (515, 1, 3, 7), (515, 0, 0, 0)]
)
def test_what_is_written_past_the_caches_is_the_same(isa, name, direction, rows, cols, offset, pad, threads):
    """Around the size where that begins, from any address, with gaps between rows: the bits of short calls."""
    threads(2)
    cols += -(-STREAMED // (4 * rows))
    x = np.resize(helpers.rng(81).normal(0, 3, 4099).astype("f4"), (rows, cols))
    dy = x[:, ::-1].copy()
    slope = None if ROWS[name]["slope"] == "none" else np.resize(helpers.rng(82).normal(size=97).astype("f4"), cols)
    params = [d for _, d in ROWS[name]["params"]]

    def run(part, out):
        slopes = None if slope is None else slope[part]
        if direction == "forward":
            _native.activation_forward(x[:, part], out, name, params, isa.isa, slopes)
        else:
            _native.activation_backward(dy[:, part], x[:, part], out, name, params, isa.isa, slopes)
        return out

    out = helpers.Guarded((rows, cols), np.float32, offset=offset, pad=pad)
    run(slice(None), out.view)
    got, width = out.check(), cols // 7
    for first in range(0, cols, width):
        part = slice(first, min(first + width, cols))
        assert np.array_equal(run(part, np.empty((rows, part.stop - first), np.float32)), got[:, part])


@pytest.mark.parametrize("name", ["elu", "silu", "prelu", "linear"])
@pytest.mark.parametrize(
    ("cols", "offset", "pad"), [(1024, 4, 0), (1000, 3, 24), (520, 15, 8), (300, 0, 20), (1023, 5, 0), (130, 1, 30)]
)
def test_batch_normalization_past_the_caches_is_the_same(isa, name, cols, offset, pad, threads):
    """From any address, lines at the same columns of every row or not: the bits of a few columns at a time."""
    threads(2)
    rows = 2 + -(-STREAMED // (4 * cols))
    x, dy = (np.resize(helpers.rng(seed).normal(1, 3, 4099).astype("f4"), (rows, cols)) for seed in (83, 84))
    gamma, beta = helpers.rng(85).normal(size=(2, cols)).astype("f4")
    slope = None if ROWS[name]["slope"] == "none" else helpers.rng(86).normal(size=cols).astype("f4")
    params = [d for _, d in ROWS[name]["params"]]
    y, dx = (helpers.Guarded((rows, cols), np.float32, offset=offset, pad=pad) for _ in range(2))

    def run(part, y, dx):
        m, v, dgamma, dbeta = (np.empty(gamma[part].size, "f4") for _ in range(4))
        slopes = None if slope is None else slope[part]
        given = gamma[part], beta[part]
        _native.batchnorm_forward(x[:, part], m, v, *given, y, 1e-3, name, params, isa.isa, slopes, True)
        dslope = None if ROWS[name]["slope"] != "learned" else np.empty_like(m)
        given = dy[:, part], x[:, part], y, m, v, *given, dx, dgamma, dbeta, 1e-3
        _native.batchnorm_backward(*given, name, params, True, isa.isa, slopes, dslope)
        return [y, dx, m, v, dgamma, dbeta, *([] if dslope is None else [dslope])]

    whole = run(slice(None), y.view, dx.view)
    y.check(), dx.check()
    width = cols // 5
    for first in range(0, cols, width):
        part = slice(first, min(first + width, cols))
        shape = rows, part.stop - first
        for got, want in zip(whole, run(part, np.empty(shape, "f4"), np.empty(shape, "f4")), strict=True):
            assert np.array_equal(got[..., part], want)


def test_labels_and_indices_changed_by_another_thread_do_no_harm():
    """They are checked, and then used without the GIL: what is used is what was checked."""
    program = """
import threading
import numpy as np
from fusednet import ops
x = np.abs(np.random.default_rng(0).normal(size=(4000, 50))).astype("f4")
labels, order = np.arange(4000, dtype=np.int32) % 50, np.arange(4000)
stop = False
def spoil():
    while not stop:
        labels[:], order[:] = 2**30, 2**40
        labels[:], order[:] = np.arange(4000) % 50, np.arange(4000)
thread = threading.Thread(target=spoil)
thread.start()
for _ in range(300):
    for call in (lambda: ops.loss("softmax_crossentropy", x, labels), lambda: ops.metric("accuracy", x, labels),
                 lambda: ops.gather(x, order)):
        try:
            call()
        except ValueError:
            pass
stop = True
thread.join()
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
