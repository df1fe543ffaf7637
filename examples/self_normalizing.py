"""SELU with LeCun's initialisation and AlphaDropout: activations keep mean 0 and variance 1 through ten layers."""

import numpy as np

import fusednet as keras

(x, y), (x_test, y_test) = keras.datasets.load_digits()
scale = keras.layers.Normalization(input_shape=[64])
scale.adapt(x.reshape(len(x), -1))  # of the training part only

layers = [scale]
for _ in range(10):
    layers += [keras.layers.Dense(60, activation="selu", kernel_initializer="lecun_normal")]
    layers += [keras.layers.AlphaDropout(0.05)]
model = keras.models.Sequential([*layers, keras.layers.Dense(10, activation="softmax")], seed=3)
model.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Nadam(0.001), metrics=["accuracy"])

below = keras.models.Sequential(layers, seed=3)  # the same layers and seed, so the same first weights
deep = below.predict(x.reshape(len(x), -1), verbose=0)
print(f"after ten layers, before training: mean {deep.mean():+.2f}, variance {deep.var():.2f}")
assert abs(deep.mean()) < 0.5
assert 0.3 < deep.var() < 3.0

model.fit(x.reshape(len(x), -1), y, epochs=20, verbose=0)
loss, accuracy = model.evaluate(x_test.reshape(len(x_test), -1), y_test, verbose=0)
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}")
assert np.isfinite(loss)
assert accuracy > 0.93
