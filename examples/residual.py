"""A residual network whose blocks are left out at random while it trains: stochastic depth."""

from fusednet import Sequential, datasets, optimizers
from fusednet.layers import Activation, BatchNormalization, Dense, Flatten, Layer, Residual, stochastic_depth

(x, y), (x_test, y_test) = datasets.load_digits()
x, x_test = x / 16.0, x_test / 16.0


def block(survival: float) -> Layer:
    """Two dense layers beside the way straight on; the deeper, the more often they are left out."""
    inside = [Dense(64, use_bias=False), BatchNormalization(), Activation("relu"), Dense(64)]
    return Residual(inside, survival_probability=survival)


survival = stochastic_depth(8, last=0.5)
layers = [Flatten(input_shape=[8, 8]), Dense(64, "relu"), *map(block, survival), Dense(10, "softmax")]
model = Sequential(layers, seed=1)
model.compile(optimizer=optimizers.Adam(0.001), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=15, validation_split=0.1, verbose=0)

print("survival probabilities", [round(p, 3) for p in survival])
print(f"best validation accuracy {max(history.history['val_accuracy']):.3f}")
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}")
assert accuracy > 0.93
