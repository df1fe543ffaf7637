"""The order of blocks and threads changes between a kernel's launches on the host: what depends on it shows as other
bits. See cuda_launches.cpp."""

from __future__ import annotations

import subprocess

import pytest

from stand_in import CXX, FLAGS, TESTS, needs_a_compiler


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    """By what a kernel depends on, places and launches apart: results of eight that differ from the one before."""
    needs_a_compiler()
    program = tmp_path_factory.mktemp("launches") / "launches"
    subprocess.run([*CXX, *FLAGS, TESTS / "cuda_launches.cpp", "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    return {(name, int(places), int(apart)): int(count) for name, places, apart, count in map(str.split, lines)}


@pytest.mark.parametrize("apart", [1, 2, 6])  # so many of its launches has a step that is replayed
@pytest.mark.parametrize("places", [0, 3])  # a launch of its own, a program's
def test_the_order_shows(changes, places, apart):
    assert changes["blocks", places, apart] >= 1
    assert changes["threads", places, apart] >= 1
    assert changes["none", places, apart] == 0
