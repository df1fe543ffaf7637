"""A whole network on the oracle: forward, loss, backward, accumulation, clipping, update, statistics and averages.

Each layer's forward function gives its output and a function that takes its gradient back. Random layers
draw from the stream ((number + 1) << 44) + pass, the numbers in the order of the layers: a residual block's own before
those inside it, two for fractional pooling.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import oracle
import oracle_layers
import oracle_losses
import oracle_optimizers
import oracle_schedules
from fusednet import ops

FROM_LOGITS = {
    "categorical_crossentropy": "softmax_crossentropy",
    "binary_crossentropy": "sigmoid_crossentropy",
    "categorical_focal_crossentropy": "softmax_focal_crossentropy",
    "binary_focal_crossentropy": "sigmoid_focal_crossentropy",
}
OF_OUTPUTS = {"categorical_crossentropy": "crossentropy"}
LINEAR = {"name": "linear", "params": []}


def fractional_regions(size, out, overlapping, pseudo_random, seed, stream, training):
    """Begins and ends of fractional pooling's regions along one axis."""
    span = size - overlapping
    if training and not pseudo_random:
        regions = ops.fractional_pool_regions(
            size, out, overlapping=bool(overlapping), pseudo_random=False, seed=seed, stream=stream
        )
        return regions[0], regions[1]
    word = oracle_layers.philox_block(0, seed, stream)[0]
    u = Fraction(word, 2**32) if training else Fraction(1, 2)
    borders = oracle_layers.pseudo_random_borders(span, out, u)
    return borders[:-1], [border + overlapping for border in borders[1:]]


class Network:
    """Takes the same configuration and the same tensors as a compiled plan, and computes in float64."""

    def __init__(self, config: dict[str, Any], tensors: dict[str, np.ndarray], trainable: list[str]) -> None:
        self.config = config
        self.w = {k: np.array(v, np.float64) for k, v in tensors.items()}
        self.trainable = trainable
        self.step = self.passes = self.pending = 0
        rule = config.get("optimizer") or {"name": "sgd", "hyper": [0.0]}
        self.slots = {k: oracle_optimizers.first_slots(rule["name"], self.w[k], rule["hyper"]) for k in trainable}
        self.averages = {k: np.zeros_like(self.w[k]) for k in trainable}
        self.sums = {k: np.zeros_like(self.w[k]) for k in trainable}
        self.layers: dict[str, Any] = {}
        self._list(config["layers"])

    def _list(self, layers):
        for layer in layers:
            self.layers[layer["name"]] = layer
            self._list(layer.get("layers", ()))

    # Forward

    def forward(self, x, training):
        """Outputs, and the way back: from their gradient and a dictionary that receives the arrays' to that of x."""
        self._count, self._training = 0, training
        self._activity, self._statistics = 0.0, {}
        self._g: dict[str, np.ndarray] = {}
        return self._chain(self.config["layers"], x)

    def _chain(self, layers, x):
        backs = []
        for layer in layers:
            x, back = getattr(self, "_" + layer["kind"])(layer, x)
            l1, l2 = layer.get("activity_penalty", (0.0, 0.0))
            n = len(x)
            self._activity += oracle_optimizers.penalty(x, l1, l2) / n
            backs.append((back, x, l1 / n, l2 / n))

        def through(d):
            for back, y, l1, l2 in reversed(backs):
                d = back(d + oracle_optimizers.penalty_gradient(y, l1, l2))
            return d

        return x, through

    def _stream(self):
        self._count += 1
        return (self._count << 44) + self.passes

    def _seed(self):
        return self.config.get("seed", 0)

    def _act(self, layer, x):
        spec, key = layer.get("activation") or LINEAR, f"{layer['name']}/alpha"
        name, params = spec["name"], spec["params"]
        if key in self.w or name == "rrelu":
            if key in self.w:
                slope = np.broadcast_to(self.w[key], x.shape)
            else:
                low, high = params
                stream = self._stream()
                u = oracle_layers.uniforms(x.shape, self._seed(), stream) if self._training else 0.5
                slope = np.broadcast_to(low + (high - low) * u, x.shape)

            def back(d):
                if key in self.w:
                    sums = (d * np.minimum(x, 0)).sum(axis=0)
                    self._g[key] = sums if self.w[key].size == sums.size else sums.sum(keepdims=True)
                return d * np.where(x > 0, 1.0, slope)

            return np.where(x > 0, x, slope * x), back
        return oracle.activation(name, params, x), lambda d: oracle.activation_backward(name, params, d, x)

    def _activation(self, layer, x):
        return self._act(layer, x)

    def _dense(self, layer, x):
        name, pieces, rate = layer["name"], layer.get("pieces", 1), layer.get("drop_rate", 0.0)
        w, mask = self.w[f"{name}/kernel"], 1.0
        if rate > 0:
            stream = self._stream()
            if self._training:
                mask = (oracle_layers.uniforms(w.shape, self._seed(), stream) >= rate) / (1 - rate)
        z = oracle.dense(x, w * mask, self.w.get(f"{name}/bias"))
        if pieces > 1:
            y, back_act = oracle_layers.maxout(z, pieces), lambda d: oracle_layers.maxout_backward(d, z, pieces)
        else:
            y, back_act = self._act(layer, z)

        def back(d):
            dx, dw, dbias = oracle.dense_backward(back_act(d), x, w * mask)
            self._g |= {f"{name}/kernel": dw * mask, f"{name}/bias": dbias}
            return dx

        return y, back

    def _batch_normalization(self, layer, x):
        name, live = layer["name"], self._training and layer.get("trainable", True)
        if live:
            mean, variance = self._statistics[name] = oracle.batchnorm_statistics(x)
        else:
            mean, variance = self.w[f"{name}/moving_mean"], self.w[f"{name}/moving_variance"]
        gamma, beta = self.w.get(f"{name}/gamma", 1.0), self.w.get(f"{name}/beta", 0.0)

        def back(d):
            dx, dgamma, dbeta = oracle.batchnorm_backward(d, x, mean, variance, gamma, layer["epsilon"], live)
            self._g |= {f"{name}/gamma": dgamma, f"{name}/beta": dbeta}
            return dx

        return oracle.batchnorm(x, mean, variance, gamma, beta, layer["epsilon"]), back

    def _normalization(self, layer, x):
        mean, variance = (self.w[f"{layer['name']}/{role}"] for role in ("mean", "variance"))
        return (x - mean) / np.sqrt(variance), lambda d: d / np.sqrt(variance)

    def _layer_normalization(self, layer, x):
        name = layer["name"]
        gamma, beta = self.w.get(f"{name}/gamma", 1.0), self.w.get(f"{name}/beta", 0.0)

        def back(d):
            dx, dgamma, dbeta = oracle_layers.layer_norm_backward(d, x, gamma, layer["epsilon"])
            self._g |= {f"{name}/gamma": dgamma, f"{name}/beta": dbeta}
            return dx

        return oracle_layers.layer_norm(x, gamma, beta, layer["epsilon"]), back

    def _noise(self, layer, x):
        stream = self._stream()
        if not self._training:
            return x, lambda d: d
        name, params = layer["noise"]["name"], layer["noise"]["params"]
        if name in oracle_layers.NORMAL:  # the kernels' normal numbers are exact to float32 only
            z = ops.noise_forward(np.zeros_like(x), "gaussian_noise", seed=self._seed(), stream=stream, stddev=1.0)
            y, slope = oracle_layers.NOISES[name](x, z, *params)
        else:
            y, slope = oracle_layers.noise(name, x, params, self._seed(), stream)
        return y, lambda d: d * slope

    def _pool(self, layer, x):
        shape = layer["height"], layer["width"], layer["channels"]
        regions = [[layer.get(f"{axis}_{side}") for side in ("begin", "end")] for axis in ("row", "col")]
        if "fractional" in layer:
            f = layer["fractional"]
            axes = zip(shape, (f["out_height"], f["out_width"]), strict=False)
            how = f["overlapping"], f["pseudo_random"], self._seed()
            regions = [fractional_regions(size, out, *how, self._stream(), self._training) for size, out in axes]
        y, argmax = oracle_layers.max_pool(x.reshape(-1, *shape), *regions)
        n = len(x)
        return y.reshape(n, -1), lambda d: oracle_layers.max_pool_backward(d, argmax, shape).reshape(n, -1)

    def _residual(self, layer, x):
        survival, scale = layer.get("survival", 1.0), 1.0
        if survival < 1:
            shape, stream = (len(x) if layer.get("per_sample") else 1, 1), self._stream()
            drawn = oracle_layers.uniforms(shape, self._seed(), stream) < survival
            scale = drawn.astype(float) if self._training else survival
        y, through = self._chain(layer["layers"], x)
        return x + scale * y, lambda d: d + through(scale * d)

    # Loss and gradients

    def loss(self, outputs, y, weights=None):
        """Sum of the samples' losses and the gradient of the reduced loss for the outputs."""
        spec = self.config["loss"]
        name, smoothing = spec["name"].removeprefix("sparse_"), spec.get("label_smoothing", 0.0)
        if smoothing:
            y = oracle_losses.smoothed(y, smoothing, outputs.shape[1], name.startswith("binary"))
        name = FROM_LOGITS[name] if spec["from_logits"] else OF_OUTPUTS.get(name, name)
        values, gradient = oracle.loss(name, outputs, y, spec.get("params", ()), weights)
        return values.sum(), gradient * (1.0 if spec["reduction"] == "sum" else 1 / len(outputs))

    def penalties(self):
        """The arrays' penalties by name: [l1, l2]."""
        found = {f"{n}/{r}": v for n, layer in self.layers.items() for r, v in layer.get("penalties", {}).items()}
        return {key: value for key, value in found.items() if key in self.trainable}

    def penalty(self):
        """What penalties add to the reduced loss, after a forward pass."""
        return self._activity + sum(oracle_optimizers.penalty(self.w[k], *v) for k, v in self.penalties().items())

    def gradients(self, x, y, weights=None):
        """Sum of losses, gradient of every tensor, gradient of x, and the batch's statistics."""
        outputs, through = self.forward(x, True)
        total, d = self.loss(outputs, y, weights)
        dx = through(d)
        for key, factors in self.penalties().items():
            self._g[key] = self._g[key] + oracle_optimizers.penalty_gradient(self.w[key], *factors)
        return total, {k: self._g[k] for k in self.trainable}, dx, self._statistics

    # Training

    def train_step(self, x, y, weights=None):
        total, gradients, _, statistics = self.gradients(x, y, weights)
        for name, values in statistics.items():
            for role, value in zip(("moving_mean", "moving_variance"), values, strict=True):
                key = f"{name}/{role}"
                self.w[key] = oracle.moving_average(self.w[key], value, self.layers[name]["momentum"])
        self.passes += 1
        self.pending += 1
        count = self.config["optimizer"].get("gradient_accumulation_steps", 1)
        for key, g in gradients.items():
            self.sums[key] = self.sums[key] + g
        if self.pending == count:
            self.apply({key: total / count for key, total in self.sums.items()})
            self.sums = {key: np.zeros_like(total) for key, total in self.sums.items()}
            self.pending = 0
        return total

    def apply(self, gradients):
        spec = self.config["optimizer"]
        rate, *hyper = spec["hyper"]
        if spec.get("schedule"):
            rate = oracle_schedules.SCHEDULES[spec["schedule"]["name"]](self.step, *spec["schedule"]["params"])
        self.step += 1
        clipped = oracle.clip(list(gradients.values()), spec["clipvalue"], spec["clipnorm"], spec["global_clipnorm"])
        for key, g in zip(gradients, clipped, strict=True):
            name, _, role = key.rpartition("/")
            layer = self.layers[name]
            own = rate * layer.get("learning_rate", 1.0)
            w = self.w[key]
            if not any(part in key for part in spec.get("weight_decay_excluded", ())):
                w = oracle_optimizers.decayed(w, own * spec.get("weight_decay", 0.0))
            w = oracle.update(spec["name"], w, g, self.slots[key], self.step, [own, *hyper])
            momentum = spec.get("ema_momentum")
            if momentum is not None:
                old = w if self.step == 1 else self.averages[key]
                self.averages[key] = oracle_optimizers.averaged(old, w, momentum)
                every = spec.get("ema_overwrite_frequency")
                if every and self.step % every == 0:
                    w = self.averages[key]
            rule = layer.get("constraints", {}).get(role)
            if rule:
                columns = w if w.ndim == 2 else w[:, None]
                w = oracle_optimizers.constrain(rule["name"], columns, rule["params"]).reshape(w.shape)
            self.w[key] = w
