"""The device's matrix products on the host: a stand-in with cuBLASLt's C interface checks what it is asked, the kernels
that rewrite operands run as loops. The stand-in's numbers are those of NVIDIA's manual, not of csrc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fusednet import _config, _native
from stand_in import BIAS, BIAS_GRADIENT_A, CSRC, CXX, FLAGS, PLAIN, RELU, RELU_BIAS, TESTS, compile_stand_in

LINE = re.compile(
    r"(?P<precision>\w+) (?P<m>\d+) (?P<n>\d+) (?P<k>\d+) (?P<flags>\d+) (?P<gap>\d+) (?P<spread>\d+)"
    r" calls (?P<calls>\d+) refused (?P<refused>\d+) own (?P<activations>\d+) (?P<sums>\d+) error (?P<error>\S+)"
    r" epilogues(?P<epilogues>( \d+)*)"
)
# Largest errors, relative to sum |a| |b|: rounding of the result, of two TF32 parts, of bfloat16 operands, of 129 sums.
BY_LIBRARY = {"highest": 1e-7, "high": 1e-7, "medium": 2**-8, "float64": 1e-15}
OURS = {"highest": 1e-6, "high": 1e-6, "medium": 1e-6, "float64": 1e-14}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs the products; the library's path and more arguments to it."""
    folder = tmp_path_factory.mktemp("products")
    fake, built = compile_stand_in(folder), folder / "products"
    sources = [TESTS / "cuda_products.cpp", CSRC / "cuda" / "cublaslt.cpp"]
    subprocess.run([*CXX, *FLAGS, *sources, "-o", built, "-ldl"], check=True)

    @cache
    def run(*arguments: str, library: Path | str = fake, epilogues: str = "relu sums") -> list[str]:
        environment = {**os.environ, "FUSEDNET_CUBLASLT": str(library), "FUSEDNET_CUBLASLT_EPILOGUES": epilogues}
        done = subprocess.run([built, *arguments], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    run.library = fake
    return run


@pytest.mark.parametrize("file", ["cu13/lib/libcublasLt.so.13", "cublas/lib/libcublasLt.so.12"])
def test_the_package_is_found_in_a_folder_of_packages(program, tmp_path, file):
    empty, packages = tmp_path / "empty", tmp_path / "packages"
    package = packages / "nvidia" / file
    package.parent.mkdir(parents=True)
    shutil.copy(program.library, package)
    (line,) = program("found", str(empty), str(packages), library="")
    assert f"({package})" in line


def test_python_says_where_packages_are(monkeypatch):
    """All folders that are no matter of where the process is, and nothing of NVIDIA's is imported."""
    given = []
    monkeypatch.setattr(sys, "path", ["", "relative", "/a", Path("/c"), None, b"/d", "/e\udcff", "/b ä"])
    tell = _native.set_package_folders
    monkeypatch.setattr(_native, "set_package_folders", lambda folders: given.append(folders))
    _config.tell_package_folders()
    assert given == [["/a", "/b ä"]]
    tell(given[0])  # which it can take
    monkeypatch.undo()
    _config.tell_package_folders()


def cases(lines, follows_alone=False):
    found = [match.groupdict() for line in lines if (match := LINE.fullmatch(line))]
    assert len(found) == ((0 if follows_alone else 32 * 2) + 4 * 2 + 8) * 4 + 8 + (3 + 1) * 2 * 4
    for case in found:
        sizes = int(case["m"]) * int(case["n"]) * int(case["k"])
        case["large"] = sizes >= 2**21 and case["spread"] == "1"
        case["turned"], _, case["accumulates"], case["bias"], case["follows"], case["asks sums"] = map(
            int, case["flags"]
        )
    return found


def expected(case, has_relu=True, has_sums=True):
    """The epilogues of a large product, and what is left to our own kernels: activations and sums."""
    relu = case["follows"] == 2 and has_relu  # y takes z's place
    sums = case["asks sums"] and case["precision"] in {"highest", "float64"} and not case["accumulates"] and has_sums
    sums = sums and not case["bias"]  # one vector for both
    bias = BIAS if case["bias"] else PLAIN
    last = (RELU_BIAS if case["bias"] else RELU) if relu else bias
    if case["precision"] == "high":
        of_library = [bias, PLAIN, RELU if relu else PLAIN]
    else:
        of_library = [BIAS_GRADIENT_A if sums else last]
    return of_library, int(case["follows"] >= 2 and not relu), int(case["asks sums"] and not sums)


def check(case, **has):
    of_library, activations, sums = expected(case, **has)
    if not case["large"]:
        of_library, activations, sums = [], int(case["follows"] >= 2), case["asks sums"]
    assert [int(e) for e in case["epilogues"].split()] == of_library, case
    assert (int(case["activations"]), int(case["sums"])) == (activations, sums), case
    assert float(case["error"]) <= (BY_LIBRARY if case["large"] else OURS)[case["precision"]], case


def test_what_the_library_is_asked(program):
    """Every layout, with accumulation, bias and epilogue; small products and strides that it lacks are ours."""
    lines = program()
    assert lines[0].startswith("text cuBLASLt 13.0.2 (")
    assert not [line for line in lines if line.startswith("failure")]
    for case in cases(lines):
        check(case)


@pytest.mark.parametrize(
    ("epilogues", "has", "text"),
    [
        ("", {"has_relu": False, "has_sums": False}, ""),
        ("sums", {"has_relu": False}, ", epilogues: bias, sums"),
        ("relu", {"has_sums": False}, ", epilogues: bias, relu"),
        ("none", {"has_relu": False, "has_sums": False}, ", epilogues: bias"),
    ],
)
def test_epilogues_by_request(program, epilogues, has, text):
    """Neither is by itself."""
    lines = program("follows", epilogues=epilogues)
    assert lines[0].endswith(")" + text)
    for case in cases(lines, follows_alone=True):
        check(case, **has)


@pytest.mark.parametrize(
    ("lacks", "has"),
    [
        (RELU, {"has_relu": False}),
        (BIAS_GRADIENT_A, {"has_sums": False}),
        (RELU | BIAS_GRADIENT_A, {"has_relu": False, "has_sums": False}),
    ],
)
def test_epilogues_that_the_library_lacks(program, lacks, has):
    """The product is done without them, then by our kernels; what was found missing is not asked for again."""
    lines = program("lacks", str(lacks))
    assert not [line for line in lines if line.startswith("failure")]
    for case in cases(lines, follows_alone=True):
        check(case, **has)
    _, *again = [int(line.split()[1]) for line in lines if line.startswith("choices")]
    assert len(set(again)) == 1


def test_places_of_arrays_beyond_32_bits(program):
    assert "misplaced 0" in program()


def test_the_library_is_no_part_of_a_program(program):
    """What it would do is refused while a step is recorded: nothing is computed, the step becomes a graph."""
    for case in cases(program("recorded")):
        assert int(case["calls"]) == 0, case
        assert int(case["refused"]) == case["large"], case
        assert case["large"] or float(case["error"]) <= OURS[case["precision"]], case


def test_each_product_is_chosen_once(program):
    """Layouts, gaps and bias make choices; accumulation and the second and third part make none of their own."""
    first, *again = [int(line.split()[1]) for line in program() if line.startswith("choices")]
    layouts, gaps, bias = 4, 2, 2
    whole = layouts * gaps * bias + 2 * bias + 2  # and those with a ReLU and with sums
    rewritten = gaps * bias + 2
    assert first <= 3 * whole + rewritten + 1
    assert len(again) == 3
    assert len(set(again)) == 1


def test_reduced_precision_is_what_it_says(program):
    """bfloat16 operands err as such, two TF32 parts do not."""
    worst = {"high": 0.0, "medium": 0.0}
    for case in cases(program()):
        if case["precision"] in worst and case["m"] == "130":
            worst[case["precision"]] = max(worst[case["precision"]], float(case["error"]))
    assert worst["high"] < 1e-7
    assert worst["medium"] > 1e-4


@pytest.mark.parametrize(
    ("asked", "arguments", "text"),
    [
        ({"library": "nowhere/libcublasLt.so.13"}, (), "our own kernels (FUSEDNET_CUBLASLT: nowhere"),
        ({"library": "libm.so.6"}, (), "our own kernels (FUSEDNET_CUBLASLT: it has no cublasLtGetVersion)"),
        (
            {"epilogues": "relu,sum"},
            (),
            "our own kernels (FUSEDNET_CUBLASLT_EPILOGUES expects relu, sums or none, got 'relu,sum')",
        ),
        ({}, ("unserved",), "cuBLASLt 13.0.2 ("),
    ],
    ids=["not there", "another library", "unknown epilogue", "serves nothing"],
)
def test_without_the_library_ours_serve(program, asked, arguments, text):
    lines = program(*arguments, **asked)
    assert lines[0].startswith(f"text {text}")
    assert not [line for line in lines if line.startswith("failure")]
    for case in cases(lines):
        assert case["calls"] == case["refused"] == "0"
        assert float(case["error"]) <= OURS[case["precision"]], case
