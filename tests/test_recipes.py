"""The course's two experiments on MNIST, over three seeds."""

from __future__ import annotations

import json

import pytest

from fusednet import cli, recipes

# what the course reports after epoch 5: 0.9798 and 0.9460
LEAST = {"batchnorm": 0.972, "clipping": 0.940}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", LEAST)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_validation_accuracy_on_mnist(tmp_path, mnist_dir, recipe, seed):
    options = ["--data", str(mnist_dir), "--recipe", recipe, "--seed", str(seed), "--out", str(tmp_path), "--quiet"]
    assert cli.main(["train", *options]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["epochs"] == 5
    assert metrics["batch_size"] == 50
    assert metrics["steps"] == 5 * 1100
    assert metrics["history"]["val_accuracy"][-1] >= LEAST[recipe]


def test_the_course_sizes():
    assert recipes.get("batchnorm").build((28, 28)).count_params() == 784 * 300 + 300 * 100 + 100 * 10 + 4 * 410
    assert recipes.get("clipping").build((28, 28)).count_params() == 785 * 300 + 301 * 100 + 101 * 10
