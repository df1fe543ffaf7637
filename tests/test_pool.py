"""The pool of threads under conditions that ordinary training does not meet. Each case is a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMON = """
import os, signal, threading
import numpy as np
import fusednet
from fusednet.layers import Dense

def network(units, seed=0):
    layers = [Dense(units, activation="elu", input_shape=[60]), Dense(units), Dense(3, "softmax")]
    model = fusednet.Sequential(layers, seed=seed)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    return model

g = np.random.default_rng(0)
x = g.normal(size=(960, 60)).astype(np.float32)
y = g.integers(0, 3, 960)
"""


def run(program, timeout=100):
    done = subprocess.run(
        [sys.executable, "-c", COMMON + program], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_jobs_of_changing_sizes_with_more_threads_than_cores():
    """Task counts go up and down, workers are late: no task is lost or done twice, so the bits stay."""
    out = run("""
results = []
for threads in (1, 13):
    fusednet.set_num_threads(threads)
    models = [network(units, seed=units) for units in (40, 600, 130)]
    for epoch in range(6):
        for model in models:
            model.fit(x[:: epoch + 1], y[:: epoch + 1], batch_size=30 + 17 * epoch, verbose=0)
    results.append([w for model in models for w in model.get_weights()])
print(all(np.array_equal(a, b) for a, b in zip(*results)))
""")
    assert out == "True\n"


def test_more_callers_than_cores_at_once():
    """Whoever has the workers, and while the others work alone: all get what they get one after the other."""
    out = run("""
fusednet.set_num_threads(3)
seeds = range(4)
models = [network(300, seed) for seed in seeds]
for model in models:
    model.fit(x, y, epochs=4, verbose=0)
again = [network(300, seed) for seed in seeds]
threads = [threading.Thread(target=model.fit, args=(x, y), kwargs={"epochs": 4, "verbose": 0}) for model in again]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(all(np.array_equal(p, q) for a, b in zip(models, again) for p, q in zip(a.get_weights(), b.get_weights())))
""")
    assert out == "True\n"


def test_the_count_changes_while_another_thread_trains():
    out = run("""
a, b = network(300), network(300)
a.fit(x, y, epochs=12, verbose=0)
thread = threading.Thread(target=lambda: b.fit(x, y, epochs=12, verbose=0))
thread.start()
n = 1
while thread.is_alive():
    n = n % 5 + 1
    fusednet.set_num_threads(n)
    thread.join(0.002)
print(all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights())))
""")
    assert out == "True\n"


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer reserves the address space itself")
def test_no_thread_to_be_had():
    """Threads that the system refuses are done without."""
    out = run("""
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20),) * 2)
fusednet.set_num_threads(32)
network(300).fit(x, y, epochs=1, verbose=0)
print("trained")
""")
    assert out == "trained\n"


def test_labels_changed_by_another_thread_do_no_harm():
    out = run("""
labels = y.astype(np.int32)
stop = False
def spoil():
    while not stop:
        labels[:] = 2**30
        labels[:] = y
thread = threading.Thread(target=spoil)
thread.start()
for _ in range(20):
    try:
        network(40).fit(x, labels, epochs=3, verbose=0)
    except ValueError:
        pass
stop = True
thread.join()
print("alive")
""")
    assert out == "alive\n"


def test_a_fork_while_another_thread_trains_the_model():
    """The child has an error or a result, and never hangs."""
    out = run("""
model = network(300)
model.fit(x, y, verbose=0)
stop = threading.Event()
class Stop(fusednet.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = stop.is_set()
thread = threading.Thread(target=lambda: model.fit(x, y, epochs=10**6, verbose=0, callbacks=[Stop()]))
thread.start()
ends = set()
import warnings
warnings.simplefilter("ignore")
for _ in range(12):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            model.predict(x[:5])
            os._exit(0)
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 3)
    ends.add(os.waitpid(child, 0)[1])
stop.set()
thread.join()
print(ends)
""")
    assert out == "{0}\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_parent_and_children_train_at_once(method, tmp_path):
    """Processes made by multiprocessing, after the parent has used its threads: each gets the same bits."""
    (tmp_path / "job.py").write_text(
        COMMON
        + f"""
import multiprocessing, sys, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads

def job(queue):
    fusednet.set_num_threads(2)
    model = network(300)
    model.fit(x, y, epochs=3, verbose=0)
    weights = model.get_weights()
    if queue is not None:
        queue.put(weights)
    return weights

if __name__ == "__main__":
    want = job(None)
    context = multiprocessing.get_context({method!r})
    queue = context.Queue()
    children = [context.Process(target=job, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    results = [job(None), *(queue.get(timeout=80) for _ in children)]
    for child in children:
        child.join()
    print([child.exitcode for child in children],
          all(np.array_equal(a, b) for got in results for a, b in zip(want, got)))
"""
    )
    done = subprocess.run([sys.executable, tmp_path / "job.py"], capture_output=True, text=True, timeout=100)
    assert done.stdout == "[0, 0] True\n", done.stdout + done.stderr


def test_two_threads_may_not_train_one_model():
    out = run("""
model = network(300)
model.fit(x, y, verbose=0)
class Again(fusednet.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        def train():
            try:
                model.train_on_batch(x, y)
            except RuntimeError as error:
                print("refused" if "no other thread" in str(error) else error)
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
        model.evaluate(x, y, verbose=0)
model.fit(x, y, epochs=2, verbose=0, callbacks=[Again()])
print(model.step)
""")
    assert out == "refused\nrefused\n90\n"


@pytest.mark.parametrize(("batch", "features", "units"), [(2**60, 16, 4), (8, 2**62, 4), (2**30 + 4, 4, 2**31 - 8)])
def test_sizes_that_no_memory_holds(batch, features, units):
    from fusednet import _native

    linear = {"name": "linear", "params": []}
    layer = {"kind": "dense", "name": "d", "units": units, "use_bias": True, "activation": linear}
    config = {"dtype": "float64", "batch": batch, "features": features, "layers": [layer], "loss": None}
    with pytest.raises(MemoryError):
        _native.Plan(config | {"optimizer": None})


def test_denormals_of_ops_survive_a_pool_that_a_model_started():
    """A model's own threads count denormals as zero; a thread inherits that from the one that starts it."""
    code = """
import numpy as np
import fusednet as fn
fn.set_num_threads(2)
model = fn.Sequential([fn.Input((256,)), fn.layers.Dense(256)])
model.compile(loss="mean_squared_error", optimizer="sgd")
model.fit(np.zeros((512, 256), np.float32), np.zeros((512, 256), np.float32), batch_size=512, verbose=0)
x = np.full(1 << 21, 1e-40, np.float32)
for _ in range(20):
    assert (fn.ops.relu_forward(x) == x).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
