"""Model files: safetensors with the configuration as JSON in the header.

A file is written beside its destination, flushed to the disk and renamed, so there is always a whole one. Reading
trusts nothing: names come from fixed lists, the arrays' shapes are held against the configuration before anything
of that size is allocated, and a SHA-256 over everything tells a damaged file. No code is ever stored or run.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusednet import layers, losses, metrics, optimizers
from fusednet._config import check_device, default_device
from fusednet._errors import ModelFileError

if TYPE_CHECKING:
    from fusednet.models import Sequential

Array = NDArray[Any]
_FORMAT = "fusednet"
_VERSION = 2  # 1 had no random layers and no accumulation: a batch was an update
_READABLE = ("1", "2")
_COUNTERS = ("step", "passes", "pending")  # updates, batches, batches since the last update


def describe(model: "Sequential") -> dict[str, Any]:
    """Everything about a model but its arrays, ready for JSON."""
    engine = model._engine
    compiled = None
    if engine.loss is not None and engine.optimizer is not None:
        compiled = {
            "loss": losses.serialize(engine.loss),
            "optimizer": optimizers.serialize(engine.optimizer),
            "metrics": [metrics.serialize(metric) for metric in engine.metrics],
        }
    return {
        "name": model.name,
        "dtype": engine.dtype,
        "input_shape": None if engine.input_shape is None else list(engine.input_shape),
        "layers": [layers.serialize(layer) for layer in engine.layers],
        "compile": compiled,
        "state": {
            "seed": engine.seed,
            "epochs": engine.epochs,
            **{counter: getattr(engine.plan(), counter) for counter in _COUNTERS},
        },
    }


def save(model: "Sequential", path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write a model file, all or nothing."""
    from safetensors.numpy import save as serialize

    model._need_built("save")
    target = Path(os.path.realpath(path))
    if not overwrite and target.exists():
        raise FileExistsError(f"[{model.label}] save expects a new file with overwrite=False, got {os.fspath(path)!r}")
    if target.is_dir():
        raise IsADirectoryError(f"[{model.label}] save expects a file, got the folder {os.fspath(path)!r}")
    if target.exists() and not target.is_file():
        raise OSError(f"[{model.label}] save expects a regular file, got the device or pipe {os.fspath(path)!r}")
    arrays = model._engine.read()
    config = json.dumps(describe(model), sort_keys=True)
    metadata = {
        "format": _FORMAT,
        "version": str(_VERSION),
        "config": config,
        "sha256": _digest(str(_VERSION), config, arrays),
    }
    try:
        write_atomically(target, serialize(arrays, metadata=metadata))
    except OSError as error:
        # the temporary file that it was about means nothing to the caller
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from None


def write_atomically(target: Path, content: bytes) -> None:
    """Replace a file's content so that at any moment, and after a crash, the old or the new one is there."""
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mode(target: Path) -> int:
    """Permissions of the file that is replaced, or those of a new file."""
    with contextlib.suppress(OSError):
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _digest(version: str, config: str, arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(f"{_FORMAT}\0{version}\0{config}\0".encode())
    for name in sorted(arrays):
        values = arrays[name]
        digest.update(f"{name}\0{values.dtype.name}\0{values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def load_model(path: str | os.PathLike[str], compile: bool = True, *, device: str | None = None) -> "Sequential":
    """The model that `Sequential.save` wrote, ready to go on.

    Args:
        path: the file.
        compile: also restore the loss, the optimizer with its state, and the metrics.
        device: where the model goes, whatever it was saved on: "cpu" or "cuda"; None for what the environment variable
            FUSEDNET_DEVICE names, or the CPU.

    Raises:
        ValueError, RuntimeError: there is no such device in this build or on this machine.
        FileNotFoundError: there is no such file.
        ModelFileError: the file is cut off, altered, of another version, or names something unknown.
    """
    from safetensors import SafetensorError, safe_open

    where = default_device() if device is None else device
    check_device("load_model" if device is not None else "FUSEDNET_DEVICE", where)
    shown = os.fspath(path)
    target = Path(path)
    if not target.exists():
        raise FileNotFoundError(f"[load_model] expects a model file, got {shown!r}, which does not exist")
    if target.is_dir():
        raise IsADirectoryError(f"[load_model] expects a model file, got the folder {shown!r}")
    try:
        with safe_open(target, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            config = _config(shown, metadata)
            model = _rebuild(shown, config, where)
            expected = _expected(model, config, dict.fromkeys(file.keys()))
            for name, shape in expected.items():
                view = file.get_slice(name)
                found = (view.get_dtype(), tuple(view.get_shape()))
                if found != ("F64" if model.dtype == "float64" else "F32", shape):
                    raise _bad(shown, f"{name} to be {model.dtype} {shape}", f"{found[0]} {found[1]}")
            arrays = {name: file.get_tensor(name) for name in expected}
    except SafetensorError as error:
        raise _bad(shown, "a whole safetensors file", f"a cut-off or damaged one ({error})") from None
    if _digest(metadata["version"], metadata["config"], arrays) != metadata.get("sha256"):
        raise _bad(shown, "content that fits its SHA-256 checksum", "altered content")
    _restore(model, config, arrays, compile=compile)
    return model


def _config(shown: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != _FORMAT or "config" not in metadata or "version" not in metadata:
        raise _bad(shown, "a file that Sequential.save wrote", "another safetensors file")
    if metadata["version"] not in _READABLE:
        raise _bad(shown, f"format version {' or '.join(_READABLE)}", f"version {metadata['version']}")
    try:
        config = json.loads(metadata["config"])
    except (ValueError, RecursionError) as error:
        raise _bad(shown, "a configuration in JSON", f"a damaged one ({error})") from None
    if not isinstance(config, dict):
        raise _bad(shown, "a configuration in JSON", "something else")
    if metadata["version"] == "1" and isinstance(config.get("state"), dict):
        config["state"] = {"passes": config["state"].get("step"), "pending": 0, **config["state"]}
    return config


def _rebuild(shown: str, config: Mapping[str, Any], device: str) -> "Sequential":
    """The model that a configuration describes; no array is made yet."""
    from fusednet.models import Sequential

    try:
        state = config["state"]
        stack = [layers.deserialize(entry, "load_model") for entry in config["layers"]]
        model = Sequential(stack, config["name"], dtype=config["dtype"], seed=state["seed"])
        model._engine.device = device
        if config["input_shape"] is not None and not model.built:
            model.build(tuple(config["input_shape"]))
        for counter in ("epochs", *_COUNTERS):
            if not isinstance(state[counter], int) or not 0 <= state[counter] < 1 << 62:
                raise ValueError(f"{counter} expects an integer of at least 0, got {state[counter]!r}")
        compiled = config["compile"]
        if compiled is not None:
            model.compile(optimizers.get(compiled["optimizer"]), losses.get(compiled["loss"]), compiled["metrics"])
        model._need_built("load_model")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _bad(shown, "a configuration that describes a model", f"one that does not: {reason}") from None
    return model


def _expected(model: "Sequential", config: Mapping[str, Any], found: Mapping[str, None]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that the configuration asks for; the file must hold these and no others."""
    tensors = model._engine.tensors()
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    if model.optimizer is not None:
        for tensor in tensors:
            if tensor.spec.trainable:
                shapes.update({f"{tensor.name}/{slot}": tensor.shape for slot in model.optimizer.slots})
    wrong = sorted(set(shapes) ^ set(found))
    if wrong:
        has = "no" if wrong[0] in shapes else "an unknown"
        raise _bad(f"{config['name']}", f"arrays {', '.join(shapes)}", f"{has} {wrong[0]!r}")
    return shapes


def _restore(model: "Sequential", config: Mapping[str, Any], arrays: Mapping[str, Array], *, compile: bool) -> None:
    engine = model._engine
    if not compile:
        engine.loss = engine.optimizer = None
        engine.metrics = []
        weights = {tensor.name for tensor in engine.tensors()}
        arrays = {name: values for name, values in arrays.items() if name in weights}
    plan = engine.plan_without_drawing()
    for name, values in arrays.items():
        plan.set(name, values)
    for layer, before, _ in engine.shapes():
        for leaf, shape in layer.leaves(before):
            leaf.restore(shape, {spec.role: arrays[f"{leaf.name}/{spec.role}"] for spec in leaf.weight_specs(shape)})
    for counter in _COUNTERS:
        setattr(plan, counter, config["state"][counter])
    engine.epochs = config["state"]["epochs"]


def _bad(shown: str, expected: str, found: str) -> ModelFileError:
    return ModelFileError(f"[load_model] {shown!r}: expects {expected}, got {found}")
