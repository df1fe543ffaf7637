"""Configurations of compiled plans and the data that they train on, for the tests that drive plans directly."""

from __future__ import annotations

import numpy as np

import helpers
from fusednet import _native

LINEAR = {"name": "linear", "params": []}
ELU = {"name": "elu", "params": [1.0]}


def dense(name, units, activation=LINEAR, use_bias=True):
    return {"kind": "dense", "name": name, "units": units, "use_bias": use_bias, "activation": activation}


def batchnorm(name, momentum=0.9, center=True, scale=True, **more):
    spec = {"kind": "batch_normalization", "name": name, "momentum": momentum, "epsilon": 1e-3}
    return spec | {"center": center, "scale": scale} | more


def activation(name, row="elu", params=(1.0,)):
    return {"kind": "activation", "name": name, "activation": {"name": row, "params": list(params)}}


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
