"""docs/agreement.md against the comparisons that it reports, and against the catalogue; needs no peer."""

from __future__ import annotations

from pathlib import Path

import pytest

import fusednet
from fusednet import _native
from peers_conventions import CONVENTIONS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "agreement.md"


def subjects():
    for row in _native.activation_rows():
        yield f"activation {row['name']}"
    for kind in vars(fusednet.losses)["_CLASSES"]:
        yield f"loss {kind}"
    for kind in vars(fusednet.metrics)["_CLASSES"]:
        yield f"metric {kind}"
    for kind in vars(fusednet.optimizers)["_KINDS"]:
        yield kind.__name__
    for part in (fusednet.optimizers.schedules, fusednet.initializers):
        yield from vars(part)["_CLASSES"]
    yield from {kind.__name__ for kind in vars(fusednet.constraints)["_BY_NAME"].values()}
    yield from set(fusednet.layers.CLASSES) - set(vars(fusednet._activation_layers)["CLASSES"])


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def test_it_names_all_of_the_catalogue(page):
    shown = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}
    shown |= {name.removesuffix(" at inference") for name in shown}
    missing = sorted(set(subjects()) - shown - {"InputLayer", "Flatten", "Reshape", "Activation"})
    assert not missing, f"run python tests/peers.py --write: no {', '.join(missing)}"


@pytest.mark.parametrize("key", CONVENTIONS)
def test_conventions(key, page):
    """Each is used by a comparison and stated on the page."""
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_peers_*.py"))
    assert f'"{key}"' in tests
    assert f"| {key} | {' | '.join(CONVENTIONS[key])} |" in page
