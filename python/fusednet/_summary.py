"""The table that `model.summary()` prints."""

import math

import numpy as np

from fusednet._engine import Engine
from fusednet.layers import InputLayer


def table(name: str, engine: Engine) -> str:
    """Layers with output shapes and parameters, and the totals. A model without its input's shape has no counts."""
    layers = [layer for layer in engine.layers if not isinstance(layer, InputLayer)]
    labels = [f"{layer.name} ({type(layer).__name__})" for layer in layers]
    if not engine.layers or engine.input_shape is None:
        rows = [(label, "?", "?") for label in labels]
        return _table(name, rows, ["Params: known once the model is built"])
    rows = []
    total = trainable = 0
    for layer, before, after in engine.shapes():
        if isinstance(layer, InputLayer):
            continue
        specs = layer.weight_specs(before)
        count = sum(math.prod(spec.shape) for spec in specs)
        total += count
        trainable += sum(math.prod(spec.shape) for spec in specs if spec.trainable)
        rows.append((labels[len(rows)], f"(None, {', '.join(map(str, after))})", f"{count:,}"))
    size = np.dtype(engine.dtype).itemsize
    counts = (("Total", total), ("Trainable", trainable), ("Non-trainable", total - trainable))
    return _table(name, rows, [f"{label} params: {count:,} ({_bytes(count * size)})" for label, count in counts])


def _table(name: str, rows: list[tuple[str, str, str]], totals: list[str]) -> str:
    rows = [("Layer (type)", "Output shape", "Param #"), *rows]
    first, second, third = (max(least, *(len(row[i]) for row in rows)) for i, least in enumerate((28, 16, 10)))
    lines = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in rows]
    rule = "─" * (first + second + third + 4)
    return "\n".join([f'Model: "{name}"', rule, lines[0], rule, *lines[1:], rule, *totals, rule])


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.2f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:.2f} GB"
