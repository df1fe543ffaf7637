"""Group `kernels`: each kernel by itself over sizes, beside torch's operator and what memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fusednet import _native
from fusednet.benchmarks import nets
from fusednet.benchmarks.compare import Bench, Rival, measure

TORCH = "torch"
COPY = "copy"
SIZES = {"15 k": 15_000, "1 M": 1 << 20, "16 M": 1 << 24}
SWEEP = {"16": 16, "256": 256, "4 k": 1 << 12, "64 k": 1 << 16, "256 k": 1 << 18, "4 M": 1 << 22}
SWEPT = ("elu", "tanh", "relu")
SQUARES = (64, 128, 256, 512, 1024, 2048, 4096)
ODD = (65, 97, 127, 333, 1001, 2049)
THIN = ((50, 784, 300), (784, 50, 300), (50, 300, 100), (256, 1024, 10), (4096, 64, 64), (64, 4096, 64), (64, 64, 4096))
NORMS = ((50, 300), (256, 1024), (4096, 1024))
ADAMS = {"269 k": nets.FIRST, "2.1 M": nets.MIDDLE, "33.6 M": nets.LARGE}


def kernels(bench: Bench) -> None:
    """The roof of this run, then every kernel; a row's rate is against that roof in the record."""
    roof(bench)
    bench.title("kernels: time of a call; torch's and the copy's time / ours, median (min - max)")
    for name, work, rivals, options in _rows(bench.quick):
        if bench.wants(name):
            measure(bench, "kernels", name, work.pop("kernel"), work, rivals, **options(bench))
    gemms = [row for row in bench.rows if row["group"] == "kernels" and row["row"].startswith("GEMM")]
    for count in bench.threads:
        times = [
            (row["flops"], side["seconds"])
            for row in gemms
            for side in (row, *row["rivals"])
            if row["threads"] == count
        ]
        best = max((flops / seconds["median"] / 1e9 for flops, seconds in times), default=None)
        if best is not None:
            bench.roof[f"GFLOP/s, {count} threads"] = best
            bench.say(f"best rate of a matrix product on any side, {count} threads: {best:.0f} GFLOP/s")


def roof(bench: Bench) -> None:
    """Copy bandwidth by size (read and written bytes), which is what an element-wise kernel can reach."""
    bench.title("roof: NumPy's copy in as many threads, bytes read and written")
    sizes = {**SIZES} if bench.quick else {**SWEEP, **SIZES}
    copies: list[dict[str, Any]] = []
    for label, elements in sorted(sizes.items(), key=lambda item: item[1]):
        name = f"copy, {label} elements"
        if bench.wants(name) or not bench.only:
            copies += measure(
                bench, "roof", name, "copy", {"elements": elements}, (), figures={"bytes": 8.0 * elements}
            )
    bench.roof["copy"] = {
        f"{row['row']}, {row['threads']} threads": row["bytes"] / row["seconds"]["median"] / 1e9 for row in copies
    }


def _rows(quick: bool) -> Iterator[tuple[str, dict[str, Any], list[Rival], Any]]:
    """Name, work with its kernel, rivals, and the options of `measure` by the run."""
    yield from _gemms(quick)
    for n, c in NORMS[:2] if quick else NORMS:
        work = {"kernel": "batchnorm", "rows": n, "columns": c}
        yield (
            f"BatchNorm + ELU forward and backward, {n}x{c}",
            work,
            _rivals("batchnorm"),
            _options(24.0 * n * c, 1e-4),
        )
    for label, net in list(ADAMS.items())[: 2 if quick else 3]:
        work = {"kernel": "clipped adam", "net": net.work()}
        yield (
            f"Adam + global clip, {label} parameters",
            work,
            _rivals("clipped adam"),
            _options(32.0 * net.parameters, 1e-3),
        )
    yield from _activations(quick)
    if not quick:
        yield from _others()


def _gemms(quick: bool) -> Iterator[tuple[str, dict[str, Any], list[Rival], Any]]:
    shapes = [(n, n, n) for n in sorted((*SQUARES, *ODD))] + list(THIN)
    for m, k, n in [(64, 64, 64), (333, 333, 333), (1024, 1024, 1024), THIN[0]] if quick else shapes:
        work = {"kernel": "gemm", "m": m, "k": k, "n": n}
        rivals = [Rival("torch", TORCH, "gemm", note="torch.mm")]

        def options(bench: Bench, flops: float = 2.0 * m * n * k) -> dict[str, Any]:
            return {"figures": {"flops": flops}}

        yield f"GEMM {m}x{k} by {k}x{n}", work, rivals, options


def _activations(quick: bool) -> Iterator[tuple[str, dict[str, Any], list[Rival], Any]]:
    names = [row["name"] for row in _native.activation_rows()]
    for name in ("elu", "tanh") if quick else names:
        sizes = dict(list(SIZES.items())[:2]) if quick else {**SIZES, **(SWEEP if name in SWEPT else {})}
        for label, elements in sizes.items():
            for backward in (False, True):
                work = {"kernel": "activation", "name": name, "backward": backward, "elements": elements}
                direction = "backward" if backward else "forward"
                bytes_ = (12.0 if backward else 8.0) * elements
                copy = [] if backward else [Rival(COPY, "fusednet", "copy", {"elements": elements}, compared=False)]
                # torch's gradient of an identity is the array that it was given
                rivals = [] if name == "linear" and backward else _rivals("activation")
                yield f"{name} {direction}, {label} elements", work, rivals + copy, _options(bytes_)


def _others() -> Iterator[tuple[str, dict[str, Any], list[Rival], Any]]:
    kinds: Iterable[tuple[str, Any, float, str]] = (
        ("noise", _native.noise_rows(), 8.0, "forward"),
        ("loss", _native.loss_rows(), 12.0, "value and gradient"),
        ("optimizer", _native.optimizer_rows(), 0.0, "update"),
    )
    for kind, rows, each, what in kinds:
        for row in rows:
            for label, elements in SIZES.items():
                work = {"kernel": kind, "name": row["name"], "elements": elements}
                numbers = each or 4.0 * (3 + 2 * len(row["slots"]))
                yield (
                    f"{row['name']} {what}, {label} elements",
                    work,
                    _rivals(kind),
                    _options(numbers * elements, 1e-2),
                )


def _rivals(make: str) -> list[Rival]:
    return [Rival("torch", TORCH, make)]


def _options(bytes_: float, far: float = 1e-5) -> Any:
    """Shorter rounds, ours at the most threads only; optimizers may have epsilon elsewhere."""

    def options(bench: Bench) -> dict[str, Any]:
        return {
            "threads": [bench.most],
            "rival_threads": bench.threads,
            "tolerance": (far, far),
            "figures": {"bytes": bytes_},
            "share": 0.4,
        }

    return options
