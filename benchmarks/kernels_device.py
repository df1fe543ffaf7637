"""Kernel rows of group `device`: what a device's memory allows, and how near kernels that only pass through it come."""

from __future__ import annotations

from typing import Any

from fusednet.benchmarks.compare import Bench, Rival, measure

COPIED = 1 << 28  # elements: 1 GiB read and as much written, past any cache
NORM = (65536, 1024)
ADAM = 100_000_000
TORCH, COPY = "torch", "copy of as many bytes"


def norm_name(device: str) -> str:
    return f"BatchNorm + ELU forward and backward, {NORM[0]}x{NORM[1]}, {device}"


def adam_name(device: str) -> str:
    return f"Adam + global clip, {ADAM:.3g} parameters, {device}"


def kernels(bench: Bench, device: str) -> None:
    """A call of ours waits for the device, and makes room for the vectors that it returns; torch's is waited for."""
    name = f"copy, {COPIED} elements, {device}"
    if bench.wants(name):
        work = {"elements": COPIED, "device": device}
        torch = Rival(TORCH, "torch", "device copy", compared=False)
        rows = measure(
            bench, "device", name, "device copy", work, [torch], figures={"bytes": 8.0 * COPIED}, **_options(bench)
        )
        sides = [side["seconds"]["median"] for row in rows for side in (row, *row["rivals"])]
        if sides:
            bench.roof[f"copy on {device}"] = 8.0 * COPIED / min(sides) / 1e9
    _row(bench, norm_name(device), "batchnorm", {"rows": NORM[0], "columns": NORM[1]}, 24.0 * NORM[0] * NORM[1], device)
    _row(bench, adam_name(device), "clipped adam", {"elements": ADAM}, 32.0 * ADAM, device, tolerance=1e-3)


def _row(
    bench: Bench, name: str, make: str, work: dict[str, Any], bytes_: float, device: str, tolerance: float = 1e-4
) -> None:
    if not bench.wants(name):
        return
    elements = int(bytes_ / 8.0)
    rivals = [
        Rival(TORCH, "torch", make),
        Rival(COPY, "fusednet", "device copy", {"elements": elements, "device": device}, compared=False),
    ]
    measure(
        bench,
        "device",
        name,
        make,
        {**work, "device": device},
        rivals,
        tolerance=(tolerance, tolerance),
        figures={"bytes": bytes_},
        **_options(bench),
    )


def _options(bench: Bench) -> dict[str, Any]:
    return {"threads": [bench.most]}
