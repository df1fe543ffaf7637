"""Time each row of the catalogue by itself: `fusednet.ops` on one thread against torch's operator, in turn.

One line a row: nanoseconds an element, and torch's time over fusednet's where torch has the operator. What both compute
is compared first. Run it as

    python benchmarks/catalogue_rows.py --kind activation
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import fusednet as fn
from fusednet import _native, ops

SHAPE = (256, 1024)
Work = Callable[[], object]

TORCH_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "relu6": F.relu6,
    "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish,
    "exponential": torch.exp,
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
}
# name: value and gradient of the loss of each sample, the mean over its features, summed over the samples
TORCH_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mean_squared_error": lambda x, t: F.mse_loss(x, t, reduction="sum") / x.shape[1],
    "mean_absolute_error": lambda x, t: F.l1_loss(x, t, reduction="sum") / x.shape[1],
    "huber": lambda x, t: F.huber_loss(x, t, reduction="sum") / x.shape[1],
    "binary_crossentropy": lambda x, t: F.binary_cross_entropy(x, t, reduction="sum") / x.shape[1],
    "sigmoid_crossentropy": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum") / x.shape[1],
    "softmax_crossentropy": lambda x, t: F.cross_entropy(x, t, reduction="sum"),
}
TORCH_OPTIMIZERS: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, fused=True),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.001, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, alpha=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.001, amsgrad=True, fused=True),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.001),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.001),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=0.001),
}


def interleaved(ours: Work, theirs: Work | None, rounds: int) -> tuple[float, list[float]]:
    """Seconds of ours (median of rounds), and the ratios of theirs to ours, round by round."""

    def once(work: Work) -> float:
        count = 1
        while True:
            start = time.perf_counter()
            for _ in range(count):
                work()
            seconds = time.perf_counter() - start
            if seconds > 2e-3:
                return seconds / count
            count *= 2

    for work in (ours, theirs):
        if work is not None:
            work()
    times, ratios = [], []
    for _ in range(rounds):
        times.append(once(ours))
        if theirs is not None:
            ratios.append(once(theirs) / times[-1])
    return statistics.median(times), ratios


def close(name: str, got: np.ndarray, want: torch.Tensor) -> None:
    error = np.abs(got - want.detach().numpy()).max()
    if not error < 1e-4 * max(1.0, float(want.detach().abs().max())):
        raise SystemExit(f"{name}: fusednet and torch differ by {error:g}")


def activations() -> dict[str, tuple[Work, Work | None]]:
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    dy, out, plain = np.ones_like(x), np.empty_like(x), torch.from_numpy(x)
    found: dict[str, tuple[Work, Work | None]] = {}
    for row in _native.activation_rows():
        name, theirs = row["name"], TORCH_ACTIVATIONS.get(row["name"])
        slope = {} if row["slope"] == "none" else {"slope": np.full(SHAPE[1], 0.25, np.float32)}
        y = ops.activation_forward(x, name, **slope)
        saved = y if row["from_output"] else x
        backward: Work | None = None
        forward: Work | None = None
        if theirs is not None:
            given = torch.from_numpy(x).clone().requires_grad_()
            result = theirs(given)
            close(name, y, result)
            forward = lambda f=theirs: f(plain)  # noqa: E731
            cotangent = torch.from_numpy(dy)
            backward = lambda r=result, g=given, d=cotangent: torch.autograd.grad(r, g, d, retain_graph=True)  # noqa: E731
        found[f"{name} forward"] = (lambda n=name, s=slope: ops.activation_forward(x, n, out=out, **s), forward)
        found[f"{name} backward"] = (
            lambda n=name, s=slope, v=saved: ops.activation_backward(dy, v, n, out=out, **s),
            backward,
        )
    return found


def noises() -> dict[str, tuple[Work, Work | None]]:
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    out, given = np.empty_like(x), torch.from_numpy(x)
    theirs: dict[str, Work] = {
        "dropout": lambda: F.dropout(given, 0.5),
        "alpha_dropout": lambda: F.alpha_dropout(given, 0.5, training=True),
        "gaussian_noise": lambda: given + 0.1 * torch.randn_like(given),
    }
    return {
        row["name"]: (lambda n=row["name"]: ops.noise_forward(x, n, seed=1, out=out), theirs.get(row["name"]))
        for row in _native.noise_rows()
    }


def losses() -> dict[str, tuple[Work, Work | None]]:
    generator = np.random.default_rng(0)
    x = generator.uniform(0.05, 0.95, SHAPE).astype(np.float32)
    t = generator.uniform(0.05, 0.95, SHAPE).astype(np.float32)
    t /= t.sum(axis=1, keepdims=True)
    dx = np.empty_like(x)
    found: dict[str, tuple[Work, Work | None]] = {}
    for row in _native.loss_rows():
        name, function = row["name"], TORCH_LOSSES.get(row["name"])
        theirs: Work | None = None
        if function is not None:
            given, wanted = torch.from_numpy(x).clone().requires_grad_(), torch.from_numpy(t)
            ops.loss(name, x, t, dx=dx)
            close(name, dx, torch.autograd.grad(function(given, wanted), given)[0])
            theirs = lambda f=function, g=given, w=wanted: torch.autograd.grad(f(g, w), g)  # noqa: E731
        found[f"{name}, gradient"] = (lambda n=name: ops.loss(n, x, t, dx=dx), theirs)
    return found


def optimizers() -> dict[str, tuple[Work, Work | None]]:
    generator = np.random.default_rng(0)
    found: dict[str, tuple[Work, Work | None]] = {}
    for row in _native.optimizer_rows():
        name, make = row["name"], TORCH_OPTIMIZERS.get(row["name"])
        w = generator.normal(size=SHAPE[0] * SHAPE[1]).astype(np.float32)
        g = generator.normal(size=w.size).astype(np.float32)
        slots = ops.optimizer_slots(name, w)
        theirs: Work | None = None
        if make is not None:
            parameter = torch.nn.Parameter(torch.from_numpy(w).clone())
            parameter.grad = torch.from_numpy(g)
            theirs = make([parameter]).step
        update = getattr(ops, f"{name}_update")
        found[f"{name} update"] = (lambda u=update, w=w, g=g, s=slots: u(w, g, *s, step=3), theirs)
    return found


KINDS = {"activation": activations, "noise": noises, "loss": losses, "optimizer": optimizers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    fn.set_num_threads(1)
    torch.set_num_threads(1)
    elements = SHAPE[0] * SHAPE[1]
    kernels = _native.isa_info()["used"]
    print(f"{SHAPE[0]} x {SHAPE[1]} float32, one thread, kernels {kernels}, torch {torch.__version__}")
    print(f"{'row':<42} {'ns/element':>10} {'torch / fusednet (min - max)':>30}")
    results = []
    for kind in options.kind or KINDS:
        for name, (ours, theirs) in KINDS[kind]().items():
            seconds, ratios = interleaved(ours, theirs, options.rounds)
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})" if ratios else "-"
            print(f"{name:<42} {1e9 * seconds / elements:>10.3f} {ratio:>30}")
            results.append({"kind": kind, "row": name, "ns_per_element": 1e9 * seconds / elements, "ratios": ratios})
    if options.json:
        about = {"machine": platform.machine(), "isa": kernels, "torch": torch.__version__}
        options.json.write_text(json.dumps({**about, "shape": SHAPE, "threads": 1, "rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
