"""A whole multilayer perceptron on the oracle: forward, loss, backward, clipping, update, moving statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

import oracle

FROM_LOGITS = {
    "sparse_categorical_crossentropy": "softmax_crossentropy",
    "categorical_crossentropy": "softmax_crossentropy",
    "binary_crossentropy": "sigmoid_crossentropy",
}
FROM_OUTPUTS = {
    "sparse_categorical_crossentropy": "crossentropy",
    "categorical_crossentropy": "crossentropy",
    "binary_crossentropy": "binary_crossentropy",
    "mean_squared_error": "mean_squared_error",
}


class Network:
    """Takes the same configuration and the same tensors as a compiled plan, and computes in float64."""

    def __init__(self, config: dict[str, Any], tensors: dict[str, np.ndarray], trainable: list[str]) -> None:
        self.config = config
        self.w = {k: np.array(v, np.float64) for k, v in tensors.items()}
        self.trainable = trainable
        self.step = 0
        self.slots: dict[str, list[np.ndarray]] = {k: [np.zeros_like(self.w[k]) for _ in range(2)] for k in trainable}

    def forward(self, x, training):
        """Outputs, and what the backward pass needs of each layer."""
        saved = []
        for layer in self.config["layers"]:
            name, kind = layer["name"], layer["kind"]
            live = training and layer.get("trainable", True)
            act = layer.get("activation") or {"name": "linear", "params": []}
            if kind == "dense":
                z = oracle.dense(x, self.w[f"{name}/kernel"], self.w.get(f"{name}/bias"))
                saved.append((x, z))
                x = oracle.activation(act["name"], act["params"], z)
            elif kind == "activation":
                saved.append((x,))
                x = oracle.activation(act["name"], act["params"], x)
            else:
                if live:
                    mean, variance = oracle.batchnorm_statistics(x)
                else:
                    mean, variance = self.w[f"{name}/moving_mean"], self.w[f"{name}/moving_variance"]
                saved.append((x, mean, variance, live))
                gamma, beta = self.w.get(f"{name}/gamma", 1.0), self.w.get(f"{name}/beta", 0.0)
                x = oracle.batchnorm(x, mean, variance, gamma, beta, layer["epsilon"])
        return x, saved

    def loss(self, outputs, y):
        """Sum of the samples' losses and the gradient of the reduced loss for the outputs."""
        spec = self.config["loss"]
        table = FROM_LOGITS if spec["from_logits"] else FROM_OUTPUTS
        values, gradient = oracle.loss(table[spec["name"]], outputs, y)
        scale = 1.0 if spec["reduction"] == "sum" else 1 / len(outputs)
        return values.sum(), gradient * scale

    def gradients(self, x, y):
        """Sum of losses, gradient of every tensor, gradient of x, what the forward pass saved."""
        outputs, saved = self.forward(x, True)
        total, d = self.loss(outputs, y)
        g: dict[str, np.ndarray] = {}
        for layer, kept in zip(reversed(self.config["layers"]), reversed(saved), strict=True):
            name, kind = layer["name"], layer["kind"]
            act = layer.get("activation") or {"name": "linear", "params": []}
            if kind == "dense":
                d = oracle.activation_backward(act["name"], act["params"], d, kept[1])
                d, g[f"{name}/kernel"], dbias = oracle.dense_backward(d, kept[0], self.w[f"{name}/kernel"])
                if layer["use_bias"]:
                    g[f"{name}/bias"] = dbias
            elif kind == "activation":
                d = oracle.activation_backward(act["name"], act["params"], d, kept[0])
            else:
                x_in, mean, variance, live = kept
                gamma = self.w.get(f"{name}/gamma", 1.0)
                d, dgamma, dbeta = oracle.batchnorm_backward(d, x_in, mean, variance, gamma, layer["epsilon"], live)
                g |= {f"{name}/gamma": dgamma, f"{name}/beta": dbeta}
        return total, {k: g[k] for k in self.trainable}, d, saved

    def train_step(self, x, y):
        total, gradients, _, saved = self.gradients(x, y)
        for layer, kept in zip(self.config["layers"], saved, strict=True):
            if layer["kind"] == "batch_normalization" and kept[3]:
                for role, value in (("moving_mean", kept[1]), ("moving_variance", kept[2])):
                    key = f"{layer['name']}/{role}"
                    self.w[key] = oracle.moving_average(self.w[key], value, layer["momentum"])
        self.apply(gradients)
        return total

    def apply(self, gradients):
        spec = self.config["optimizer"]
        self.step += 1
        clipped = oracle.clip(list(gradients.values()), spec["clipvalue"], spec["clipnorm"], spec["global_clipnorm"])
        for key, g in zip(gradients, clipped, strict=True):
            self.w[key] = oracle.update(spec["name"], self.w[key], g, self.slots[key], self.step, spec["hyper"])
