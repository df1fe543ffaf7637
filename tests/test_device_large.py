"""Layers whose products a library does, where the device has one: the CPU's gradients, at each precision. What the
library is asked is in test_device_library.py."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
from devices import data
from fusednet.layers import Dense


def large(device):
    layers = [Dense(129, "relu"), Dense(130, "relu", use_bias=False), Dense(133, "elu"), Dense(4, "softmax")]
    model = fusednet.Sequential(layers, seed=5)
    model.compile("sgd", "sparse_categorical_crossentropy", device=device)
    return model


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_gradients_of_large_layers(device, precision):
    x, y = data(rows=130, features=131)
    here = large("cpu").compute_gradients(x, y)
    fusednet.set_float32_matmul_precision(precision)
    try:
        there = large(device).compute_gradients(x, y)
    finally:
        fusednet.set_float32_matmul_precision("highest")
    for (name, want), got in zip(here.items(), there.values(), strict=True):
        np.testing.assert_allclose(got, want, atol=3e-5 * np.abs(want).max(), rtol=0, err_msg=name)


def test_gradients_of_large_layers_in_float64(device):
    x, y = data(rows=130, features=131)
    assert fusednet.check_gradients(large(device), x, y, max_elements=2, inputs=True)


def test_nan_is_not_hidden_by_relu_in_large_layers(device):
    """Which cuBLASLt's own ReLU might do."""
    x, _ = data(rows=130, features=131)
    x[7, 3] = np.nan
    layers = [Dense(129, "relu", input_shape=[131]), Dense(4, "relu")]
    model = fusednet.Sequential(layers, seed=5)
    model.compile("sgd", "mse", device=device)
    rows = model.predict(x, batch_size=130, check_finite=False, verbose=0)
    assert np.isnan(rows[7]).all()
    assert np.isfinite(np.delete(rows, 7, axis=0)).all()
