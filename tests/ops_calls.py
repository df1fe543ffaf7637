"""Calls of every function of `fusednet.ops`, of arrays that the caller puts on the host or on a device."""

from __future__ import annotations

import numpy as np

import fusednet
from fusednet import DeviceArray, _native, ops


class Side:
    """Makes the arrays of a call, the same on the host and on a device, and keeps them: some are updated."""

    def __init__(self, device: str | None, dtype: type, shape: tuple[int, int]) -> None:
        self.device, self.dtype, self.shape = device, dtype, shape
        self.random = np.random.default_rng(7)
        self.made: list[object] = []

    def put(self, values):
        array = fusednet.device_array(values, self.device) if self.device else np.array(values)
        self.made.append(array)
        return array

    def normal(self, *shape):
        return self.put(self.random.normal(size=shape or self.shape).astype(self.dtype))

    def positive(self, *shape):
        return self.put(self.random.uniform(0.1, 0.9, shape or self.shape).astype(self.dtype))

    def labels(self, classes):
        return self.random.integers(0, classes, self.shape[0]).astype(np.int32)


def _slope(s, row):
    return {} if row["slope"] == "none" else {"slope": s.positive(s.shape[1])}


def _activation(row):
    def forward(s):
        return getattr(ops, f"{row['name']}_forward")(s.normal(), **_slope(s, row))

    def backward(s):
        dy, saved = s.normal(), s.positive()
        return getattr(ops, f"{row['name']}_backward")(dy, saved, **_slope(s, row))

    return {f"{row['name']}_forward": forward, f"{row['name']}_backward": backward}


def _noise(row):
    params = {"seed": 3, "stream": 5, "first_row": 2}
    return {
        f"{row['name']}_forward": lambda s: getattr(ops, f"{row['name']}_forward")(s.normal(), **params),
        f"{row['name']}_backward": lambda s: getattr(ops, f"{row['name']}_backward")(s.normal(), **params),
    }


def _update(row):
    def update(s):
        w, g = s.normal(), s.normal()
        slots = ops.optimizer_slots(row["name"], w)
        for step in (1, 2):
            getattr(ops, f"{row['name']}_update")(
                w, g, *slots, step=step, scale=0.5, clip_value=0.7, decay=0.01, average=s.normal(), average_momentum=0.9
            )
        return slots

    return {f"{row['name']}_update": update}


def _loss(row):
    def loss(s):
        x, y, dx, weights = s.positive(), s.positive(), s.normal(), s.positive(s.shape[0])
        given = {"scale": 0.5, "dx": dx, "sample_weight": weights}
        if row["name"].startswith(("softmax", "sigmoid")):
            given["y"] = s.normal()
        smoothed = row["name"].startswith(("softmax_crossentropy", "sigmoid_crossentropy"))
        results = [*ops.loss(row["name"], x, y, **given), given.get("y")]
        if smoothed:
            results += ops.loss(row["name"], x, y, label_smoothing=0.1)
        if row["labels"] and s.shape[1] > 1:
            labels = s.labels(s.shape[1])
            results += ops.loss(row["name"], x, labels)
            results += ops.loss(row["name"], x, s.put(labels))
            if smoothed:
                results += ops.loss(row["name"], x, labels, label_smoothing=0.1)
        return results

    return {f"loss {row['name']}": loss}


def _metric(row):
    def metric(s):
        x = s.positive()
        sums = ops.metric(row["name"], x, s.positive())
        assert isinstance(sums, np.ndarray)
        ops.metric(row["name"], x, s.labels(max(s.shape[1], 2)), sums=sums)
        return sums

    return {f"metric {row['name']}": metric}


def _constraint(row):
    def constrain(s):
        ops.constrain(row["name"], s.normal())
        ops.constrain(row["name"], s.normal(s.shape[0]))

    return {f"constrain {row['name']}": constrain}


def _batchnorm(s):
    x, gamma, beta = s.normal(), s.positive(s.shape[1]), s.normal(s.shape[1])
    y, mean, variance = ops.batchnorm_forward(x, gamma, beta, 1e-3, "elu")
    moved = s.normal(s.shape[1])
    ops.moving_average(moved, mean, 0.9)
    back = ops.batchnorm_backward(s.normal(), x, y, mean, variance, gamma, beta, 1e-3, "elu")
    again = ops.batchnorm_backward(s.normal(), x, None, mean, variance, None, None, training=False)
    slopes = s.positive(1)
    learned = ops.batchnorm_forward(x, activation="prelu", slope=slopes)
    of_learned = ops.batchnorm_backward(s.normal(), x, *learned, activation="prelu", slope=slopes)
    inferred = ops.batchnorm_inference(x, mean, variance, gamma, beta)
    return [y, mean, variance, *back, *again, *learned, *of_learned, inferred, *ops.batchnorm_statistics(x)]


def _layernorm(s):
    x, gamma, beta = s.normal(), s.positive(s.shape[1]), s.normal(s.shape[1])
    y, mean, inverse = ops.layer_norm_forward(x, gamma, beta)
    return [y, mean, inverse, *ops.layer_norm_backward(s.normal(), x, mean, inverse, gamma)]


def _dense(s):
    x, w, b = s.normal(), s.normal(s.shape[1], 9), s.normal(9)
    y = ops.dense_forward(x, w, b, "tanh")
    return [y, ops.dense_forward(x, w, None, "softmax"), *ops.dense_backward(s.normal(s.shape[0], 9), x, w)]


def _gemm(s):
    a, b, c = s.normal(), s.normal(s.shape[1], 6), s.normal(s.shape[0], 6)
    return [ops.gemm(a, b, bias=s.normal(6)), ops.gemm(a.T, c), ops.gemm(a, b, accumulate=True, out=c)]


def _gather(s):
    order = s.random.integers(0, s.shape[0], 5)
    results = [ops.gather(s.put(np.arange(12, dtype=np.uint8).reshape(4, 3)), [3, 1, 1])]
    name = np.dtype(s.dtype).name
    results += [ops.gather(s.normal(), order, dtype=name), ops.gather(s.normal(), s.put(order), dtype=name)]
    return [*results, ops.gather(s.normal(), dtype=name)]


def _pools(s):
    rows, cols = ops.fractional_pool_regions(7, 3, overlapping=True), ops.fractional_pool_regions(6, 4)
    y, places = ops.max_pool_forward(s.normal(s.shape[0], 7, 6, 2), rows, s.put(cols))
    dy = s.normal(*y.shape)
    host = places.numpy() if isinstance(places, DeviceArray) else places
    back = [ops.max_pool_backward(dy, where, (7, 6, 2)) for where in (places, host)]
    x = s.normal(s.shape[0], 3 * s.shape[1])
    top = ops.maxout_forward(x, 3)
    return [y, places, *back, top, ops.maxout_backward(s.normal(), x, top)]


def _norms(s):
    w, g = s.normal(), s.normal()
    gradients = [s.normal(), s.normal(s.shape[1])]
    results = [ops.penalty(w, l1=0.1, l2=0.2, g=g), ops.penalty(w, l2=0.2), ops.squared_norm(w)]
    results += [ops.global_norm(gradients), ops.clip_by_global_norm(gradients, 0.5), ops.clip_by_norm(s.normal(), 0.1)]
    ops.clip_by_value(s.normal(), 0.3)
    return results


def _sums(s):
    a, b = s.normal(), s.normal()
    added = ops.scaled_add(a, b, s.normal(s.shape[0]))
    return [added, ops.scaled_add(None, b, out=a), ops.column_sums(b), ops.accuracy(b, s.labels(max(2, s.shape[1])))]


def _uniform(s):
    out = s.normal()
    return ops.uniform(s.shape, -1.0, 2.0, seed=4, dtype=s.dtype, out=out)


CALLS = {}
for _rows, _made in [
    (_native.activation_rows(), _activation),
    (_native.noise_rows(), _noise),
    (_native.optimizer_rows(), _update),
    (_native.loss_rows(), _loss),
    (_native.metric_rows(), _metric),
    (_native.constraint_rows(), _constraint),
]:
    for _row in _rows:
        CALLS.update(_made(_row))
CALLS |= {
    "batchnorm_forward batchnorm_backward batchnorm_inference batchnorm_statistics moving_average": _batchnorm,
    "layer_norm_forward layer_norm_backward": _layernorm,
    "dense_forward dense_backward": _dense,
    "gemm": _gemm,
    "gather": _gather,
    "max_pool_forward max_pool_backward maxout_forward maxout_backward": _pools,
    "penalty squared_norm global_norm clip_by_global_norm clip_by_norm clip_by_value": _norms,
    "scaled_add column_sums accuracy": _sums,
    "uniform": _uniform,
}
# by the functions above: what takes a row's name, and what makes no array
INDIRECT = {
    "activation_forward", "activation_backward", "noise_forward", "noise_backward", "optimizer_update",
    "optimizer_slots", "saves_output", "fractional_pool_regions",
}  # fmt: skip
