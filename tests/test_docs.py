"""Every snippet of README and docs runs, every docstring's example is right, and the catalogue's table is true."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fusednet
from fusednet import _native

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def snippets():
    for page in PAGES:
        for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1):
            yield pytest.param(block, id=f"{page.name}-{number}")


@pytest.mark.parametrize("snippet", list(snippets()))
def test_snippets_run(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})


def modules():
    yield "fusednet"
    for module in pkgutil.walk_packages(fusednet.__path__, "fusednet."):
        if module.name not in ("fusednet._native", "fusednet.__main__"):
            yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fusednet.utils.clear_session()
    try:
        results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    except ModuleNotFoundError as error:
        if not name.startswith("fusednet.benchmarks."):  # the sides of a benchmark need the library that they are of
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    assert results.failed == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_commands_are_there():
    text = PAGES[0].read_text(encoding="utf-8")
    for name in ("main", "tests"):
        assert re.search(rf"<!-- run: {name} -->\n```sh\n.+\n```", text)


def test_the_readme_names_what_exists():
    """The table of what works: names of the package, of a model's methods, of options or of losses."""
    modules = ("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics")
    places = [fusednet, fusednet.Sequential, fusednet.optimizers, fusednet.optimizers.schedules, fusednet.regularizers]
    places += [getattr(fusednet, module) for module in modules]
    known = {name for place in places for name in dir(place)} | set(fusednet.optimizers.SGD().get_config())
    known |= {"fusednet.ops", "fusednet.catalogue", "model.plan"} | {row["name"] for row in _native.loss_rows()}
    text = PAGES[0].read_text(encoding="utf-8")
    table = text.partition("## What works")[2].partition("\n## ")[0]
    named = re.findall(r"`(?:print\()?([A-Za-z_0-9.]+)", table)
    assert len(named) > 100
    assert not set(named) - known


def test_the_command_is_installed():
    if importlib.util.find_spec("fusednet").origin.startswith(str(ROOT / "python")):
        pytest.skip("fusednet is imported from the checkout, not installed")
    assert shutil.which("fusednet", path=str(Path(sys.executable).parent))
