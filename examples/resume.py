"""Training that is saved in the middle and resumed gives the same bits as training that was not interrupted."""

import numpy as np

import fusednet
from fusednet.layers import BatchNormalization, Dense, Flatten

(x, y), _ = fusednet.datasets.load_digits()


def new_model() -> fusednet.Sequential:
    layers = [Flatten(input_shape=[8, 8]), Dense(64, "elu"), BatchNormalization(), Dense(10, "softmax")]
    model = fusednet.Sequential(layers, seed=7)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


whole = new_model()
whole.fit(x, y, epochs=6, verbose=0)

half = new_model()
half.fit(x, y, epochs=3, verbose=0)
half.save("half.safetensors")
resumed = fusednet.load("half.safetensors")
resumed.fit(x, y, epochs=6, initial_epoch=3, verbose=0)

same = all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True))
print("the same bits:", same)
assert same
