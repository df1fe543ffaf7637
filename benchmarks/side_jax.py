"""JAX: a jitted step a call, and a whole epoch in one `lax.scan`; the arithmetic is written out as fusednet does it."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
from typing import Any

import numpy as np

from fusednet.benchmarks import nets
from fusednet.benchmarks.nets import Net

_CALLS = 32  # calls before their results are waited for

jax: Any = None  # imported in the worker: this module can be read without it


def limit(threads: int) -> None:
    """Keep XLA, which sizes its pool by the processors that it may use, to so many: before jax is imported."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # cuda,cpu for the group `device`
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # which leaves no room for the other sides
    usable = sorted(os.sched_getaffinity(0))
    if threads < len(usable):
        os.sched_setaffinity(0, usable[-threads:])
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()


def start(threads: int) -> None:
    global jax
    limit(threads)
    jax = importlib.import_module("jax")


def versions() -> dict[str, str]:
    return {"jax": str(jax.__version__)}


def product(net: Net, x: Any, w: Any) -> Any:
    """Of float32; "medium" is of bfloat16, as torch's autocast has it."""
    if net.precision == "medium":
        return (x.astype(jax.numpy.bfloat16) @ w.astype(jax.numpy.bfloat16)).astype(jax.numpy.float32)
    return jax.numpy.matmul(x, w, precision="highest")  # its default on a GPU has 10 bits


def forward(net: Net, parameters: list[Any], moving: list[Any], x: Any, training: bool) -> tuple[Any, list[Any]]:
    """Logits, and the moving statistics after the batch."""
    numpy, kept, taken, stats = jax.numpy, [], iter(parameters), iter(moving)
    function = {"elu": jax.nn.elu, "tanh": numpy.tanh}[net.activation]
    for number in range(1, len(net.widths)):
        x = product(net, x, next(taken)) + next(taken)
        if number == len(net.widths) - 1:
            break
        if net.batchnorm:
            mean, variance = next(stats), next(stats)
            if training:
                now, spread = numpy.mean(x, 0), numpy.var(x, 0)
                kept += [nets.MOMENTUM * mean + (1 - nets.MOMENTUM) * now]
                kept += [nets.MOMENTUM * variance + (1 - nets.MOMENTUM) * spread]
                mean, variance = now, spread
            x = (x - mean) * jax.lax.rsqrt(variance + nets.EPSILON) * next(taken) + next(taken)
        x = function(x)
    return x, kept


def split(net: Net) -> tuple[list[Any], list[Any]]:
    """First weights: what is trained, and the moving statistics."""
    parameters: list[Any] = []
    moving: list[Any] = []
    arrays = iter(nets.weights(net))
    for number in range(1, len(net.widths)):
        parameters += [next(arrays), next(arrays)]
        if net.batchnorm and number < len(net.widths) - 1:
            parameters += [next(arrays), next(arrays)]
            moving += [next(arrays), next(arrays)]
    return [jax.numpy.asarray(a) for a in parameters], [jax.numpy.asarray(a) for a in moving]


def step(net: Net, state: Any, batch: Any) -> tuple[Any, Any]:
    """One step of training: the state after it, and the loss before it."""
    numpy = jax.numpy
    parameters, moving, slots, count = state
    x, y = batch

    def cost(parameters: Any) -> tuple[Any, Any]:
        logits, kept = forward(net, parameters, moving, x, training=True)
        logs = jax.nn.log_softmax(logits)
        return -numpy.mean(numpy.take_along_axis(logs, y[:, None], 1)), kept

    (loss, moving), gradients = jax.value_and_grad(cost, has_aux=True)(parameters)
    if net.clip == "norm":
        norm = numpy.sqrt(sum(numpy.sum(g * g) for g in gradients))
        scale = numpy.minimum(1.0, nets.CLIP_NORM / norm)
        gradients = [g * scale for g in gradients]
    elif net.clip == "value":
        gradients = [numpy.clip(g, -nets.CLIP_VALUE, nets.CLIP_VALUE) for g in gradients]
    count, rate = count + 1, nets.RATE[net.optimizer]
    if net.optimizer == "sgd":
        return ([w - rate * g for w, g in zip(parameters, gradients, strict=True)], moving, slots, count), loss
    size = rate * numpy.sqrt(1 - nets.BETA_2**count) / (1 - nets.BETA_1**count)
    first = [nets.BETA_1 * m + (1 - nets.BETA_1) * g for m, g in zip(slots[0], gradients, strict=True)]
    second = [nets.BETA_2 * v + (1 - nets.BETA_2) * g * g for v, g in zip(slots[1], gradients, strict=True)]
    moments = zip(parameters, first, second, strict=True)
    parameters = [w - size * m / (numpy.sqrt(v) + nets.ADAM_EPSILON) for w, m, v in moments]
    return (parameters, moving, (first, second), count), loss


class Step:
    """A jitted call a step, the state's memory reused; ready-made batches."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.net = nets.of_work(work)
        self.device = jax.devices(self.net.device)[0]
        self.step = jax.jit(functools.partial(step, self.net), donate_argnums=0)
        self.state: Any = None
        self._take(nets.batches(self.net))
        self._restart()

    def results(self) -> list[float]:
        losses = []
        for x, y in nets.checked_batches(self.net):
            self.state, loss = self.step(self.state, jax.device_put((x, y), self.device))
            losses.append(float(loss))
        self._restart()
        return losses

    def run(self) -> object:
        for batch in itertools.islice(self.next, self.units):
            self.state, _ = self.step(self.state, batch)
        return jax.block_until_ready(self.state)

    def _take(self, batches: list[tuple[Any, Any]]) -> None:
        self.batches = jax.device_put(batches, self.device)
        self.units = min(len(self.batches), _CALLS)
        self.next = itertools.cycle(self.batches)

    def _restart(self) -> None:
        parameters, moving = split(self.net)
        slots: Any = ()
        if self.net.optimizer == "adam":
            slots = [jax.numpy.zeros_like(w) for w in parameters], [jax.numpy.zeros_like(w) for w in parameters]
        self.state = jax.device_put((parameters, moving, slots, jax.numpy.float32(0)), self.device)


class Scan(Step):
    """An epoch of ready-made batches in one jitted `lax.scan`."""

    def __init__(self, work: dict[str, Any]) -> None:
        super().__init__(work)
        one = functools.partial(step, self.net)
        self.epoch = jax.jit(lambda state, data: jax.lax.scan(one, state, data), donate_argnums=0)

    def _take(self, batches: list[tuple[Any, Any]]) -> None:
        self.units = len(batches)
        self.stacked = jax.device_put(tuple(np.stack(part) for part in zip(*batches, strict=True)), self.device)

    def run(self) -> object:
        self.state, losses = self.epoch(self.state, self.stacked)
        return jax.block_until_ready((self.state, losses))


class Inference:
    """A jitted forward pass, from and to NumPy arrays."""

    units = 1

    def __init__(self, work: dict[str, Any]) -> None:
        net = nets.of_work(work)
        self.state = split(net)
        self.forward = jax.jit(lambda p, m, x: jax.nn.softmax(forward(net, p, m, x, training=False)[0]))
        self.x = nets.data(net, 1)[0]

    def results(self) -> list[float]:
        return [float(value) for value in self.run()[:10].ravel()]

    def run(self) -> Any:
        return np.asarray(self.forward(*self.state, self.x))


TASKS: dict[str, Any] = {"step": Step, "scan": Scan, "inference": Inference}
