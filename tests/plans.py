"""Configurations of compiled plans and the data that they train on, for the tests that drive plans directly."""

from __future__ import annotations

import numpy as np

import helpers
from fusednet import _native

LINEAR = {"name": "linear", "params": []}
ELU = {"name": "elu", "params": [1.0]}

MAX_NORM = {"name": "max_norm", "params": [0.9]}
# Rows whose slope is learned or drawn, and which of them.
SLOPES = {row["name"]: row["slope"] for row in _native.activation_rows() if row.get("slope", "none") != "none"}


def dense(name, units, activation=LINEAR, use_bias=True):
    return {"kind": "dense", "name": name, "units": units, "use_bias": use_bias, "activation": activation}


def batchnorm(name, momentum=0.9, center=True, scale=True, **more):
    spec = {"kind": "batch_normalization", "name": name, "momentum": momentum, "epsilon": 1e-3}
    return spec | {"center": center, "scale": scale} | more


def activation(name, row="elu", params=(1.0,)):
    return {"kind": "activation", "name": name, "activation": {"name": row, "params": list(params)}}


def layernorm(name, center=True, scale=True, **more):
    spec = {"kind": "layer_normalization", "name": name, "epsilon": 1e-3}
    return spec | {"center": center, "scale": scale, "trainable": True} | more


def noise(name, row="dropout", amount=0.4):
    return {"kind": "noise", "name": name, "trainable": True, "noise": {"name": row, "params": [amount]}}


def residual(name, *layers, survival=1.0, per_sample=False):
    spec = {"kind": "residual", "name": name, "trainable": True, "layers": list(layers)}
    return spec | {"survival": survival, "per_sample": per_sample}


def image(name, height=4, width=5, channels=2):
    return {
        "kind": "pool", "name": name, "trainable": True, "height": height, "width": width, "channels": channels,
    }  # fmt: skip


def pool(name):
    edges = {"row_begin": [0, 1], "row_end": [3, 4], "col_begin": [0, 2, 4], "col_end": [2, 4, 5]}
    return image(name) | edges


def regions(out_height, out_width, overlapping, pseudo_random):
    how = {"overlapping": overlapping, "pseudo_random": pseudo_random}
    return {"out_height": out_height, "out_width": out_width} | how


def fractional(name, overlapping, pseudo_random):
    return image(name) | {"fractional": regions(3, 3, overlapping, pseudo_random)}


def slope(name, row, shared=False):
    params = [value for _, value in next(r for r in _native.activation_rows() if r["name"] == row)["params"]]
    return activation(name, row, params) | {"activation": {"name": row, "params": params, "shared": shared}}


def loss(name="sparse_categorical_crossentropy", from_logits=True, reduction="sum_over_batch_size"):
    return {"name": name, "from_logits": from_logits, "reduction": reduction}


def optimizer(name="sgd", hyper=(0.01,), **clip):
    empty = {"clipvalue": None, "clipnorm": None, "global_clipnorm": None}
    return {"name": name, "hyper": list(hyper)} | empty | clip


def config(layers, features, batch, dtype="float64", **more):
    base = {"dtype": dtype, "batch": batch, "features": features, "layers": layers}
    metrics = [{"name": "accuracy", "params": [0.5]}]
    return base | {"loss": loss(), "metrics": metrics, "optimizer": optimizer()} | more


def start(plan: _native.Plan, seed: int = 0) -> dict[str, np.ndarray]:
    """Sets every tensor to random values and returns them: gammas near 1, variances positive, kernels scaled."""
    values = {}
    for t in plan.tensors():
        g = helpers.rng(seed, len(values))
        v = g.normal(size=t["shape"])
        if t["role"] == "kernel":
            v /= t["shape"][0] ** 0.5
        elif t["role"] in ("gamma", "moving_variance"):
            v = 1 + 0.2 * np.tanh(v)
        else:
            v *= 0.1
        values[t["name"]] = v.astype(plan.dtype)
        plan.set(t["name"], values[t["name"]])
    return values


def data(rows, features, classes, dtype="float64", seed=0):
    g = helpers.rng(seed, rows, features)
    return g.normal(size=(rows, features)).astype(dtype), g.integers(0, classes, rows).astype(np.int32)


def state(plan: _native.Plan) -> dict[str, np.ndarray]:
    """Every array of state, slots included."""
    names = [n for t in plan.tensors() for n in (t["name"], *t["slots"])]
    return {n: plan.get(n) for n in names}
