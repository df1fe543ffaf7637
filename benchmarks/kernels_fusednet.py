"""Kernels by `fusednet.ops`, their outputs given, and what memory allows."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import fusednet
from fusednet import _native, ops
from fusednet.benchmarks import kernel_data, nets

_SLOPED = {row["name"] for row in _native.activation_rows() if row["slope"] != "none"}
_SHARED = 1 << 18  # elements from which a copy is worth more than one thread


def put(work: dict[str, Any], values: Any) -> Any:
    """On the device that the work names, or as it is."""
    return fusednet.device_array(values, work["device"]) if "device" in work else values


class Kernel:
    """Calls of one kernel on the same arrays."""

    units = 1

    def results(self) -> list[float]:
        raise NotImplementedError

    def run(self) -> object:
        raise NotImplementedError


class Gemm(Kernel):
    """a (m, k) times b (k, n), of float32."""

    def __init__(self, work: dict[str, Any]) -> None:
        shapes = (work["m"], work["k"]), (work["k"], work["n"])
        self.a, self.b = (put(work, kernel_data.normal(shape, i)) for i, shape in enumerate(shapes))
        self.out = put(work, np.empty((work["m"], work["n"]), np.float32))

    def results(self) -> list[float]:
        self.run()
        return kernel_data.sample(self.out)

    def run(self) -> object:
        return ops.gemm(self.a, self.b, out=self.out)


class BatchNorm(Kernel):
    """BatchNorm and ELU, forward and backward."""

    def __init__(self, work: dict[str, Any]) -> None:
        shape = work["rows"], work["columns"]
        self.x, self.dy = (put(work, kernel_data.normal(shape, i)) for i in (0, 1))
        self.gamma, self.beta = (put(work, 1.0 + 0.1 * kernel_data.normal(shape[1], i)) for i in (2, 3))
        self.y, self.dx = (put(work, np.empty(shape, np.float32)) for _ in range(2))

    def results(self) -> list[float]:
        return kernel_data.sample(self.y, *self.run())

    def run(self) -> Any:
        affine = self.gamma, self.beta, nets.EPSILON, "elu"
        _, mean, variance = ops.batchnorm_forward(self.x, *affine, out=self.y)
        return ops.batchnorm_backward(self.dy, self.x, self.y, mean, variance, *affine, out=self.dx)


class Activation(Kernel):
    """One activation, forward or backward."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.name, self.backward = work["name"], work["backward"]
        self.x = kernel_data.normal(kernel_data.shape(work["elements"]), 0)
        self.dy = kernel_data.normal(self.x.shape, 1) if self.backward else self.x
        self.out = np.empty_like(self.x)
        self.options: dict[str, Any] = {}
        if self.name in _SLOPED:
            self.options["slope"] = np.full(self.x.shape[1], 0.25, np.float32)
        self.saved = self.x
        if self.backward and ops.saves_output(self.name):
            self.saved = ops.activation_forward(self.x, self.name, **self.options)

    def results(self) -> list[float]:
        self.run()
        return kernel_data.sample(self.out)

    def run(self) -> object:
        if self.backward:
            return ops.activation_backward(self.dy, self.saved, self.name, out=self.out, **self.options)
        return ops.activation_forward(self.x, self.name, out=self.out, **self.options)


class Noise(Kernel):
    """One random layer, forward; what it draws is its own."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.name = work["name"]
        self.x = kernel_data.normal(kernel_data.shape(work["elements"]), 0)
        self.out = np.empty_like(self.x)

    def results(self) -> list[float]:
        return []

    def run(self) -> object:
        return ops.noise_forward(self.x, self.name, seed=1, out=self.out)


class Loss(Kernel):
    """The sum of a loss and its gradient."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.name, shape = work["name"], kernel_data.shape(work["elements"])
        self.x, self.target = kernel_data.fractions(shape, 0), kernel_data.fractions(shape, 1)
        self.dx = np.empty_like(self.x)

    def results(self) -> list[float]:
        self.run()
        return kernel_data.sample(self.dx)

    def run(self) -> object:
        return ops.loss(self.name, self.x, self.target, dx=self.dx)


class Optimizer(Kernel):
    """One update of one array."""

    def __init__(self, work: dict[str, Any]) -> None:
        (self.w,), (self.g,) = kernel_data.tensors(work)
        self.slots = ops.optimizer_slots(work["name"], self.w)
        update = getattr(ops, f"{work['name']}_update")
        known = next(dict(row["hyper"]) for row in _native.optimizer_rows() if row["name"] == work["name"])
        options = {"epsilon": kernel_data.epsilon(work["name"])} if "epsilon" in known else {}
        self.update = functools.partial(update, self.w, self.g, *self.slots, **options)

    def results(self) -> list[float]:
        before = self.w.copy()
        self.update(step=1)
        return kernel_data.moved([before], [self.w])

    def run(self) -> object:
        return self.update(step=3)


class ClippedAdam(Kernel):
    """Global norm of all gradients, then Adam with the clipped ones."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.w, self.g = ([put(work, a) for a in arrays] for arrays in kernel_data.tensors(work))
        self.slots = [ops.optimizer_slots("adam", w) for w in self.w]

    def results(self) -> list[float]:
        before = [np.array(kernel_data.on_host(w)) for w in self.w]
        self._step(1)
        return kernel_data.moved(before, self.w)

    def run(self) -> object:
        self._step(3)
        return None

    def _step(self, step: int) -> None:
        scale = min(1.0, nets.CLIP_NORM / ops.global_norm(self.g))
        for w, g, slots in zip(self.w, self.g, self.slots, strict=True):
            ops.adam_update(w, g, *slots, step=step, scale=scale, epsilon=kernel_data.EPSILON)


class Copy(Kernel):
    """What memory allows: NumPy's copy of parts of an array, each in a thread of its own."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.x = kernel_data.normal(work["elements"], 0)
        self.out = np.empty_like(self.x)
        threads = fusednet.get_num_threads() if self.x.size >= _SHARED else 1
        self.parts = list(zip(np.array_split(self.out, threads), np.array_split(self.x, threads), strict=True))
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def results(self) -> list[float]:
        return []

    def run(self) -> object:
        if self.pool is None:
            np.copyto(*self.parts[0])
            return None
        return list(self.pool.map(lambda part: np.copyto(*part), self.parts))


class DeviceCopy(Kernel):
    """What a device's memory allows: our kernel that reads an array and writes it to another."""

    def __init__(self, work: dict[str, Any]) -> None:
        values = np.zeros((1, work["elements"]), np.float32)
        self.x, self.out = put(work, values), put(work, values)

    def results(self) -> list[float]:
        return []

    def run(self) -> object:
        return ops.scaled_add(None, self.x, out=self.out)


KERNELS: dict[str, Any] = {
    "gemm": Gemm,
    "batchnorm": BatchNorm,
    "activation": Activation,
    "noise": Noise,
    "loss": Loss,
    "optimizer": Optimizer,
    "clipped adam": ClippedAdam,
    "copy": Copy,
    "device copy": DeviceCopy,
}
