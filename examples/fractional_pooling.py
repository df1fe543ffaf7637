"""Fractional max pooling: images shrink by 1.4 at a time, over regions that are drawn anew for each batch."""

import fusednet
from fusednet.layers import Dense, Flatten, FractionalMaxPooling2D, Reshape

(x, y), (x_test, y_test) = fusednet.datasets.load_digits()
x, x_test = x / 16.0, x_test / 16.0

model = fusednet.Sequential(
    [
        Flatten(input_shape=[8, 8]),
        Dense(8 * 8 * 8, "relu", kernel_initializer="he_normal"),  # eight maps of 8 x 8 places
        Reshape((8, 8, 8)),
        FractionalMaxPooling2D(2**0.5, pseudo_random=False),
        FractionalMaxPooling2D(output_size=4),
        Flatten(),
        Dense(10, "softmax"),
    ],
    seed=7,
)
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=15, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}")
assert accuracy > 0.95
