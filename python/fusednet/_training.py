"""Training, evaluation and prediction: slices of native work between which Python answers.

A slice is a fixed amount of arithmetic, so that sums over slices are the same bits on every run. Ctrl-C within a slice
is noticed by the compiled code itself.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _checks, _seeds
from fusednet._checks import Samples
from fusednet._errors import NonFiniteError
from fusednet._progress import Progress
from fusednet.callbacks import Callback, History

if TYPE_CHECKING:
    from fusednet.models import Sequential

Array = NDArray[Any]
_SLICE_WORK = 4e9  # operations: some 40 ms at 100 GFLOP/s
_LEAST_WORK = 1e6  # operations that a step is counted as at least: small steps cost more than their arithmetic
# The same on a device. Its calls look for signals in between: they are as long as the progress bar may wait.
_DEVICE_SLICE_WORK, _DEVICE_LEAST_WORK = 4e12, 1e9
_BUDGET_MS = math.inf
_WHAT = {"loss": "the loss", "gradient": "the gradient's norm", "statistics": "the batch's variance"}


class Meter:
    """Running loss and metrics, as Keras reports them.

    The loss is the mean over batches of the batch's reduced loss, weighted by the batch's rows. With the reduction
    "sum_over_batch_size" that is the mean over all samples; with "sum" it is about the batch size times as much.
    Penalties are part of it.
    """

    def __init__(self, model: "Sequential") -> None:
        assert model.loss is not None
        self._label = model.label
        self._metrics = model._engine.metrics
        self._outputs = model._engine.outputs
        self._key = "loss_weighted" if model.loss.reduction == "sum" else "loss"
        self._sums: list[Array | None] = [None] * len(self._metrics)
        self._loss = 0.0
        self._samples = 0

    def add(self, result: dict[str, Any]) -> None:
        self._loss += result[self._key] + result["penalty"]
        self._samples += result["samples"]
        if result["steps"]:
            self._same_metrics(result)
        for i, sums in enumerate(result["metrics"]):
            before = self._sums[i]
            self._sums[i] = np.array(sums) if before is None else sums + before

    def logs(self, prefix: str = "") -> dict[str, float]:
        """Loss and metrics so far."""
        values = {
            f"{prefix}{metric.name}": math.nan if sums is None else metric.result(sums, self._outputs)
            for metric, sums in zip(self._metrics, self._sums, strict=True)
        }
        values[f"{prefix}loss"] = self._loss / max(self._samples, 1)
        return values

    def epochs(self, results: dict[str, Any]) -> dict[str, list[float]]:
        """The logs of whole epochs, each by itself, from the columns that the plan gives of them."""
        if len(results["samples"]) == 0:
            return {}
        self._same_metrics(results)
        logs = {
            metric.name: [metric.result(sums, self._outputs) for sums in column]
            for metric, column in zip(self._metrics, results["metrics"], strict=True)
        }
        return logs | {"loss": ((results[self._key] + results["penalty"]) / results["samples"]).tolist()}

    def _same_metrics(self, results: dict[str, Any]) -> None:
        if len(results["metrics"]) != len(self._metrics):
            raise RuntimeError(f"[{self._label}] compile expects a model that is not training: its metrics changed")


def steps_a_slice(model: "Sequential", batch: int, passes: float) -> int:
    """Batches in one native call; passes is 3 for training (forward and two backward) and 1 for inference."""
    work = 2.0 * passes * model._engine.parameters * batch
    on_cpu = model.device == "cpu"
    slice_work, least = (_SLICE_WORK, _LEAST_WORK) if on_cpu else (_DEVICE_SLICE_WORK, _DEVICE_LEAST_WORK)
    return max(1, int(slice_work / max(work, least)))


def run_epoch(
    model: "Sequential",
    data: Samples,
    order: NDArray[np.int64] | None,
    batch: int,
    epoch: int,
    progress: Progress,
    callbacks: Sequence[Callback],
) -> Meter:
    """One pass over the data. Raises NonFiniteError with the weights as before the failing step."""
    meter = Meter(model)
    x, y, weights = data
    wanted = [callback for callback in callbacks if callback.wants_batches]
    width = batch * (1 if wanted else steps_a_slice(model, batch, 3.0))
    begin, rows = 0, x.shape[0]
    while begin < rows:
        number = begin // batch
        for callback in wanted:
            callback.on_train_batch_begin(number, {})
        # asked for at each slice: a callback may have set the learning rate or made the plan grow
        plan = model._engine.plan(batch)
        result = plan.train(x, y, order, begin, min(begin + width, rows), batch, _BUDGET_MS, weights)
        meter.add(result)
        begin = result["next"]
        if result["status"] != "ok":
            raise non_finite(model, result, epoch + 1)
        if progress.shows or wanted:
            logs = meter.logs()
            progress.advance(result["steps"], logs)
            for callback in wanted:
                callback.on_train_batch_end(number, logs)
    return meter


def run_quiet_epochs(
    model: "Sequential", data: Samples, batch: int, epochs: range, shuffle: bool, history: History
) -> dict[str, float]:
    """Epochs that are a slice or less each and that nothing looks at: as many in one native call as a slice holds."""
    engine = model._engine
    x, y, weights = data
    seed = engine.seed if shuffle else None
    count = max(1, steps_a_slice(model, batch, 3.0) * batch // x.shape[0])
    meter = Meter(model)
    logs: dict[str, list[float]] = {}
    for first in range(epochs.start, epochs.stop, count):
        results: dict[str, Any] = {}
        wanted = min(count, epochs.stop - first)
        try:
            stream = _seeds.order_stream(engine.epochs)
            engine.plan(batch).train_epochs(x, y, seed, stream, wanted, batch, weights, results)
        finally:  # those that ended before Ctrl-C count
            if "epochs" in results:
                ended = len(results["epochs"]["samples"])
                engine.epochs += ended
                try:
                    logs = meter.epochs(results["epochs"])
                except KeyboardInterrupt:
                    history.extend(range(first, first + ended), meter.epochs(results["epochs"]))
                    raise
                history.extend(range(first, first + ended), logs)
        if "failed" in results:
            raise non_finite(model, results["failed"], first + ended + 1)
        if model.stop_training:
            break
    return {name: values[-1] for name, values in logs.items()}


def non_finite(model: "Sequential", result: dict[str, Any], epoch: int | None) -> NonFiniteError:
    """The error for a step that was not done."""
    step, value, where = model._engine.plan().step + 1, result["value"], result["bad"]
    what = _WHAT[result["status"]]
    place = f"step {step}" if epoch is None else f"epoch {epoch}, step {step}"
    layer = "the input" if where == "input" else repr(where)
    found = "too large for an update, in" if math.isfinite(value) else "the first value that is not finite is in"
    return NonFiniteError(
        f"[{model.label}] {what} became {value:g} in {place}; {found} {layer}. The weights are those before this "
        "step. A lower learning rate, scaled inputs or gradient clipping may help",
        epoch=epoch,
        step=step,
        value=value,
        where=where,
    )


def evaluate(model: "Sequential", data: Samples, batch: int, advance: Callable[[int], None] | None = None) -> Meter:
    """Loss and metrics in inference mode, batch by batch."""
    x, y, weights = data
    assert model.loss is not None
    plan = model._engine.plan(batch)
    meter = Meter(model)
    # "sum" weighs batches, so they have to be those asked for; else whole slices of the plan's own batches will do
    width = batch if model.loss.reduction == "sum" else plan.batch * steps_a_slice(model, plan.batch, 1.0)
    begin, rows = 0, x.shape[0]
    while begin < rows:
        result = plan.evaluate(x, y, begin, min(begin + width, rows), _BUDGET_MS, False, weights)
        meter.add(result)
        begin = result["next"]
        if advance is not None:
            advance(-(-result["samples"] // batch))
    return meter


def predict(model: "Sequential", x: Array, batch: int, advance: Callable[[int], None] | None = None) -> Array:
    """The model's outputs (n, outputs)."""
    engine, rows = model._engine, x.shape[0]
    plan = engine.plan(batch)
    out = np.empty((rows, engine.outputs), engine.dtype)
    if rows <= plan.batch and advance is None:
        plan.predict(x, out, 0, rows, _BUDGET_MS)
        return out
    width = plan.batch * steps_a_slice(model, plan.batch, 1.0)
    begin = 0
    while begin < rows:
        done = plan.predict(x, out, begin, min(begin + width, rows), _BUDGET_MS)
        if advance is not None:
            advance(-(-(done - begin) // batch))
        begin = done
    return out


def run_epochs(
    model: "Sequential",
    train: Samples,
    validation: Samples | None,
    batch: int,
    validation_batch: int,
    epochs: range,
    verbose: int,
    shuffle: bool,
    callbacks: Sequence[Callback],
) -> dict[str, float]:
    """Epoch by epoch, with validation, progress and callbacks."""
    engine, rows = model._engine, train[0].shape[0]
    logs: dict[str, float] = {}
    for epoch in epochs:
        for callback in callbacks:
            callback.on_epoch_begin(epoch, {})
        order = engine.order(rows) if shuffle else None
        with Progress(verbose, f"Epoch {epoch + 1}/{epochs.stop}", -(-rows // batch)) as progress:
            logs = run_epoch(model, train, order, batch, epoch, progress, callbacks).logs()
            engine.epochs += 1
            if validation is not None:
                logs.update(evaluate(model, validation, validation_batch).logs("val_"))
            progress.finish(logs)
        for callback in callbacks:
            callback.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    return logs


def fit(
    model: "Sequential",
    train: Samples,
    validation: Samples | None,
    *,
    batch: int,
    validation_batch: int,
    epochs: range,
    verbose: int,
    shuffle: bool,
    callbacks: Sequence[Callback],
) -> None:
    """Train for a range of epochs; everything is checked already."""
    x = train[0]
    engine = model._engine
    with engine.training("fit"), contextlib.ExitStack() as stack:
        steps = -(-x.shape[0] // batch)
        plan = engine.plan(max(batch, validation_batch if validation is not None else 1))
        stack.callback(plan.release)
        plan.hold(*train)
        for callback in callbacks:
            callback.set_params({"epochs": epochs.stop, "steps": steps, "verbose": verbose})
            callback.set_model(model)
        for callback in callbacks:
            callback.on_train_begin({})
        (history,) = callbacks if len(callbacks) == 1 else (None,)
        if (
            type(history) is History
            and verbose == 0
            and validation is None
            and steps <= steps_a_slice(model, batch, 3.0)
        ):
            logs = run_quiet_epochs(model, train, batch, epochs, shuffle, history)
        else:
            logs = run_epochs(model, train, validation, batch, validation_batch, epochs, verbose, shuffle, callbacks)
        if epochs:
            engine.use_averages()
        for callback in callbacks:
            callback.on_train_end(logs)


def gradients(model: "Sequential", data: Samples) -> Iterator[tuple[str, Array]]:
    """The gradients of one batch in training mode, by the arrays' names."""
    x, y, weights = data
    plan = model._engine.plan(x.shape[0], gradients=True)
    result = plan.compute_gradients(x, y, None, weights)
    if result["status"] != "ok":
        raise non_finite(model, result, None)
    return iter([(info["name"], plan.gradient(info["name"])) for info in plan.tensors() if info["trainable"]])


def apply(model: "Sequential", given: Mapping[str, ArrayLike] | Sequence[ArrayLike]) -> None:
    """One step of the optimizer with given gradients, all of which are checked before any is set."""
    names = {variable.name: variable.shape for variable in model.trainable_weights}
    if not isinstance(given, Mapping):
        if len(given) != len(names):
            raise ValueError(f"[{model.label}] gradients expects {len(names)} arrays, got {len(given)}")
        given = dict(zip(names, given, strict=True))
    wrong = sorted(set(given) ^ set(names))
    if wrong:
        what = "an unknown" if wrong[0] in given else "no"
        raise ValueError(f"[{model.label}] gradients expects {', '.join(names)}; got {what} {wrong[0]!r}")
    checked = {
        name: _checks.weight(model.label, f"gradient of {name}", given[name], shape, model.dtype)
        for name, shape in names.items()
    }
    plan = model._engine.plan(gradients=True)
    for name, value in checked.items():
        plan.set_gradient(name, value)
    result = plan.apply_gradients()
    if result["status"] != "ok":
        raise non_finite(model, result, None)
