"""The device's kernels on the host under ThreadSanitizer: no two threads of a block touch the same without a meeting,
nor threads of two blocks, where one of them writes. See cuda_races.cpp."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from stand_in import CXX, TESTS, needs_a_compiler

RACE = "WARNING: ThreadSanitizer: data race"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the program says to a name, and its exit status."""
    needs_a_compiler()
    folder = tmp_path_factory.mktemp("races")
    flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-fsanitize=thread"]
    empty, program = folder / "empty.cpp", folder / "races"
    empty.write_text(
        'extern "C" void* __tsan_create_fiber(unsigned);\nint main() { return __tsan_create_fiber(0) ? 0 : 1; }\n'
    )
    options = "exitcode=66 suppress_equal_addresses=0"  # memory is used again
    environment = {**os.environ, "TSAN_OPTIONS": options}
    environment.pop("LD_PRELOAD", None)  # another sanitizer's, of the process that tests
    if subprocess.run([*CXX, *flags, empty, "-o", program], capture_output=True).returncode != 0:
        pytest.skip("needs a compiler with ThreadSanitizer and its fibers")
    # the second where addresses are drawn from too wide a range
    starts = [[], *([["setarch", "-R"]] if shutil.which("setarch") else [])]
    runs = [
        start
        for start in starts
        if not subprocess.run([*start, program], env=environment, capture_output=True).returncode
    ]
    if not runs:
        pytest.skip("ThreadSanitizer does not start here (unexpected memory mapping)")
    start = runs[-1]
    subprocess.run([*CXX, *flags, TESTS / "cuda_races.cpp", "-o", program], check=True)

    def named(*names: str, more: str = "") -> tuple[int, str]:
        asked = {**environment, "TSAN_OPTIONS": options + more}
        done = subprocess.run([*start, program, *names], env=asked, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return named


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("in a block", "RaceInBlock"), ("in the middle", "RaceInTheMiddle"), ("of blocks", "RaceOfBlocks")],
)
def test_a_race_is_reported(run, name, kernel):
    status, text = run(name)
    assert status == 66, text
    assert RACE in text
    assert kernel in text


def test_kernels_have_no_races(run):
    status, text = run("kernels")
    assert (status, RACE in text) == (0, False), text
    assert int(text.split("launches ")[1]) > 150


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 12])
def test_each_meeting_is_needed(run, step):
    """Each kernel that has such a step is reported without the meeting before it."""
    status, text = run("kernels", str(step), more=" symbolize=0")  # names of many frames take long
    lacks, raced = map(int, re.findall(r"^(\d+) (\d+) launches", text, re.MULTILINE)[0])
    assert status == 66
    assert lacks == raced >= 4
