"""The walls of the house: who includes whom, what the ISA files see, how long a file may grow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
ROOMS = {
    # room: the project's own headers that it may include
    "base": ["base/"],
    "formulas": [],
    "cpu": ["base/", "formulas/", "cpu/"],
    "cuda": ["base/", "formulas/", "cpu/math.h", "cpu/wide.h", "cpu/gates_unfused.h", "cpu/vec_float64.h", "cuda/"],
    "plan": ["base/", "cpu/pick.h", "cpu/pool.h", "cpu/sharing.h", "cuda/pick.h", "plan/"],
    "bindings": [
        "base/",
        "cpu/pick.h",
        "cpu/pool.h",
        "cpu/sharing.h",
        "cuda/device.h",
        "cuda/pick.h",
        "plan/",
        "bindings/",
    ],
}
INTRINSICS = {"immintrin.h", "x86intrin.h", "emmintrin.h", "arm_neon.h"}
ISA_SYSTEM = INTRINSICS | {"stddef.h", "stdint.h"}
CPP_LINES, PYTHON_LINES = 450, 320
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>|(\S.*))', re.M)


def sources() -> list[Path]:
    if not CSRC.is_dir():
        pytest.skip("no csrc beside the tests")
    return sorted(p for p in CSRC.rglob("*") if p.suffix in {".h", ".hpp", ".inc", ".cpp", ".cu", ".cuh"})


def includes(path: Path) -> tuple[list[Path], list[str], list[str]]:
    """The project's headers, the system's, and what stands behind a macro."""
    own, system, computed = [], [], []
    for quoted, angled, other in INCLUDE.findall(path.read_text(encoding="utf-8")):
        if quoted:
            own.append((path.parent / quoted).resolve())
        elif angled:
            system.append(angled)
        else:
            computed.append(other)
    return own, system, computed


def room(path: Path) -> str:
    return path.relative_to(CSRC).parts[0]


def test_there_is_a_house():
    assert {room(p) for p in sources()} >= {"base", "formulas", "cpu", "plan", "bindings"}


def test_rooms_include_only_what_they_may():
    wrong = []
    for path in sources():
        own, system, computed = includes(path)
        here = path.relative_to(CSRC)
        assert room(path) in ROOMS, f"{here}: no such room in the design"
        for target in own:
            assert target.is_file(), f"{here} includes {target}, which is not there"
            name = str(target.relative_to(CSRC))
            if not any(name.startswith(allowed) for allowed in ROOMS[room(path)]):
                wrong.append(f"{here} -> {name}")
        if room(path) == "formulas":
            wrong += [f"{here} -> <{s}>" for s in system]
        if room(path) not in {"cpu", "formulas"}:
            wrong += [f"{here} -> <{s}>" for s in system if s in INTRINSICS]
        if room(path) != "bindings":
            wrong += [f"{here} -> <{s}>" for s in system if s.startswith(("pybind11", "Python.h"))]
        if room(path) != "cuda":
            wrong += [f"{here} -> <{s}>" for s in system if s.startswith(("cuda", "cublas"))]
        wrong += [f"{here} -> {c} (computed)" for c in computed]
    assert not wrong, "\n".join(wrong)


def test_isa_files_see_intrinsics_and_integers_only():
    """All that they include, however deep: an inline function of the standard library compiled for a newer CPU could
    become the copy that the linker keeps for everyone."""
    files = [p for p in sources() if re.match(r"isa_\w+\.cpp", p.name)]
    assert len(files) >= 4
    for start in files:
        seen, queue = set(), [start]
        while queue:
            path = queue.pop()
            if path in seen:
                continue
            seen.add(path)
            own, system, _ = includes(path)
            queue += own
            extra = set(system) - ISA_SYSTEM
            assert not extra, f"{start.name}: {path.relative_to(CSRC)} includes {sorted(extra)}"


def test_formulas_do_not_branch_on_data_or_know_their_machine():
    word = re.compile(r"\b(if\s*\((?!.*constexpr)|__AVX|__SSE|_mm\d*_|for\s*\(|while\s*\(|switch\s*\()")
    for path in (p for p in sources() if room(p) == "formulas"):
        code = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))  # `if constexpr` asks the type, not the data
        code = re.sub(r"if\s+constexpr\s*\(", "constexpr_(", code)
        assert not word.search(code), f"{path.name}: {word.search(code)[0]}"


def test_kernels_do_not_throw_or_allocate():
    word = re.compile(r"\b(throw|malloc|calloc|realloc|new|delete|std::)\b")
    for path in (p for p in sources() if room(p) == "formulas" or re.match(r"(isa_|vec_|kernel|gemm)", p.name)):
        code = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        found = word.search(code)
        assert not found, f"{path.relative_to(CSRC)}: {found[0]}"


def test_no_iostreams():
    """Those of a C++ library linked into the module and of one beside it do not go together."""
    found = [
        p.name
        for p in sources()
        if re.search(r"<(ios|iomanip|regex|complex|filesystem|\w*(stream|streambuf))>", p.read_text("utf-8"))
    ]
    assert not found


def test_files_stay_short():
    limits = [(p, CPP_LINES) for p in sources()]
    for folder in ("python", "tests", "benchmarks", "examples", "tools"):
        limits += [(p, PYTHON_LINES) for p in (ROOT / folder).rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p, limit in limits if (n := p.read_text("utf-8").count("\n")) > limit}
    assert not long, long


def test_module_cpp_only_registers():
    assert (CSRC / "bindings" / "module.cpp").read_text("utf-8").count("\n") < 80


def test_the_package_does_not_reach_around_its_own_rooms():
    """Heavy or optional packages are imported where they are used, never at the head of a module."""
    head = re.compile(r"^(?:import|from)\s+(matplotlib|torch|sklearn|pandas|scipy|pytest|pybind11)\b", re.M)
    for path in (ROOT / "python").rglob("*.py"):
        found = head.search(path.read_text("utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found[0]}"


def tracked() -> list[Path]:
    try:
        out = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


def test_no_path_of_one_machine_is_written_down():
    path = re.compile(rb"(?<![\w.])/(?:home|root|work|Users|mnt|opt)/\w")
    for file in tracked():
        if file.suffix in {".py", ".cpp", ".h", ".md", ".toml", ".txt", ".pyi", ".yml", ""}:
            found = path.search(file.read_bytes())
            assert not found, f"{file.relative_to(ROOT)}: {found[0].decode()}"
