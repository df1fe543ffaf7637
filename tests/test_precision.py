"""Models at each precision of their products: what they learn, what they keep, and what they say of it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fusednet as keras
import plans
from fusednet import _native, ops
from fusednet.layers import Activation, BatchNormalization, Dense
from test_threads_and_memory import ADAM, WIDE

PRECISIONS = ["highest", "high", "medium"]
USED = next(t for t in _native.isa_info()["tables"] if t["name"] == _native.isa_info()["used"])


@pytest.fixture(autouse=True)
def setting():
    """Every test starts with the default and leaves it behind."""
    keras.set_float32_matmul_precision("highest")
    yield keras.set_float32_matmul_precision
    keras.set_float32_matmul_precision("highest")


def small(seed=3, dtype="float32"):
    layers = [Dense(48, use_bias=False, input_shape=[64]), BatchNormalization(), Activation("elu")]
    model = keras.Sequential([*layers, Dense(10, activation="softmax")], seed=seed, dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


@pytest.fixture(scope="module")
def digits():
    (x, y), (x_test, y_test) = keras.datasets.load_digits()
    return (x.reshape(-1, 64) / 16).astype(np.float32), y, (x_test.reshape(-1, 64) / 16).astype(np.float32), y_test


@pytest.fixture(scope="module")
def accuracy_of_float32(digits):
    keras.set_float32_matmul_precision("highest")
    model = small()
    model.fit(*digits[:2], epochs=8, verbose=0)
    return model.evaluate(*digits[2:], verbose=0)[1]


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_it_learns_as_well(setting, digits, accuracy_of_float32, precision):
    setting(precision)
    model = small()
    model.fit(*digits[:2], epochs=8, verbose=0)
    assert model.plan.precision == precision
    assert accuracy_of_float32 > 0.9
    assert abs(model.evaluate(*digits[2:], verbose=0)[1] - accuracy_of_float32) < 0.015


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_three_products_of_a_layer_have_the_precision(precision):
    """Far from its targets the mean absolute error has gradients of ±1/256, exact in bfloat16."""
    loss = {"name": "mean_absolute_error", "from_logits": False, "reduction": "sum_over_batch_size"}
    layers = [plans.dense("d", 32, use_bias=False)]
    more = {"loss": loss, "metrics": [], "precision": precision, "input_gradient": True}
    plan = _native.Plan(plans.config(layers, 40, 8, "float32", **more))
    w = plans.start(plan)["d/kernel"]
    x, _ = plans.data(8, 40, 10, "float32")
    t = np.where(np.random.default_rng(0).random((8, 32)) < 0.5, 99, -99).astype(np.float32)
    dx, y = np.empty_like(x), np.empty((8, 32), np.float32)
    plan.compute_gradients(x, t, dx)
    plan.predict(x, y, 0, 8, 1e9)
    dz = (-np.sign(t) / 256).astype(np.float32)
    for got, a, b in ((y, x, w), (plan.gradient("d/kernel"), x.T, dz), (dx, dz, w.T)):
        np.testing.assert_array_equal(got, ops.gemm(a, b, precision=precision))
        assert np.array_equal(got, ops.gemm(a, b)) == (precision not in USED["products"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_bits_for_any_number_of_threads(precision):
    before, states = _native.get_num_threads(), []
    for threads in (1, 2, 3):
        _native.set_num_threads(threads)
        spec = plans.optimizer(*ADAM, global_clipnorm=0.1)
        plan = _native.Plan(plans.config(WIDE, 300, 129, "float32", optimizer=spec, precision=precision))
        plans.start(plan)
        x, y = plans.data(129 * 3 + 5, 300, 10, "float32")
        plan.train(x, y, None, 0, len(x), 129, 1e9)
        states.append(plans.state(plan))
    _native.set_num_threads(before)
    for state in states[1:]:
        for name, value in states[0].items():
            np.testing.assert_array_equal(state[name], value, err_msg=name)


def test_a_change_amid_training_keeps_the_state(setting, digits):
    x, y = digits[0][:96], digits[1][:96]
    model, other = small(), small()
    for _ in range(3):
        model.train_on_batch(x, y)
        other.train_on_batch(x, y)
    held = model._engine.read()
    for precision in ("medium", "high", "highest"):
        setting(precision)
        assert model.plan.precision == precision
        assert model.plan.step == 3
        for name, value in model._engine.read().items():
            np.testing.assert_array_equal(value, held[name], err_msg=name)
    model.train_on_batch(x, y)
    other.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    setting("medium")
    model.train_on_batch(x, y)
    assert model.plan.step == 5


def test_a_plan_stays_while_nothing_changes(setting, digits):
    setting("medium")
    model = small()
    plan = model.plan
    model.train_on_batch(digits[0][:9], digits[1][:9])
    setting("medium")
    assert model.plan is plan


def test_float64_has_one_precision(setting, digits):
    model = small(dtype="float64")
    plan = model.plan
    setting("medium")
    assert model.plan is plan
    assert "products: float64\n" in str(plan)
    config = model._engine.config(32) | {"precision": "medium"}
    assert _native.Plan(config).precision == "highest"


def test_gradient_checks_are_of_float64(setting, digits):
    setting("medium")
    assert keras.check_gradients(small(), digits[0][:8], digits[1][:8])


def test_a_file_does_not_hold_it(setting, digits, tmp_path):
    setting("medium")
    model = small()
    model.train_on_batch(digits[0][:32], digits[1][:32])
    model.save(tmp_path / "model.safetensors")
    assert b"precision" not in (tmp_path / "model.safetensors").read_bytes()
    setting("highest")
    loaded = keras.load_model(tmp_path / "model.safetensors")
    assert loaded.plan.precision == "highest"
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrong", ["low", "", "HIGH", None, 16])
def test_an_unknown_name_is_an_error(setting, wrong):
    setting("high")
    with pytest.raises(ValueError, match=r"'highest', 'high', 'medium', got") as caught:
        setting(wrong)
    assert repr(wrong) in str(caught.value)
    assert keras.get_float32_matmul_precision() == "high"
    with pytest.raises(ValueError, match=r"\[Plan\] 'precision' expects one of highest, high, medium"):
        _native.Plan(plans.config([plans.dense("d", 2)], 3, 4, "float32", precision="low"))


SAID = {
    ("avx2", "high"): "float32 ('high' asked; the avx2 kernels have none of bfloat16)",
    ("avx512", "medium"): "float32 ('medium' asked; the avx512 kernels have none of bfloat16)",
    ("avx512_bf16", "high"): "float32 ('high' asked; three products of bfloat16 pay with AMX only)",
    ("avx512_bf16", "medium"): "bfloat16 ('medium')",
    ("amx", "high"): "three of bfloat16 ('high')",
    ("amx_emulated", "high"): "three of bfloat16 ('high')",
    ("amx_emulated_avx512", "medium"): "bfloat16 ('medium')",
}


@pytest.mark.parametrize(("table", "precision"), SAID)
def test_what_is_used_is_said(table, precision):
    if not any(t["name"] == table and t["supported"] for t in _native.isa_info()["tables"]):
        pytest.skip(f"this build or CPU lacks {table}")
    code = (
        "import fusednet as f\n"
        f"model = f.Sequential([f.layers.Dense(2, input_shape=(3,))])\nprint(model.plan)\n"
        f"f.set_float32_matmul_precision({precision!r})\nprint(model.plan)\nprint(f.show_config())"
    )
    env = os.environ | {"FUSEDNET_ISA": table, "FUSEDNET_DEVICE": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith("products")]
    said = SAID[table, precision]
    assert lines == ["products: float32", f"products: {said}", f"products         {said}"]
