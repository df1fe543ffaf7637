"""Models whose gradients are checked: losses with fitting outputs and targets, weights off their first values."""

from __future__ import annotations

import numpy as np

import fusednet
from fusednet import activations, losses
from fusednet._loss import Crossentropy
from fusednet.layers import Dense, Flatten

BOUND = 1e-7
ACTIVATIONS = activations.names()
LEARNED = [name for name in ACTIVATIONS if getattr(activations.get(name), "slope", "none") == "learned"]
KINDS = [getattr(losses, name) for name in losses.__all__ if isinstance(getattr(losses, name), type)]
KINDS.remove(losses.Loss)
OF_PROBABILITIES = {"poisson", "kl_divergence", "mean_squared_logarithmic_error"}  # and all cross-entropies


def head(loss: losses.Loss) -> str:
    """An output activation that gives the loss what it takes."""
    if loss.from_logits:
        return "linear"
    if "categorical" in loss.name:
        return "softmax"
    return "sigmoid" if "crossentropy" in loss.name or loss.name in OF_PROBABILITIES else "linear"


def targets(loss: losses.Loss, rows: int, outputs: int, g: np.random.Generator):
    labels = g.integers(0, outputs, rows)
    if loss.takes_labels:
        return labels
    if "categorical" in loss.name:
        return np.eye(outputs)[labels]
    if "hinge" in loss.name:
        return g.choice([-1.0, 1.0], (rows, outputs))
    return 0.1 + 0.8 * g.random((rows, outputs))


def parametrised(kind) -> list[losses.Loss]:
    """The loss with its defaults, with other parameters, and what cross-entropies add."""
    found = [kind()]
    params = {key: value for key, value in found[0].params.items() if key != "apply_class_balancing"}
    if params:
        found.append(kind(**{key: 0.7 * value for key, value in params.items()}))
    if hasattr(found[0], "params") and "apply_class_balancing" in found[0].params:
        found.append(kind(apply_class_balancing=True, alpha=0.3))
    if issubclass(kind, Crossentropy):
        found += [kind(from_logits=True), kind(label_smoothing=0.2), kind(from_logits=True, label_smoothing=0.3)]
    return [*found, kind(reduction="sum")]


def built(layers, loss="mse", *, features=5, outputs=4, seed=0, top=True):
    """A compiled model of these layers under a Dense that suits the loss; no parameter is at its first value."""
    g = np.random.default_rng(seed)
    found = losses.get(loss)
    shape = features if isinstance(features, tuple) else (features,)
    last = [Dense(outputs, head(found))] if top else []
    model = fusednet.Sequential(
        [Flatten(input_shape=shape) if len(shape) == 1 else layers[0], *layers[len(shape) > 1 :], *last], seed=seed
    )
    model.compile(loss=found, optimizer="sgd")
    for variable in model.weights:
        role = variable.name.rpartition("/")[2]
        if role not in ("mean", "variance"):
            variable.assign(variable.numpy() + 0.1 * g.normal(size=variable.shape) ** (2 if "variance" in role else 1))
    return model, found


def checked(layers, loss="mse", *, rows=9, features=5, outputs=4, seed=0, top=True, weights=False, **options):
    model, found = built(layers, loss, features=features, outputs=outputs, seed=seed, top=top)
    g = np.random.default_rng([seed, 1])
    shape = features if isinstance(features, tuple) else (features,)
    width = model.output_shape[-1]
    x, y = g.normal(size=(rows, *shape)), targets(found, rows, width, g)
    weight = g.random(rows) * (g.random(rows) > 0.2) if weights else None
    return fusednet.check_gradients(model, x, y, weight, inputs=True, **options)


def assert_right(report) -> None:
    assert report, str(report)
    assert report.worst.distance < BOUND, str(report)
    assert max(check.worst_distance for check in report.tensors) < BOUND, str(report)
