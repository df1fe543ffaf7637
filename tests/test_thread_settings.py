"""How many threads are used: the environment, the process's limits, threadpoolctl; and that idle ones rest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import fusednet
from fusednet import _native

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST = 64  # that the pool holds


def run(program, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("FUSEDNET_NUM_THREADS", "OMP_NUM_THREADS")} | environment
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, env=env)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.split()


def threads(**environment):
    (count,) = run("import fusednet; print(fusednet.get_num_threads())", **environment)
    return int(count)


@pytest.fixture(scope="module")
def default():
    return threads()


def test_the_default_is_within_the_affinity(default):
    assert 1 <= default <= min(CPUS, MOST)


@pytest.mark.parametrize(
    "environment",
    [
        {"FUSEDNET_NUM_THREADS": "1"},
        {"FUSEDNET_NUM_THREADS": " 1 "},
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "1,7"},
        {"FUSEDNET_NUM_THREADS": "1", "OMP_NUM_THREADS": "7"},
        {"FUSEDNET_NUM_THREADS": "", "OMP_NUM_THREADS": "1"},
    ],
)
def test_the_environment_asks_for_one(environment):
    assert threads(**environment) == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"FUSEDNET_NUM_THREADS": "9999999999999999999999"},
        {"OMP_NUM_THREADS": "0"},
        {"OMP_NUM_THREADS": "1x"},
        {"OMP_NUM_THREADS": "auto"},
    ],
)
def test_the_environment_says_nothing_of_use(default, environment):
    """More than there are, or what only other libraries may understand."""
    assert threads(**environment) == default


@pytest.mark.parametrize("value", ["0", "-2", "two", "2.5", "1,2", "0x2"])
def test_a_bad_number_in_the_own_variable_is_an_error(value):
    out = run(
        """
import fusednet
from fusednet.layers import Dense
calls = [fusednet.get_num_threads, fusednet.show_config, lambda: fusednet.Sequential([Dense(2, input_shape=[2])]).plan]
for call in calls:
    try:
        call()
    except ValueError as error:
        print(str(error).replace(" ", "_"))
fusednet.set_num_threads(1)
for call in calls:
    call()
""",
        FUSEDNET_NUM_THREADS=value,
    )
    assert out == [f"[FUSEDNET_NUM_THREADS]_expects_an_integer_of_at_least_1,_got_'{value}'"] * 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_affinity_when_first_asked():
    out = run(
        "import os; import fusednet; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "print(fusednet.get_num_threads())"
    )
    assert out == ["1"]


def written(tmp_path, groups, files):
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return _native.cgroup_cpus(str(tmp_path / "cgroup"), str(tmp_path / "sys"))


V1 = "5:cpuset:/x\n4:cpu,cpuacct:/a/b\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("groups", "files", "want"),
    [
        ("0::/a/b\n", {}, MOST),
        ("0::/a/b\n", {"cpu.max": "max 100000"}, MOST),
        ("0::/a/b\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "500000 100000"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "500000 100000", "a/b/cpu.max": "160000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "20000 100000"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "nonsense"}, MOST),
        ("0::/a/b\n", {"c/cpu.max": "100000 100000"}, MOST),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, MOST),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "400000", "cpu/a/b/cpu.cfs_period_us": "100000"}, 4),
        (V1, {"cpu,cpuacct/a/cpu.cfs_quota_us": "100000", "cpu,cpuacct/a/cpu.cfs_period_us": "50000"}, 2),
        (V1, {"cpuset/x/cpu.cfs_quota_us": "100000", "cpuset/x/cpu.cfs_period_us": "100000"}, MOST),
        (V1 + "0::/u\n", {"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "100000"}, 5),
    ],
)
def test_quotas_of_nested_groups(tmp_path, groups, files, want):
    assert written(tmp_path, groups, files) == want


def test_no_groups_at_all(tmp_path):
    assert _native.cgroup_cpus(str(tmp_path / "none"), str(tmp_path)) == MOST


@pytest.mark.parametrize("first", ["threadpoolctl", "fusednet"])
def test_threadpoolctl_sees_and_limits_the_pool(first):
    module = pytest.importorskip("threadpoolctl", minversion="3.2")
    assert hasattr(module, "register")
    out = run(f"""
import sys, importlib.util
import {first}
assert ("threadpoolctl" in sys.modules) == ({first!r} == "threadpoolctl")
import fusednet
assert importlib.util.find_spec("threadpoolctl")
import threadpoolctl
fusednet.set_num_threads(3)
(info,) = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "fusednet"]
print(info["num_threads"], info["version"] == fusednet.__version__)
for limits in ({{"limits": 1}}, {{"limits": 2, "user_api": "fusednet"}}, {{"limits": 1, "user_api": "blas"}}):
    with threadpoolctl.threadpool_limits(**limits):
        print(fusednet.get_num_threads())
print(fusednet.get_num_threads())
""")
    assert out == ["3", "True", "1", "2", "3", "3"]


def test_the_exported_functions_keep_within_what_the_pool_holds():
    import ctypes

    library = ctypes.CDLL(_native.__file__)
    before = fusednet.get_num_threads()
    try:
        for given, kept in ((0, 1), (-3, 1), (5, 5), (1000, MOST)):
            library.fusednet_set_num_threads(given)
            assert library.fusednet_get_num_threads() == fusednet.get_num_threads() == kept
    finally:
        fusednet.set_num_threads(before)


@pytest.mark.timed
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_threads_start_with_the_first_shared_work_and_rest_after_it():
    """Neither the import nor a small model starts any; idle ones use no processor time."""
    out = run("""
import os, time
import numpy as np
before = len(os.listdir("/proc/self/task"))
import fusednet
from fusednet.layers import Dense
counts = [len(os.listdir("/proc/self/task")) - before]
fusednet.set_num_threads(3)
x = np.ones((640, 300), np.float32)
for units in (2, 400):
    model = fusednet.Sequential([Dense(units, input_shape=[300]), Dense(1)])
    model.compile(loss="mse", optimizer="adam")
    rows = 1 if units == 2 else 640
    model.fit(x[:rows], np.zeros((rows, 1)), verbose=0)
    counts.append(len(os.listdir("/proc/self/task")) - before)
time.sleep(0.01)
used = []
for _ in range(3):
    start = time.process_time()
    time.sleep(0.3)
    used.append(time.process_time() - start)
print(*counts, min(used) < 0.002)
""")
    assert out == ["0", "0", "2", "True"]
