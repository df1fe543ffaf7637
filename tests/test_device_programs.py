"""Narrow networks on a device: many steps in one launch leave the bits that a launch for each kernel leaves."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fusednet
from devices import NETS, data
from fusednet.layers import (
    ELU,
    BatchNormalization,
    Dense,
    DropConnect,
    Dropout,
    FractionalMaxPooling2D,
    GaussianNoise,
    Maxout,
    Reshape,
    Residual,
    RReLU,
)
from fusednet.optimizers import SGD, Adam, AdamW, Lion

CROSSENTROPY = "sparse_categorical_crossentropy"
FULL = 10  # batches of an epoch; then one of 10 rows
PROGRAMS = {
    **NETS,
    "several blocks": lambda: [  # no product as large as those that a library takes, which no program has
        Dense(250, "elu", input_shape=[12]),
        BatchNormalization(),
        Dense(250, "tanh"),
        Dense(200, "relu"),
        Dense(4, "softmax"),
    ],
    "batchnorm first": lambda: [
        BatchNormalization(input_shape=[12]),
        Dense(30, use_bias=False),
        BatchNormalization(momentum=0.9),
        ELU(),
        Dense(4, use_bias=False),
        BatchNormalization(),
        fusednet.layers.Softmax(),
    ],
    "random": lambda: [
        GaussianNoise(0.1, input_shape=[12]),
        Dense(24),
        RReLU(),
        Dropout(0.3),
        Residual([Dense(24, "gelu")], survival_probability=0.7),
        Dense(4, "softmax"),
    ],
    "pieces": lambda: [Maxout(17, 3, input_shape=[12]), DropConnect(9, 0.3), Dense(4, "softmax")],
}


def trained(device, layers, optimizer=None, loss=CROSSENTROPY, batch=32, epochs=3, **fit):
    model = fusednet.Sequential(layers(), seed=5)
    classes = loss in (CROSSENTROPY, "categorical_crossentropy")
    model.compile(optimizer or Adam(0.01), loss, ["accuracy"] if classes else ["mae", "mse"], device=device)
    x, y = data()
    history = model.fit(
        x, y if loss == CROSSENTROPY else np.eye(4)[y], batch_size=batch, epochs=epochs, verbose=0, **fit
    )
    return model, history.history


def same_bits(model, other):
    for (name, ours), theirs in zip(model._engine.read().items(), other._engine.read().values(), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert (model.step, model.plan.passes) == (other.step, other.plan.passes)


def both_ways(monkeypatch, device, layers, *arguments, **more):
    """The model trained by programs; one trained without, and nothing tells them apart."""
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "0")
    plain, expected = trained(device, layers, *arguments, **more)
    assert plain.plan.programmed == 0
    assert "steps: a launch for each kernel" in str(plain.plan)
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "1")
    model, history = trained(device, layers, *arguments, **more)
    assert history == expected
    same_bits(model, plain)
    return model


def on_chip(plan):
    """What of a step lies there by the plan's own words, and how many KiB."""
    (line,) = re.findall("steps: many in one launch.*", str(plan))
    found = re.fullmatch(r"[^,]*, ([0-9.]+) KiB of ([a-z ]+) on the chip", line)
    return (found[2], float(found[1])) if found else ("nothing", 0.0)


@pytest.mark.parametrize("net", PROGRAMS)
def test_networks(monkeypatch, device, net):
    model = both_ways(monkeypatch, device, PROGRAMS[net])
    assert model.plan.programmed == 3 * FULL - 1  # the first makes room for partial results
    # what a block has there the others would not see
    assert on_chip(model.plan)[0] == ("nothing" if net == "several blocks" else "activations and gradients")


def test_what_there_is_room_for(monkeypatch, device):
    """On either side of each limit: the last batch that has room, and the first that has none."""

    def layers():
        return [
            Dense(39, "elu", input_shape=[12]),
            BatchNormalization(),
            Dense(40, "tanh"),
            *(Dropout(0.1) for _ in range(20)),
            Dense(4, "softmax"),
        ]

    monkeypatch.setenv("FUSEDNET_PROGRAMS", "1")
    model = fusednet.Sequential(layers(), seed=5)
    model.compile("adam", CROSSENTROPY, device=device)
    kept, last = [], {}
    for batch in range(1, 166):  # 330 rows are two of the largest
        what, size = on_chip(fusednet._native.Plan(model._engine.config(batch)))
        last[what] = (batch, size)
        kept += [what] if what not in kept else []
    assert kept == ["activations and gradients", "activations", "nothing"]
    rows, size = last["activations"]
    assert size > rows * 20 * 40 * 4 / 1024  # each dropout has outputs of its own
    for batch in {last[what][0] + more for what in kept[:2] for more in (0, 1)}:
        made = both_ways(monkeypatch, device, layers, batch=batch, epochs=2)
        assert made.plan.programmed == 2 * (330 // batch) - 1


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.05),
        SGD(0.05, momentum=0.9, nesterov=True, clipnorm=0.2),
        AdamW(0.01, global_clipnorm=0.3),
        Lion(0.001, clipvalue=0.01),
        Adam(fusednet.optimizers.schedules.ExponentialDecay(0.05, 5, 0.5), use_ema=True, ema_overwrite_frequency=None),
    ],
    ids=["plain", "momentum", "global norm", "value", "schedule and average"],
)
def test_optimizers(monkeypatch, device, optimizer):
    assert both_ways(monkeypatch, device, PROGRAMS["batchnorm first"], optimizer).plan.programmed == 3 * FULL - 1


@pytest.mark.parametrize("loss", ["mse", "huber", "categorical_crossentropy", "kl_divergence", "cosine_similarity"])
def test_losses(monkeypatch, device, loss):
    assert both_ways(monkeypatch, device, NETS["penalties"], None, loss).plan.programmed == 3 * FULL - 1


@pytest.mark.parametrize("batch", [1, 31, 32, 330])
def test_batches(monkeypatch, device, batch):
    """With weighted rows that are shuffled, of one call or of many."""
    weights = np.random.default_rng(3).uniform(0.5, 2.0, 330)
    model = both_ways(monkeypatch, device, NETS["dropout"], batch=batch, epochs=2, sample_weight=weights)
    assert model.plan.programmed == 2 * (330 // batch) - 1


def test_more_steps_than_are_sent_at_once(monkeypatch, device):
    x, y = data(rows=1300)

    def model(programs):
        monkeypatch.setenv("FUSEDNET_PROGRAMS", programs)
        made = fusednet.Sequential(NETS["batchnorm"](), seed=5)
        made.compile("adam", CROSSENTROPY, device=device)
        made.fit(x, y, batch_size=2, verbose=0)
        return made

    same_bits(model("1"), model("0"))


@pytest.mark.parametrize("batch", [0, 1, 4, 9])
@pytest.mark.parametrize("net", ["batchnorm", "several blocks"])
def test_a_refused_step_in_the_middle(monkeypatch, device, net, batch):
    """All is as after the step before; what comes behind it in the launch does nothing. The error says where."""
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "1")
    x, y = data()
    broken = x.copy()
    broken[32 * batch + 20, 3] = np.nan
    model, twin = (trained(device, PROGRAMS[net], shuffle=False)[0] for _ in range(2))
    before = model.plan.programmed
    with pytest.raises(fusednet.NonFiniteError, match=f"step {3 * (FULL + 1) + batch + 1}\\b.* is in the input"):
        model.fit(broken, y, batch_size=32, shuffle=False, verbose=0, check_finite=False)
    assert model.plan.programmed > before
    if batch:
        twin.fit(x[: 32 * batch], y[: 32 * batch], batch_size=32, shuffle=False, verbose=0)
    same_bits(model, twin)
    for one in (model, twin):
        one.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    same_bits(model, twin)


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_layer_of_a_refused_step(monkeypatch, device, shuffle):
    """What the chip held of it is gone; the same error comes from arrays that are still there."""

    def layers():
        return [Dense(24, input_shape=[12]), RReLU(name="slopes"), Dropout(0.3), Dense(4, "softmax")]

    errors = []
    for programs in "10":
        monkeypatch.setenv("FUSEDNET_PROGRAMS", programs)
        model, _ = trained(device, layers, shuffle=shuffle)
        x, y = data()
        x[117] = 3e38
        with pytest.raises(fusednet.NonFiniteError) as found:
            model.fit(x, y, batch_size=32, shuffle=shuffle, verbose=0)
        errors.append((found.value.step, found.value.where))
    assert errors[0] == errors[1]
    assert errors[0][1] == "slopes"


def test_a_refused_batch(monkeypatch, device):
    """Its rows were sent for it alone."""
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "1")
    model, _ = trained(device, NETS["batchnorm"])
    x, y = (rows[:32] for rows in data())
    before = model.plan.programmed
    model.train_on_batch(x, y)
    assert model.plan.programmed == before + 1
    x[5] = 3e38
    with pytest.raises(fusednet.NonFiniteError) as found:
        model.train_on_batch(x, y)
    assert found.value.where == model.layers[0].name


@pytest.mark.parametrize(
    ("layers", "optimizer"),
    [
        (lambda: [Dense(257, input_shape=[12]), Dense(4, "softmax")], Adam()),
        (lambda: [Dense(8, input_shape=[12]), Dense(257), Dense(4, "softmax")], Adam()),
        (NETS["batchnorm"], Adam(gradient_accumulation_steps=3)),
        (NETS["batchnorm"], Adam(use_ema=True, ema_overwrite_frequency=4)),
        (
            lambda: [
                Dense(49, input_shape=[12]),
                Reshape([7, 7, 1]),
                FractionalMaxPooling2D(1.4),
                fusednet.layers.Flatten(),
                Dense(4, "softmax"),
            ],
            Adam(),
        ),
    ],
    ids=["wide", "wide within", "accumulation", "averages", "regions"],
)
def test_what_is_no_program(monkeypatch, device, layers, optimizer):
    assert both_ways(monkeypatch, device, layers, optimizer, epochs=1).plan.programmed == 0


def test_much_work_is_no_program(monkeypatch, device):
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "1")
    model = fusednet.Sequential([Dense(256, input_shape=[256]), Dense(256), Dense(4, "softmax")], seed=5)
    model.compile("sgd", CROSSENTROPY, device=device)
    x, y = data(rows=600, features=256)
    model.fit(x, y, batch_size=200, verbose=0)
    assert model.plan.programmed == 0
    assert "steps: a launch for each kernel" in str(model.plan)


def test_a_list_too_long_becomes_a_graph(monkeypatch, device):
    """What a device refuses to record is captured anew, from kernels that have launches."""
    layers = [Dense(4, "selu", input_shape=[12]), *(Dense(4, "selu") for _ in range(180)), Dense(4, "softmax")]
    model = both_ways(monkeypatch, device, lambda: layers, epochs=1)
    assert model.plan.programmed == 0
    assert np.abs(np.diff([model.train_on_batch(*data()) for _ in range(2)], axis=0)).max() > 0


def test_a_setting_that_is_none(monkeypatch, device):
    monkeypatch.setenv("FUSEDNET_PROGRAMS", "yes")
    with pytest.raises(ValueError, match="FUSEDNET_PROGRAMS expects 0 or 1, got 'yes'"):
        trained(device, NETS["batchnorm"])
