"""Train a network with batch normalisation on the embedded digits, look at it, save it and load it again."""

import numpy as np

import fusednet as keras

(x_train, y_train), (x_test, y_test) = keras.datasets.load_digits()
x_train, x_test = x_train / 16.0, x_test / 16.0

keras.utils.set_random_seed(42)
model = keras.models.Sequential(
    [
        keras.layers.Flatten(input_shape=[8, 8]),
        keras.layers.Dense(300, use_bias=False, kernel_initializer="he_normal"),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Activation("elu"),
        keras.layers.Dense(100, use_bias=False, kernel_initializer="he_normal"),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Activation("elu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(
    loss="sparse_categorical_crossentropy",
    optimizer=keras.optimizers.SGD(learning_rate=0.05, momentum=0.9),
    metrics=["accuracy"],
)
history = model.fit(x_train, y_train, epochs=20, batch_size=50, validation_split=0.1)
print("best validation accuracy:", max(history.history["val_accuracy"]))
print("test loss and accuracy:", model.evaluate(x_test, y_test))

model.save("digits.safetensors")
again = keras.models.load_model("digits.safetensors")
assert np.array_equal(again.predict(x_test), model.predict(x_test))
