"""Pictures of a record: the kernels under the roof, and rivals' times over ours by size. Needs matplotlib."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def draw(record: dict[str, Any], folder: Path) -> list[Path]:
    """Writes the pictures that the record has rows for; returns their paths."""
    return [
        picture
        for picture in (
            roofline(record, folder / "roofline.png"),
            ratios(record, "GEMM", _gemm_size, folder / "ratio_gemm.png", "operations of the product"),
            ratios(record, "forward|backward", _elements, folder / "ratio_activations.png", "elements"),
            ratios(record, r"^[\d-]+, .*batch", _flops, folder / "ratio_steps.png", "operations of a step"),
            scaling(record, folder / "scaling.png"),
        )
        if picture is not None
    ]


def _figure() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    axes = figure.subplots()
    axes.grid(alpha=0.3, which="both")
    return figure, axes


def _most(record: dict[str, Any]) -> list[Row]:
    """The timed rows of the largest number of threads."""
    most = max(record["options"]["threads"])
    return [row for row in record["rows"] if row["threads"] == most and "seconds" in row]


def roofline(record: dict[str, Any], path: Path) -> Path | None:
    """Operations a second against operations a byte: GEMM, and the copy's bandwidth as the sloped roof."""
    gemms = [row for row in _most(record) if row["group"] == "kernels" and row["row"].startswith("GEMM")]
    steps = [row for row in _most(record) if row["group"] == "steps"]
    copies = [row for row in _most(record) if row["group"] == "roof"]
    if not gemms or not copies:
        return None
    figure, axes = _figure()
    peak = max(max(_rate(row, row["seconds"]), *_rival_rates(row)) for row in gemms)
    memory = copies[-1]["bytes"] / copies[-1]["seconds"]["median"]
    cache = max(row["bytes"] / row["seconds"]["median"] for row in copies)
    intensity = [2.0**i for i in range(-4, 11)]
    for bandwidth, label in ((memory, "memory"), (cache, "cache")):
        shown = [min(peak, i * bandwidth) / 1e9 for i in intensity]
        axes.plot(
            intensity, shown, "k-" if label == "memory" else "k--", label=f"roof, {label} {bandwidth / 1e9:.0f} GB/s"
        )
    for rows, label, marker in ((gemms, "GEMM", "o"), (steps, "training step", "s")):
        points = [(_intensity(row), _rate(row, row["seconds"]) / 1e9) for row in rows]
        if points:
            axes.plot(*zip(*points, strict=True), marker, label=f"{label}, fusednet")
    for row in (row for row in _most(record) if row["group"] == "kernels" and "bytes" in row):
        rate = row["bytes"] / row["seconds"]["median"] / 8.0  # one operation for 8 bytes
        axes.plot(1 / 8, rate / 1e9, "^", color="tab:green", markersize=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("operations a byte (element-wise kernels: one for 8 bytes)")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(
        f"{record['cpu']}, {record['isa']}, {max(record['options']['threads'])} threads; "
        f"best product seen {peak / 1e9:.0f} GFLOP/s"
    )
    axes.legend()
    figure.savefig(path, dpi=130)
    return path


def _rate(row: Row, seconds: dict[str, float]) -> float:
    return float(row["flops"] / seconds["median"])


def _rival_rates(row: Row) -> Iterator[float]:
    yield 0.0
    for entry in row["rivals"]:
        yield _rate(row, entry["seconds"])


def _intensity(row: Row) -> float:
    """Operations over the bytes that have to move at least."""
    if row["row"].startswith("GEMM"):
        m, k, _, n = map(int, re.findall(r"\d+", row["row"]))
        return 2.0 * m * k * n / (4.0 * (m * k + k * n + m * n))
    widths = [int(w) for w in row["row"].split(",")[0].split("-")]
    parameters = sum(a * b for a, b in itertools.pairwise(widths))
    # Adam: weight, gradient, two moments, three of them written; SGD: weight and gradient, one written
    return float(row["flops"] / ((12.0 if "SGD" in row["row"] else 28.0) * parameters))


def _gemm_size(row: Row) -> float:
    return float(row["flops"])


def _flops(row: Row) -> float:
    return float(row["flops"])


def _elements(row: Row) -> float | None:
    found = re.search(r", (\d+)( [kM])? elements", row["row"])
    return None if found is None else float(found[1]) * {None: 1, " k": 1e3, " M": 2**20}[found[2]]


def ratios(record: dict[str, Any], name: str, size: Any, path: Path, label: str) -> Path | None:
    """Rivals' time over ours by size, a point a row and rival, a bar from the least to the most."""
    points: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for row in _most(record):
        if row["group"] in ("steps", "kernels") and re.search(name, row["row"]) and size(row) is not None:
            for entry in row["rivals"]:
                points.setdefault(entry["side"], []).append((size(row), entry["ratio"]))
    if not points:
        return None
    figure, axes = _figure()
    for side, found in points.items():
        middle = [ratio["median"] for _, ratio in found]
        below = [ratio["median"] - ratio["min"] for _, ratio in found]
        above = [ratio["max"] - ratio["median"] for _, ratio in found]
        axes.errorbar(
            [at for at, _ in found], middle, yerr=[below, above], fmt="o", markersize=4, capsize=2, label=side
        )
    axes.axhline(1.0, color="k", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("rival's time / fusednet's")
    axes.legend()
    figure.savefig(path, dpi=130)
    return path


def scaling(record: dict[str, Any], path: Path) -> Path | None:
    """Time per operation by batch, a line a width."""
    rows = [row for row in record["rows"] if row["group"] == "scaling" and "per_flop" in row]
    if not rows:
        return None
    figure, axes = _figure()
    for width in sorted({row["width"] for row in rows}):
        shown = sorted((row["batch"], row["per_flop"] * 1e12) for row in rows if row["width"] == width)
        axes.plot(*zip(*shown, strict=True), "o-", markersize=3, label=f"width {width}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("batch")
    axes.set_ylabel("ps per operation")
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=130)
    return path
