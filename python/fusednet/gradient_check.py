"""Gradient checking: the backward pass held against two-sided differences of the loss, in float64."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet import _checks, _native
from fusednet.models import Sequential

# First difference steps. The compiled code extrapolates, takes smaller steps near kinks and answers NaN on a kink; an
# element that a wide step finds on a kink may be found beside it by a narrow one.
_STEPS = (1e-3, 1e-5, 1e-7)
_NOISE = 1e-12  # rounding error of a difference at the first step, relative to the loss
_SETTLED = 1e-8  # relative difference of two estimates that needs no narrower step
_LOST = 1e6  # times the noise: estimates that differ by more are none
_BUDGET_MS = 100.0


@dataclass(frozen=True)
class TensorCheck:
    """The comparison for one array.

    Attributes:
        name: `layer/role`, or "inputs".
        shape: of the array.
        checked: number of elements compared.
        kinks: number of elements that were left out because the loss has no derivative there (an input of a ReLU
            that is exactly 0).
        distance: relative Euclidean distance over the compared elements.
        worst_index: place of the element with the largest relative difference.
        worst_distance: that difference.
        analytic, numeric: the element's two derivatives.
        passed: whether both distances are within the tolerance; also true if there was nothing to compare.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    kinks: int
    distance: float
    worst_index: tuple[int, ...]
    worst_distance: float
    analytic: float
    numeric: float
    passed: bool


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found; true if something was compared and all of it passed, and a table when printed.

    Attributes:
        tensors: the comparisons.
        tolerance: distance that passes.
        loss: of the batch.
        kinks: where elements were left out: the layers with inputs on a kink of theirs (activations, maxima of pooling
            and Maxout), parameters on the kink of their penalty, and "loss", each with how many there are. Inputs that
            no parameter moves across the kink count too.
    """

    tensors: tuple[TensorCheck, ...]
    tolerance: float
    loss: float
    kinks: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return all(check.passed for check in self.tensors) and any(check.checked for check in self.tensors)

    @property
    def failures(self) -> tuple[TensorCheck, ...]:
        """The arrays that did not pass."""
        return tuple(check for check in self.tensors if not check.passed)

    @property
    def worst(self) -> TensorCheck:
        """The array with the largest distance."""
        return max(self.tensors, key=lambda check: check.distance)

    def __str__(self) -> str:
        head = ("tensor", "elements", "distance", "worst element", "its distance", "analytic", "numeric", "")
        rows = [head, *(_cells(check) for check in self.tensors)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        right = (False, True, True, False, True, True, True, False)
        lines = [
            "  ".join(f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(row, widths, right, strict=True))
            for row in rows
        ]
        passed = len(self.tensors) - len(self.failures)
        lines.insert(1, "-" * len(lines[0]))
        wrong = ", ".join(check.name for check in self.failures)
        verdict = "all right" if self else f"WRONG: {wrong}" if wrong else "nothing could be compared"
        lines.append(f"{passed} of {len(self.tensors)} below {self.tolerance:g} at loss {self.loss:.6g}: {verdict}")
        if self.kinks:
            lines.append("on kinks: " + ", ".join(f"{name} ({count})" for name, count in self.kinks))
        return "\n".join(line.rstrip() for line in lines)


def _cells(check: TensorCheck) -> tuple[str, ...]:
    total = math.prod(check.shape)
    elements = f"{check.checked}" if check.checked == total else f"{check.checked} of {total}"
    return (
        check.name,
        f"{elements}, {check.kinks} on kinks" if check.kinks else elements,
        f"{check.distance:.1e}",
        "[" + ", ".join(map(str, check.worst_index)) + "]",
        f"{check.worst_distance:.1e}",
        f"{check.analytic:+.9e}",
        f"{check.numeric:+.9e}",
        ("right" if check.checked else "no derivative") if check.passed else "WRONG",
    )


def check_gradients(
    model: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    inputs: bool = False,
    max_elements: int | None = 200,
    tolerance: float = 1e-7,
    gradients: Mapping[str, ArrayLike] | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare the model's gradients with numerical derivatives of its loss.

    A float64 copy of the model runs one batch (x, y) in training mode, penalties and random layers included: their
    masks are a function of the seed, those of the next step of training, and the same in every evaluation. For each
    trainable array, with a the gradient of the backward pass and n the two-sided differences (extrapolated to fourth
    order) over the compared elements, the distance is

        ||a - n|| / max(||a|| + ||n||, floor),

    where floor = noise / tolerance and noise = 1e-12 * max(1, |loss|) * sqrt(elements) is the rounding error of the
    differences themselves (more where a kink nearby asks for a smaller step, or two estimates differ by more): a
    gradient that is exactly zero, such as that of a bias before a BatchNormalization, is then not failed for that
    noise, while any error above the noise still is. The worst single element is found by |a - n| / max(|a| + |n|, rms
    of a, the floor of one element) and is held to ten times the tolerance. Elements that sit on a kink, where there is
    no derivative, are counted and left out, and the layers whose inputs lie on one are named.

    Args:
        model: a compiled model; it does not change.
        x, y, sample_weight: the batch, as for `fit`; some 10 rows are enough.
        inputs: also check the derivatives with respect to x.
        max_elements: elements compared an array, drawn at random; None compares all.
        tolerance: distance that passes. Below 1e-7 is right, above 1e-5 is suspect.
        gradients: gradients to check in place of the model's own, by name ("inputs" for those of x).
        seed: of the choice of elements.

    Returns:
        GradientReport, which is true or false and prints as a table.

    Raises:
        ValueError, TypeError: for data or arguments outside their domain.
        NonFiniteError: the loss or a gradient is not finite.

    Example:
        >>> import numpy as np
        >>> import fusednet
        >>> model = fusednet.Sequential([fusednet.layers.Dense(3, "softmax", input_shape=[4])], seed=1)
        >>> model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd")
        >>> bool(fusednet.check_gradients(model, np.eye(4), [0, 1, 2, 0]))
        True
    """
    loss = model._need_compiled("check_gradients")
    limit = None if max_elements is None else _checks.integer("check_gradients", "max_elements", max_elements, 1)
    if not 0.0 < tolerance < 1.0:
        raise ValueError(f"[check_gradients] tolerance expects a number in (0, 1), got {tolerance!r}")
    rows, targets, weights = model._batch(x, y, loss, sample_weight, device="cpu")
    rows, targets = rows.astype(np.float64), _in_float64(targets)
    plan = _copy(model, rows.shape[0], inputs, model.device)
    input_gradient = np.zeros(rows.shape) if inputs else None
    result = plan.compute_gradients(rows, targets, input_gradient, weights)
    if result["status"] != "ok":
        from fusednet._training import non_finite

        raise non_finite(model, result, None)
    found = {info["name"]: plan.gradient(info["name"]) for info in plan.tensors() if info["trainable"]}
    if input_gradient is not None:
        found["inputs"] = input_gradient
    for name, values in (gradients or {}).items():
        if name not in found:
            raise ValueError(f"[check_gradients] gradients expects names among {', '.join(found)}; got {name!r}")
        found[name] = _checks.weight("check_gradients", name, values, found[name].shape, "float64")
    noise = _NOISE * max(1.0, abs(result["loss"]))
    generator = np.random.default_rng(seed)
    checks = []
    for name, values in found.items():
        picked = np.arange(values.size, dtype=np.int64)
        if limit is not None and values.size > limit:
            picked = np.sort(generator.choice(values.size, limit, replace=False)).astype(np.int64)
        numeric, own = _differences(plan, rows, targets, weights, None if name == "inputs" else name, picked, noise)
        checks.append(_compare(name, values, picked, numeric, own, tolerance))
    left_out = any(check.kinks for check in checks)
    on_host = _copy(model, rows.shape[0], inputs, "cpu") if left_out and plan.device != "cpu" else plan
    kinks = tuple(on_host.kinks(rows, targets, weights)) if left_out else ()
    return GradientReport(tuple(checks), tolerance, float(result["loss"]), kinks)


def _in_float64(targets: NDArray[Any]) -> NDArray[Any]:
    return targets if targets.dtype == np.int32 else targets.astype(np.float64)


def _copy(model: Sequential, rows: int, inputs: bool, device: str) -> _native.Plan:
    """The model's weights and loss in a float64 plan of its own."""
    engine = model._engine
    config = {**engine.config(rows, input_gradient=inputs), "dtype": "float64", "device": device}
    plan = _native.Plan(config)
    held = engine.plan()
    for info in plan.tensors():
        plan.set(info["name"], held.get(info["name"]).astype(np.float64))
    plan.passes = held.passes
    return plan


def _differences(
    plan: _native.Plan,
    x: NDArray[Any],
    y: NDArray[Any],
    weights: NDArray[np.float64] | None,
    name: str | None,
    picked: NDArray[np.int64],
    noise: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numeric derivatives of the picked elements, NaN where there is none, and their own errors."""
    values, errors = np.full(picked.size, np.nan), np.full(picked.size, np.inf)
    steps = np.full(picked.size, _STEPS[0])
    for step in _STEPS:
        # where several kinks lie close by, estimates of the wider steps do not agree with each other
        left = np.flatnonzero(~(errors <= _SETTLED * np.abs(values) + 10.0 * noise))
        while left.size:
            part = plan.differences(x, y, name, picked[left], step, _BUDGET_MS, weights)
            now, left = left[: part.shape[0]], left[part.shape[0] :]
            better = np.isfinite(part[:, 0]) & (part[:, 1] < errors[now])
            values[now[better]], errors[now[better]] = part[better].T
            steps[now[better]] = step
    values[errors > _LOST * noise] = np.nan
    return values, np.maximum(errors, noise * (_STEPS[0] / steps))


def _compare(
    name: str,
    gradient: NDArray[np.float64],
    picked: NDArray[np.int64],
    numeric: NDArray[np.float64],
    noise: NDArray[np.float64],
    tolerance: float,
) -> TensorCheck:
    smooth = np.flatnonzero(np.isfinite(numeric))
    kinks = picked.size - smooth.size
    if not smooth.size:
        return TensorCheck(name, gradient.shape, 0, kinks, 0.0, (), 0.0, math.nan, math.nan, True)
    picked, numeric, noise = picked[smooth], numeric[smooth], noise[smooth]
    analytic = gradient.reshape(-1)[picked]
    gap = np.abs(analytic - numeric)
    size = float(np.linalg.norm(analytic) + np.linalg.norm(numeric))
    distance = float(np.linalg.norm(gap)) / max(size, float(np.linalg.norm(noise)) / tolerance)
    rms = float(np.sqrt(np.mean(analytic**2)))
    relative = gap / np.maximum(np.abs(analytic) + np.abs(numeric), np.maximum(rms, noise / tolerance))
    worst = int(np.argmax(relative))
    return TensorCheck(
        name=name,
        shape=gradient.shape,
        checked=picked.size,
        kinks=kinks,
        distance=distance,
        worst_index=tuple(int(i) for i in np.unravel_index(picked[worst], gradient.shape)),
        worst_distance=float(relative[worst]),
        analytic=float(analytic[worst]),
        numeric=float(numeric[worst]),
        passed=bool(distance <= tolerance and relative[worst] <= 10.0 * tolerance),
    )
