"""A library with cuBLASLt's C interface that computes on the host, and the compiler that makes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CSRC = TESTS.parent / "csrc"
CXX = os.environ.get("CXX", "g++").split()
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off"]
PLAIN, RELU, BIAS, RELU_BIAS, BIAS_GRADIENT_A = 1, 2, 4, 6, 256  # its epilogues, as NVIDIA numbers them


def compile_stand_in(folder: Path) -> Path:
    if not CSRC.is_dir() or not shutil.which(CXX[0]):
        pytest.skip("needs csrc and a C++ compiler")
    library = folder / "libfake.so"
    subprocess.run([*CXX, *FLAGS, "-shared", "-fPIC", TESTS / "cublaslt_fake.cpp", "-o", library], check=True)
    return library
