"""The number of threads changes no bit; nothing is allocated once a plan is built."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plans
from fusednet import _native
from plans import (
    MAX_NORM,
    SLOPES,
    activation,
    batchnorm,
    dense,
    image,
    layernorm,
    noise,
    optimizer,
    regions,
    residual,
    slope,
)

ADAM = ("adam", (0.001, 0.9, 0.999, 1e-7))
# Odd widths and an odd batch: no split of the work is even.
LAYERS = [
    batchnorm("bn0"),
    dense("d1", 130, use_bias=False), batchnorm("bn1"), activation("a1"),
    dense("d2", 67, plans.ELU),
    dense("d3", 10),
]  # fmt: skip
# Of all kinds, random layers, penalties and constraints included; wide enough that threads share it.
CATALOGUE = [
    layernorm("n"), noise("o", "gaussian_dropout", 0.2),
    dense("d1", 210) | {"drop_rate": 0.3, "penalties": {"kernel": [1e-3, 1e-3]}, "activity_penalty": [1e-3, 1e-3]},
    image("p", 10, 7, 3) | {"fractional": regions(7, 5, True, False)},
    residual("r", dense("d2", 105, plans.ELU), batchnorm("bn"), noise("q"), survival=0.7, per_sample=True),
    residual("s", dense("d4", 105) | {"constraints": {"kernel": MAX_NORM, "bias": MAX_NORM}}, survival=0.7),
    dense("d5", 67) | {"pieces": 3}, *(slope(row, row, kind == "learned") for row, kind in SLOPES.items()),
    noise("t", "alpha_dropout", 0.1), dense("d3", 10),
]  # fmt: skip
FULL = {
    "weight_decay": 0.01, "weight_decay_excluded": ["bias"], "ema_momentum": 0.9, "ema_overwrite_frequency": 2,
    "gradient_accumulation_steps": 2, "schedule": {"name": "exponential_decay", "params": [0.01, 2.0, 0.9, 0.0]},
}  # fmt: skip
WIDE = [
    dense("d1", 701, plans.ELU),
    dense("d2", 515, use_bias=False),
    batchnorm("bn"),
    activation("a"),
    dense("d3", 10),
]


TRAINED = [(LAYERS, 211, 37), (WIDE, 300, 129), (CATALOGUE, 211, 101)]


@pytest.fixture
def threads():
    before = _native.get_num_threads()
    yield _native.set_num_threads
    _native.set_num_threads(before)


def trained(layers, features, batch, clip, dtype):
    spec = optimizer(*ADAM, **clip) | (FULL if layers is CATALOGUE else {})
    plan = _native.Plan(plans.config(layers, features, batch, dtype, optimizer=spec))
    plans.start(plan)
    x, y = plans.data(batch * 6 + 5, features, 10, dtype)
    weights = np.linspace(0, 2, len(x))
    result = plan.train(x, y, np.random.default_rng(0).permutation(len(x)), 0, len(x), batch, 1e9, weights)
    assert result["status"] == "ok"
    out = np.empty((len(x), 10), dtype)
    plan.predict(x, out, 0, len(x), 1e9)
    return plans.state(plan) | {"predictions": out, "loss": np.array(result["loss"])}


@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 0.1}, {"clipnorm": 0.1}], ids=lambda c: next(iter(c), "none"))
@pytest.mark.parametrize(("layers", "features", "batch"), TRAINED, ids=["small", "wide", "catalogue"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads(threads, layers, features, batch, clip, dtype):
    threads(1)
    want = trained(layers, features, batch, clip, dtype)
    for count in (2, 3, 7):
        threads(count)
        assert _native.get_num_threads() == count
        got = trained(layers, features, batch, clip, dtype)
        for name, value in want.items():
            np.testing.assert_array_equal(got[name], value, err_msg=f"{name}, {count} threads")


def test_a_count_of_threads_below_one_is_refused():
    for bad in (0, -1):
        with pytest.raises(ValueError, match=str(bad)):
            _native.set_num_threads(bad)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_training_survives_a_fork(threads):
    """The pool's workers do not exist in a forked child: it must start its own, not wait for them."""
    threads(2)
    want = trained(LAYERS, 211, 37, {}, "float32")["predictions"]
    code = (
        "import os, sys\nimport test_threads_and_memory as t\nfrom fusednet import _native\n"
        "_native.set_num_threads(2)\nt.trained(t.WIDE, 300, 129, {}, 'float32')\npid = os.fork()\n"
        "got = t.trained(t.LAYERS, 211, 37, {}, 'float32')['predictions']\n"
        "if pid == 0:\n    os._exit(0 if got.tobytes().hex() == sys.stdin.read() else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    env = environment(PYTHONWARNINGS="ignore")
    done = subprocess.run([sys.executable, "-c", code], input=want.tobytes().hex(), text=True, env=env, timeout=120)
    assert done.returncode == 0


def environment(**more: str) -> dict[str, str]:
    """That of this process, in which a subprocess finds this file as a module."""
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)} | more


COUNTER = """
#include <stddef.h>
extern void *__libc_malloc(size_t); extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t); extern void *__libc_memalign(size_t, size_t);
static volatile unsigned long count;
unsigned long counted_allocations(void) { return count; }
void *malloc(size_t n) { __sync_fetch_and_add(&count, 1); return __libc_malloc(n); }
void *calloc(size_t n, size_t s) { __sync_fetch_and_add(&count, 1); return __libc_calloc(n, s); }
void *realloc(void *p, size_t n) { __sync_fetch_and_add(&count, 1); return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { __sync_fetch_and_add(&count, 1); return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { __sync_fetch_and_add(&count, 1); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) {
    __sync_fetch_and_add(&count, 1);
    *p = __libc_memalign(a, n);
    return *p ? 0 : 12;
}
"""


def count_allocations() -> None:
    """Run under the counter: for each call, prints the allocations of 10 steps and of 300.

    The least of three, after a warm-up: the C library sets up a worker's thread-local storage when it first meets it.
    """
    counted = ctypes.CDLL(None).counted_allocations
    counted.restype = ctypes.c_ulong
    counts = []
    for layers, dtype in ((LAYERS, "float32"), (LAYERS, "float64"), (CATALOGUE, "float32")):
        spec = optimizer(*ADAM, global_clipnorm=1.0) | (FULL if layers is CATALOGUE else {})
        plan = _native.Plan(plans.config(layers, 211, 37, dtype, optimizer=spec))
        plans.start(plan)
        x, y = plans.data(37 * 300, 211, 10, dtype)
        order, out = np.random.default_rng(0).permutation(len(x)), np.empty((len(x), 10), dtype)
        calls = [lambda n, p=plan, a=(x, y, order): p.train(*a, 0, 37 * n, 37, 1e9),
                 lambda n, p=plan, a=(x, out): p.predict(*a, 0, 37 * n, 1e9),
                 lambda n, p=plan, a=(x, y): p.evaluate(*a, 0, 37 * n, 1e9, False)]  # fmt: skip
        for call in calls:
            call(10)
            for steps in (10, 300):
                taken = []
                for _ in range(3):
                    before = counted()
                    call(steps)
                    taken.append(counted() - before)
                counts.append(min(taken))
    print(*counts)


@pytest.mark.skipif(sys.platform != "linux", reason="counts with LD_PRELOAD")
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="the address sanitizer owns malloc")
def test_nothing_is_allocated_after_the_plan_is_built(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to build the allocation counter with")
    source, library = tmp_path / "count.c", tmp_path / "count.so"
    source.write_text(COUNTER)
    built = subprocess.run([compiler, "-O1", "-fPIC", "-shared", "-o", library, source], capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"the allocation counter needs glibc: {built.stderr[:200]}")
    env = environment(LD_PRELOAD=str(library))
    code = "import test_threads_and_memory as t; t.count_allocations()"
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    counts = [int(v) for v in out.stdout.split()]
    assert len(counts) == 18
    for i in range(0, len(counts), 2):
        ten, many = counts[i : i + 2]
        assert many == ten, f"290 steps more took {many - ten} allocations (call {i // 2})"
