"""The gradient check with everything random switched on: a mask follows from seed, layer, pass and element.

The two differences of an element therefore see the masks that the backward pass saw.
"""

import numpy as np

import fusednet
from fusednet.layers import AlphaDropout, Dense, DropConnect, Dropout, GaussianNoise, Residual, RReLU

generator = np.random.default_rng(0)
x, y = generator.normal(size=(10, 12)), generator.integers(4, size=10)

layers = [
    GaussianNoise(0.1, input_shape=[12]),
    Dense(16, "tanh", kernel_regularizer=fusednet.regularizers.l1_l2(1e-3, 1e-2)),
    Dropout(0.5),
    DropConnect(16, 0.3, activation="selu"),
    AlphaDropout(0.2),
    Residual([Dense(16, "elu"), Dropout(0.5), Dense(16)], survival_probability=0.5, per_sample=True),
    RReLU(),
    Dense(4, "softmax"),
]
model = fusednet.Sequential(layers, dtype="float64", seed=11)
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")

report = fusednet.check_gradients(model, x, y, inputs=True)
print(report)
assert report

wrong = model.compute_gradients(x, y)
name = next(iter(wrong))
wrong[name][0, 0] += 1e-4
found = fusednet.check_gradients(model, x, y, gradients=wrong)
print(f"\nwith one derivative of {name} off by 0.0001: {[check.name for check in found.failures]}")
assert not found
