"""BatchNormalization after training: exact statistics, and layers folded into their neighbours."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusednet import activations
from fusednet._layer import Layer
from fusednet.layers import BatchNormalization, Dense, DropConnect, Residual

if TYPE_CHECKING:
    from fusednet.models import Sequential

Array = NDArray[Any]
_ROWS = 256  # a pass over the data takes at a time


def recalibrate(model: "Sequential", x: Array) -> None:
    """Exact moving statistics over the rows of x; nothing changes if they are not finite."""
    from fusednet import _training

    with model._engine.training("recalibrate_batchnorm"):
        result = model._engine.plan(min(x.shape[0], _ROWS)).recalibrate(x, 0, x.shape[0])
    if result["status"] != "ok":
        raise _training.non_finite(model, result, None)


def fold(model: "Sequential") -> "Sequential":
    """A copy of the model whose BatchNormalizations are in the Dense layers next to them, where there are any."""
    from fusednet.models import Sequential

    values = {variable.name: variable.numpy() for variable in model.weights}
    arrays: dict[str, Array] = {}
    layers = _fold(model._engine.layers, values, arrays)
    folded = Sequential(layers, model.name, dtype=model.dtype, seed=model.seed)
    if not folded.built:
        folded.build(model.input_shape)
    plan = folded._engine.plan_without_drawing()
    for info in plan.tensors():
        name = info["name"]
        plan.set(name, arrays[name].astype(model.dtype) if name in arrays else values[name])
    return folded


def _fold(layers: "list[Layer] | tuple[Layer, ...]", values: dict[str, Array], arrays: dict[str, Array]) -> list[Layer]:
    """The layers left; `arrays` receives what has changed."""
    rest = list(layers)
    done: list[Layer] = []
    while rest:
        layer = rest.pop(0)
        if isinstance(layer, Residual):
            block = layer.with_trainable(layer.trainable)
            block._set("layers", tuple(_fold(layer.layers, values, arrays)))
            layer = block
        elif isinstance(layer, BatchNormalization):
            scale, offset = _affine(layer, values)
            before, after = done[-1] if done else None, rest[0] if rest else None
            if _takes(before) and before.activation == activations.get(None):  # type: ignore[union-attr]
                kernel, bias = _dense(before, values, arrays)
                arrays[f"{before.name}/kernel"] = kernel * scale  # type: ignore[union-attr]
                arrays[f"{before.name}/bias"] = bias * scale + offset  # type: ignore[union-attr]
                done[-1] = _with_bias(before)
                continue
            if _takes(after):
                kernel, bias = _dense(after, values, arrays)
                arrays[f"{after.name}/kernel"] = scale[:, None] * kernel  # type: ignore[union-attr]
                arrays[f"{after.name}/bias"] = bias + offset @ kernel  # type: ignore[union-attr]
                rest[0] = _with_bias(after)
                continue
        done.append(layer)
    return done


def _takes(layer: Layer | None) -> bool:
    return type(layer) in (Dense, DropConnect)


def _affine(layer: BatchNormalization, values: dict[str, Array]) -> tuple[Array, Array]:
    """Inference as x * scale + offset, in float64."""
    mean, variance = (values[f"{layer.name}/moving_{what}"].astype(np.float64) for what in ("mean", "variance"))
    if not (np.isfinite(mean).all() and (variance >= 0.0).all() and np.isfinite(variance).all()):
        raise ValueError(f"{layer.label} fold_batchnorm expects finite moving statistics, variances of at least 0")
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * values[f"{layer.name}/gamma"]
    offset = -mean * scale
    return scale, offset + values[f"{layer.name}/beta"] if layer.center else offset


def _dense(layer: Any, values: dict[str, Array], arrays: dict[str, Array]) -> tuple[Array, Array]:
    """Kernel and bias as they are by now, in float64."""
    kernel = arrays.get(f"{layer.name}/kernel", values[f"{layer.name}/kernel"]).astype(np.float64)
    zeros = np.zeros(kernel.shape[1])
    bias = arrays.get(f"{layer.name}/bias", values.get(f"{layer.name}/bias", zeros)).astype(np.float64)
    return kernel, bias


def _with_bias(layer: Any) -> Layer:
    new: Layer = layer.with_trainable(layer.trainable)
    new._set("use_bias", True)
    return new
