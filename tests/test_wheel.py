"""The installed package: its size, what importing it costs and pulls in, what it links."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fusednet
from fusednet import _native

MODULE = Path(_native.__file__)


def run(code: str, **env: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_version():
    assert fusednet.__version__ == _native.__version__
    try:
        assert importlib.metadata.version("fusednet") == fusednet.__version__
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fusednet is imported from the checkout, not installed")


def test_the_package_is_typed():
    package = Path(fusednet.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_native.pyi").is_file()


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="instrumented code is larger")
def test_size():
    assert MODULE.stat().st_size < (30e6 if _native.cuda_info()["built"] else 8e6)


@pytest.mark.timed
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="instrumented code is slower")
def test_import_time(tmp_path):
    code = "import time, numpy; a = time.perf_counter(); import fusednet; b = time.perf_counter();print((b - a) * 1e3)"
    # an installed package has its bytecode
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    run(code, **compiled)
    milliseconds = min(float(run(code, **compiled)) for _ in range(7))
    assert milliseconds < 60, f"import fusednet takes {milliseconds:.1f} ms beyond numpy"


def test_import_pulls_in_nothing_heavy():
    loaded = run("import sys, fusednet; print(*sys.modules)").split()
    assert not {"matplotlib", "torch", "scipy", "sklearn", "pandas", "asyncio", "pytest"} & set(loaded)


def test_a_bad_isa_is_an_error_that_lists_the_known_ones():
    code = "from fusednet import _native\ntry:\n    _native.isa_info()\nexcept ValueError as e:\n    print(e)"
    text = run(code, FUSEDNET_ISA="foo")
    assert "[FUSEDNET_ISA] expects one of" in text
    assert "baseline" in text
    assert "'foo'" in text


def test_a_forced_isa_is_used():
    code = "from fusednet import _native; i = _native.isa_info(); print(i['used'], i['reason'])"
    assert run(code, FUSEDNET_ISA="baseline").split() == ["baseline", "FUSEDNET_ISA=baseline"]


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_it_links_the_platform_only():
    out = subprocess.run(["readelf", "-d", MODULE], capture_output=True, text=True, check=True).stdout
    needed = {line.split("[")[1].rstrip("]") for line in out.splitlines() if "(NEEDED)" in line}
    allowed = ("libc.", "libm.", "libstdc++.", "libgcc_s.", "libpthread.", "ld-linux", "libasan.", "libubsan.")
    assert all(n.startswith(allowed) for n in needed), needed
    assert "RPATH" not in out
    assert "RUNPATH" not in out


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
def test_it_exports_its_entry_point_and_what_threadpoolctl_calls():
    out = subprocess.run(["nm", "-D", "--defined-only", MODULE], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1].split("@")[0] for line in out.splitlines()]
    ours = [n for n in names if "fusednet" in n]
    assert "PyInit__native" in names
    emulated = "cuda_emulated" in _native.device_names()  # never in a wheel
    for_tests = ["fusednet_emulated_count", "fusednet_emulated_fail"] if emulated else []
    assert sorted(ours) == [*for_tests, "fusednet_get_num_threads", "fusednet_set_num_threads"]
