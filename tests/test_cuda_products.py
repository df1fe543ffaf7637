"""The device's matrix products on the host: a stand-in with cuBLASLt's C interface checks what it is asked, the kernels
that rewrite operands run as loops. The stand-in's numbers are those of NVIDIA's manual, not of csrc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CSRC = TESTS.parent / "csrc"
CXX = os.environ.get("CXX", "g++").split()
LINE = re.compile(
    r"(?P<precision>\w+) (?P<m>\d+) (?P<n>\d+) (?P<k>\d+) (?P<flags>\d+) (?P<gap>\d+) (?P<spread>\d+)"
    r" calls (?P<calls>\d+) refused (?P<refused>\d+) error (?P<error>\S+)"
)
# Largest errors, relative to sum |a| |b|: rounding of the result, of two TF32 parts, of bfloat16 operands, of 129 sums.
BY_LIBRARY = {"highest": 1e-7, "high": 1e-7, "medium": 2**-8, "float64": 1e-15}
OURS = {"highest": 1e-6, "high": 1e-6, "medium": 1e-6, "float64": 1e-14}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs the products; the library's path and more arguments to it."""
    if not CSRC.is_dir() or not shutil.which(CXX[0]):
        pytest.skip("needs csrc and a C++ compiler")
    folder = tmp_path_factory.mktemp("products")
    flags = ["-std=c++20", "-O1", "-ffp-contract=off"]
    fake, built = folder / "libfake.so", folder / "products"
    subprocess.run([*CXX, *flags, "-shared", "-fPIC", TESTS / "cublaslt_fake.cpp", "-o", fake], check=True)
    sources = [TESTS / "cuda_products.cpp", CSRC / "cuda" / "cublaslt.cpp"]
    subprocess.run([*CXX, *flags, *sources, "-o", built, "-ldl"], check=True)

    def run(*arguments: str, library: Path | str = fake) -> list[str]:
        environment = {**os.environ, "FUSEDNET_CUBLASLT": str(library)}
        done = subprocess.run([built, *arguments], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return run


def cases(lines):
    found = [match.groupdict() for line in lines if (match := LINE.fullmatch(line))]
    assert len(found) == 32 * 2 * 4 + 6
    return found


def test_what_the_library_is_asked(program):
    """Every layout, with accumulation, bias and epilogue; small products and strides that it lacks are ours."""
    lines = program()
    assert lines[0].startswith("text cuBLASLt 13.0.2 (")
    assert not [line for line in lines if line.startswith("failure")]
    for case in cases(lines):
        large = int(case["m"]) * int(case["n"]) * int(case["k"]) >= 2**21 and case["spread"] == "1"
        calls = (3 if case["precision"] == "high" else 1) if large else 0
        assert int(case["calls"]) == calls, case
        assert float(case["error"]) <= (BY_LIBRARY if large else OURS)[case["precision"]], case


def test_places_of_arrays_beyond_32_bits(program):
    assert "misplaced 0" in program()


def test_the_library_is_no_part_of_a_program(program):
    """What it would do is refused while a step is recorded: nothing is computed, the step becomes a graph."""
    for case in cases(program("recorded")):
        large = int(case["m"]) * int(case["n"]) * int(case["k"]) >= 2**21 and case["spread"] == "1"
        assert int(case["calls"]) == 0, case
        assert int(case["refused"]) == large, case
        assert large or float(case["error"]) <= OURS[case["precision"]], case


def test_each_product_is_chosen_once(program):
    """Layouts, gaps and bias make choices; accumulation and the second and third part make none of their own."""
    (line,) = [line for line in program() if line.startswith("choices")]
    layouts, gaps = 4, 2
    assert int(line.split()[1]) <= layouts * gaps * (2 * 4 + 1) * 2  # at most two alignments of each


def test_reduced_precision_is_what_it_says(program):
    """bfloat16 operands err as such, two TF32 parts do not."""
    worst = {"high": 0.0, "medium": 0.0}
    for case in cases(program()):
        if case["precision"] in worst and case["m"] == "130":
            worst[case["precision"]] = max(worst[case["precision"]], float(case["error"]))
    assert worst["high"] < 1e-7
    assert worst["medium"] > 1e-4


@pytest.mark.parametrize(
    ("library", "arguments", "text"),
    [
        ("nowhere/libcublasLt.so.13", (), "our own kernels (FUSEDNET_CUBLASLT: nowhere"),
        ("libm.so.6", (), "our own kernels (FUSEDNET_CUBLASLT: it has no cublasLtGetVersion)"),
        (None, ("unserved",), "cuBLASLt 13.0.2 ("),
    ],
)
def test_without_the_library_ours_serve(program, library, arguments, text):
    lines = program(*arguments, **({} if library is None else {"library": library}))
    assert lines[0].startswith(f"text {text}")
    assert not [line for line in lines if line.startswith("failure")]
    for case in cases(lines):
        assert case["calls"] == case["refused"] == "0"
        assert float(case["error"]) <= OURS[case["precision"]], case
