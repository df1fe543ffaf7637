"""Models that several Python threads train on a device at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fusednet
from devices import NETS, data
from fusednet.optimizers import SGD, Adam


@pytest.mark.parametrize("programs", ["0", "1"])
def test_two_models_at_once(monkeypatch, device, programs):
    """In two Python threads, each with a queue and a chip of its own: the bits of one after the other."""
    monkeypatch.setenv("FUSEDNET_PROGRAMS", programs)
    x, y = data()

    def made():
        models = []
        for net, optimizer in (("batchnorm", Adam(0.01, global_clipnorm=0.5)), ("dropout", SGD(0.05, momentum=0.9))):
            model = fusednet.Sequential(NETS[net](), seed=5)
            model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], device=device)
            models.append(model)
        return models

    def fit(model):
        history = model.fit(x, y, batch_size=32, epochs=4, verbose=0).history
        return history, model.predict(x, verbose=0), model._engine.read()

    expected = [fit(model) for model in made()]
    begun = threading.Barrier(2, timeout=30)
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda model: begun.wait() >= 0 and fit(model), made()))
        for (history, outputs, arrays), (losses, wanted, others) in zip(found, expected, strict=True):
            assert history == losses
            np.testing.assert_array_equal(outputs, wanted)
            for (name, array), other in zip(arrays.items(), others.values(), strict=True):
                np.testing.assert_array_equal(array, other, err_msg=name)
