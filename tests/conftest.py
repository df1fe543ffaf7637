"""Fixtures of every test: the backends, and where data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import devices
import helpers

# The same examples on every run; `--hypothesis-profile=long` draws new ones, and many.
settings.register_profile(
    "short", derandomize=True, max_examples=200, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("long", max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("short")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sweep", action="store_true", help="sweep all 2**32 floats in test_accuracy.py (minutes)")


def _backend_params():
    for b in helpers.backends():
        marks = [] if b.supported else [pytest.mark.skip(reason=f"this CPU lacks {b.name}")]
        yield pytest.param(b, id=b.name, marks=marks)


@pytest.fixture(scope="session", params=_backend_params())
def backend(request: pytest.FixtureRequest) -> helpers.Backend:
    """Each kernel table of this build; FUSEDNET_ISA keeps the one it names, and float64."""
    return request.param


@pytest.fixture(scope="session", params=[p for p in _backend_params() if p.values[0].isa])
def isa(request: pytest.FixtureRequest) -> helpers.Backend:
    """The same without float64."""
    return request.param


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Data sets: the folder that FUSEDNET_DATA names."""
    if not os.environ.get("FUSEDNET_DATA"):
        pytest.skip("no data sets: FUSEDNET_DATA names no folder")
    return Path(os.environ["FUSEDNET_DATA"])


@pytest.fixture(scope="session")
def mnist_dir(data_dir: Path) -> Path:
    if not list((data_dir / "mnist").glob("train-images*")):
        pytest.skip(f"no MNIST in {data_dir / 'mnist'}")
    return data_dir / "mnist"


@pytest.fixture(params=devices.DEVICES or ["none"])
def device(request):
    if request.param == "none":
        pytest.skip("this build or machine has no device")
    return request.param
