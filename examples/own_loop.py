"""Gradients first, then the update: a training loop of one's own, with a look at the gradients in between."""

import numpy as np

import fusednet
from fusednet.layers import Dense, Flatten

(x, y), (x_test, y_test) = fusednet.datasets.load_digits()
x, x_test = x / 16.0, x_test / 16.0

model = fusednet.Sequential([Flatten(input_shape=[8, 8]), Dense(100, "relu"), Dense(10, "softmax")], seed=3)
model.compile(optimizer=fusednet.optimizers.Adam(0.002), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

generator = np.random.default_rng(0)
for step in range(400):
    rows = generator.choice(len(x), 50, replace=False)
    gradients = model.compute_gradients(x[rows], y[rows])
    norm = fusednet.ops.clip_by_global_norm(gradients.values(), 1.0)
    model.apply_gradients(gradients)
    if step % 100 == 0:
        print(f"step {step}: global norm of the gradient {norm:.3f}")

loss, accuracy = model.evaluate(x_test, y_test)
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}")
assert accuracy > 0.95
