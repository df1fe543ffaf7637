"""`Sequential`: describes a dense network in Python and trains it in compiled code."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fusednet import _checks, _device, _training, losses, optimizers
from fusednet._layer import Layer
from fusednet._network import Network
from fusednet._progress import Progress
from fusednet._saving import load_model as load_model
from fusednet._saving import save as _save
from fusednet.callbacks import Callback, History
from fusednet.losses import Loss
from fusednet.metrics import get_all as metric_list
from fusednet.optimizers import Optimizer

Array = NDArray[Any]


class Sequential(Network):
    """A stack of layers, each of which feeds the next.

    Args:
        layers: descriptions from `fusednet.layers`; they may be used in other models too, which share no weights.
        name: anything printable.
        dtype: "float32" or "float64", of weights and arithmetic.
        seed: fixes first weights and the order of samples; without it `utils.set_random_seed` or the system does.

    The input's shape is that of `Input(shape)` or of the first layer's `input_shape`, or of the first data seen.

    Attributes:
        layers: the layers with their weights.
        history: `History` of the last `fit`.
        optimizer, loss: as compiled, or None. `optimizer.learning_rate` can be set at any time.
        stop_training: set it to True in a callback to stop after the epoch.
        epochs_trained: epochs finished in the model's life; the order of samples follows from it and the seed.

    Raises:
        TypeError, ValueError: for anything that is no layer, or layers that do not fit, naming the layer.

    Example:
        >>> import numpy as np
        >>> import fusednet
        >>> from fusednet.layers import BatchNormalization, Dense
        >>> model = fusednet.Sequential([Dense(8, activation="elu", input_shape=[4]), Dense(1)], seed=1)
        >>> model.compile(loss="mse", optimizer="adam")
        >>> x = np.linspace(-1.0, 1.0, 400).reshape(100, 4)
        >>> history = model.fit(x, x[:, :1], epochs=20, verbose=0)
        >>> history.history["loss"][-1] < history.history["loss"][0]
        True
    """

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        name: str | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__(layers, name, dtype=dtype, seed=seed)
        self.history: History | None = None
        self.stop_training = False

    def compile(
        self, optimizer: object = "rmsprop", loss: object = None, metrics: object = None, *, device: str | None = None
    ) -> None:
        """Say what training minimises and how. The optimizer's state starts anew; the weights stay.

        Args:
            optimizer: name or `fusednet.optimizers` object.
            loss: name or `fusednet.losses` object.
            metrics: list of names or `fusednet.metrics` objects.
            device: "cpu" or "cuda"; None keeps the model where it is, at first on what the environment variable
                FUSEDNET_DEVICE names or the CPU.

        Raises:
            RuntimeError: this build, machine or driver has no such device; the message says which.
        """
        if loss is None:
            raise ValueError(f"[{self.label}] compile expects a loss, got None")
        found, rule = losses.get(loss, self.label), optimizers.get(optimizer, self.label)
        self._engine.compile(found, rule, metric_list(self.label, metrics, found), device)

    @property
    def loss(self) -> Loss | None:
        """The loss, or None before `compile`."""
        return self._engine.loss

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, or None before `compile`."""
        return self._engine.optimizer

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns."""
        return ["loss", *(metric.name for metric in self._engine.metrics)]

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Sequence[ArrayLike] | None = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        *,
        check_finite: bool = True,
    ) -> History:
        """Train on shuffled mini-batches.

        Args:
            x: (n, *input shape) of uint8, float32 or float64, read in place, by a device once a call; other real types
                are converted where every value is exact. An array on the model's device is read where it lies.
            y: integer labels (n,), or targets (n, outputs).
            batch_size: rows a step, 32 if not given; the last batch of an epoch may be smaller.
            epochs: number of the last epoch; training begins after `initial_epoch`.
            verbose: 0 silent, 1 progress bar, 2 a line an epoch, "auto" by whether there is a terminal.
            callbacks: objects from `fusednet.callbacks`.
            validation_split: share of the samples, the last ones, held out before shuffling.
            validation_data: (x, y) or (x, y, sample_weight) to evaluate after each epoch; takes precedence over
                validation_split.
            shuffle: a new order each epoch, a function of the model's seed and `epochs_trained`.
            class_weight: {class: weight of its samples in the loss}; 1 for classes that are not named.
            sample_weight: (n,) of at least 0, the weight of each sample in the loss. The mean over a batch still
                divides by its number of rows, as in Keras; metrics are not weighted.
            initial_epoch: epochs that are counted as done.
            validation_batch_size: rows a step of the validation, batch_size if not given.
            check_finite: look for NaN and infinity in the data before anything else.

        Returns:
            History: logs of each epoch. `loss` is the mean over batches of the batch's reduced loss weighted by its
            rows, as in Keras: with the reduction "sum" it is about batch_size times the mean over samples.

        Raises:
            TypeError, ValueError: for data or arguments outside their domain; the model is as it was.
            NonFiniteError: the loss or a gradient became NaN or infinite; the weights are those before that step.
            KeyboardInterrupt: by Ctrl-C, within 0.2 s; the model keeps the steps done, and the next `fit` draws the
                interrupted epoch's order again.
        """
        owner = self.label
        loss = self._need_compiled("fit")
        last = _checks.integer(owner, "epochs", epochs, 0)
        first = _checks.integer(owner, "initial_epoch", initial_epoch, 0)
        show = _checks.verbosity(owner, verbose)
        share = _checks.fraction(owner, "validation_split", validation_split)
        called = _checks.callbacks(owner, callbacks)
        shape = self._shape_for(x)
        held = None
        train = self._samples(
            shape, x, y, loss, sample_weight=sample_weight, class_weight=class_weight, check_finite=check_finite
        )
        if validation_data is not None:
            held_x, held_y, weight = _checks.held_out(owner, "validation_data", validation_data)
            held = self._samples(
                shape, held_x, held_y, loss, sample_weight=weight, check_finite=check_finite, prefix="validation "
            )
        elif share > 0.0:
            train, held = _checks.split(owner, train, share)
        batch = _checks.batch_size(owner, batch_size, train[0].shape[0])
        held_batch = batch
        if validation_batch_size is not None:
            held_batch = _checks.integer(owner, "validation_batch_size", validation_batch_size, 1)

        if not self.built:
            self.build(shape)
        self.stop_training = False
        self.history = History()
        _training.fit(
            self,
            train,
            held,
            batch=batch,
            validation_batch=held_batch if held is None else min(held_batch, held[0].shape[0]),
            epochs=range(first, last),
            verbose=show,
            shuffle=bool(shuffle),
            callbacks=[self.history, *called],
        )
        return self.history

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        *,
        return_dict: bool = False,
        check_finite: bool = True,
    ) -> Any:
        """Loss and metrics in inference mode.

        Returns:
            The loss, or [loss, accuracy] if metrics were compiled, or both by name with `return_dict`. The loss is
            reduced as `fit` reports it; with the reduction "sum" it therefore depends on batch_size (32).
        """
        loss = self._need_compiled("evaluate")
        show = _checks.verbosity(self.label, verbose)
        shape = self._shape_for(x)
        data = self._samples(shape, x, y, loss, sample_weight=sample_weight, check_finite=check_finite)
        batch = self._inference_batch(batch_size, data[0].shape[0])
        if not self.built:
            self.build(shape)
        with Progress(0 if verbose == "auto" and show == 2 else show, "Evaluate", -(-data[0].shape[0] // batch)) as bar:
            logs = _training.evaluate(self, data, batch, bar.advance).logs()
            bar.finish(logs)
        return self._results(logs, return_dict)

    def predict(
        self, x: ArrayLike, batch_size: int | None = None, verbose: str | int = 0, *, check_finite: bool = True
    ) -> Array:
        """The outputs (n, units) in inference mode."""
        show = _checks.verbosity(self.label, verbose)
        shape = self._shape_for(x)
        data = _checks.inputs(self.label, "x", x, shape, self.dtype, check_finite=check_finite, device=self.device)
        batch = self._inference_batch(batch_size, data.shape[0])
        if not self.built:
            self.build(shape)
        if show != 1:
            return _training.predict(self, data, batch)
        with Progress(1, "Predict", -(-data.shape[0] // batch)) as bar:
            return _training.predict(self, data, batch, bar.advance)

    def predict_on_batch(self, x: ArrayLike) -> Array:
        """The outputs for one batch."""
        return self.predict(x)

    def __call__(self, x: ArrayLike) -> Array:
        """The outputs in inference mode."""
        return self.predict(x)

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        *,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; returns that batch's loss (and metrics) before the step."""
        loss = self._need_compiled("train_on_batch")
        rows, targets, weights = self._batch(x, y, loss, sample_weight, class_weight)
        count = rows.shape[0]
        with self._engine.training("train_on_batch"):
            result = self._engine.plan(count).train(rows, targets, None, 0, count, count, 0.0, weights)
        if result["status"] != "ok":
            raise _training.non_finite(self, result, None)
        meter = _training.Meter(self)
        meter.add(result)
        return self._results(meter.logs(), return_dict)

    def test_on_batch(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *, return_dict: bool = False
    ) -> Any:
        """Loss (and metrics) of one batch in inference mode."""
        rows = next(iter(_device.shape_of(self.label, "x", x)), 1)  # evaluate says what is wrong with a number
        return self.evaluate(x, y, rows, 0, sample_weight, return_dict=return_dict)

    def compute_gradients(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """The gradients of one batch's reduced loss in training mode, by the arrays' names; nothing changes.

        Penalties are part of the loss. Random layers draw what they will draw in the next step of training.
        """
        loss = self._need_compiled("compute_gradients")
        return dict(_training.gradients(self, self._batch(x, y, loss, sample_weight)))

    def apply_gradients(self, gradients: Mapping[str, ArrayLike] | Sequence[ArrayLike]) -> None:
        """One step of the optimizer, clipping included, with given gradients; random layers draw anew after it.

        Where the optimizer accumulates gradients, they count as those of one batch.

        Args:
            gradients: all of them, by name as `compute_gradients` returns them, or in the order of
                `trainable_weights`.

        Raises:
            ValueError: for missing or unknown names or wrong shapes.
            NonFiniteError: for NaN or infinity. Nothing has changed in either case.
        """
        self._need_compiled("apply_gradients")
        _training.apply(self, gradients)

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write weights, optimizer state, random state and configuration to one file, all or nothing.

        The file is in safetensors format whatever its name. Training continued from it gives the same bits as
        training that was not interrupted. A failure (OSError) leaves an older file as it was.
        """
        _save(self, path, overwrite=overwrite)

    def _inference_batch(self, batch_size: int | None, rows: int) -> int:
        return min(32 if batch_size is None else _checks.integer(self.label, "batch_size", batch_size, 1), rows)

    def _results(self, logs: dict[str, float], return_dict: bool) -> Any:
        values = {name: logs[name] for name in self.metrics_names}
        if return_dict:
            return values
        return list(values.values()) if self._engine.metrics else values["loss"]


def clone_model(model: Sequential) -> Sequential:
    """A model of the same layers with first weights of its own, not compiled."""
    clone = Sequential(list(model._engine.layers), model.name, dtype=model.dtype)
    if model.built and not clone.built:
        clone.build(model.input_shape)
    return clone
