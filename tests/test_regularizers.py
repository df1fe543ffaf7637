"""Regularizers and constraints as descriptions, and the functions of ops behind them."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import helpers
import oracle_optimizers as oracle
from fusednet import _native, constraints, ops, regularizers
from helpers import assert_close

PENALTIES = [regularizers.L1(0.3), regularizers.L2(0.2), regularizers.L1L2(0.1, 0.4), regularizers.L1L2(l2=0.1)]
LIMITS = [
    constraints.NonNeg(), constraints.MaxNorm(1.5), constraints.UnitNorm(), constraints.MinMaxNorm(0.5, 1.5, 0.8),
]  # fmt: skip
W = helpers.rng(1).normal(size=(7, 5))


@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
def test_penalties_are_the_oracle(penalty):
    factors = penalty.native()
    assert len(factors) == 2
    assert_close(penalty(W), oracle.penalty(W, *factors), 1e-14)
    assert_close(penalty(W.astype(np.float32)), oracle.penalty(W, *factors), 1e-6)
    assert isinstance(penalty(W), float)
    for shape in [(35,), (7, 5), (1, 7, 5)]:
        w, g = W.reshape(shape), np.ones(shape)
        assert_close(ops.penalty(w, l1=factors[0], l2=factors[1], g=g), penalty(W), 1e-14)
        assert_close(g, 1 + oracle.penalty_gradient(w, *factors), 1e-14)


def test_penalties_of_columns_apart():
    """Neither a transposed view nor an odd stride is misread."""
    w = np.asfortranarray(W)[:, ::2]
    assert_close(ops.penalty(w, l1=0.5, l2=0.5), oracle.penalty(w, 0.5, 0.5), 1e-14)


def test_factors_and_names_are_keras_s():
    def defaults(kind):
        return [p.default for p in inspect.signature(kind).parameters.values()]

    assert defaults(regularizers.L1) == defaults(regularizers.L2) == [0.01]
    assert defaults(regularizers.L1L2) == [0.0, 0.0]
    names = {"l1": [0.01, 0.0], "l2": [0.0, 0.01], "l1_l2": [0.01, 0.01], "L2": [0.0, 0.01]}
    for name, factors in names.items():
        assert regularizers.get(name).native() == factors
    assert regularizers.l1 is regularizers.L1
    assert regularizers.get(None) is None is constraints.get(None)
    assert constraints.MaxNorm().native() == {"name": "max_norm", "params": [2.0]}
    assert constraints.MinMaxNorm().native() == {"name": "min_max_norm", "params": [0.0, 1.0, 1.0]}
    for row in _native.constraint_rows():
        kind = next(c for c in (type(limit) for limit in LIMITS) if c.row == row["name"])
        assert kind().native()["params"] == [value for _, value in row["params"]]
    assert constraints.get("max_norm") == constraints.get("MaxNorm") == constraints.MaxNorm(2)
    assert constraints.get("non_neg") == constraints.get("nonneg") == constraints.NonNeg()


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_constraints_are_the_oracle(limit):
    before = W.copy()
    native = limit.native()
    want = oracle.constrain(native["name"], W, native["params"])
    assert_close(limit(W), want, 1e-14)
    np.testing.assert_array_equal(W, before)  # a call makes a new array, ops.constrain does not
    w = W.copy()
    params = {k: v for k, v in limit.get_config().items() if k != "axis"}
    ops.constrain(native["name"], w, **params)
    assert_close(w, want, 1e-14)
    bias = W[:, 0].copy()
    ops.constrain(native["name"], bias, **params)  # one column
    assert_close(bias, oracle.constrain(native["name"], W[:, :1], native["params"])[:, 0], 1e-14)


@pytest.mark.parametrize("one", [*PENALTIES, *LIMITS], ids=str)
def test_configurations_come_back(one):
    module = regularizers if isinstance(one, regularizers.Regularizer) else constraints
    again = module.get(json.loads(json.dumps(module.serialize(one))))
    assert again == one
    assert hash(again) == hash(one)
    assert again.native() == one.native()
    assert module.get(one) is one
    with pytest.raises(AttributeError, match="cannot be set"):
        again.l1 = 3


def test_ops_of_optimizers():
    w, g = np.ones((2, 3)), np.full((2, 3), 0.5)
    slots = ops.optimizer_slots("amsgrad", w)
    average = np.zeros_like(w)
    ops.amsgrad_update(w, g, *slots, step=1, learning_rate=0.1, decay=0.01, average=average, average_momentum=0.25)
    want_slots = oracle.first_slots("amsgrad", w, [0.1])
    want = oracle.update("amsgrad", oracle.decayed(np.ones((2, 3)), 0.01), g, want_slots, 1, [0.1, 0.9, 0.999, 1e-7])
    assert_close(w, want, 1e-14)
    assert_close(average, 0.75 * want, 1e-14)
    for got, expected in zip(slots, want_slots, strict=True):
        assert_close(got, expected, 1e-14)
    assert ops.optimizer_slots("adagrad", np.ones(2, np.float32))[0].tolist() == [np.float32(0.1)] * 2
    assert "initial_accumulator_value" not in inspect.signature(ops.adagrad_update).parameters
    defaults = {"adam": 0.001, "sgd": 0.01, "lion": 0.001}
    for name, rate in defaults.items():
        assert inspect.signature(getattr(ops, f"{name}_update")).parameters["learning_rate"].default == rate
    for row in _native.optimizer_rows():
        assert callable(getattr(ops, f"{row['name']}_update"))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: regularizers.L1(-0.1), ValueError, ["L1", "l1", "at least 0", "-0.1"]),
        (lambda: regularizers.L1L2(l2="x"), TypeError, ["L1L2", "l2", "'x'"]),
        (lambda: regularizers.L2(np.inf), ValueError, ["L2", "l2", "inf"]),
        (lambda: regularizers.get("l3"), ValueError, ["l1_l2", "'l3'"]),
        (lambda: regularizers.get(abs), TypeError, ["regularizer", "abs"]),
        (lambda: constraints.MaxNorm(-1), ValueError, ["MaxNorm", "max_value", "-1"]),
        (lambda: constraints.MaxNorm(axis=1), ValueError, ["MaxNorm", "axis", "0", "1"]),
        (lambda: constraints.MinMaxNorm(2, 1), ValueError, ["MinMaxNorm", "max_value", "min_value, 2", "1"]),
        (lambda: constraints.MinMaxNorm(rate=2), ValueError, ["MinMaxNorm", "rate", "[0, 1]", "2"]),
        (lambda: constraints.get("maxnorn", "Dense"), ValueError, ["Dense", "max_norm", "'maxnorn'"]),
        (lambda: ops.constrain("unit", W.copy()), ValueError, ["constrain", "unit_norm", "'unit'"]),
        (lambda: ops.constrain("max_norm", W.copy(), rate=1), TypeError, ["max_norm", "max_value", "'rate'"]),
        (lambda: ops.constrain("max_norm", np.zeros((1, 2, 3))), ValueError, ["max_norm", "(n, c)", "(1, 2, 3)"]),
        (lambda: ops.constrain("max_norm", [[1.0]]), TypeError, ["max_norm", "'w'", "list"]),
        (lambda: ops.penalty(W, l1=-1), ValueError, ["penalty", "l1", "-1"]),
        (lambda: ops.penalty(W, l1=1, g=np.zeros(3)), ValueError, ["penalty", "g", "(7, 5)", "(3,)"]),
        (lambda: ops.optimizer_slots("adamz", W), ValueError, ["optimizer_slots", "adam", "'adamz'"]),
        (lambda: ops.adam_update(W, W, W), TypeError, ["adam_update", "velocity", "1 slots"]),
        (lambda: ops.sgd_update(W.copy(), W, average=np.zeros(2)), ValueError, ["sgd_update", "average", "(7, 5)"]),
    ],
)
def test_errors_name_the_object_the_expected_and_the_given(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
