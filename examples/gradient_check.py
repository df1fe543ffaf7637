"""Is the gradient right? And does the check notice when it is not?"""

import numpy as np

import fusednet
from fusednet.layers import BatchNormalization, Dense

generator = np.random.default_rng(0)
x, y = generator.normal(size=(12, 20)), generator.integers(5, size=12)

layers = [Dense(16, "elu", input_shape=[20]), BatchNormalization(name="norm"), Dense(5, "softmax")]
model = fusednet.Sequential(layers, dtype="float64", seed=1)
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")

report = fusednet.check_gradients(model, x, y, inputs=True)
print(report)
assert report

wrong = model.compute_gradients(x, y)
wrong["norm/gamma"][3] *= 1.001
report = fusednet.check_gradients(model, x, y, gradients=wrong)
print(f"\nwith one derivative changed by 0.1 %: {[check.name for check in report.failures]}")
assert not report
assert report.worst.worst_index == (3,)
