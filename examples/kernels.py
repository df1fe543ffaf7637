"""A network with batch normalisation written with the kernels alone: forward, backward and update."""

import numpy as np

from fusednet import datasets, ops

(x, y), _ = datasets.load_digits()
x = (x.reshape(len(x), -1) / 16.0).astype(np.float32)

generator = np.random.default_rng(1)
w1 = generator.normal(0.0, np.sqrt(2 / 64), (64, 100)).astype(np.float32)
w2 = generator.normal(0.0, np.sqrt(1 / 100), (100, 10)).astype(np.float32)
gamma, beta, b2 = np.ones(100, np.float32), np.zeros(100, np.float32), np.zeros(10, np.float32)
parameters = [w1, gamma, beta, w2, b2]
slots = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]

for step in range(1, 301):
    rows = generator.choice(len(x), 50, replace=False)
    z1 = ops.dense_forward(x[rows], w1)
    h, mean, variance = ops.batchnorm_forward(z1, gamma, beta, activation="elu")
    logits = ops.dense_forward(h, w2, b2)
    loss, dlogits = ops.loss("softmax_crossentropy", logits, y[rows], scale=1 / 50)

    dh, dw2, db2 = ops.dense_backward(dlogits, h, w2)
    dz1, dgamma, dbeta = ops.batchnorm_backward(dh, z1, h, mean, variance, gamma, beta, activation="elu")
    _, dw1, _ = ops.dense_backward(dz1, x[rows], w1)

    for parameter, gradient, (m, v) in zip(parameters, [dw1, dgamma, dbeta, dw2, db2], slots, strict=True):
        ops.adam_update(parameter, gradient, m, v, step=step, learning_rate=0.003)
    if step % 100 == 0:
        print(f"step {step}: loss {loss / 50:.4f}, accuracy {ops.accuracy(logits, y[rows]):.2f}")

assert loss / 50 < 0.1
