"""The checkers must be able to fail: each is shown what it has to find."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"
KERNEL = (
    "namespace fusednet::ISA { float f(const float* p, int n) { float s = 0; while (n--) s += p[n]; return s; } }\n"
)
BF16 = """#include <immintrin.h>
namespace fusednet::ISA { __m512 f(__m512 c, __m512 a) {
    return _mm512_dpbf16_ps(c, (__m512bh)_mm512_cvtne2ps_pbh(a, a), (__m512bh)a); } }
"""
TILES = BF16 + "namespace fusednet::ISA { void g() { _tile_zero(0); } }\n"
LEAK = "template <class T> struct Shared { __attribute__((noinline)) T f(T a) { return a * a; } };\n"
LEAK += "float g(float x) { return Shared<float>().f(x); }\n"


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOLS / tool, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def objects(tmp_path):
    """The ISA objects, as they should be."""
    if platform.machine() not in {"x86_64", "AMD64"} or not all(map(shutil.which, ("g++", "objdump", "nm"))):
        pytest.skip("needs x86-64, g++ and binutils")

    def build(isa: str, *flags: str, code: str = KERNEL, name: str | None = None) -> None:
        target = tmp_path / (name or f"isa_{isa}.cpp.o")
        command = ["g++", "-x", "c++", "-O1", "-c", f"-DISA={isa}", *flags, "-", "-o", target]
        subprocess.run(command, input=code, text=True, check=True)

    for isa, flags in (("float64", []), ("baseline", []), ("avx2", ["-mavx2"]), ("avx512", ["-mavx512f"])):
        build(isa, *flags)
    build("avx512_bf16", "-mavx512bf16", code=BF16)
    build("amx", "-mavx512bf16", "-mamx-tile", code=TILES)
    return tmp_path, build


def test_isa_objects_as_they_should_be(objects):
    folder, _ = objects
    done = run("check_isa.py", folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"isa": "baseline", "flags": ["-mavx2"]}, ["isa_baseline", "beyond baseline", "vaddss"]),
        ({"isa": "x", "flags": ["-mavx"], "name": "run.cpp.o"}, ["run.cpp.o", "beyond baseline"]),
        ({"isa": "avx2", "flags": ["-mavx2"], "code": KERNEL + LEAK}, ["isa_avx2", "weak", "Shared<float>::f"]),
        ({"isa": "avx512", "flags": []}, ["isa_avx512", "no avx512 instruction"]),
        ({"isa": "avx512", "flags": ["-mavx512bf16"], "code": BF16}, ["isa_avx512", "vdpbf16ps of what only"]),
        ({"isa": "amx", "flags": ["-mavx512bf16"], "code": BF16}, ["isa_amx", "none of what only amx"]),
    ],
    ids=["flags", "elsewhere", "weak", "lost", "bf16", "no tiles"],
)
def test_isa_objects_that_are_wrong(objects, wrong, words):
    folder, build = objects
    build(wrong["isa"], *wrong["flags"], code=wrong.get("code", KERNEL), name=wrong.get("name"))
    done = run("check_isa.py", folder)
    assert done.returncode == 1
    assert all(word in done.stdout for word in words), done.stdout


def test_missing_isa_objects_are_an_error(objects):
    folder, _ = objects
    (folder / "isa_avx2.cpp.o").unlink()
    done = run("check_isa.py", folder)
    assert done.returncode != 0
    assert "avx2" not in done.stderr.split("found")[1]


def test_readme_commands_are_found_exactly_once(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# x\n<!-- run: main -->\n```sh\necho a && \\\n  echo b\n```\n")
    assert run("readme_command.py", readme, "main").stdout == "echo a && \\\n  echo b\n"
    missing = run("readme_command.py", readme, "tests")
    assert missing.returncode != 0
    assert "run: tests" in missing.stderr


def ptxas(name: str, architecture: str, spilled: int, registers: int | None) -> str:
    text = f"ptxas info    : Compiling entry function '{name}' for 'sm_{architecture}'\n"
    text += f"ptxas info    : Function properties for {name}\n"
    text += f"    8 bytes stack frame, {spilled} bytes spill stores, 0 bytes spill loads\n"
    return text + (f"ptxas info    : Used {registers} registers, used 1 barriers\n" if registers else "")


@pytest.mark.parametrize(
    ("log", "architectures", "status", "words"),
    [
        (
            ptxas("_Z1fv", "80", 0, 40) + ptxas("_Z1gv", "80", 12, 90),
            ["80"],
            0,
            ["2 kernels", "90 registers", "1 spill"],
        ),
        (ptxas("_Z1fv", "80", 12, 40), ["80"], 0, ["12 bytes: "]),
        (
            ptxas("_Z1hv", "80", 24, None).split("\n", 1)[1] + ptxas("_Z1fv", "80", 0, 40),
            ["80"],
            0,
            ["1 kernels", "0 spill", "1 functions called by address, at most 8 bytes of stack"],
        ),
        (ptxas("_Z1fv", "80", 0, 40), ["80", "90"], 1, ["sm_90: no kernels"]),
        (ptxas("_Z1fv", "80", 0, None) + ptxas("_Z1gv", "80", 0, 50), [], 1, ["1 of 2 kernels have no figures"]),
        ("[1/2] Building CUDA object\n", [], 1, ["no kernels", "FUSEDNET_CUDA_REPORT"]),
    ],
)
def test_the_report_of_cuda_kernels(tmp_path, log, architectures, status, words):
    (tmp_path / "log").write_text(log)
    done = run("cuda_report.py", tmp_path / "log", *architectures)
    assert done.returncode == status, done.stdout + done.stderr
    for word in words:
        assert word in done.stdout


SKIPS = """SKIPPED [3] tests/conftest.py:64: this machine has no device
SKIPPED [1] tests/test_a.py:8: this CPU lacks amx: and more
"""


@pytest.mark.parametrize(
    ("log", "status", "words"),
    [
        (SKIPS + "12 passed, 4 skipped in 3.10s\n", 0, ["all skips are for reasons that are allowed"]),
        ("12 passed in 3.10s\n", 0, []),
        (
            SKIPS + "SKIPPED [2] tests/test_b.py: this CPU lacks amx\n12 passed, 6 skipped in 3.10s (0:01:02)\n",
            1,
            ["tests/test_b.py: skipped 2 times, which is not allowed: this CPU lacks amx"],
        ),
        ("12 passed, 4 skipped in 3.10s\n", 1, ["4 skipped, but reasons of 0", "-rs"]),
        (SKIPS, 1, ["no closing line"]),
    ],
)
def test_skips_that_are_not_allowed(tmp_path, log, status, words):
    (tmp_path / "log").write_text(log)
    (tmp_path / "allowed").write_text("# why\nthis \\w+ has no device\n\nthis CPU lacks (amx|avx): and more\n")
    done = run("check_skips.py", tmp_path / "log", tmp_path / "allowed")
    assert done.returncode == status, done.stdout + done.stderr
    assert all(word in done.stdout for word in words), done.stdout
    assert "conftest" not in done.stdout


def test_skips_as_pytest_shows_them(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.skip(reason='one: of two')\n"
        "@pytest.mark.parametrize('i', range(3))\n"
        "def test_a(i): pass\n"
        "def test_b(): pytest.importorskip('no_such_package')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-c", "/dev/null", "-p", "no:cacheprovider", str(tmp_path)]
    (tmp_path / "log").write_text(subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout)
    (tmp_path / "allowed").write_text("one: of two\n")
    done = run("check_skips.py", tmp_path / "log", tmp_path / "allowed")
    assert done.returncode == 1
    assert "skipped 1 times, which is not allowed: could not import 'no_such_package'" in done.stdout
    assert len(done.stdout.splitlines()) == 1, done.stdout
