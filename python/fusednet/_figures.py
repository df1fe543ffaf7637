"""The figures of the catalogue, computed then and there: gradient checks, errors in ULP, float32 steps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _activation_layers, _native, layers, losses, ops, regularizers
from fusednet.catalogue import Row, loss_row
from fusednet.gradient_check import check_gradients
from fusednet.layers import Dense, Flatten, Layer, Reshape, noise
from fusednet.losses import Loss
from fusednet.models import Sequential

Array = NDArray[Any]
GRADIENT_LIMIT = 1e-7
ULP_LIMIT = 2.0
# Rows that are held to one ULP.
TIGHT = (
    *("sigmoid", "tanh", "elu", "selu", "softplus", "exponential"),
    *("gelu", "gelu_tanh", "silu", "mish"),
)
_ROWS = 6  # of the batches for gradient checks
_INPUTS = 5
_STRIDE = 99991  # a prime: every exponent of the floats and no pattern of their digits


@dataclass(frozen=True)
class Figures:
    """What is measured of a row; None where there is nothing to measure.

    Attributes:
        gradient: largest relative distance of `check_gradients`, over each array and the inputs.
        ulp: largest error of the float32 forward pass, in units in the last place of the float64 table's value.
        ulp_backward: that of the derivative.
        float32: relative Euclidean distance between the results of the float32 table and of the float64 one: of an
            optimizer's ten steps, a loss's gradient, an activation over rows.
    """

    gradient: float | None = None
    ulp: float | None = None
    ulp_backward: float | None = None
    float32: float | None = None

    def passes(self, name: str) -> bool:
        """Whether a row of this name stays within the limits."""
        limit = 1.0 if name in TIGHT else ULP_LIMIT
        within = (self.gradient, GRADIENT_LIMIT), (self.ulp, limit), (self.ulp_backward, limit)
        return all(figure is None or figure <= most for figure, most in within)


def measure(row: Row) -> Figures:
    """The figures of a row of `fusednet.catalogue.rows()`."""
    if row.kind == "activation":
        over_rows = next(entry["row"] for entry in _native.activation_rows() if entry["name"] == row.name)
        if over_rows:
            return Figures(_gradient(_activation(row)), float32=_difference(_over_rows, row.name))
        return Figures(_gradient(_activation(row)), *activation_ulps(row.name))
    if row.kind == "optimizer":
        return Figures(float32=_difference(_ten_steps, row.name))
    if row.kind == "loss":
        return Figures(_gradient(_loss(row)), float32=_difference(_loss_gradient, row.name))
    models = {"layer": _layer, "noise": _noise, "regularizer": _regularizer}
    return Figures(_gradient(models[row.kind](row))) if row.kind in models else Figures()


# Gradient checks: of a small model that contains the row.


def _generator() -> np.random.Generator:
    return np.random.default_rng(1)


def _model(inner: Iterable[Layer], loss: Loss | str = "mse") -> Sequential:
    model = Sequential(inner, "catalogue", dtype="float64", seed=1)
    model.compile(optimizer="sgd", loss=loss)
    return model


def _activation(row: Row) -> Sequential:
    layer = layers.CLASSES[_activation_layers.class_name(row.name)]
    return _model([Dense(6, input_dim=_INPUTS), layer(), Dense(3)])


def _noise(row: Row) -> Sequential:
    number = [entry["name"] for entry in _native.noise_rows()].index(row.name)
    params = dict(_native.noise_rows()[number]["params"])
    return _model([Dense(6, "tanh", input_dim=_INPUTS), list(noise.CLASSES.values())[number](**params), Dense(3)])


# What a layer needs to be told; the others are made without arguments.
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "InputLayer": (16,),
    "Reshape": ((16,),),
    "Dense": (16, "tanh"),
    "DropConnect": (16, 0.5, "tanh"),
    "Maxout": (16, 3),
    "FractionalMaxPooling2D": (1.5,),
    "Residual": ([Dense(8, "tanh", name="inner"), Dense(16, name="outer")], 0.5, True),
    "Activation": ("elu",),
}


def _layer(row: Row) -> Sequential:
    layer = layers.CLASSES[row.name](*_ARGUMENTS.get(row.name, ()))
    if row.name == "InputLayer":
        return _model([layer, Dense(3)])
    if hasattr(layer, "adapt"):
        layer.adapt(_generator().normal(size=(40, 16)))
    try:
        layer.output_shape((16,))
        before: list[Layer] = []
    except ValueError:  # it takes images
        before = [Reshape((4, 4))]
    return _model([Dense(16, "tanh", input_dim=_INPUTS), *before, layer, Flatten(), Dense(3)])


def _loss(row: Row) -> Sequential:
    """Behind outputs that no loss contains, so that the row itself runs; or from logits."""
    logits = next((entry["logits_of"] for entry in _native.loss_rows() if entry["name"] == row.name), "")
    kinds = (getattr(losses, name) for name in losses.__all__)
    found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Loss) and kind is not Loss]
    kind = next(kind for kind in found if loss_row(kind.name) == (logits or row.name))
    if logits:
        return _model([Dense(3, input_dim=_INPUTS)], kind(from_logits=True))
    head = "softmax" if "binary" in row.name else "sigmoid"
    return _model([Dense(3, head, input_dim=_INPUTS)], kind())


def _regularizer(row: Row) -> Sequential:
    kind = getattr(regularizers, row.name)
    arguments = [0.1] * len(kind().get_config())
    regularizer = kind(*arguments)
    dense = Dense(6, "tanh", kernel_regularizer=regularizer, activity_regularizer=regularizer, input_dim=_INPUTS)
    return _model([dense, Dense(3)])


def _gradient(model: Sequential) -> float:
    generator = _generator()
    x = generator.normal(size=(_ROWS, model.input_shape[1] or 1))
    report = check_gradients(model, x, targets(model, generator, _ROWS), inputs=True, max_elements=None)
    return report.worst.distance if any(check.checked for check in report.tensors) else np.inf


def targets(model: Sequential, generator: np.random.Generator, rows: int) -> Array:
    """Random targets that suit a model's loss."""
    loss, outputs = model.loss, model.output_shape[-1] or 1
    labels = generator.integers(outputs, size=rows)
    if loss is None or loss.takes_labels:
        return labels
    if loss.domain == (0.0, 1.0):
        return generator.random((rows, outputs))
    if loss.domain[0] == 0.0:
        return np.eye(outputs)[labels]
    return generator.uniform(0.1, 2.0, (rows, outputs))


# Errors in units in the last place, of the float32 table in use.


def floats() -> Array:
    """float32 values: every 99991st bit pattern, dense grids around 0, denormals, infinities and NaN."""
    spread = np.arange(0, 1 << 32, _STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    spread = spread[~np.isnan(spread)]
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 3.0, 6.0]
    grids = [np.linspace(-0.7, 0.7, 5001), np.linspace(-20.0, 20.0, 20001), np.linspace(-110.0, -80.0, 2001)]
    return np.concatenate([spread, *grids, edges]).astype(np.float32)


def ulps(got: Array, exact: Array) -> float:
    """Largest error of float32 values, in units in the last place of the float32 nearest to the exact one.

    NaN for NaN and zero for what is below the smallest normal number are no errors; infinity stands one place above
    the largest number.
    """
    limits = np.finfo(np.float32)
    below = np.nextafter(limits.max, np.float32(0))  # the largest whose spacing is a number
    with np.errstate(all="ignore"):
        unit = np.spacing(np.minimum(np.abs(exact.astype(np.float32)), below)).astype(np.float64)
        error = np.abs(np.clip(got.astype(np.float64), -(2.0**128), 2.0**128) - np.clip(exact, -(2.0**128), 2.0**128))
        error = np.nan_to_num(error / unit, nan=np.inf)
    fine = (np.isnan(got) & np.isnan(exact)) | ((got == 0.0) & (np.abs(exact) < limits.tiny))
    return float(np.where(fine, 0.0, error).max(initial=0.0))


def activation_ulps(name: str) -> tuple[float, float]:
    """The worst error of an activation of single elements over `floats()`, forward and of the derivative."""
    row = next(row for row in _native.activation_rows() if row["name"] == name)
    slope: dict[str, Any] = {} if row["slope"] == "none" else {"slope": np.float32(0.23)}
    wide: dict[str, Any] = {key: np.float64(value) for key, value in slope.items()}
    x = floats()
    y = ops.activation_forward(x, name, **slope)
    forward = ulps(y, ops.activation_forward(x.astype(np.float64), name, **wide))
    saved = y if row["from_output"] else x
    derivative = ops.activation_backward(np.ones_like(x), saved, name, **slope)
    exact = ops.activation_backward(np.ones(x.shape), saved.astype(np.float64), name, **wide)
    return forward, ulps(_first(derivative), _first(exact))


def _first(found: Any) -> Array:
    """dx, where the gradient of a slope may come with it."""
    return np.asarray(found[0] if isinstance(found, tuple) else found)


# Where sums or near numbers' differences enter, ULP of single results say nothing: distances of float32 and float64.


def _difference(result: Callable[[str, type], Array], name: str) -> float:
    single, double = result(name, np.float32).astype(np.float64), result(name, np.float64)
    return float(np.linalg.norm(single - double) / np.linalg.norm(double))


def _normal(*shape: int) -> Array:
    return _generator().normal(size=shape).astype(np.float32)


def _over_rows(name: str, dtype: type) -> Array:
    return ops.activation_forward(_normal(100, 30).astype(dtype), name)


def _loss_gradient(name: str, dtype: type) -> Array:
    row = next(row for row in _native.loss_rows() if row["name"] == name)
    generator, x = _generator(), _normal(100, 30)
    if not row["logits_of"]:
        x = 1.0 / (1.0 + np.exp(-x))
    target = np.eye(30)[generator.integers(30, size=100)] if row["labels"] else generator.random(x.shape)
    target = target.astype(np.float32)
    return np.asarray(ops.loss(name, x.astype(dtype), target.astype(dtype))[1])


def _ten_steps(name: str, dtype: type) -> Array:
    row = next(row for row in _native.optimizer_rows() if row["name"] == name)
    hyper = [value for _, value in row["hyper"]]
    w: Array = (1.0 + 0.2 * _normal(1000)).astype(dtype)
    slots = ops.optimizer_slots(name, w)
    for step, g in enumerate(_normal(10, 1000).astype(dtype), 1):
        ops.optimizer_update(name, w, g, slots, step=step, hyper=hyper)
    return w
