"""Kernel rows of group `device`: what a device's memory and products allow, and how near kernels come to it."""

from __future__ import annotations

from typing import Any

from fusednet.benchmarks.compare import Bench, Rival, measure

COPIED = 1 << 28  # elements: 1 GiB read and as much written, past any cache
NORM = (65536, 1024)
ADAM = 100_000_000
SQUARE = 4096
TORCH = "torch"
COPY, TORCH_COPY = "copy of as many bytes", "torch's copy of as many bytes"  # the faster is what memory allows


def norm_name(device: str) -> str:
    return f"BatchNorm + ELU forward and backward, {NORM[0]}x{NORM[1]}, {device}"


def adam_name(device: str) -> str:
    return f"Adam + global clip, {ADAM:.3g} parameters, {device}"


def gemm_name(device: str) -> str:
    return f"GEMM {SQUARE}x{SQUARE} by {SQUARE}x{SQUARE}, {device}"


def rates(bench: Bench, device: str) -> None:
    """What the device's memory and products allow."""
    copy = {"elements": COPIED, "device": device}
    torch = Rival(TORCH, "torch", "device copy", compared=False)
    rows = _row(bench, f"copy, {COPIED} elements, {device}", "device copy", copy, [torch], bytes=8.0 * COPIED)
    _best(bench, f"copy on {device}", rows, 8.0 * COPIED)
    work = {**dict.fromkeys("mkn", SQUARE), "device": device}
    torch = Rival(TORCH, "torch", "gemm", note="torch.mm, no TF32")
    rows = _row(bench, gemm_name(device), "gemm", work, [torch], flops=2.0 * SQUARE**3)
    _best(bench, f"GFLOP/s, {device}", rows, 2.0 * SQUARE**3)


def with_targets(bench: Bench, device: str) -> None:
    """A call of ours waits for the device, and makes room for the vectors that it returns; torch's is waited for."""
    work: dict[str, Any] = {"rows": NORM[0], "columns": NORM[1], "device": device}
    _passing(bench, norm_name(device), "batchnorm", work, 24.0 * NORM[0] * NORM[1])
    work = {"elements": ADAM, "device": device}
    _passing(bench, adam_name(device), "clipped adam", work, 32.0 * ADAM, tolerance=1e-3)


def _passing(bench: Bench, name: str, make: str, work: dict[str, Any], bytes_: float, tolerance: float = 1e-4) -> None:
    """Of a kernel that only passes through memory: beside both copies."""
    copied = {"elements": int(bytes_ / 8.0), "device": work["device"]}
    rivals = [
        Rival(TORCH, "torch", make),
        Rival(COPY, "fusednet", "device copy", copied, compared=False),
        Rival(TORCH_COPY, "torch", "device copy", copied, compared=False),
    ]
    _row(bench, name, make, work, rivals, tolerance, bytes=bytes_)


def _row(
    bench: Bench,
    name: str,
    make: str,
    work: dict[str, Any],
    rivals: list[Rival],
    tolerance: float = 1e-4,
    **figures: float,
) -> list[dict[str, Any]]:
    if not bench.wants(name):
        return []
    return measure(
        bench,
        "device",
        name,
        make,
        work,
        rivals,
        tolerance=(tolerance, tolerance),
        figures={**figures, "device": work["device"]},
        threads=[bench.most],
    )


def _best(bench: Bench, name: str, rows: list[dict[str, Any]], amount: float) -> None:
    """The best rate of all sides, in thousands of millions a second."""
    sides = [side["seconds"]["median"] for row in rows for side in (row, *row["rivals"])]
    if sides:
        bench.roof[name] = amount / min(sides) / 1e9
