"""The structure of a model and its weights: what does not depend on training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from numpy.typing import ArrayLike, NDArray

from fusednet import _batchnorm, _checks, _device, _names, _native, _seeds, _summary, _weights
from fusednet._checks import Samples
from fusednet._engine import Engine
from fusednet._layer import Layer, checked_shape
from fusednet._views import BoundLayer, Variable, Weighted
from fusednet.layers import InputLayer
from fusednet.losses import Loss

if TYPE_CHECKING:
    from fusednet.models import Sequential

Array = NDArray[Any]
_DTYPES = ("float32", "float64")


class Network(Weighted):
    """A stack of layers with their weights; `Sequential` adds training."""

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        name: str | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        self.name = _names.automatic("Sequential") if name is None else _names.checked("Sequential", name)
        self.label = f"Sequential {self.name!r}"
        if dtype not in _DTYPES:
            raise _names.unknown("Sequential", "dtype", dtype, _DTYPES)
        seed = _seeds.next_seed() if seed is None else _seeds.checked_seed(self.label, seed)
        self._engine = Engine(self.label, dtype, seed)
        for layer in layers or ():
            self.add(layer)

    # Structure

    def add(self, layer: object) -> None:
        """Put a layer on top. A model that refuses it stays as it is."""
        if isinstance(layer, BoundLayer):
            raise TypeError(
                f"[{self.label}] expects a layer that is in no model, got {layer.spec.label} of a model: weights are "
                "not shared; add its description, layer.spec, and copy the weights with set_weights"
            )
        if not isinstance(layer, Layer):
            raise TypeError(f"[{self.label}] expects a layer, got {layer!r}")
        engine = self._engine
        taken = {name for other in engine.layers for name in other.names()}
        for name in layer.names():
            if name in taken:
                raise ValueError(f"[{self.label}] expects layers with different names, got {name!r} twice")
        first, shape = not engine.layers, engine.input_shape
        if isinstance(layer, InputLayer) and not first:
            raise ValueError(f"[{self.label}] expects Input as the first layer only, got {layer.name!r} further up")
        if first:
            shape = layer.input_shape
        elif layer.input_shape is not None and shape is not None:
            given, before = layer.input_shape, engine.output_shape()
            if given != before:
                raise ValueError(f"{layer.label} expects input_shape {before} after the layers before it, got {given}")
        if shape is not None and not isinstance(layer, InputLayer):
            layer.output_shape(shape if first else engine.output_shape())
        engine.set_layers([*engine.layers, layer], shape)

    def pop(self) -> None:
        """Take the top layer off."""
        layers = self._engine.layers
        if not layers:
            raise ValueError(f"[{self.label}] has no layer to take off")
        self._engine.set_layers(layers[:-1], self._engine.input_shape if layers[1:] else None)

    def build(self, input_shape: Sequence[int | None] | int) -> None:
        """Give the input's shape, as (None, 784) or (784,), to a model that does not have it."""
        sizes = [input_shape] if isinstance(input_shape, int) else list(input_shape)
        shape = checked_shape(self.label, [size for i, size in enumerate(sizes) if i or size is not None])  # type: ignore[misc]
        engine = self._engine
        if engine.input_shape not in (None, shape):
            raise ValueError(f"[{self.label}] expects input_shape {engine.input_shape} as built, got {shape}")
        before = shape
        for layer in engine.layers:
            before = layer.output_shape(before)
        engine.set_layers(engine.layers, shape)

    @property
    def built(self) -> bool:
        """Whether the input's shape is known, and with it all others."""
        return self._engine.input_shape is not None and bool(self._engine.layers)

    @property
    def layers(self) -> list[BoundLayer]:
        """The layers with their weights, `Input` left out as in Keras."""
        model = cast("Sequential", self)
        return [BoundLayer(model, layer) for layer in self._engine.layers if not isinstance(layer, InputLayer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> BoundLayer:
        """The layer of that name, those inside of residual blocks included, or at that place in `layers`."""
        if (name is None) == (index is None):
            raise ValueError(f"[{self.label}] get_layer expects a name or an index")
        layers = self.layers
        if name is None:
            if index is None or not -len(layers) <= index < len(layers):
                raise ValueError(f"[{self.label}] index expects 0..{len(layers) - 1}, got {index}")
            return layers[index]
        found = self._engine.find(name)
        if found is None or isinstance(found, InputLayer):
            raise _names.unknown(self.label, "name", name, [known for layer in layers for known in layer.names()])
        return BoundLayer(cast("Sequential", self), found)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, ...): the shape of the inputs."""
        self._need_built("input_shape")
        return (None, *(self._engine.input_shape or ()))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, ...): the shape of the outputs."""
        self._need_built("output_shape")
        return (None, *self._engine.output_shape())

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return self._engine.dtype

    @property
    def seed(self) -> int:
        """What first weights and the order of samples follow from."""
        return self._engine.seed

    @property
    def epochs_trained(self) -> int:
        """Epochs finished in the model's life, those before a save included."""
        return self._engine.epochs

    @property
    def step(self) -> int:
        """Updates done since `compile`."""
        return self.plan.step

    @property
    def plan(self) -> _native.Plan:
        """The compiled plan; `print(model.plan)` lists its steps, shapes and bytes."""
        self._need_built("plan")
        return self._engine.plan()

    @property
    def device(self) -> str:
        """Where the arrays lie and the work is done: "cpu" or "cuda"."""
        return self._engine.device

    def summary(self, print_fn: Callable[[str], object] = print) -> None:
        """Print a table of the layers, their output shapes and parameters."""
        print_fn(_summary.table(self.name, self._engine))

    # Weights

    @property
    def weights(self) -> list[Variable]:
        """All arrays, layer by layer."""
        self._need_built("weights")
        return [Variable(cast("Sequential", self), tensor) for tensor in self._engine.tensors()]

    def _setter(self) -> str:
        return f"[{self.label}] set_weights"

    def recalibrate_batchnorm(self, x: ArrayLike, *, check_finite: bool = True) -> None:
        """Set the moving statistics of every BatchNormalization to the exact ones of a data set.

        Layer by layer, the mean and the biased variance over all rows of x of what the layer gets in inference mode,
        the layers before it recalibrated already. Training leaves a moving average over many states of the weights
        there.

        Raises:
            ValueError, TypeError: as `predict`. NonFiniteError: a variance is beyond the model's type. The statistics
                are as they were in each case, after Ctrl-C too.
        """
        self._need_built("recalibrate_batchnorm")
        shape = self._shape_for(x)
        data = _checks.inputs(self.label, "x", x, shape, self.dtype, check_finite=check_finite, device=self.device)
        _batchnorm.recalibrate(cast("Sequential", self), data)

    def fold_batchnorm(self) -> "Sequential":
        """A model for inference in which the Dense next to a BatchNormalization does its work too.

        The outputs are equal within rounding. A BatchNormalization goes into the Dense before it, if nothing is between
        them, or else into the Dense right after it; others stay as they are. The new model is not compiled.
        """
        self._need_built("fold_batchnorm")
        return _batchnorm.fold(cast("Sequential", self))

    def _write(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Set arrays by name, after all of them have been found fit."""
        tensors = {tensor.name: tensor for tensor in self._engine.tensors()}
        checked: dict[str, Array] = {}
        for name, value in arrays.items():
            checked[name] = _checks.weight(self.label, name, value, tensors[name].shape, self.dtype)
        self._engine.write(checked)

    def _need_built(self, what: str) -> None:
        if not self._engine.layers:
            raise ValueError(f"[{self.label}] {what} expects at least one layer, got none")
        if self._engine.input_shape is None:
            raise ValueError(
                f"[{self.label}] {what} expects a built model: give the first layer an input_shape, or call build"
            )

    def _need_compiled(self, what: str) -> Loss:
        loss = self._engine.loss
        if not self._engine.layers:
            raise ValueError(f"[{self.label}] {what} expects at least one layer, got none")
        if loss is None:
            raise ValueError(f"[{self.label}] {what} expects a compiled model: call compile(loss=...) first")
        return loss

    def _shape_for(self, x: object) -> tuple[int, ...]:
        """The shape of a sample: as built, or as x has it."""
        if not self._engine.layers:
            raise ValueError(f"[{self.label}] expects at least one layer, got none")
        if self._engine.input_shape is not None:
            return self._engine.input_shape
        shape = _device.shape_of(self.label, "x", x)
        if len(shape) < 2:
            raise ValueError(f"[{self.label}] x expects shape (n, ...), got {shape}")
        self._engine.output_shape(shape[1:])
        return shape[1:]

    def _samples(
        self,
        shape: tuple[int, ...],
        x: object,
        y: object,
        loss: Loss,
        *,
        sample_weight: object = None,
        class_weight: object = None,
        check_finite: bool = True,
        prefix: str = "",
        device: str | None = None,
    ) -> Samples:
        where = self.device if device is None else device
        data = _checks.inputs(self.label, f"{prefix}x", x, shape, self.dtype, check_finite=check_finite, device=where)
        (outputs,) = self._engine.output_shape(shape)[-1:]
        there = _device.lies_there(data)
        target = _checks.targets(
            self.label, f"{prefix}y", y, data.shape[0], loss, outputs, self.dtype, device=where, x_there=there
        )
        weights = _weights.sample_weights(
            self.label, sample_weight, class_weight, target, loss, data.shape[0], "float64", outputs
        )
        return data, target, weights

    def _batch(
        self,
        x: object,
        y: object,
        loss: Loss,
        sample_weight: object = None,
        class_weight: object = None,
        device: str | None = None,
    ) -> Samples:
        """One batch for training, the model built for it. Arrays of the host, or of the model's or another device."""
        shape = self._shape_for(x)
        data = self._samples(shape, x, y, loss, sample_weight=sample_weight, class_weight=class_weight, device=device)
        if not self.built:
            self.build(shape)
        return data

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"[{self.label}] cannot be pickled or copied: use save and load_model, or models.clone_model")

    def __repr__(self) -> str:
        return f"<{self.label}: {len(self.layers)} layers>"
