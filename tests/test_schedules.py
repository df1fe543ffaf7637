"""Learning-rate schedules against the oracle, at their boundaries above all; errors; configurations."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest

import oracle_schedules as oracle
from fusednet import _native
from fusednet.optimizers import schedules
from helpers import assert_close

ROWS = {r["name"]: r for r in _native.schedule_rows()}
KINDS = {kind.row: kind for name in schedules.__all__ if hasattr(kind := getattr(schedules, name), "row")}
CASES = [
    ("exponential_decay", (0.1, 10, 0.5)),
    ("exponential_decay", (0.1, 7, 0.96, True)),
    ("inverse_time_decay", (0.1, 10, 0.5)),
    ("inverse_time_decay", (0.1, 7, 2.0, True)),
    ("piecewise_constant_decay", ([10, 20, 21], [1.0, 0.5, 0.25, 0.1])),
    ("piecewise_constant_decay", ([], [0.3])),
    ("polynomial_decay", (0.1, 10)),
    ("polynomial_decay", (0.1, 10, 0.01, 0.5)),
    ("polynomial_decay", (0.1, 7, 0.01, 2.0, True)),
    ("cosine_decay", (0.1, 10)),
    ("cosine_decay", (0.1, 10, 0.2)),
    ("cosine_decay", (0.01, 20, 0.1, None, 0.1, 7)),
    ("cosine_decay", (0.01, 20, 0.1, None, 0.1)),
    ("cosine_decay_restarts", (0.1, 5)),
    ("cosine_decay_restarts", (0.1, 5, 1.0, 0.5)),
    ("cosine_decay_restarts", (0.1, 1, 3.0, 0.9, 0.1)),
    ("cosine_decay_restarts", (0.1, 2, 5.0)),
    ("cosine_decay_restarts", (0.1, 10, 1.5, 1.0, 0.1)),
    ("one_cycle", (0.1, 50)),
    ("one_cycle", (0.1, 50, 0.25, "linear", 10.0, 100.0)),
    ("one_cycle", (0.1, 50, 1.0)),
    ("one_cycle", (0.1, 50, 0.0)),
]


def named(row, args):
    """The arguments by name, without the object's own."""
    given = inspect.signature(KINDS[row]).bind(*args).arguments
    return {key: value for key, value in given.items() if key != "name"}


def test_catalogue():
    assert set(oracle.SCHEDULES) == set(KINDS) == set(ROWS) - {"constant"}
    assert {row for row, _ in CASES} == set(KINDS)
    assert _native.schedule_value("constant", [0.3], 17) == 0.3


@pytest.mark.parametrize(("row", "args"), CASES, ids=str)
def test_schedules_are_the_oracle(row, args):
    """Every step of the first cycles, so every boundary and its neighbours, then some far ones."""
    schedule = KINDS[row](*args)
    for step in [*range(260), 1_000, 12_345, 10**6]:
        want = oracle.SCHEDULES[row](step, **named(row, args))
        got = schedule(step)
        assert isinstance(got, float)
        assert_close(got, want, 1e-13 * (0.1 + want), f"step {step}")
        assert got == _native.schedule_value(row, schedule.native()["params"], step)


@pytest.mark.parametrize(("t_mul", "first"), [(2, 1), (3, 1), (5, 1), (5, 7), (10, 3)])
def test_restarts_are_at_their_steps(t_mul, first):
    """Where log(t_mul**i) / log(t_mul) rounds below i, Keras's formula restarts a step late."""
    schedule, step, length = schedules.CosineDecayRestarts(1.0, first, t_mul), 0, first
    while step < 1e6:
        assert schedule(step) == 1.0
        if length > 1:
            assert schedule(step + length - 1) < 0.51
        step += length
        length *= t_mul


# By hand: ten steps of a halving; a quarter of 0.1; the middle of a cosine; both ends and the top of one cycle.
@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (schedules.ExponentialDecay(0.8, 10, 0.5), {0: 0.8, 5: 0.8 * math.sqrt(0.5), 10: 0.4, 30: 0.1}),
        (schedules.ExponentialDecay(0.8, 10, 0.5, staircase=True), {9: 0.8, 10: 0.4, 19: 0.4, 20: 0.2}),
        (schedules.InverseTimeDecay(0.8, 10, 1.0), {0: 0.8, 10: 0.4, 30: 0.2}),
        (schedules.PiecewiseConstantDecay([5, 9], [3.0, 2.0, 1.0]), {0: 3, 5: 3, 5.5: 2, 6: 2, 9: 2, 10: 1, 99: 1}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, 2.0), {0: 1.0, 5: 0.25, 10: 0.0, 99: 0.0}),
        (schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True), {0: 1.0, 10: 0.0, 15: 0.25, 20: 0.0, 25: 1 / 6}),
        (schedules.CosineDecay(1.0, 10, alpha=0.2), {0: 1.0, 5: 0.6, 10: 0.2, 11: 0.2}),
        (schedules.CosineDecay(0, 10, warmup_target=1.0, warmup_steps=4), {0: 0, 3: 0.75, 4: 1, 9: 0.5, 14: 0, 15: 0}),
        (schedules.CosineDecayRestarts(1.0, 2, 2.0, 0.5), {0: 1, 1: 0.5, 2: 0.5, 4: 0.25, 6: 0.25, 10: 0.125}),
        (schedules.OneCycle(1.0, 11, 5 / 11, "cos", 10, 100), {0: 0.1, 4: 1.0, 10: 1e-3, 99: 1e-3}),
        (schedules.OneCycle(1.0, 10, 0.1), {0: 1.0, 9: 4e-6}),
        (schedules.OneCycle(1.0, 1), {0: 4e-6, 5: 4e-6}),
    ],
    ids=str,
)  # fmt: skip
def test_golden_values(schedule, values):
    for step, want in values.items():
        assert_close(schedule(step), want, 1e-14, f"step {step}")


@pytest.mark.parametrize(("row", "args"), CASES, ids=str)
def test_configurations_come_back(row, args):
    first = KINDS[row](*args)
    config = json.loads(json.dumps(schedules.serialize(first)))
    again = schedules.get(config)
    assert again == first == schedules.get(first)
    assert hash(again) == hash(first)
    assert again.native() == first.native()
    with pytest.raises(AttributeError, match="cannot be set"):
        again.decay_steps = 3


@pytest.mark.parametrize("step", [-1, np.nan, np.inf, "soon", None])
def test_bad_steps(step):
    with pytest.raises((ValueError, TypeError), match=r"\[CosineDecay\] step expects a finite number of at least 0"):
        schedules.CosineDecay(0.1, 10)(step)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: schedules.ExponentialDecay(-0.1, 10, 0.5), ValueError, ["ExponentialDecay", "initial_learning_rate"]),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, ["decay_steps", "positive", "0"]),
        (lambda: schedules.InverseTimeDecay(0.1, 10, -1), ValueError, ["InverseTimeDecay", "decay_rate", "-1"]),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), ValueError, ["boundaries", "increasing", "2"]),
        (lambda: schedules.PiecewiseConstantDecay([1, 1], [1, 2, 3]), ValueError, ["boundaries", "increasing"]),
        (lambda: schedules.PiecewiseConstantDecay([-1], [1, 2]), ValueError, ["boundaries", "at least 0", "-1"]),
        (lambda: schedules.PiecewiseConstantDecay([1], [1, 2, 3]), ValueError, ["values", "2 rates", "got 3"]),
        (lambda: schedules.PiecewiseConstantDecay([1], [1, -2]), ValueError, ["values", "-2"]),
        (lambda: schedules.PiecewiseConstantDecay(1, [1, 2]), TypeError, ["boundaries", "list of numbers", "1"]),
        (lambda: schedules.PolynomialDecay(0.1, 10, power=0), ValueError, ["PolynomialDecay", "power", "positive"]),
        (lambda: schedules.CosineDecay(0.1, 10, alpha=1.5), ValueError, ["CosineDecay", "alpha", "[0, 1]", "1.5"]),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_target=-1), ValueError, ["warmup_target", "-1"]),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_steps=-1), ValueError, ["warmup_steps", "-1"]),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0.5), ValueError, ["t_mul", "at least 1", "0.5"]),
        (lambda: schedules.OneCycle(0.1, 0), ValueError, ["OneCycle", "total_steps", "0"]),
        (lambda: schedules.OneCycle(0.1, 2.5), ValueError, ["OneCycle", "total_steps", "integer", "2.5"]),
        (lambda: schedules.OneCycle(0.1, 9, 1.5), ValueError, ["OneCycle", "pct_start", "1.5"]),
        (lambda: schedules.OneCycle(0.1, 9, anneal_strategy="sin"), ValueError, ["anneal_strategy", "cos", "linear"]),
        (lambda: schedules.get({"class": "Cosine", "config": {}}), ValueError, ["CosineDecay", "'Cosine'"]),
        (lambda: _native.schedule_value("cosine", [1.0], 0), ValueError, ["schedule", "cosine_decay", "'cosine'"]),
        (lambda: _native.schedule_value("constant", [], 0), ValueError, ["constant", "1 values", "0"]),
        (lambda: _native.schedule_value("piecewise_constant_decay", [1.0, 2.0], 0), ValueError, ["odd number", "2"]),
        (lambda: _native.schedule_value("constant", [1.0], -1), ValueError, ["step", "-1"]),
    ],
)  # fmt: skip
def test_errors_name_the_object_the_expected_and_the_given(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} not in {caught.value}"
