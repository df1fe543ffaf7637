"""Optimizers as descriptions: Keras's arguments, what the plan reads, errors, saving."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from fusednet import Sequential, _native, layers, optimizers
from fusednet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, schedules

ROWS = {r["name"]: r for r in _native.optimizer_rows()}
KINDS = {name: getattr(optimizers, name) for name in optimizers.__all__ if name[0].isupper() and name != "Optimizer"}
# Keras 3: positional arguments in order, with their defaults, up to weight_decay; AdamW has that one second.
KERAS = {
    "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": None},
    "RMSprop": {
        "learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False, "weight_decay": None,
    },
    "Adam": {
        "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False, "weight_decay": None,
    },
    "AdamW": {
        "learning_rate": 0.001, "weight_decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7,
        "amsgrad": False,
    },
    "Nadam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None},
    "Adamax": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None},
    "Adagrad": {
        "learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7, "weight_decay": None,
    },
    "Adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7, "weight_decay": None},
    "Lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99, "weight_decay": None},
}  # fmt: skip
OPTIONS = {
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7, "gradient_accumulation_steps": 3,
    "global_clipnorm": 1.5, "weight_decay": 0.25, "name": "mine", "weight_decay_excluded": ["bias"],
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_arguments_and_defaults_are_keras_s(name):
    given = inspect.signature(KINDS[name]).parameters.values()
    found = {p.name: p.default for p in given if p.kind == p.POSITIONAL_OR_KEYWORD}
    assert list(found.items()) == list(KERAS[name].items())


def test_every_row_has_a_class():
    options = [{}, {"momentum": 0.5}, {"centered": True}, {"amsgrad": True}]
    options += [{"momentum": 0.5, "nesterov": True}, {"momentum": 0.5, "centered": True}]
    rows = set()
    for kind in KINDS.values():
        for given in options:
            if set(given) <= set(inspect.signature(kind).parameters):
                rows.add(kind(**given).row)
    assert rows == set(ROWS)


@pytest.mark.parametrize("name", KINDS)
def test_native_has_the_row_s_values_in_order(name):
    optimizer = KINDS[name](0.5)
    native, row = optimizer.native(), ROWS[optimizer.row]
    assert native["hyper"] == [0.5, *(default for _, default in row["hyper"][1:])]  # the row's defaults are the class's
    assert optimizer.slots == tuple(row["slots"])
    assert native["weight_decay"] == (KERAS[name]["weight_decay"] or 0.0)
    assert (native["ema_momentum"], native["ema_overwrite_frequency"], native["schedule"]) == (None, None, None)
    assert native["gradient_accumulation_steps"] == 1
    assert ROWS[optimizer.row]["hyper"][0] == ("learning_rate", KERAS[name]["learning_rate"])


@pytest.mark.parametrize("name", KINDS)
def test_options(name):
    optimizer = KINDS[name](**OPTIONS)
    native = optimizer.native()
    assert optimizer.slots == (*ROWS[optimizer.row]["slots"], "average", "accumulator")
    wanted = {key: OPTIONS[key] for key in ("ema_momentum", "ema_overwrite_frequency", "weight_decay")}
    wanted |= {"gradient_accumulation_steps": 3, "global_clipnorm": 1.5, "weight_decay_excluded": ["bias"]}
    assert {key: native[key] for key in wanted} == wanted
    assert (native["clipnorm"], native["clipvalue"]) == (None, None)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rate", [0.125, schedules.CosineDecay(0.1, 50, warmup_target=0.2, warmup_steps=5)], ids=str)
def test_configurations_come_back(name, rate):
    first = KINDS[name](rate, **OPTIONS)
    config = json.loads(json.dumps(optimizers.serialize(first)))
    again = optimizers.get(config)
    assert type(again) is type(first)
    assert again.native() == first.native()
    assert again.learning_rate == first.learning_rate
    assert optimizers.serialize(again) == optimizers.serialize(first)
    assert optimizers.deserialize(config).name == "mine"
    assert type(optimizers.get(name.lower())) is type(optimizers.get(KINDS[name])) is KINDS[name]


def test_a_schedule_gives_the_first_rate_and_cannot_be_replaced():
    decay = schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = SGD(decay)
    native = optimizer.native()
    assert native["hyper"] == [0.1]
    assert native["schedule"] == {"name": "exponential_decay", "params": [0.1, 10.0, 0.5, 0.0]}
    with pytest.raises(TypeError, match=r"\[SGD\] learning_rate cannot be set: it follows ExponentialDecay"):
        optimizer.learning_rate = 0.1
    assert optimizer.learning_rate is decay
    plain = SGD(0.1)
    plain.learning_rate = 0.2
    with pytest.raises(TypeError, match=r"\[SGD\] learning_rate expects a number"):
        plain.learning_rate = decay
    assert plain.learning_rate == 0.2
    with pytest.raises(AttributeError, match="only learning_rate can be set"):
        plain.momentum = 0.5


def test_exclusion_from_weight_decay_ends_with_compilation():
    optimizer = AdamW()
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
    assert optimizer.native()["weight_decay_excluded"] == ["bias", "gamma"]
    with pytest.raises(ValueError, match="no model has compiled"):
        optimizer.exclude_from_weight_decay(var_names=["beta"])
    assert optimizer.native()["weight_decay_excluded"] == ["bias", "gamma"]
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.weight_decay_excluded == ("bias", "gamma")
    again.exclude_from_weight_decay()
    assert again.weight_decay_excluded == ()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SGD(-1.0), ValueError, ["SGD", "learning_rate", "at least 0", "-1.0"]),
        (lambda: SGD("fast"), TypeError, ["SGD", "learning_rate", "'fast'"]),
        (lambda: SGD(weight_decay=-0.1), ValueError, ["SGD", "weight_decay", "-0.1"]),
        (lambda: AdamW(weight_decay=None), TypeError, ["AdamW", "weight_decay", "None"]),
        (lambda: Adam(clipnorm=1, clipvalue=1), ValueError, ["Adam", "at most one", "clipvalue and clipnorm"]),
        (lambda: Adam(beta_2=1.0), ValueError, ["Adam", "beta_2", "[0, 1)", "1.0"]),
        (lambda: optimizers.Nadam(beta_1=1.5), ValueError, ["Nadam", "beta_1", "1.5"]),
        (lambda: optimizers.Lion(beta_2=np.nan), ValueError, ["Lion", "beta_2", "nan"]),
        (lambda: RMSprop(rho=2), ValueError, ["RMSprop", "rho", "[0, 1]", "2"]),
        (lambda: Adagrad(initial_accumulator_value=-1), ValueError, ["Adagrad", "initial_accumulator_value", "-1"]),
        (lambda: SGD(use_ema=True, ema_momentum=1.1), ValueError, ["SGD", "ema_momentum", "[0, 1]", "1.1"]),
        (lambda: SGD(ema_overwrite_frequency=0), ValueError, ["ema_overwrite_frequency", "at least 1", "0"]),
        (lambda: SGD(gradient_accumulation_steps=1), ValueError, ["gradient_accumulation_steps", "at least 2", "1"]),
        (lambda: SGD(gradient_accumulation_steps=2.5), TypeError, ["gradient_accumulation_steps", "2.5"]),
        (lambda: SGD(loss_scale_factor=2), TypeError, ["SGD", "options", "use_ema", "'loss_scale_factor'"]),
        (lambda: SGD().exclude_from_weight_decay(["w"]), TypeError, ["SGD", "var_list", "var_names"]),
        (lambda: SGD().exclude_from_weight_decay(var_names="bias"), TypeError, ["SGD", "var_names", "'bias'"]),
        (lambda: optimizers.get("adamz"), ValueError, ["optimizers", "adamw", "lion", "'adamz'"]),
        (lambda: optimizers.get(3), TypeError, ["optimizers", "3"]),
    ],
)
def test_errors_name_the_object_the_expected_and_the_given(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"


@pytest.mark.parametrize("name", ["Nadam", "Adamax", "Adadelta", "Lion"])
def test_a_model_trains(name):
    model = Sequential([layers.Dense(1, input_shape=[3])], seed=1)
    model.compile(KINDS[name](0.05), "mse")
    x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
    y = x.sum(axis=1, keepdims=True)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=3, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
