"""The table that `model.summary()` prints."""

import math

import numpy as np

from fusednet._engine import Engine
from fusednet._layer import Layer, Shape, WeightSpec
from fusednet.layers import InputLayer, Residual


def table(name: str, engine: Engine) -> str:
    """Layers with output shapes and parameters, and the totals. A model without its input's shape has no counts.

    The layers inside a residual block follow it, indented; its own count is theirs together.
    """
    layers = [layer for layer in engine.layers if not isinstance(layer, InputLayer)]
    if not engine.layers or engine.input_shape is None:
        rows = [(label, "?", "?") for layer in layers for label in _labels(layer, 0)]
        return _table(name, rows, ["Params: known once the model is built"])
    rows = []
    total = trainable = 0
    for layer, before, after in engine.shapes():
        if isinstance(layer, InputLayer):
            continue
        rows += _rows(layer, before, after, 0)
        specs = _specs(layer, before)
        total += sum(math.prod(spec.shape) for spec in specs)
        trainable += sum(math.prod(spec.shape) for spec in specs if spec.trainable)
    size = np.dtype(engine.dtype).itemsize
    counts = (("Total", total), ("Trainable", trainable), ("Non-trainable", total - trainable))
    return _table(name, rows, [f"{label} params: {count:,} ({_bytes(count * size)})" for label, count in counts])


def _label(layer: Layer, depth: int) -> str:
    return f"{'  ' * depth}{layer.name} ({type(layer).__name__})"


def _labels(layer: Layer, depth: int) -> list[str]:
    inner = layer.layers if isinstance(layer, Residual) else ()
    return [_label(layer, depth), *(label for inside in inner for label in _labels(inside, depth + 1))]


def _rows(layer: Layer, before: Shape, after: Shape, depth: int) -> list[tuple[str, str, str]]:
    count = sum(math.prod(spec.shape) for spec in _specs(layer, before))
    rows = [(_label(layer, depth), f"(None, {', '.join(map(str, after))})", f"{count:,}")]
    for inside in layer.shapes(before) if isinstance(layer, Residual) else ():
        rows += _rows(*inside, depth + 1)
    return rows


def _specs(layer: Layer, before: Shape) -> list[WeightSpec]:
    return [spec for leaf, shape in layer.leaves(before) for spec in leaf.weight_specs(shape)]


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
