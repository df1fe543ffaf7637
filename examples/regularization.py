"""Against overfitting: dropout, L2, max-norm, label smoothing, AdamW on a cosine schedule, averaged weights."""

import numpy as np

import fusednet as keras

(x, y), (x_test, y_test) = keras.datasets.load_digits()
x, x_test = x / 16.0, x_test / 16.0
epochs, batch = 30, 50
updates = epochs * -(-len(x) // batch)

model = keras.models.Sequential(
    [
        keras.layers.Flatten(input_shape=[8, 8]),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(
            200,
            activation="relu",
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.l2(1e-4),
            kernel_constraint=keras.constraints.max_norm(3.0),
        ),
        keras.layers.Dropout(0.4),
        keras.layers.Dense(10, activation="softmax"),
    ],
    seed=42,
)
rate = keras.optimizers.schedules.CosineDecay(0.0, updates - 100, warmup_target=0.003, warmup_steps=100)
optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01, use_ema=True, ema_momentum=0.99)
optimizer.exclude_from_weight_decay(var_names=["bias"])
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(label_smoothing=0.05),
    optimizer=optimizer,
    metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top_2")],
)
model.fit(x, y, epochs=epochs, batch_size=batch, validation_split=0.1, verbose=0)

values = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
print(", ".join(f"test {name} {value:.4f}" for name, value in values.items()))
norms = np.linalg.norm(model.layers[2].get_weights()[0], axis=0)
print(f"largest norm of a hidden unit's weights {norms.max():.3f}")
assert values["accuracy"] > 0.95
assert norms.max() < 3.001
