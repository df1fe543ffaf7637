"""One function for each row of the catalogue: `elu_forward`, `elu_backward`, `dropout_forward`, `adam_update`, ..."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fusednet import _native
from fusednet.ops._activations import READY, activation_backward, activation_forward
from fusednet.ops._noise import noise_backward, noise_forward
from fusednet.ops._updates import NUMBERS, optimizer_update

Array = NDArray[Any]


def _forward(row: dict[str, Any]) -> Callable[..., Array]:
    name = row["name"]
    number, defaults = READY[name]
    ready = _native.ready_activation_forward

    def function(x: ArrayLike, *, out: Array | None = None, isa: str | None = None, **options: Any) -> Array:
        if out is not None and isa is None and not options and ready(number, defaults, x, out, None):
            return out
        return activation_forward(x, name, out=out, isa=isa, **options)

    doc = f"y = {row['formula']}; see `activation_forward`.{_from(row)}"
    return _named(function, f"{name}_forward", doc, _arguments("x"), _keywords(row))


def _backward(row: dict[str, Any]) -> Callable[..., Array | tuple[Array, Array]]:
    name = row["name"]
    saved = "y" if row["from_output"] else "x"
    number, defaults = READY[name]
    ready = _native.ready_activation_backward

    def function(
        dy: ArrayLike, saved: ArrayLike, *, out: Array | None = None, isa: str | None = None, **options: Any
    ) -> Array | tuple[Array, Array]:
        if out is not None and isa is None and not options and ready(number, defaults, dy, saved, out):
            return out
        return activation_backward(dy, saved, name, out=out, isa=isa, **options)

    doc = f"The gradient of y = {row['formula']}; `saved` is {saved}. See `activation_backward`.{_from(row)}"
    return _named(function, f"{name}_backward", doc, _arguments("dy", "saved"), _keywords(row))


def _keywords(row: dict[str, Any]) -> dict[str, Any]:
    slope = {} if row["slope"] == "none" else {"slope": None}
    return {**dict(row["params"]), **slope, "out": None, "isa": None}


def _noise(row: dict[str, Any], direction: str) -> Callable[..., Array]:
    name, kernel = row["name"], noise_forward if direction == "forward" else noise_backward
    argument = "x" if direction == "forward" else "dy"

    def function(value: ArrayLike, /, **options: Any) -> Array:
        if "seed" not in options:
            raise TypeError(f"[{name}_{direction}] expects a seed, an integer in [0, 2**64)")
        return kernel(value, name, **options)

    doc = f"{'y' if argument == 'x' else 'The gradient of y'} = {row['formula']}; see `noise_{direction}`.{_from(row)}"
    position = {"seed": Parameter.empty, "stream": 0, "first_row": 0, "first_col": 0, "width": None}
    listed = [Parameter(argument, Parameter.POSITIONAL_ONLY)]
    return _named(
        function, f"{name}_{direction}", doc, listed, {**dict(row["params"]), **position, "out": None, "isa": None}
    )


def _update(row: dict[str, Any]) -> Callable[..., None]:
    name, slots, defaults = row["name"], tuple(row["slots"]), dict(row["hyper"])
    hyper = {key: value for key, value in defaults.items() if key not in row["first_values"]}
    rest = {"scale": 1.0, "clip_value": None, "decay": 0.0, "average": None, "average_momentum": 0.0, "isa": None}
    keywords = {"step": 1, **hyper, **rest}
    known, start, unusual = frozenset(keywords), {**defaults, **hyper}, frozenset(("average", "isa"))
    values, number, ready = tuple(start.items()), NUMBERS[name], _native.ready_optimizer_update

    def function(w: Array, g: ArrayLike, /, *state: Array, **options: Any) -> None:
        if len(state) != len(slots):
            raise TypeError(
                f"[{name}_update] expects w, g{''.join(f', {slot}' for slot in slots)}, got {len(state)} slots"
            )
        if not known.issuperset(options):
            unknown = next(key for key in options if key not in known)
            raise TypeError(f"[{name}_update] expects options among {', '.join(keywords)}; got {unknown!r}")
        option = options.get
        given = [option(key, value) for key, value in values]
        rest = (option("step", 1), given, option("scale", 1.0), option("clip_value"), option("decay", 0.0))
        if unusual.isdisjoint(options) and ready(number, w, g, state, *rest):
            return
        for key in start:
            options.pop(key, None)
        optimizer_update(name, w, g, state, hyper=given, **options)

    doc = (
        f"One step of {name} in place: w{''.join(f', {slot}' for slot in slots)} are updated from the gradient g.\n\n"
        f"{row['formula']}.{_from(row)}\n\n"
        f"Hyper-parameters: {', '.join(f'{key}={value:g}' for key, value in hyper.items())}; step counts from 1.\n"
        "g is multiplied by `scale`, then clamped to +-clip_value; w loses its part `decay` before the step and\n"
        "enters the average after it. See `optimizer_update`, and `optimizer_slots` for the first state."
    )
    # a slot may have the name of a hyper-parameter, as momentum does: slots go by position only
    listed = [Parameter(f"{key}_" if key in keywords else key, Parameter.POSITIONAL_ONLY) for key in ("w", "g", *slots)]
    return _named(function, f"{name}_update", doc, listed, keywords)


def _from(row: dict[str, Any]) -> str:
    return f" Source: {row['source']}." if row["source"] else ""


def _arguments(*names: str) -> list[Parameter]:
    return [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]


def _named(
    function: Callable[..., Any],
    name: str,
    doc: str,
    listed: list[Parameter],
    keywords: dict[str, Any],
) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__, function.__module__ = doc, "fusednet.ops"
    options = [Parameter(key, Parameter.KEYWORD_ONLY, default=value) for key, value in keywords.items()]
    function.__signature__ = Signature([*listed, *options])  # type: ignore[attr-defined]
    return function


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for _row in _native.activation_rows():
    FUNCTIONS[f"{_row['name']}_forward"] = _forward(_row)
    FUNCTIONS[f"{_row['name']}_backward"] = _backward(_row)
for _row in _native.noise_rows():
    for _direction in ("forward", "backward"):
        FUNCTIONS[f"{_row['name']}_{_direction}"] = _noise(_row, _direction)
for _row in _native.optimizer_rows():
    FUNCTIONS[f"{_row['name']}_update"] = _update(_row)
