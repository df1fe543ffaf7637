"""The script for a machine with a GPU, beside programs that only note what they are asked: its parts, when it stops."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devices import DEVICES

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu_session.sh"
PARTS = ["build", "info", "device", "suite", "memcheck", "racecheck", "initcheck", "panels", "bench"]
BESIDE = {"memcheck", "racecheck", "initcheck"}  # one another

AFFECTING = {"ARCHITECTURE", "FUSEDNET_DEVICE", "LIMIT", "CXX"}

# Notes what it is asked for, then does what WANTED has for the first pattern in it: [pattern, output, status, seconds].
FAKE = """#!{python} -IS
import fcntl, json, os, re, sys, time
asked = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
with open(os.environ["NOTES"], "a") as notes:
    fcntl.flock(notes, fcntl.LOCK_EX)
    notes.write(json.dumps([asked, sys.argv, os.environ.get("FUSEDNET_DEVICE")]) + "\\n")
for pattern, output, status, seconds in json.loads(os.environ["WANTED"]):
    if re.search(pattern, asked):
        print(output, flush=True)
        time.sleep(seconds)
        sys.exit(status)
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture
def session(tmp_path):
    """Runs the script; its process and what the programs were asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "nvidia-smi", "compute-sanitizer"):
        path = programs / name
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(0o755)

    def run(*wanted, gpu="9.0", cwd=tmp_path, **more):
        answers = [*wanted, ["^nvidia-smi", gpu, 0 if gpu else 9, 0]]
        notes = tmp_path / "notes"
        notes.unlink(missing_ok=True)
        env = {name: value for name, value in os.environ.items() if name not in AFFECTING}
        env |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": str(programs / "python")}
        env |= {"WANTED": json.dumps(answers), "NOTES": str(notes), "OUT": str(tmp_path / "out"), **more}
        done = subprocess.run(
            ["bash", str(SCRIPT)], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return done, [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    return run


def limits():
    table = re.search(r"seconds=\(([^)]*)\)", SCRIPT.read_text())
    assert table is not None
    return {name: int(limit) for name, limit in re.findall(r"\[(\w+)\]=(\d+)", table[1])}


def test_limits_of_the_parts_are_within_that_of_all():
    seconds = {name: limit + 5 for name, limit in limits().items()}
    assert list(seconds) == PARTS
    one_by_one = sum(limit for name, limit in seconds.items() if name not in BESIDE)
    assert one_by_one + max(seconds[name] for name in BESIDE) <= 540
    assert "end=${LIMIT:-540}" in SCRIPT.read_text()


def test_all_parts_in_their_order(session, tmp_path):
    old = tmp_path / "out" / "installed" / "fusednet"
    old.mkdir(parents=True)
    done, asked = session()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^== (\w+): \d+ s, passed$", done.stdout, re.MULTILINE) == PARTS
    assert "failed: none; without time enough: none" in done.stdout
    assert not old.exists()  # what an earlier session had built
    build = next(line for line, _, _ in asked if "pip install" in line)
    assert "CMAKE_CUDA_ARCHITECTURES=90" in build.split("cmake.define.")[2]
    assert [device for line, _, device in asked if "tests/test_layers.py" in line] == ["cuda"]


def test_every_test_of_the_device_is_run_there(session):
    _, asked = session()
    (found,) = (argv for line, argv, _ in asked if "tests/test_device.py" in line)
    files = {path.name for path in (ROOT / "tests").glob("test_device*.py")}
    assert files <= {Path(argument).name for argument in found}
    assert {"test_device_launches.py", "test_device_large.py"} <= files


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
def test_what_the_sanitizers_see(session):
    """Few tests, and among them what shares launches and each kind of kernel: all names that are chosen exist."""
    _, asked = session()
    runs = [argv for line, argv, _ in asked if line.startswith("compute-sanitizer")]
    assert sorted(argv[2] for argv in runs) == sorted(BESIDE)
    chosen = runs[0][runs[0].index("-k") + 1].replace("cuda-", "cuda_emulated-")
    files = [argument for argument in runs[0] if argument.startswith("tests/")]
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *files, "-k", chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    names = [line for line in done.stdout.splitlines() if "::" in line]
    launches = [name for name in names if "test_device_launches.py" in name]
    assert len(launches) == 3
    kinds = re.findall(r"\b(?:cuda_emulated-\w+|softmax_crossentropy)", re.sub(r"\S*-odd-\S*", "", chosen))
    assert len(kinds) == 12
    for kind in kinds:
        assert sum(f"{kind}" in name for name in names if name not in launches) == 1, kind
    assert len(names) == len(launches) + len(kinds)


@pytest.mark.parametrize("gpu", ["", "NVIDIA-SMI has failed because it couldn't communicate"])
def test_without_a_gpu_nothing_is_built(session, gpu):
    done, asked = session(gpu=gpu)
    assert done.returncode == 2
    assert "nvidia-smi names no GPU to build for" in done.stderr
    assert not any("pip" in line for line, _, _ in asked)


def test_a_python_that_is_named_from_where_the_caller_is(session, tmp_path):
    done, _ = session(PYTHON="bin/python", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done, _ = session(PYTHON="bin/none", cwd=tmp_path)
    assert done.returncode == 2
    assert "PYTHON expects a Python, got bin/none" in done.stderr


@pytest.mark.parametrize(("pattern", "last"), [("pip install", "build"), ("show_config", "info")])
def test_nothing_is_tested_without_a_build_that_sees_the_gpu(session, pattern, last):
    done, asked = session([pattern, "why", 1, 0])
    assert done.returncode == 1
    assert re.search(rf"== {last}: \d+ s, failed with 1", done.stdout)
    assert "why" in done.stdout
    assert not any("pytest" in line and " -q " in line for line, _, _ in asked)


def test_the_gate_is_whether_cuda_is_available(session):
    """What it asks Python, by this build: `fusednet info` would end with 0 without CUDA."""
    import fusednet

    _, asked = session()
    (gate,) = (argv for line, argv, _ in asked if "show_config" in line)
    done = subprocess.run([sys.executable, *gate[1:]], capture_output=True, text=True, timeout=60, check=False)
    available = fusednet.show_config().cuda["available"]
    assert done.returncode == (0 if available else 1), done.stderr
    assert available or "CUDA cannot be used: " in done.stderr


@pytest.mark.slow
def test_what_failed_is_told_from_what_had_no_time(session):
    done, _ = session(["bench device --rounds", "row", 0, 50], LIMIT="20")
    assert done.returncode == 3
    assert re.search(r"== bench: \d+ s, timed out", done.stdout)
    assert "failed: none; without time enough: bench" in done.stdout
    # what was found before the time was over counts as found
    failed = ["--tool memcheck", "FAILED tests/a.py::b", 1, 0]
    race = ["bench device --rounds", "========= Error: Race", 0, 50]
    done, _ = session(failed, race, LIMIT="20")
    assert done.returncode == 1
    assert "1 FAILED tests/a.py::b" in done.stdout
    assert "failed: memcheck bench; without time enough: none" in done.stdout
