"""Our optimizers, clipping, weight decay, averages, accumulation and schedules against those of Keras, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from fusednet import _native
from peers_keras import PEER, keras, pair, train

OPTIMIZERS = {
    "SGD": lambda k, **more: k.optimizers.SGD(0.05, **more),
    "SGD, momentum": lambda k, **more: k.optimizers.SGD(0.05, momentum=0.9, **more),
    "SGD, Nesterov": lambda k, **more: k.optimizers.SGD(0.05, momentum=0.8, nesterov=True, **more),
    "RMSprop": lambda k, **more: k.optimizers.RMSprop(0.01, **more),
    "RMSprop, momentum": lambda k, **more: k.optimizers.RMSprop(0.01, rho=0.8, momentum=0.9, **more),
    "RMSprop, centred": lambda k, **more: k.optimizers.RMSprop(0.01, centered=True, epsilon=1e-4, **more),
    "RMSprop, centred, momentum": lambda k, **more: k.optimizers.RMSprop(0.01, centered=True, momentum=0.7, **more),
    "Adam": lambda k, **more: k.optimizers.Adam(0.01, **more),
    "Adam, other betas": lambda k, **more: k.optimizers.Adam(0.01, 0.8, 0.95, epsilon=1e-3, **more),
    "AMSGrad": lambda k, **more: k.optimizers.Adam(0.01, beta_2=0.5, amsgrad=True, **more),
    "AdamW": lambda k, **more: k.optimizers.AdamW(0.01, **more),
    "Nadam": lambda k, **more: k.optimizers.Nadam(0.01, **more),
    "Adamax": lambda k, **more: k.optimizers.Adamax(0.01, **more),
    "Adagrad": lambda k, **more: k.optimizers.Adagrad(0.05, **more),
    "Adagrad, from 0.5": lambda k, **more: k.optimizers.Adagrad(0.05, initial_accumulator_value=0.5, **more),
    "Adadelta": lambda k, **more: k.optimizers.Adadelta(1.0, **more),
    "Lion": lambda k, **more: k.optimizers.Lion(0.003, **more),
}
OPTIONS = {
    "alone": {},
    "weight decay": {"weight_decay": 0.1},
    "clipvalue": {"clipvalue": 0.02},
    "clipnorm": {"clipnorm": 0.05},
    "global_clipnorm": {"global_clipnorm": 0.1},
}
ENTROPY = "SparseCategoricalCrossentropy"


def network(k):
    return [
        k.layers.Dense(6, use_bias=False, name="first"),
        k.layers.BatchNormalization(name="norm"),
        k.layers.Activation("tanh"),
        k.layers.Dense(3, "softmax", name="last"),
    ]


def plain(k):
    """Without statistics of the batch: batches can be joined."""
    return [k.layers.Dense(6, "tanh"), k.layers.Dense(3, "softmax")]


def batch(seed):
    return peers.inputs(seed=seed), peers.labels(seed=seed + 1)


def entropy(k):
    return k.losses.SparseCategoricalCrossentropy()


def run(subject, optimizer, stack=network, count=peers.STEPS, convention="", conditions=False):
    ours, theirs = pair(stack, (5,), entropy, optimizer, reuse=True, compiled_update=conditions)
    train(subject, ours, theirs, peers.batches(batch, count), convention=convention)


def test_every_optimizer_is_compared():
    made = [make(fusednet) for make in OPTIMIZERS.values()]
    assert {optimizer.row for optimizer in made} == {row["name"] for row in _native.optimizer_rows()}
    assert {type(optimizer) for optimizer in made} == set(vars(fusednet.optimizers)["_KINDS"])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("option", OPTIONS)
def test_optimizers(name, option):
    def make(k):
        made = OPTIMIZERS[name](k, **OPTIONS[option])
        if option == "weight decay":
            made.exclude_from_weight_decay(var_names=["bias", "gamma"])
        return made

    run(f"{name}, {option}", make)


def test_the_clipping_clips():
    """Every gradient of the first batch is larger than what it is clipped to."""
    ours, _ = pair(network, (5,), entropy)
    for gradient in ours.gradients(*batch(100)):
        assert np.abs(gradient).max() > OPTIONS["clipvalue"]["clipvalue"]
        assert np.linalg.norm(gradient) > OPTIONS["clipnorm"]["clipnorm"]
    norms = [np.linalg.norm(gradient) for gradient in ours.gradients(*batch(100))]
    assert np.linalg.norm(norms) > OPTIONS["global_clipnorm"]["global_clipnorm"]


@pytest.mark.parametrize("kind", vars(fusednet.optimizers)["_KINDS"], ids=lambda kind: kind.__name__)
# Keras's own: its variables do not take NumPy 2's copy argument
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_default_hyper_parameters(kind):
    name = kind.__name__
    ours, theirs = kind().get_config(), getattr(keras.optimizers, name)().get_config()
    missing = {"loss_scale_factor"} | ({"weight_decay_excluded"} & set(ours))
    assert set(ours) ^ set(theirs) <= missing
    for key in set(ours) & set(theirs) - {"name"}:
        assert theirs[key] == ours[key] or theirs[key] == pytest.approx(ours[key]), f"{name} {key}"


SCHEDULES = {
    "ExponentialDecay": lambda s: s.ExponentialDecay(0.1, 4, 0.7),
    "ExponentialDecay, staircase": lambda s: s.ExponentialDecay(0.1, 3, 0.7, staircase=True),
    "InverseTimeDecay": lambda s: s.InverseTimeDecay(0.1, 4, 0.7),
    "InverseTimeDecay, staircase": lambda s: s.InverseTimeDecay(0.1, 3, 0.7, staircase=True),
    "PiecewiseConstantDecay": lambda s: s.PiecewiseConstantDecay([2, 5], [0.1, 0.03, 0.01]),
    "PolynomialDecay": lambda s: s.PolynomialDecay(0.1, 8, 0.01, power=2.0),
    "PolynomialDecay, cycle": lambda s: s.PolynomialDecay(0.1, 4, 0.01, cycle=True),
    "CosineDecay": lambda s: s.CosineDecay(0.1, 8, alpha=0.1),
    "CosineDecay, warm-up": lambda s: s.CosineDecay(0.01, 6, alpha=0.1, warmup_target=0.1, warmup_steps=3),
    "CosineDecayRestarts": lambda s: s.CosineDecayRestarts(0.1, 3, t_mul=2.0, m_mul=0.8, alpha=0.05),
    "CosineDecayRestarts, equal cycles": lambda s: s.CosineDecayRestarts(0.1, 4, t_mul=1.0),
}


def test_every_schedule_is_compared():
    kinds = set(vars(fusednet.optimizers.schedules)["_CLASSES"])
    peers.absent("OneCycle", PEER, "Keras has none")
    assert {type(make(fusednet.optimizers.schedules)).__name__ for make in SCHEDULES.values()} == kinds - {"OneCycle"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    make, steps = SCHEDULES[name], range(16)
    ours, theirs = make(fusednet.optimizers.schedules), make(keras.optimizers.schedules)
    peers.agree(f"{name}: 16 rates", PEER, [ours(t) for t in steps], [float(theirs(float(t))) for t in steps])
    run(f"{name}, SGD", lambda k: k.optimizers.SGD(make(k.optimizers.schedules), momentum=0.9), conditions=True)


BASES = ["SGD, momentum", "Adam", "Nadam", "Lion"]


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("frequency", [1, 3])
def test_averages_that_overwrite(name, frequency):
    average = {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": frequency}
    run(f"{name}, average over the weights each {frequency}", lambda k: OPTIMIZERS[name](k, **average))


@pytest.mark.parametrize("name", BASES)
def test_averages_at_the_end_of_fit(name):
    average = {"use_ema": True, "ema_momentum": 0.7}
    ours, theirs = pair(network, (5,), entropy)
    ours.model.compile(OPTIMIZERS[name](fusednet, **average), ours.model.loss)
    ours.model.set_weights(ours.first)
    theirs.model.compile(OPTIMIZERS[name](keras, **average), theirs.loss, run_eagerly=True)
    arguments = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    for side in (ours, theirs):
        side.model.fit(*batch(0), **arguments)
    peers.agree(f"{name}, average after fit", PEER, ours.weights(), theirs.weights())


class EveryUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """Keras's schedule of the number of updates, not of batches."""

    def __init__(self, schedule, every):
        super().__init__()
        self.schedule, self.every = schedule, every

    def __call__(self, step):
        return self.schedule(step // self.every)

    def get_config(self):
        return {"schedule": self.schedule, "every": self.every}


@pytest.mark.parametrize(
    ("name", "option"),
    [("SGD, momentum", "global_clipnorm"), ("Adam", "alone"), ("Nadam", "weight decay"), ("Lion", "clipnorm")],
)
def test_accumulation(name, option):
    """Three updates of three batches each, and a batch that waits."""
    more = {"gradient_accumulation_steps": 3, **OPTIONS[option]}
    run(f"{name}, {option}, 3 batches an update", lambda k: OPTIMIZERS[name](k, **more), conditions=True)


def test_schedules_count_updates():
    def make(k):
        schedule = k.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        rate = schedule if k is fusednet else EveryUpdate(schedule, 3)
        return k.optimizers.SGD(rate, momentum=0.9, gradient_accumulation_steps=3)

    run("gradient accumulation, schedule", make, convention="updates", conditions=True)


def test_averages_count_updates():
    average = {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2}
    ours, theirs = pair(
        plain,
        (5,),
        entropy,
        lambda k: k.optimizers.SGD(0.1, **average, gradient_accumulation_steps=2 if k is fusednet else None),
    )
    parts = peers.batches(batch)
    joined = [tuple(np.concatenate(pair) for pair in zip(*parts[i : i + 2], strict=True)) for i in range(0, 10, 2)]
    ours.steps(parts)
    theirs.steps(joined)
    peers.agree("gradient accumulation, average", PEER, ours.weights(), theirs.weights(), convention="average")
    ours.moved()


def test_all_at_once():
    """Penalties, a constraint, clipping, weight decay, a schedule and BatchNormalization in one run."""

    def stack(k):
        return [
            k.layers.Dense(6, use_bias=False, kernel_regularizer=k.regularizers.L1L2(0.001, 0.01)),
            k.layers.BatchNormalization(momentum=0.9, gamma_constraint=k.constraints.NonNeg()),
            k.layers.Activation("elu"),
            k.layers.Dense(4, "selu", kernel_constraint=k.constraints.MaxNorm(1.0), activity_regularizer="l2"),
            k.layers.LayerNormalization(),
            k.layers.Dense(3, "softmax"),
        ]

    def make(k):
        rate = k.optimizers.schedules.CosineDecay(0.001, 20, warmup_target=0.02, warmup_steps=4)
        return k.optimizers.AdamW(rate, weight_decay=0.05, global_clipnorm=0.5)

    run("all at once", make, stack, 20, conditions=True)
