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

import sanitized
from fusednet import _native
from ops_calls import CALLS

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu_session.sh"
PARTS = [
    "build",
    "info",
    "device",
    "suite",
    "epilogues",
    "memcheck",
    "racecheck",
    "initcheck",
    "panels",
    "targets",
    "bench",
]
BESIDE = {"memcheck", "racecheck", "initcheck"}  # one another

WAYS = [("", "_forward"), ("", "_backward"), ("", "_update"), ("loss ", ""), ("metric ", ""), ("constrain ", "")]
AFFECTING = {"ARCHITECTURE", "FUSEDNET_DEVICE", "FUSEDNET_CUBLASLT_EPILOGUES", "LIMIT", "CXX", "PARTS", "INSTALLED"}

# Notes what it is asked for, then does what WANTED has for the first pattern in it: [pattern, output, status, seconds].
FAKE = """#!{python} -IS
import fcntl, json, os, re, sys, time
asked = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
with open(os.environ["NOTES"], "a") as notes:
    fcntl.flock(notes, fcntl.LOCK_EX)
    notes.write(json.dumps([asked, sys.argv, os.environ.get("FUSEDNET_DEVICE")]) + "\\n")
    if epilogues := os.environ.get("FUSEDNET_CUBLASLT_EPILOGUES"):
        with open(os.environ["NOTES"] + ".epilogues", "a") as with_them:
            with_them.write(json.dumps([epilogues, asked]) + "\\n")
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

    def run(*wanted, gpu="9.0", cwd=tmp_path, script=SCRIPT, **more):
        answers = [*wanted, ["^nvidia-smi", gpu, 0 if gpu else 9, 0]]
        notes = tmp_path / "notes"
        for path in (notes, tmp_path / "notes.epilogues"):
            path.unlink(missing_ok=True)
        env = {name: value for name, value in os.environ.items() if name not in AFFECTING}
        env |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": str(programs / "python")}
        env |= {"WANTED": json.dumps(answers), "NOTES": str(notes), "OUT": str(tmp_path / "out"), **more}
        done = subprocess.run(
            ["bash", str(script)], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
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
    records = [argv[argv.index("--json") + 1] for line, argv, _ in asked if "fusednet bench device" in line]
    assert records == [str(tmp_path / "out" / f"{name}.json") for name in ("panels", "targets", "bench")]


def test_rows_with_a_target_have_the_time_first(session):
    """Beside the library that targets name alone; what they leave is for all other rows, with all rivals."""
    _, asked = session()
    runs = [argv for line, argv, _ in asked if "fusednet bench device" in line]
    when = [argv[argv.index("--targets") + 1] if "--targets" in argv else "" for argv in runs]
    assert when == ["", "only", "last"]
    assert [argv[argv.index("--rivals") + 1] for argv in runs] == ["", "torch", "torch,jax"]


def of(done):
    return re.findall(r"^== (\w+): \d+ s, passed$", done.stdout, re.MULTILINE)


def test_parts_by_name(session, tmp_path):
    """With the build of before, where it is of the same files for the same GPU; logs of other parts stay."""
    log = tmp_path / "out" / "suite.log"
    done, _ = session(PARTS="suite")
    assert of(done) == ["build", "info", "suite"]  # there was none
    before = log.stat()
    done, asked = session(PARTS="targets sanitizers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert of(done) == ["info", "memcheck", "racecheck", "initcheck", "targets"]
    assert "== build: kept, of the same files" in done.stdout
    assert not any("pip install" in line for line, _, _ in asked)
    assert log.stat() == before
    for again in (["PARTS", "build"], ["ARCHITECTURE", "100"], ["PARTS", ""]):
        done, asked = session(**dict([["PARTS", "racecheck"], again]))
        assert "build" in of(done), again
        assert sum("pip install" in line for line, _, _ in asked) == 1


@pytest.mark.parametrize("changed", ["csrc/a.cu", "python/b.py", "benchmarks/c.py", "CMakeLists.txt"])
def test_a_build_of_other_files_is_not_kept(session, tmp_path, changed):
    tree = tmp_path / "tree"
    for name in ("csrc/a.cu", "python/b.py", "benchmarks/c.py", "CMakeLists.txt", "pyproject.toml"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("before")
    shutil.copy(SCRIPT, tree / "benchmarks")
    script = tree / "benchmarks" / SCRIPT.name
    assert "build" in of(session(script=script, PARTS="targets")[0])
    (tree / "benchmarks" / "results").mkdir()
    (tree / "benchmarks" / "results" / "record.json").write_text("of an earlier run")
    assert "build" not in of(session(script=script, PARTS="targets")[0])
    (tree / changed).write_text("after")
    assert "build" in of(session(script=script, PARTS="targets")[0])


def test_a_build_that_fails_is_none_to_keep(session):
    session(PARTS="suite")
    assert session(["pip install", "why", 1, 0], PARTS="build")[0].returncode == 1
    assert "build" in of(session(PARTS="suite")[0])


def test_a_part_that_there_is_not(session):
    done, asked = session(PARTS="targets bnech")
    assert done.returncode == 2
    assert "PARTS expects some of build, info, device" in done.stderr
    assert "got bnech" in done.stderr
    assert not any("pip" in line for line, _, _ in asked)


def test_every_test_of_the_device_is_run_there(session):
    _, asked = session()
    (found,) = (argv for line, argv, _ in asked if "tests/test_device.py" in line)
    files = {path.name for path in (ROOT / "tests").glob("test_device*.py")}
    assert files <= {Path(argument).name for argument in found}
    assert {"test_device_launches.py", "test_device_large.py"} <= files


def test_layers_of_large_products_with_the_epilogues(session, tmp_path):
    """Once with each choice of those that are not used without being asked for, whatever becomes of the first."""

    def runs():
        lines = (tmp_path / "notes.epilogues").read_text().splitlines()
        return [(epilogues, asked.split()[-1]) for epilogues, asked in map(json.loads, lines)]

    done, _ = session(PARTS="epilogues")
    assert of(done) == ["build", "info", "epilogues"]
    both = [("sums", "tests/test_device_large.py"), ("relu sums", "tests/test_device_large.py")]
    assert runs() == both
    done, _ = session(["pytest .*tests/test_device_large.py$", "FAILED tests/a.py::b", 1, 0], PARTS="epilogues")
    assert done.returncode == 1
    assert "2 FAILED tests/a.py::b" in done.stdout
    assert "failed: epilogues;" in done.stdout
    assert runs() == both
    log = (tmp_path / "out" / "epilogues.log").read_text()
    assert log.index('EPILOGUES="sums"') < log.index('EPILOGUES="relu sums"')
    session(PARTS="suite")
    assert not (tmp_path / "notes.epilogues").exists()


def test_files_whose_models_train_there(session):
    """One list, of files that are there; the host's checks read it as well."""
    listed = (ROOT / "tests" / "on_devices.txt").read_text().split()
    _, asked = session()
    (found,) = (argv for line, argv, device in asked if device == "cuda")
    assert [argument for argument in found if argument.startswith("tests/")] == listed
    assert len(listed) == 18
    assert all((ROOT / name).is_file() for name in listed)
    ci = ROOT / ".ci" / "run"
    if ci.is_file():  # source archives have none
        assert "mapfile -t files <tests/on_devices.txt" in ci.read_text()


def test_what_the_sanitizers_see(session):
    """All three the same, by the Python that is named, and no test runner."""
    _, asked = session()
    runs = [argv for line, argv, _ in asked if line.startswith("compute-sanitizer")]
    assert sorted(argv[2] for argv in runs) == sorted(BESIDE)
    for argv in runs:
        assert [Path(argument).name for argument in argv[-2:]] == ["python", "sanitized.py"]
        assert argv[argv.index("--error-exitcode") + 1] == "9"


def test_all_that_they_see_ends_and_is_named(device):
    command = [sys.executable, str(ROOT / "tests" / "sanitized.py"), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    ended = [re.fullmatch(r"ended: (.*) \(\d+\.\d s\)", line)[1] for line in lines[:-1]]
    assert ended == [name for name, _ in sanitized.cases()]
    assert lines[-1] == f"all {len(ended)} ended"
    assert ended[:2] == ["step, a graph", "step, a program"]
    assert {"step, float64", "product of the library"} <= set(ended)


def test_a_kernel_of_each_kind_is_among_them():
    tables = [_native.activation_rows(), _native.noise_rows(), _native.optimizer_rows(), _native.loss_rows()]
    named = set()
    for table in [*tables, _native.metric_rows(), _native.constraint_rows()]:
        ways = {f"{pre}{row['name']}{post}" for row in table for pre, post in WAYS} & set(CALLS)
        assert ways & set(sanitized.KINDS)
        named |= ways
    assert set(CALLS) - named <= set(sanitized.KINDS)
    assert set(sanitized.KINDS) <= set(CALLS)
    assert len(set(sanitized.KINDS)) == len(sanitized.KINDS)


def test_how_far_a_sanitizer_came_is_told(session):
    said = "ended: step, a graph (3.1 s)\n========= Warning"
    done, _ = session(["--tool racecheck", said, 0, 0])
    assert re.search(r"== racecheck: .*\n   ended: step, a graph \(3.1 s\)\n   ========= Warning", done.stdout)


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
    done, _ = session(["--targets only", "row", 0, 50], LIMIT="20")
    assert done.returncode == 3
    assert re.search(r"== targets: \d+ s, timed out", done.stdout)
    assert "failed: none; without time enough: targets bench" in done.stdout
    # what was found before the time was over counts as found
    failed = ["--tool memcheck", "FAILED tests/a.py::b", 1, 0]
    race = ["--targets last", "========= Error: Race", 0, 50]
    done, _ = session(failed, race, LIMIT="20")
    assert done.returncode == 1
    assert "1 FAILED tests/a.py::b" in done.stdout
    assert "failed: memcheck bench; without time enough: none" in done.stdout


def test_large_products_without_the_library_are_a_failure(session):
    """They would be timed as the library's; the other parts go on."""
    told = "CUDA products  our own kernels (no libcublasLt.so.13 or .12 was found)\n"
    done, _ = session(["show_config", told, 0, 0])
    assert done.returncode == 1, done.stdout
    assert "cuBLASLt is NOT used: CUDA products  our own kernels (no lib" in done.stdout
    assert "failed: cublaslt;" in done.stdout
    assert "== bench" in done.stdout
