"""Our optimizers, clipping, weight decay, averages, accumulation and schedules against those of PyTorch, in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from fusednet import layers, optimizers, regularizers
from peers_torch import PEER, Theirs, nn, torch, train

ours_of, theirs_of = optimizers, torch.optim


def cross_entropy(out, y):
    return nn.functional.nll_loss(out.log(), y)


def batch(seed):
    return peers.inputs(seed=seed), peers.labels(seed=seed + 1)


def stack(**options):
    return [
        layers.Dense(6, use_bias=False, **options),
        layers.BatchNormalization(momentum=1.0),
        layers.Activation("tanh"),
        layers.Dense(3, "softmax", **options),
    ]


def modules():
    return [
        nn.Linear(5, 6, bias=False),
        nn.BatchNorm1d(6, eps=1e-3, momentum=0.0),
        nn.Tanh(),
        nn.Linear(6, 3),
        nn.Softmax(dim=-1),
    ]


def run(subject, mine, theirs, *, layers_=None, steps=peers.STEPS, convention="", **loop):
    model = peers.Ours(layers_ or stack(), (5,), "sparse_categorical_crossentropy", mine)
    other = Theirs(modules(), cross_entropy, model.first, theirs, **loop)
    train(subject, model, other, peers.batches(batch, steps), convention=convention)


# Our optimizer, PyTorch's of the parameters, the convention that lies between.
OPTIMIZERS = {
    "SGD": (lambda **o: ours_of.SGD(0.05, **o), lambda p: theirs_of.SGD(p, 0.05), ""),
    "SGD, momentum": (
        lambda **o: ours_of.SGD(0.05, momentum=0.9, **o),
        lambda p: theirs_of.SGD(p, 0.05, momentum=0.9),
        "velocity",
    ),
    "SGD, Nesterov": (
        lambda **o: ours_of.SGD(0.05, momentum=0.8, nesterov=True, **o),
        lambda p: theirs_of.SGD(p, 0.05, momentum=0.8, nesterov=True),
        "velocity",
    ),
    "RMSprop": (
        lambda **o: ours_of.RMSprop(0.01, rho=0.9, epsilon=1e-30, **o),
        lambda p: theirs_of.RMSprop(p, 0.01, alpha=0.9, eps=0.0),
        "epsilon, RMSprop",
    ),
    "RMSprop, momentum": (
        lambda **o: ours_of.RMSprop(0.01, momentum=0.9, epsilon=1e-30, **o),
        lambda p: theirs_of.RMSprop(p, 0.01, alpha=0.9, eps=0.0, momentum=0.9),
        "epsilon, RMSprop",
    ),
    "RMSprop, centred": (
        lambda **o: ours_of.RMSprop(0.01, centered=True, epsilon=1e-30, **o),
        lambda p: theirs_of.RMSprop(p, 0.01, alpha=0.9, eps=0.0, centered=True),
        "epsilon, RMSprop",
    ),
    "RMSprop, centred, momentum": (
        lambda **o: ours_of.RMSprop(0.01, centered=True, momentum=0.7, epsilon=1e-30, **o),
        lambda p: theirs_of.RMSprop(p, 0.01, alpha=0.9, eps=0.0, centered=True, momentum=0.7),
        "epsilon, RMSprop",
    ),
    "Adam": (
        lambda **o: ours_of.Adam(0.01, 0.8, 0.95, epsilon=1e-30, **o),
        lambda p: theirs_of.Adam(p, 0.01, (0.8, 0.95), eps=0.0),
        "epsilon, Adam",
    ),
    "AMSGrad": (
        lambda **o: ours_of.Adam(0.01, beta_2=0.5, epsilon=1e-30, amsgrad=True, **o),
        lambda p: theirs_of.Adam(p, 0.01, (0.9, 0.5), eps=0.0, amsgrad=True),
        "epsilon, Adam",
    ),
    "Nadam": (
        lambda **o: ours_of.Nadam(0.01, epsilon=1e-3, **o),
        lambda p: theirs_of.NAdam(p, 0.01, eps=1e-3, momentum_decay=1.0),
        "Nadam",
    ),
    "Adamax": (
        lambda **o: ours_of.Adamax(0.01, epsilon=1e-30, **o),
        lambda p: theirs_of.Adamax(p, 0.01, eps=0.0),
        "epsilon, Adamax",
    ),
    "Adagrad": (
        lambda **o: ours_of.Adagrad(0.05, 0.1, epsilon=1e-30, **o),
        lambda p: theirs_of.Adagrad(p, 0.05, initial_accumulator_value=0.1, eps=0.0),
        "epsilon, Adagrad",
    ),
    "Adadelta": (
        lambda **o: ours_of.Adadelta(1.0, rho=0.9, epsilon=1e-6, **o),
        lambda p: theirs_of.Adadelta(p, 1.0, rho=0.9, eps=1e-6),
        "",
    ),
}
ABSENT = {"lion": "PyTorch has none"}


def test_every_optimizer_is_compared():
    for name, why in ABSENT.items():
        peers.absent(name.capitalize(), PEER, why)
    rows = {make().row for make, *_ in OPTIMIZERS.values()}
    assert rows | set(ABSENT) == {row["name"] for row in fusednet._native.optimizer_rows()}


def clip_each(parameters):
    for parameter in parameters:
        clip_norm([parameter], 0.05)


def clip_norm(parameters, limit):
    """PyTorch scales by limit / (norm + 1e-6); what it is given makes that limit / norm."""
    norm = float(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters])))
    nn.utils.clip_grad_norm_(parameters, limit * (norm + 1e-6) / norm)


CLIPS = {
    "alone": ({}, None, ""),
    "clipvalue": ({"clipvalue": 0.02}, lambda p: nn.utils.clip_grad_value_(p, 0.02), ""),
    "clipnorm": ({"clipnorm": 0.05}, clip_each, "clipping"),
    "global_clipnorm": ({"global_clipnorm": 0.1}, lambda p: clip_norm(p, 0.1), "clipping"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", CLIPS)
def test_optimizers(name, clip):
    mine, theirs, convention = OPTIMIZERS[name]
    options, before, other = CLIPS[clip]
    run(
        f"{name}, {clip}",
        mine(**options),
        theirs,
        before_step=before,
        convention="; ".join(filter(None, (convention, other))),
    )


@pytest.mark.parametrize("name", ["AdamW", "Nadam"])
def test_decoupled_weight_decay(name):
    mine = getattr(ours_of, name)(0.01, weight_decay=0.1, epsilon=1e-30)
    if name == "AdamW":
        run("AdamW", mine, lambda p: theirs_of.AdamW(p, 0.01, eps=0.0, weight_decay=0.1), convention="epsilon, Adam")
        return
    options = {"eps": 0.0, "weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 1.0}
    run("Nadam, weight decay", mine, lambda p: theirs_of.NAdam(p, 0.01, **options), convention="Nadam")


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_l2_penalties(name):
    """PyTorch's coupled weight_decay w is the gradient of w / 2 * sum(w**2)."""
    penalty = {"kernel_regularizer": regularizers.L2(0.05)}
    made = [layers.Dense(6, use_bias=False, **penalty), layers.Activation("tanh"), layers.Dense(3, **penalty)]
    mine = ours_of.SGD(0.05) if name == "SGD" else ours_of.Adam(0.01, epsilon=1e-30)
    model = peers.Ours(made, (5,), "mse", mine)

    def theirs(parameters):
        kernels = [p for p in parameters if p.ndim == 2]
        groups = [{"params": kernels, "weight_decay": 0.1}, {"params": [p for p in parameters if p.ndim == 1]}]
        return theirs_of.SGD(groups, 0.05) if name == "SGD" else theirs_of.Adam(groups, 0.01, eps=0.0)

    other = Theirs(
        [nn.Linear(5, 6, bias=False), nn.Tanh(), nn.Linear(6, 3)], nn.functional.mse_loss, model.first, theirs
    )
    rows = peers.batches(lambda seed: (peers.inputs(seed=seed), peers.targets(seed=seed + 1)))
    model.steps(rows)
    other.steps(rows)
    peers.agree(f"L2, {name}", PEER, model.weights(), other.weights(), convention="weight decay")
    model.moved()


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam"])
def test_learning_rates_of_layers(name):
    mine, theirs, convention = OPTIMIZERS[name]
    made = stack()
    made[0] = layers.Dense(6, use_bias=False, learning_rate_multiplier=0.3)

    def grouped(parameters):
        optimizer = theirs(parameters)
        rate = optimizer.param_groups[0]["lr"]
        first, rest = dict(optimizer.param_groups[0]), dict(optimizer.param_groups[0])
        first.update(params=parameters[:1], lr=0.3 * rate)
        rest.update(params=parameters[1:])
        return type(optimizer)([first, rest])

    run(f"{name}, learning rate of a layer", mine(), grouped, layers_=made, convention=convention)


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam", "Nadam"])
def test_accumulation(name):
    """Three updates of three batches each, and a batch that waits."""
    mine, theirs, convention = OPTIMIZERS[name]
    clip = {"before_step": lambda p: nn.utils.clip_grad_value_(p, 0.02)}
    made = mine(gradient_accumulation_steps=3, clipvalue=0.02)
    run(f"{name}, 3 batches an update", made, theirs, accumulated=3, convention=convention, **clip)


def test_averages():
    """The average of the weights that is left after `fit`."""
    made = [layers.Dense(6, "tanh"), layers.Dense(3, "softmax")]
    mine = ours_of.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.7)
    model = peers.Ours(made, (5,), "sparse_categorical_crossentropy", mine)
    parts = [nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3), nn.Softmax(dim=-1)]
    other = Theirs(parts, cross_entropy, model.first, lambda p: theirs_of.SGD(p, 0.1, momentum=0.9))
    swa = torch.optim.swa_utils
    average = swa.AveragedModel(other.model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.7))
    other.after_step = lambda p: average.update_parameters(other.model)
    x, y = batch(0)
    model.model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    other.steps([(x[i : i + 4], y[i : i + 4]) for _ in range(3) for i in range(0, 12, 4)])
    other.model = average.module
    peers.agree("average of the weights", PEER, model.weights(), other.weights(), convention="velocity")
    model.moved()


SCHEDULES = {
    "ExponentialDecay": (("ExponentialDecay", 0.1, 1, 0.9), lambda o, s: s.ExponentialLR(o, 0.9)),
    "ExponentialDecay, staircase": (("ExponentialDecay", 0.1, 3, 0.5, True), lambda o, s: s.StepLR(o, 3, 0.5)),
    "InverseTimeDecay": (
        ("InverseTimeDecay", 0.1, 4, 0.7),
        lambda o, s: s.LambdaLR(o, lambda t: 4 / (4 + 0.7 * t)),
    ),
    "PiecewiseConstantDecay": (
        ("PiecewiseConstantDecay", [2, 5], [0.1, 0.05, 0.025]),
        lambda o, s: s.MultiStepLR(o, [3, 6], 0.5),
    ),
    "PolynomialDecay": (("PolynomialDecay", 0.1, 8, 0.0, 2.0), lambda o, s: s.PolynomialLR(o, 8, 2.0)),
    "CosineDecay": (("CosineDecay", 0.1, 30, 0.1), lambda o, s: s.CosineAnnealingLR(o, 30, 0.01)),
    "CosineDecay, warm-up": (
        ("CosineDecay", 0.0, 26, 0.1, None, 0.1, 4),
        lambda o, s: s.SequentialLR(
            o, [s.LambdaLR(o, lambda t: t / 4), s.CosineAnnealingLR(o, 26, 0.01)], milestones=[4]
        ),
    ),
    "CosineDecayRestarts": (
        ("CosineDecayRestarts", 0.1, 3, 2.0, 1.0, 0.1),
        lambda o, s: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    ),
    "OneCycle": (("OneCycle", 0.1, 30), lambda o, s: s.OneCycleLR(o, 0.1, 30, cycle_momentum=False)),
    "OneCycle, linear": (
        ("OneCycle", 0.2, 20, 0.4, "linear", 10.0, 100.0),
        lambda o, s: s.OneCycleLR(o, 0.2, 20, None, None, 0.4, "linear", False, 0.85, 0.95, 10.0, 100.0),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    (kind, *arguments), make = SCHEDULES[name]
    schedule = getattr(ours_of.schedules, kind)(*arguments)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs, rates = make(optimizer, torch.optim.lr_scheduler), []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    convention = "milestones" if kind.startswith("Piecewise") else ""
    peers.agree(f"{name}: 20 rates", PEER, [schedule(t) for t in range(20)], rates, convention=convention)


def test_every_schedule_is_compared():
    kinds = {arguments[0] for arguments, _ in SCHEDULES.values()}
    assert kinds == set(vars(fusednet.optimizers.schedules)["_CLASSES"])


def test_a_schedule_in_training():
    holder = []

    def theirs(parameters):
        optimizer = theirs_of.Adam(parameters, 0.1, eps=0.0)
        holder.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8))
        return optimizer

    mine = ours_of.Adam(ours_of.schedules.ExponentialDecay(0.1, 1, 0.8), epsilon=1e-30)
    run(
        "ExponentialDecay, in training", mine, theirs, after_step=lambda p: holder[0].step(), convention="epsilon, Adam"
    )


def test_rates_that_change_under_momentum():
    """PyTorch multiplies the velocity by the new rate; ours holds steps taken with the old ones."""
    first, rates, gradient = np.array([[1.0], [-2.0]]), [0.1, 0.01, 0.001], np.array([[0.5], [0.25]])
    model = peers.Ours(
        [layers.Dense(1, use_bias=False, name="only")],
        (2,),
        optimizer=ours_of.SGD(ours_of.schedules.PiecewiseConstantDecay([0, 1], rates), momentum=0.9),
    ).model
    model.set_weights([first])
    parameter = torch.tensor(first, requires_grad=True)
    optimizer = theirs_of.SGD([parameter], momentum=0.9)
    theirs = first
    for rate, before in zip(rates, [rates[0], *rates], strict=False):
        model.apply_gradients({"only/kernel": gradient})
        parameter.grad = torch.tensor(gradient)
        optimizer.param_groups[0]["lr"] = rate
        velocity = optimizer.state[parameter].get("momentum_buffer")
        if velocity is not None:
            velocity *= before / rate  # what makes the one velocity the other
        optimizer.step()
        theirs = parameter.detach()
    peers.agree("SGD, momentum under a schedule", PEER, model.get_weights(), [theirs], convention="velocity")
