"""What is said of CUDA, in a build with it and in one without, on a machine with a device and on one without."""

from __future__ import annotations

import os
import re

import pytest

import fusednet
from fusednet import _native


def test_cuda_info():
    info = _native.cuda_info()
    assert set(info) == {
        *("built", "available", "reason", "compute_capabilities", "runtime", "driver", "devices", "products")
    }
    assert info["available"] == (info["reason"] is None)
    assert info["built"] == bool(info["compute_capabilities"]) == (info["runtime"] is not None)
    if info["available"]:
        assert info["devices"]
    for device in info["devices"]:
        assert set(device) == {"name", "compute_capability", "memory"}
        assert re.fullmatch(r"\d+\.\d", device["compute_capability"])
        assert device["memory"] > 0


def test_a_build_without_cuda_says_how_to_get_it():
    info = _native.cuda_info()
    shown = str(fusednet.show_config())
    if not info["built"]:
        assert "FUSEDNET_CUDA=ON" in info["reason"]
        assert not info["available"]
    elif not info["available"]:
        assert any(word in info["reason"] for word in ("driver", "device"))
    if info["built"]:
        assert info["products"] in shown
        assert info["runtime"] in shown
    assert (info["reason"] or "CUDA             yes") in shown
    for device in info["devices"]:
        assert device["name"] in shown


@pytest.mark.skipif(not os.environ.get("FUSEDNET_EXPECT_CUDA"), reason="FUSEDNET_EXPECT_CUDA is not set")
def test_a_build_with_cuda_is_one():
    """As CI makes it: every architecture, and without a driver a reason instead of an error."""
    info = _native.cuda_info()
    assert info["built"]
    assert info["compute_capabilities"] == ["8.0", "9.0", "10.0", "12.0"]
    assert info["available"] or info["reason"]
    assert (_native.why_no_device("cuda") == "") == info["available"]


def test_config_rows_of_a_device():
    """As on a machine with a device, whatever this one has."""
    config = fusednet.show_config()
    cuda = {
        "built": True,
        "available": True,
        "reason": None,
        "compute_capabilities": ["8.0", "9.0"],
        "runtime": "13.0",
        "driver": "13.1",
        "devices": [{"name": "NVIDIA H200", "compute_capability": "9.0", "memory": 150 * 2**30}],
        "products": "cuBLASLt 13.0.2 (libcublasLt.so.13)",
    }
    shown = str(fusednet.show_config().__class__(config.version, config.isa, config.threads, cuda, config.machine))
    for text in (
        "yes",
        "13.0 (built with), 13.1 (driver's)",
        "8.0, 9.0",
        "cuBLASLt 13.0.2",
        "NVIDIA H200, 9.0, 150.0 GiB",
    ):
        assert text in shown
