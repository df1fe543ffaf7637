"""Our layers, activations and losses against those of PyTorch, in float64, and one run in float32."""

from __future__ import annotations

import numpy as np
import pytest

import fusednet
import peers
from fusednet import _native, layers, losses
from peers_torch import PEER, Function, Residual, Theirs, nn, tensor, torch, train

FLAT, IMAGE = (5,), (6, 7, 2)


def mean_squared(out, y):
    return nn.functional.mse_loss(out, y)


def batch(shape):
    def make(seed):
        return peers.generator(seed).normal(size=(12, *shape)), peers.targets(seed=seed + 1)

    return make


def channels_first(*modules):
    """Modules over images in PyTorch's order of axes, flattened afterwards in ours."""
    return [Function(lambda x: x.permute(0, 3, 1, 2)), *modules, Function(lambda x: x.permute(0, 2, 3, 1).flatten(1))]


# Our layers, PyTorch's modules.
STACKS = {
    "Dense": ([layers.Dense(6, "tanh"), layers.Dense(3)], lambda: [nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)]),
    "Dense without bias": (
        [layers.Dense(6, use_bias=False), layers.Dense(3)],
        lambda: [nn.Linear(5, 6, bias=False), nn.Linear(6, 3)],
    ),
    "LayerNormalization": (
        [layers.LayerNormalization(), layers.Dense(3)],
        lambda: [nn.LayerNorm(5, eps=1e-3), nn.Linear(5, 3)],
    ),
    "BatchNormalization without moving averages": (
        [layers.BatchNormalization(momentum=1.0), layers.Dense(3)],
        lambda: [nn.BatchNorm1d(5, eps=1e-3, momentum=0.0), nn.Linear(5, 3)],
    ),
    "Maxout": (
        [layers.Maxout(4, pieces=3), layers.Dense(3)],
        lambda: [nn.Linear(5, 12), Function(lambda x: x.unflatten(1, (3, 4)).amax(1)), nn.Linear(4, 3)],
    ),
    "Residual": (
        [layers.Residual([layers.Dense(4, "tanh"), layers.Dense(5)]), layers.Dense(3)],
        lambda: [Residual(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 5)), nn.Linear(5, 3)],
    ),
    "random layers at rate 0": (
        [layers.Dropout(0.0), layers.AlphaDropout(0.0), layers.Dense(3)],
        lambda: [nn.Dropout(0.0), nn.AlphaDropout(0.0), nn.Linear(5, 3)],
    ),
}
IMAGES = {
    "MaxPooling2D": (
        [layers.MaxPooling2D((3, 2), strides=(1, 2)), layers.Flatten(), layers.Dense(3)],
        lambda: [*channels_first(nn.MaxPool2d((3, 2), stride=(1, 2))), nn.Linear(24, 3)],
    ),
    "MaxPooling2D after Dense": (
        [
            *(layers.Flatten(), layers.Dense(60), layers.Reshape((6, 5, 2))),
            *(layers.MaxPooling2D(2, strides=1), layers.Flatten(), layers.Dense(3)),
        ],
        lambda: [
            *(nn.Flatten(), nn.Linear(84, 60), Function(lambda x: x.unflatten(1, (6, 5, 2)))),
            *(*channels_first(nn.MaxPool2d(2, stride=1)), nn.Linear(40, 3)),
        ],
    ),
}
ABSENT = {
    "FractionalMaxPooling2D": "its regions have one size, and other steps between them",
    "DropConnect": "PyTorch has none",
    "Whitening": "PyTorch has none",
}


@pytest.mark.parametrize("name", [*STACKS, *IMAGES])
def test_layers(name):
    shape, (stack, modules) = (IMAGE, IMAGES[name]) if name in IMAGES else (FLAT, STACKS[name])
    ours = peers.Ours(stack, shape, "mse", fusednet.optimizers.SGD(0.02))
    train(name, ours, Theirs(modules(), mean_squared, ours.first), peers.batches(batch(shape)))
    for missing, why in ABSENT.items():
        peers.absent(missing, PEER, why)


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_moving_averages(momentum):
    """PyTorch's momentum is one minus ours, and its moving variance divides by n - 1."""
    rows, start, where = 12, 0.0, 3
    stack = [layers.BatchNormalization(momentum=momentum, epsilon=1e-5), layers.Dense(3)]
    ours = peers.Ours(stack, FLAT, "mse", fusednet.optimizers.SGD(0.02))
    modules = [nn.BatchNorm1d(5, momentum=1.0 - momentum), nn.Linear(5, 3)]
    theirs = Theirs(modules, mean_squared, ours.first)
    start = tensor(ours.first[where])

    def read():
        arrays = theirs.weights()
        kept = momentum**peers.STEPS * start
        arrays[where] = kept + (arrays[where] - kept) * (rows - 1) / rows
        return arrays

    name = f"BatchNormalization, momentum {momentum}"
    train(name, ours, theirs, peers.batches(batch(FLAT)), convention="statistics", read=read)
    theirs.load(ours.weights())
    x = peers.inputs()
    peers.agree(f"{name}: inference", PEER, ours.model.predict(x), theirs.predict(x), convention="statistics")


@pytest.mark.parametrize("kind", ["Dropout", "AlphaDropout"])
def test_random_layers_do_nothing_at_inference(kind):
    ours = peers.Ours([getattr(layers, kind)(0.4), layers.Dense(3)], FLAT)
    theirs = Theirs([getattr(nn, kind)(0.4), nn.Linear(5, 3)], mean_squared, ours.first)
    x = peers.inputs()
    peers.agree(f"{kind} at inference", PEER, ours.model.predict(x), theirs.predict(x))


# PyTorch's module for each row, with the row's default parameters and with others.
ACTIVATIONS = {
    "linear": lambda: nn.Identity(),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
    "relu": lambda: nn.ReLU(),
    "leaky_relu": lambda negative_slope=0.01: nn.LeakyReLU(negative_slope),
    "elu": lambda alpha=1.0: nn.ELU(alpha),
    "selu": lambda: nn.SELU(),
    "gelu": lambda: nn.GELU(),
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": lambda: nn.SiLU(),
    "mish": lambda: nn.Mish(),
    "softplus": lambda: nn.Softplus(threshold=100.0),
    "softsign": lambda: nn.Softsign(),
    "relu6": lambda: nn.ReLU6(),
    "hard_sigmoid": lambda: nn.Hardsigmoid(),
    "hard_silu": lambda: nn.Hardswish(),
    "exponential": lambda: Function(torch.exp),
    "rescaling": lambda scale=1.0, offset=0.0: Function(lambda x: scale * x + offset),
    "softmax": lambda: nn.Softmax(dim=-1),
    "log_softmax": lambda: nn.LogSoftmax(dim=-1),
    "prelu": lambda: nn.PReLU(6),
    "rrelu": lambda lower=0.2, upper=0.2: nn.RReLU(lower, upper),
}
PARAMETERS = {
    "leaky_relu": [{}, {"negative_slope": 0.3}],
    "elu": [{}, {"alpha": 0.4}],
    "rescaling": [{}, {"scale": 0.5, "offset": -2.0}],
    "rrelu": [{"lower": 0.2, "upper": 0.2}],
}
CASES = [(row["name"], params) for row in _native.activation_rows() for params in PARAMETERS.get(row["name"], [{}])]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_activations(name, params):
    """Ten steps of a network with it; a random slope is drawn from an interval of one value."""
    function = getattr(fusednet.activations, name).with_params(**params)
    stack = [layers.Dense(6), layers.Activation(function), layers.Dense(3)]
    ours = peers.Ours(stack, FLAT, "mse", fusednet.optimizers.SGD(0.02))
    modules = [nn.Linear(5, 6), ACTIVATIONS[name](**params), nn.Linear(6, 3)]
    subject = f"activation {name}" + "".join(f", {key}={value:g}" for key, value in params.items())
    convention = "softplus" if name == "softplus" else ""
    theirs = Theirs(modules, mean_squared, ours.first)
    train(subject, ours, theirs, peers.batches(batch(FLAT)), convention=convention)


def test_a_random_slope_at_inference():
    if "rrelu" not in dict(CASES):
        pytest.skip("the catalogue has no rrelu")
    ours = peers.Ours([layers.Dense(6), layers.RReLU(lower=0.1, upper=0.4)], FLAT)
    theirs = Theirs([nn.Linear(5, 6), nn.RReLU(0.1, 0.4)], mean_squared, ours.first)
    x = peers.inputs()
    peers.agree("RReLU at inference", PEER, ours.model.predict(x), theirs.predict(x))


FLOAT32 = {
    "SGD, momentum": (
        fusednet.optimizers.SGD(0.02, momentum=0.9),
        lambda parameters: torch.optim.SGD(parameters, 0.02, momentum=0.9),
        "velocity",
    ),
    "Nadam": (
        fusednet.optimizers.Nadam(0.002, epsilon=1e-3),
        lambda parameters: torch.optim.NAdam(parameters, 0.002, eps=1e-3, momentum_decay=1.0),
        "Nadam",
    ),
}


@pytest.mark.parametrize("name", FLOAT32)
def test_float32(name):
    """Ten steps in float32 on both sides, of sizes that fill vectors and leave tails."""
    mine, make, convention = FLOAT32[name]
    stack = [
        *(layers.Dense(70, use_bias=False), layers.BatchNormalization(momentum=1.0), layers.ELU()),
        *(layers.Dense(33, "tanh"), layers.LayerNormalization(), layers.Dense(10, "softmax")),
    ]
    modules = [
        *(nn.Linear(45, 70, bias=False), nn.BatchNorm1d(70, eps=1e-3, momentum=0.0), nn.ELU()),
        *(nn.Linear(70, 33), nn.Tanh(), nn.LayerNorm(33, eps=1e-3), nn.Linear(33, 10), nn.Softmax(dim=-1)),
    ]

    def cross_entropy(out, y):
        return nn.functional.nll_loss(out.log(), y)

    ours = peers.Ours(stack, (45,), losses.SparseCategoricalCrossentropy(), mine, dtype="float32")
    theirs = Theirs(modules, cross_entropy, ours.first, make, dtype=torch.float32)
    assert {array.dtype for array in ours.weights()} == {np.dtype("float32")}
    assert {place.dtype for place in theirs.weights()} == {torch.float32}
    rows = [(peers.inputs(50, 45, seed).astype("f4"), peers.labels(50, 10, seed + 1)) for seed in range(0, 100, 10)]
    train(f"float32, {name}", ours, theirs, rows, tolerance=1e-4, convention=convention)
