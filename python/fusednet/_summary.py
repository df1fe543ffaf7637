"""The table that `model.summary()` prints."""

import math

import numpy as np

from fusednet._engine import Engine
from fusednet.layers import InputLayer

_WIDTHS = (34, 20, 13)


def table(name: str, engine: Engine) -> str:
    """Layers with output shapes and parameters, and the totals. A model without its input's shape has no counts."""
    lines = [f'Model: "{name}"', _line("_"), _row("Layer (type)", "Output shape", "Param #"), _line("=")]
    if engine.input_shape is None:
        rows = [(f"{layer.name} ({type(layer).__name__})", "?", "? (not built)") for layer in engine.layers]
        return "\n".join([*lines, *(_row(*row) for row in rows), _line("="), "Parameters: known once the model is built"])
    total = trainable = 0
    for layer, before, after in engine.shapes():
        if isinstance(layer, InputLayer):
            continue
        specs = layer.weight_specs(before)
        count = sum(math.prod(spec.shape) for spec in specs)
        total += count
        trainable += sum(math.prod(spec.shape) for spec in specs if spec.trainable)
        shape = "(None, " + ", ".join(map(str, after)) + ")"
        lines.append(_row(f"{layer.name} ({type(layer).__name__})", shape, f"{count:,}"))
    size = np.dtype(engine.dtype).itemsize
    lines.append(_line("="))
    counts = (("Total", total), ("Trainable", trainable), ("Non-trainable", total - trainable))
    lines += [f"{label} params: {count:,} ({_bytes(count * size)})" for label, count in counts]
    return "\n".join([*lines, _line("_")])


def _row(name: str, shape: str, count: str) -> str:
    first, second, third = _WIDTHS
    return f"{name:<{first}} {shape:<{second}} {count:>{third}}"


def _line(character: str) -> str:
    return character * (sum(_WIDTHS) + 2)


def _bytes(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.2f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1024
    return f"{count:.2f} GB"
