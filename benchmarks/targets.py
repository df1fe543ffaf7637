"""What the benchmark is to reach: a line for each target, the ratio found in this run, and whether it is met.

Beside it stands what the ratio would be at this run's roof, if ours did nothing but float32 products at the best rate
that any side's had, or moved its bytes as fast as the fastest copy: a target above that is beyond this machine's reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fusednet.benchmarks import kernels_device, nets
from fusednet.benchmarks.kernels import ADAMS, COPY, NORMS, SIZES

Row = dict[str, Any]
ROOF = 0.80  # of the copy's bandwidth
GRAPHS = "torch.compile, CUDA graphs"
_REDUCED = (', "high"', ', "medium"')  # in names of rows whose products are not float32
_COPIES = (COPY, kernels_device.COPY, kernels_device.TORCH_COPY)


@dataclass(frozen=True)
class Target:
    """A ratio, rival's time over ours, of the rows that `rows` finds; the worst of them counts.

    Attributes:
        work: as the table names it.
        rival: whose time is over ours.
        least: the ratio that is required.
        reach: that is hoped for, or None.
        rows: whether a row is meant.
        threads: of the row; 0 for the most of the run.
        also: a copy that serves as well as the rival, which is one: the faster of both counts, and where one of them
            was not timed, the fastest of the run.
    """

    work: str
    rival: str
    least: float
    reach: float | None
    rows: Callable[[Row], bool]
    threads: int = 0
    also: str = ""


def _named(*names: str) -> Callable[[Row], bool]:
    return lambda row: row["row"] in names


def _step(net: nets.Net, rival: str, least: float, reach: float | None = None, threads: int = 0) -> Target:
    return Target(net.name, rival, least, reach, _named(net.name), threads)


def _predict(rows: int, least: float) -> Target:
    name = f"{'-'.join(map(str, nets.FIRST.widths))}, predict, {rows} rows"
    return Target(name, "torch inference mode", least, None, _named(name))


def _norm(shape: tuple[int, int], least: float) -> Target:
    name = f"BatchNorm + ELU forward and backward, {shape[0]}x{shape[1]}"
    return Target(name, "torch", least, None, _named(name))


def _adam(size: str, least: float) -> Target:
    name = f"Adam + global clip, {size} parameters"
    return Target(name, "torch", least, None, _named(name))


def _activation(size: str) -> Callable[[Row], bool]:
    ends = f" forward, {size} elements", f" backward, {size} elements"
    return lambda row: (
        row["group"] == "kernels" and row["row"].endswith(ends) and row["row"].split()[0] in _activations()
    )


def _activations() -> set[str]:
    from fusednet import _native

    return {row["name"] for row in _native.activation_rows()}


def _gemm(row: Row) -> bool:
    return row["group"] == "kernels" and str(row["row"]).startswith("GEMM")


def _past_cache(row: Row) -> bool:
    return _activation("16 M")(row) and " forward" in row["row"]


def _on_device(name: str, least: float) -> tuple[Target, Target]:
    """Over torch's operators, and the share of the faster copy's bandwidth."""
    return (
        Target(name, kernels_device.TORCH, least, None, _named(name)),
        Target(name, kernels_device.COPY, 0.85, None, _named(name), also=kernels_device.TORCH_COPY),
    )


TARGETS = (
    _step(nets.FIRST, "torch eager", 4.0, 5.0, 1),
    _step(nets.FIRST, "torch eager", 6.5, 8.0, 2),
    _step(nets.FIRST, "JAX scan", 4.0, 5.0, 2),
    _step(nets.FIRST_SGD, "torch eager", 6.0, 8.0, 2),
    _step(nets.FIRST_SGD, "JAX scan", 3.5, 5.0, 2),
    _step(nets.SMALL, "torch eager", 30.0, 50.0),
    _step(nets.SMALL, "JAX scan", 4.0, 6.0),
    _step(nets.TINY, "torch eager", 35.0, 100.0),
    _step(nets.MIDDLE, "torch eager", 1.25, 1.5, 2),
    _step(nets.MIDDLE, "torch.compile", 1.25, 1.5, 2),
    _step(nets.LARGE, "torch eager", 1.15, 1.25, 2),
    _step(nets.LARGE_HIGH, "torch eager", 1.6, 2.2, 2),
    _step(nets.LARGE_MEDIUM, "torch eager", 1.6, 2.4, 2),
    _step(nets.ODD_SMALL, "torch eager", 4.0),
    _step(nets.ODD_MIDDLE, "torch eager", 1.3),
    _predict(1, 10.0),
    _predict(50, 5.0),
    _predict(10_000, 1.3),
    *(Target("GEMM, the worst of all sizes", "torch", 0.95, 1.1, _gemm, threads) for threads in (1, 2)),
    *(_norm(shape, least) for shape, least in zip(NORMS, (8.0, 4.0, 3.0), strict=True)),
    *(_adam(size, least) for size, least in zip(ADAMS, (3.0, 1.5, 1.2), strict=True)),
    *(Target(f"activations, {size}, the worst", "torch", 1.5, None, _activation(size)) for size in SIZES),
    Target("activations forward, 16 M, bandwidth over the copy's", "copy", ROOF, None, _past_cache),
    *(
        _step(replace(net, device="cuda"), GRAPHS, least)
        for net, least in (
            (nets.SMALL, 4.0),
            (nets.FIRST, 3.0),
            (nets.MIDDLE, 1.5),
            (nets.LARGE_BATCH, 1.05),
            (replace(nets.LARGE_BATCH, precision="high"), 1.8),
            (replace(nets.LARGE_BATCH, precision="medium"), 1.1),
        )
    ),
    *_on_device(kernels_device.norm_name("cuda"), 2.0),
    *_on_device(kernels_device.adam_name("cuda"), 1.2),
    Target(
        "MNIST with BatchNorm, process start to exit",
        "torch script",
        7.0,
        10.0,
        lambda row: "--recipe batchnorm" in row["row"],
    ),
)


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each target with the ratio found, the row that it is from, and "met", "missed" or "not measured"."""
    most = max((row["threads"] for row in rows), default=1)
    roof = _Roof(rows)
    lines = []
    for target in TARGETS:
        found, lost = [], 0
        for row in rows:
            if row["threads"] == (target.threads or most) and target.rows(row):
                sides = {target.rival, target.also}
                entries = [entry for entry in row.get("rivals", ()) if entry["side"] in sides]
                found += [(entry["ratio"]["median"], row["row"], roof.ratio(row, entry)) for entry in entries]
                share = roof.share(row) if target.also and len(entries) == 1 else None
                found += [] if share is None else [(share, row["row"], None)]
                lost += not entries
        ratio, worst, at_roof = min(found, key=lambda entry: entry[0], default=(None, "", None))
        verdict = "not measured" if ratio is None else "met" if ratio >= target.least else "missed"
        lines.append(
            {
                "work": target.work,
                "rival": target.rival,
                "threads": target.threads or most,
                "required": target.least,
                "reach": target.reach,
                "found": ratio,
                "at_roof": at_roof,
                "row": worst,
                "verdict": verdict,
                "rows_without_rival": lost,
            }
        )
    lines += [line for line in map(_limit, rows) if line is not None]
    return lines


class _Roof:
    """The best rates of a run: of products by device and number of threads, of copies by those and their size."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.products: dict[tuple[str, int], float] = {}
        self.copies: dict[tuple[str, int], dict[float, float]] = {}
        for row in rows:
            where = self._where(row)
            sides = (side for side in (row, *row.get("rivals", ())) if side.get("threads") == row["threads"])
            seconds = [side["seconds"]["median"] for side in sides if "seconds" in side]
            if row["row"].startswith("GEMM"):
                self.products[where] = max([row["flops"] / s for s in seconds] + [self.products.get(where, 0.0)])
            elif row["row"].startswith("copy, ") and row["group"] in ("roof", "device"):
                self.copies.setdefault(where, {})[row["bytes"]] = row["bytes"] / min(seconds)

    @staticmethod
    def _where(row: Row) -> tuple[str, int]:
        return row.get("device", "cpu"), row["threads"]

    def ratio(self, row: Row, rival: Row) -> float | None:
        """The rival's time over the least that ours could be, or None where that was not measured."""
        where, seconds = self._where(row), rival.get("seconds", {}).get("median")
        if seconds is None or rival["side"] in _COPIES:
            return None
        if "flops" in row and where in self.products and not any(word in row["row"] for word in _REDUCED):
            return float(seconds * self.products[where] / row["flops"])
        if "bytes" in row and where in self.copies:
            return float(seconds * self._copy(row) / row["bytes"])
        return None

    def share(self, row: Row) -> float | None:
        """Of the copy's bandwidth, that ours has."""
        known = "bytes" in row and self._where(row) in self.copies
        return row["bytes"] / row["seconds"]["median"] / self._copy(row) if known else None

    def _copy(self, row: Row) -> float:
        """Bandwidth of the copy whose size is nearest."""
        copies = self.copies[self._where(row)]
        return copies[min(copies, key=lambda size: abs(size - row["bytes"]))]


def _limit(row: Row) -> dict[str, Any] | None:
    """What is held to a limit that is no rival's: here less is better."""
    if row["group"] == "neighbours":
        found, limit, rival = row["ratio"]["median"], 1.15, "per FLOP, at most"
    elif row["group"] == "threads" and "ratio" in row:
        found, limit, rival = row["ratio"]["median"], 2.2, "its free time, at most"
    elif row["group"] == "threads" and row.get("rivals"):
        found, limit, rival = 1.0 / row["rivals"][0]["ratio"]["median"], 1.0, "one after the other, at most"
    elif "cliffs" in row:
        found, limit, rival = float(len(row["cliffs"])), 0.0, "cliffs, at most"
    elif "plan_mb" in row:
        found, limit, rival = row["plan_mb"], row["below"], "MB, at most"
    elif "above_data_mb" in row:
        found, limit, rival = row["above_data_mb"], row["below"], "MB above the data, at most"
    else:
        return None
    return {
        "work": row["row"],
        "rival": rival,
        "threads": row["threads"],
        "required": limit,
        "reach": None,
        "found": found,
        "row": row["row"],
        "verdict": "met" if found <= limit else "missed",
    }


def text(lines: Sequence[dict[str, Any]]) -> str:
    """The table; targets without a row in this run are counted, not listed."""
    shown = [f"{'work':<76} {'rival':<28} {'thr':>3} {'required':>8} {'reach':>6} {'roof':>6} {'found':>7}"]
    for line in lines:
        if line["found"] is not None:
            reach = "" if line["reach"] is None else f"{line['reach']:g}"
            roof = "" if line.get("at_roof") is None else f"{line['at_roof']:.2f}"
            work = line["work"] + (f" ({line['row']})" if "worst" in line["work"] else "")
            lost = line.get("rows_without_rival", 0)
            verdict = line["verdict"] + (
                f" ({lost} rows have no such rival)" if lost and "worst" in line["work"] else ""
            )
            shown.append(
                f"{work:<76} {line['rival']:<28} {line['threads']:>3} {line['required']:>8g} {reach:>6} "
                f"{roof:>6} {line['found']:>7.2f}  {verdict}"
            )
    missing = sum(line["found"] is None for line in lines)
    counts = {verdict: sum(line["verdict"] == verdict for line in lines) for verdict in ("met", "missed")}
    shown.append(f"{counts['met']} met, {counts['missed']} missed, {missing} not measured in this run")
    return "\n".join(shown)
