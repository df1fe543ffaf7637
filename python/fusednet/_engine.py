"""A model's state: the layers' descriptions, the compiled plan that holds every array, and where training stands."""

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet import _native, _seeds
from fusednet._config import check_device, default_device, get_float32_matmul_precision, programs
from fusednet._layer import Layer, Shape, WeightSpec, natives
from fusednet.layers import InputLayer
from fusednet.losses import Loss
from fusednet.metrics import Metric
from fusednet.optimizers import Optimizer

Array = NDArray[Any]
_DEFAULT_BATCH = 32


@dataclass(frozen=True)
class Tensor:
    """One array of the model: its name is `layer/role`, as gradients and files carry it."""

    name: str
    layer: str
    spec: WeightSpec

    @property
    def shape(self) -> Shape:
        return self.spec.shape


class Engine:
    """Builds plans from layers and moves the state from an old plan to a new one, so that no caller has to care.

    A plan is replaced when a larger batch, another loss, optimizer or precision, or other layers need it; the new one
    is complete before the old one is let go, so a failure changes nothing.
    """

    def __init__(self, owner: str, dtype: str, seed: int) -> None:
        self.owner = owner
        self.dtype = dtype
        self.seed = seed
        self.device = default_device()
        self.epochs = 0  # trained so far; the next epoch's order is drawn from (seed, epochs)
        self.layers: list[Layer] = []
        self.input_shape: Shape | None = None
        self.loss: Loss | None = None
        self.optimizer: Optimizer | None = None
        self.metrics: list[Metric] = []
        self.outputs = self.parameters = 0  # of the plan: values in a row of its outputs, and in all arrays
        self._output_shape: Shape | None = None  # while the plan is that of the layers
        self._plan: _native.Plan | None = None
        self._fresh: set[str] = set()  # layers whose weights are to be drawn, not taken from the old plan
        self._keep_slots = True
        self._stale = False
        self._gradients = False  # has anybody asked for them? Training alone can do without most
        self._training = threading.RLock()
        self._building = threading.RLock()

    @contextlib.contextmanager
    def training(self, what: str) -> Iterator[None]:
        """Held while the model trains; a second thread that asks for it gets an error, not lost updates."""
        if not self._training.acquire(blocking=False):
            raise RuntimeError(f"[{self.owner}] {what} expects a model that no other thread is training")
        try:
            yield
        finally:
            self._training.release()

    # Description

    def shapes(self, input_shape: Shape | None = None) -> Iterator[tuple[Layer, Shape, Shape]]:
        """Each layer with the shape of a sample before and after it, for the model's input shape or another."""
        shape = self.input_shape if input_shape is None else input_shape
        assert shape is not None
        for layer in self.layers:
            after = shape if isinstance(layer, InputLayer) else layer.output_shape(shape)
            yield layer, shape, after
            shape = after

    def tensors(self) -> list[Tensor]:
        """All arrays in the order of `get_weights`."""
        return [
            Tensor(f"{leaf.name}/{spec.role}", leaf.name, spec)
            for layer, before, _ in self.shapes()
            for leaf, shape in layer.leaves(before)
            for spec in leaf.weight_specs(shape)
        ]

    def find(self, name: str) -> Layer | None:
        """The layer of that name, inside of another too."""
        every = (found for layer in self.layers for found in (layer, *layer.inside()))
        return next((layer for layer in every if layer.name == name), None)

    def output_shape(self, input_shape: Shape | None = None) -> Shape:
        """Shape of one output, for the model's input shape or another."""
        if self._output_shape is not None and not self._stale and input_shape in (None, self.input_shape):
            return self._output_shape
        *_, (_, _, after) = self.shapes(input_shape)
        return after

    @property
    def precision(self) -> str:
        """That of the products in the next plan; float64 has one."""
        return get_float32_matmul_precision() if self.dtype == "float32" else "highest"

    def config(self, batch: int, *, gradients: bool = True, input_gradient: bool = False) -> dict[str, Any]:
        """What the plan is compiled from."""
        assert self.input_shape is not None
        return {
            "dtype": self.dtype,
            "device": self.device,
            "precision": self.precision,
            "batch": batch,
            "features": int(np.prod(self.input_shape)),
            "layers": [entry for layer, before, _ in self.shapes() for entry in natives(layer, before)],
            "seed": self.seed,
            "loss": None if self.loss is None else self.loss.native(),
            "metrics": [metric.native() for metric in self.metrics],
            "optimizer": None if self.optimizer is None else self.optimizer.native(),
            "programs": programs(),
            "gradients": gradients,
            "input_gradient": input_gradient,
        }

    # Changes

    def set_layers(self, layers: list[Layer], input_shape: Shape | None) -> None:
        """Other layers; the arrays of those that stay are kept."""
        known = {id(layer) for layer in self.layers}
        self._fresh |= {name for layer in layers if id(layer) not in known for name in layer.names()}
        self.layers, self.input_shape, self._stale = layers, input_shape, True

    def replace_layer(self, old: Layer, new: Layer) -> None:
        """The same layer under another description of the same name and shapes; its arrays are kept."""
        self.layers = [layer.replaced(old, new) for layer in self.layers]
        self._stale = True

    def compile(self, loss: Loss, optimizer: Optimizer, metrics: list[Metric], device: str | None = None) -> None:
        """Another loss, optimizer and metrics; the optimizer starts anew. Another device, if one is given."""
        device = self.device if device is None else device
        check_device(self.owner, device)
        for layer in self.layers:
            layer.validate()
        self.loss, self.optimizer, self.metrics, self.device = loss, optimizer, metrics, device
        self._keep_slots, self._stale = False, True

    def plan(self, batch: int | None = None, *, gradients: bool = False) -> _native.Plan:
        """The plan, with room for at least `batch` rows and, if asked for, for all gradients."""
        if gradients and not self._gradients:
            self._gradients = self._stale = True
        plan = self._plan
        if plan is None or self._stale or plan.precision != self.precision or plan.batch < (batch or 1):
            room = batch or _DEFAULT_BATCH if plan is None else max(batch or 1, plan.batch)
            # another thread's training would go on in the old plan, and be lost
            with self._building, self.training("a larger batch or a change"):
                plan = self._use(self._build(room))
        if self.optimizer is not None and isinstance(self.optimizer.learning_rate, float):  # else a schedule
            plan.learning_rate = self.optimizer.learning_rate
        return plan

    def plan_without_drawing(self) -> _native.Plan:
        """A new plan whose arrays are about to be set, all of them."""
        return self._use(_native.Plan(self.config(_DEFAULT_BATCH, gradients=self._gradients)))

    def _use(self, plan: _native.Plan) -> _native.Plan:
        self._plan, self.outputs, self._output_shape = plan, plan.outputs, self.output_shape()
        self.parameters = sum(math.prod(tensor.shape) for tensor in self.tensors())
        self._stale, self._keep_slots = False, True
        self._fresh.clear()
        return plan

    def _build(self, batch: int) -> _native.Plan:
        plan = _native.Plan(self.config(batch, gradients=self._gradients))
        old = self._plan
        held = {} if old is None else {info["name"]: info for info in old.tensors()}
        for number, (info, tensor) in enumerate(zip(plan.tensors(), self.tensors(), strict=True)):
            name = info["name"]
            before = None if tensor.layer in self._fresh else held.get(name)
            if old is None or before is None or tuple(before["shape"]) != tensor.shape:
                plan.set(name, self._first_values(tensor, number))
                if f"{name}/average" in info["slots"]:
                    plan.set(f"{name}/average", plan.get(name))
                continue
            plan.set(name, old.get(name))
            for slot in info["slots"] if self._keep_slots else ():
                if slot in before["slots"]:
                    plan.set(slot, old.get(slot))
                elif slot == f"{name}/average":  # of a layer that is trained from now on
                    plan.set(slot, old.get(name))
        if old is not None:
            plan.passes = old.passes  # random layers go on: other masks than those before
            if self._keep_slots:
                plan.step, plan.pending = old.step, old.pending
        return plan

    def _first_values(self, tensor: Tensor, number: int) -> Array:
        initializer = tensor.spec.initializer
        seed = self.seed if initializer.seed is None else initializer.seed
        with np.errstate(over="ignore"):
            values = initializer.draw(tensor.shape, seed, _seeds.weight_stream(number)).astype(self.dtype)
        if not np.isfinite(values).all():
            raise ValueError(f"[{self.owner}] {tensor.name} expects finite {self.dtype} values from {initializer!r}")
        return values

    # State

    def read(self) -> dict[str, Array]:
        """Copies of all arrays by name: weights, then the optimizer's slots."""
        plan = self.plan()
        infos = plan.tensors()
        names = [info["name"] for info in infos] + [slot for info in infos for slot in info["slots"]]
        return {name: plan.get(name) for name in names}

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Set arrays by name; all are known and of the right shape and type already."""
        plan = self.plan()
        for name, values in arrays.items():
            plan.set(name, values)

    def use_averages(self) -> None:
        """Make the moving averages of the weights the weights, where the optimizer keeps them."""
        if self.optimizer is None or not self.optimizer.use_ema:
            return
        plan = self.plan()
        for info in plan.tensors() if plan.step else ():
            average = f"{info['name']}/average"
            if average in info["slots"]:
                plan.set(info["name"], plan.get(average))

    def order(self, rows: int) -> NDArray[np.int64]:
        """The order of the samples in the next epoch."""
        return _native.permutation(self.seed, _seeds.order_stream(self.epochs), rows)
