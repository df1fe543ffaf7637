"""Stand-ins for NVIDIA's libraries that work on the host, and the compiler that makes them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CSRC = TESTS.parent / "csrc"
CXX = os.environ.get("CXX", "g++").split()
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off"]
PLAIN, RELU, BIAS, RELU_BIAS, BIAS_GRADIENT_A = 1, 2, 4, 6, 256  # its epilogues, as NVIDIA numbers them


def needs_a_compiler() -> None:
    if not CSRC.is_dir() or not shutil.which(CXX[0]):
        pytest.skip("needs csrc and a C++ compiler")


def compile_stand_in(folder: Path) -> Path:
    """A library with cuBLASLt's C interface."""
    needs_a_compiler()
    library = folder / "libfake.so"
    subprocess.run([*CXX, *FLAGS, "-shared", "-fPIC", TESTS / "cublaslt_fake.cpp", "-o", library], check=True)
    return library


RUNTIME = [CSRC / "cuda" / f"{name}.cpp" for name in ("runtime", "device", "cache", "cublaslt")]
OUR_DECLARATIONS = TESTS / "cuda_runtime" / "declarations"


def declarations_of_cuda() -> Path:
    """The folder of cuda_runtime_api.h: NVIDIA's where it lies beside nvcc, else ours of the same name."""
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    folder = Path(nvcc).resolve().parents[1] / "include" if nvcc else OUR_DECLARATIONS
    return folder if (folder / "cuda_runtime_api.h").is_file() else OUR_DECLARATIONS


def compile_runtime(folder: Path) -> Path:
    """The files that call CUDA's runtime, with a stand-in for it and the cases that they are put through."""
    needs_a_compiler()
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":  # memfd_create, mallopt, --wrap
        pytest.skip("needs Linux with glibc")
    program = folder / "runtime"
    sources = [*RUNTIME, *sorted((TESTS / "cuda_runtime").glob("*.cpp"))]
    flags = [
        "-std=c++20",
        "-O1",
        "-pthread",
        '-DFUSEDNET_CUDA_CAPABILITIES="8.0 9.0"',
        "-isystem",
        declarations_of_cuda(),
    ]
    wrapped = ["-Wl,--wrap=malloc", "-Wl,--wrap=_ZnwmRKSt9nothrow_t"]
    subprocess.run([*CXX, *flags, *sources, *wrapped, "-ldl", "-o", program], check=True)
    return program
