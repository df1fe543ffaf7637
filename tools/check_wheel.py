"""Holds a built wheel against what is promised of it, then installs it into an empty environment and imports it.

python tools/check_wheel.py WHEEL SDIST
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

WHEEL_BYTES = 5_000_000
IMPORT_MS = 60
WHEEL_HOLDS = ["fusednet/__init__.py", "fusednet/_native.pyi", "fusednet/py.typed", "/licenses/LICENSE"]
WHEEL_HOLDS += ["fusednet/benchmarks/run.py", "fusednet/benchmarks/job_torch.py"]
SDIST_HOLDS = ["CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "csrc/base/table.h", "tests/oracle.py"]
SDIST_HOLDS += ["benchmarks/run.py"]
PROBE = """
import time, numpy
a = time.perf_counter()
import fusednet
b = time.perf_counter()
print((b - a) * 1e3)
"""


def contents(wheel: Path, sdist: Path) -> list[str]:
    errors = []
    if wheel.stat().st_size >= WHEEL_BYTES:
        errors.append(f"wheel of {wheel.stat().st_size} bytes, {WHEEL_BYTES} allowed")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    errors += [f"wheel lacks {n}" for n in WHEEL_HOLDS if not any(name.endswith(n) for name in names)]
    if not any("/_native" in n and n.endswith((".so", ".pyd")) for n in names):
        errors.append("wheel lacks the compiled module")
    odd = [n for n in names if not n.startswith("fusednet") or n.endswith((".cpp", ".h", ".pyc", ".json"))]
    errors += [f"wheel holds {n}" for n in odd]
    with tarfile.open(sdist) as tarball:
        packed = tarball.getnames()
    errors += [f"sdist lacks {n}" for n in SDIST_HOLDS if not any(name.endswith("/" + n) for name in packed)]
    return errors


def main() -> int:
    wheel, sdist = Path(sys.argv[1]), Path(sys.argv[2])
    errors = contents(wheel, sdist)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True)
        run = [python, "-W", "error", "-c", PROBE]
        times = [
            float(subprocess.run(run, check=True, capture_output=True, text=True, cwd=folder).stdout) for _ in range(8)
        ]
        for command in (["-m", "fusednet", "info"], ["-c", "import fusednet as f; print(f.__version__)"]):
            subprocess.run([python, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    if min(times) >= IMPORT_MS:
        errors.append(f"import fusednet takes {min(times):.1f} ms beyond numpy, {IMPORT_MS} allowed")
    for error in errors:
        print(f"check_wheel: {error}")
    print(f"check_wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.2f} MB, import {min(times):.1f} ms")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
