"""One function for each row of the catalogue: `elu_forward`, `elu_backward`, `adam_update`, ..."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fusednet import _native
from fusednet.ops._activations import activation_backward, activation_forward
from fusednet.ops._updates import optimizer_update

Array = NDArray[Any]
_RATES = {"adam": 0.001, "rmsprop": 0.001, "rmsprop_momentum": 0.001}  # Keras's; 0.01 for the others


def _forward(row: dict[str, Any]) -> Callable[..., Array]:
    name = row["name"]

    def function(x: ArrayLike, *, out: Array | None = None, isa: str | None = None, **params: float) -> Array:
        return activation_forward(x, name, out=out, isa=isa, **params)

    doc = f"y = {row['formula']}; see `activation_forward`."
    return _named(function, f"{name}_forward", doc, ["x"], row["params"], {"out": None, "isa": None})


def _backward(row: dict[str, Any]) -> Callable[..., Array]:
    name = row["name"]
    saved = "y" if row["from_output"] else "x"

    def function(
        dy: ArrayLike, saved: ArrayLike, *, out: Array | None = None, isa: str | None = None, **params: float
    ) -> Array:
        return activation_backward(dy, saved, name, out=out, isa=isa, **params)

    doc = f"The gradient of y = {row['formula']}; `saved` is {saved}. See `activation_backward`."
    return _named(function, f"{name}_backward", doc, ["dy", "saved"], row["params"], {"out": None, "isa": None})


def _update(row: dict[str, Any]) -> Callable[..., None]:
    name, slots = row["name"], tuple(row["slots"])
    hyper = [(key, _RATES.get(name, 0.01) if default is None else default) for key, default in row["hyper"]]
    keywords = {"step": 1, **dict(hyper), "scale": 1.0, "clip_value": None, "isa": None}

    def function(w: Array, g: ArrayLike, *state: Array, **options: Any) -> None:
        arrays = dict(zip(slots, state, strict=False))
        if len(state) > len(slots):
            raise TypeError(f"[{name}_update] expects the slots {', '.join(slots) or 'none'}, got {len(state)} arrays")
        for slot in slots:
            # a slot may share its name with a hyper-parameter, as momentum does: an array is the slot
            if slot not in arrays and slot in options and hasattr(options[slot], "shape"):
                arrays[slot] = options.pop(slot)
        missing = [slot for slot in slots if slot not in arrays]
        if missing:
            raise TypeError(f"[{name}_update] expects the slots {', '.join(slots)}, got no {missing[0]!r}")
        unknown = [key for key in options if key not in keywords]
        if unknown:
            raise TypeError(f"[{name}_update] expects options among {', '.join(keywords)}; got {unknown[0]!r}")
        values = {**keywords, **options}
        optimizer_update(
            name,
            w,
            g,
            [arrays[slot] for slot in slots],
            step=values["step"],
            hyper=[values[key] for key, _ in hyper],
            scale=values["scale"],
            clip_value=values["clip_value"],
            isa=values["isa"],
        )

    doc = (
        f"One step of {name} in place: w{''.join(f', {slot}' for slot in slots)} are updated from the gradient g.\n\n"
        f"Hyper-parameters: {', '.join(f'{key}={value:g}' for key, value in hyper)}; step counts from 1.\n"
        "g is multiplied by `scale`, then clamped to +-clip_value. See `optimizer_update`."
    )
    positional = ["w", "g", *(slot if slot not in keywords else f"{slot}_slot" for slot in slots)]
    return _named(function, f"{name}_update", doc, positional, [], keywords)


def _named(
    function: Callable[..., Any],
    name: str,
    doc: str,
    positional: list[str],
    params: list[tuple[str, float]],
    keywords: dict[str, Any],
) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__, function.__module__ = doc, "fusednet.ops"
    listed = [Parameter(key, Parameter.POSITIONAL_OR_KEYWORD) for key in positional]
    options = {**dict(params), **keywords}
    listed += [Parameter(key, Parameter.KEYWORD_ONLY, default=value) for key, value in options.items()]
    function.__signature__ = Signature(listed)  # type: ignore[attr-defined]
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for _row in _native.activation_rows():
    if not _row["row"]:  # those over rows are written out, with their own argument names
        FUNCTIONS[f"{_row['name']}_forward"] = _forward(_row)
        FUNCTIONS[f"{_row['name']}_backward"] = _backward(_row)
for _row in _native.optimizer_rows():
    FUNCTIONS[f"{_row['name']}_update"] = _update(_row)
