"""PyTorch's operators on the same arrays as our kernels; backward passes by `torch.autograd.grad`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from fusednet.benchmarks import kernel_data, nets


class _Torch:
    """torch, imported where it is first needed: this module can be read without it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch"), name)


torch = _Torch()


def _functions() -> Any:
    return importlib.import_module("torch.nn.functional")


def _activation(name: str) -> Any:
    F = _functions()
    known = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "hard_sigmoid": F.hardsigmoid,
        "hard_silu": F.hardswish,
        "exponential": torch.exp,
        "softmax": lambda x: F.softmax(x, -1),
        "log_softmax": lambda x: F.log_softmax(x, -1),
        "linear": torch.clone,
    }
    same = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign", "relu6")
    known |= {row: getattr(F, row) for row in same}
    if name not in known:
        raise LookupError(f"no counterpart to {name} is known")
    return known[name]


def _into(name: str) -> Any:
    """The same written to a given tensor, or None where torch's operator has no such form."""
    aten = torch.ops.aten
    known = {
        "sigmoid": aten.sigmoid.out,
        "tanh": aten.tanh.out,
        "relu": lambda x, out: aten.clamp_min.out(x, 0, out=out),
        "leaky_relu": aten.leaky_relu.out,
        "elu": aten.elu.out,
        "gelu": aten.gelu.out,
        "silu": aten.silu.out,
        "mish": aten.mish.out,
        "softplus": aten.softplus.out,
        "relu6": lambda x, out: aten.hardtanh.out(x, 0, 6, out=out),
        "hard_sigmoid": aten.hardsigmoid.out,
        "hard_silu": aten.hardswish.out,
        "exponential": aten.exp.out,
        "linear": lambda x, out: out.copy_(x),
    }
    return known.get(name)


def _loss(name: str) -> Any:
    """The sum over the samples of the mean over their features; of cross-entropies over classes, the sum."""
    F = _functions()
    known = {
        "mean_squared_error": lambda x, t: F.mse_loss(x, t, reduction="sum") / x.shape[1],
        "mean_absolute_error": lambda x, t: F.l1_loss(x, t, reduction="sum") / x.shape[1],
        "huber": lambda x, t: F.huber_loss(x, t, reduction="sum") / x.shape[1],
        "binary_crossentropy": lambda x, t: F.binary_cross_entropy(x, t, reduction="sum") / x.shape[1],
        "sigmoid_crossentropy": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum") / x.shape[1],
        "softmax_crossentropy": lambda x, t: F.cross_entropy(x, t, reduction="sum"),
    }
    if name not in known:
        raise LookupError(f"no counterpart to {name} is known")
    return known[name]


def _optimizer(name: str, parameters: list[Any]) -> Any:
    """With our defaults; fused where torch has that. Epsilon may be elsewhere in the formula."""
    o, eps = torch.optim, kernel_data.epsilon(name)
    known = {
        "sgd": lambda p: o.SGD(p, 0.01, fused=True),
        "sgd_momentum": lambda p: o.SGD(p, 0.01, momentum=0.9, fused=True),
        "sgd_nesterov": lambda p: o.SGD(p, 0.01, momentum=0.9, nesterov=True, fused=True),
        "adagrad": lambda p: o.Adagrad(p, 0.001, initial_accumulator_value=0.1, eps=eps, fused=True),
        "rmsprop": lambda p: o.RMSprop(p, 0.001, alpha=0.9, eps=eps, foreach=True),
        "rmsprop_momentum": lambda p: o.RMSprop(p, 0.001, alpha=0.9, eps=eps, momentum=0.9, foreach=True),
        "rmsprop_centered": lambda p: o.RMSprop(p, 0.001, alpha=0.9, eps=eps, centered=True, foreach=True),
        "adam": lambda p: o.Adam(p, 0.001, eps=eps, fused=True),
        "amsgrad": lambda p: o.Adam(p, 0.001, eps=eps, amsgrad=True, fused=True),
        "nadam": lambda p: o.NAdam(p, 0.001, eps=eps, momentum_decay=1.0, foreach=True),
        "adamax": lambda p: o.Adamax(p, 0.001, eps=eps, foreach=True),
        "adadelta": lambda p: o.Adadelta(p, 0.001, rho=0.95, eps=eps, foreach=True),
    }
    if name not in known:
        raise LookupError(f"no counterpart to {name} is known")
    make: Callable[[list[Any]], Any] = known[name]
    return make(parameters)


def put(work: dict[str, Any], values: Any) -> Any:
    """On the device that the work names, or the host."""
    return torch.from_numpy(values).to(work.get("device", "cpu"))


def wait(work: dict[str, Any]) -> None:
    if "device" in work:
        torch.cuda.synchronize()


class Kernel:
    """Calls of one operator on the same tensors."""

    units = 1

    def results(self) -> list[float]:
        return kernel_data.sample(self.run().detach())

    def run(self) -> Any:
        raise NotImplementedError


class Gemm(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        self.work = work
        if "device" in work:
            torch.set_float32_matmul_precision("highest")  # no TF32
        shapes = (work["m"], work["k"]), (work["k"], work["n"])
        self.a, self.b = (put(work, kernel_data.normal(shape, i)) for i, shape in enumerate(shapes))
        self.out = torch.empty(work["m"], work["n"], device=work.get("device", "cpu"))

    def run(self) -> Any:
        torch.mm(self.a, self.b, out=self.out)
        wait(self.work)
        return self.out


class BatchNorm(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        self.work, shape = work, (work["rows"], work["columns"])
        self.x, self.dy = (put(work, kernel_data.normal(shape, i)) for i in (0, 1))
        self.gamma, self.beta = (put(work, 1.0 + 0.1 * kernel_data.normal(shape[1], i)) for i in (2, 3))
        self.given = [tensor.requires_grad_() for tensor in (self.x, self.gamma, self.beta)]
        self.moving = torch.zeros_like(self.beta), torch.ones_like(self.beta)

    def results(self) -> list[float]:
        y, gradients = self.run()
        return kernel_data.sample(y.detach(), *gradients)

    def run(self) -> Any:
        F = _functions()
        x, gamma, beta = self.given
        y = F.elu(F.batch_norm(x, *self.moving, gamma, beta, True, 1 - nets.MOMENTUM, nets.EPSILON))
        gradients = torch.autograd.grad(y, self.given, self.dy)
        wait(self.work)
        return y, gradients


class Activation(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        self.x = torch.from_numpy(kernel_data.normal(kernel_data.shape(work["elements"]), 0))
        self.given = [self.x]
        if work["name"] == "prelu":
            slope = torch.full((self.x.shape[1],), 0.25)
            self.given.append(slope)
            self.function: Any = lambda x: _functions().prelu(x, slope)
        else:
            self.function = _activation(work["name"])
        self.dy: Any = None
        self.into = _into(work["name"])
        self.out = torch.empty_like(self.x)
        if work["backward"]:
            self.dy = torch.from_numpy(kernel_data.normal(tuple(self.x.shape), 1))
            for tensor in self.given:
                tensor.requires_grad_()
            self.y = self.function(self.x)

    def run(self) -> Any:
        if self.dy is None:
            return self.function(self.x) if self.into is None else self.into(self.x, out=self.out)
        return torch.autograd.grad(self.y, self.given, self.dy, retain_graph=True)[0]


class Noise(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        F = _functions()
        known = {
            "dropout": lambda x: F.dropout(x, 0.5),
            "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
            "gaussian_noise": lambda x: x + 0.1 * torch.randn_like(x),
            "gaussian_dropout": lambda x: x * (1.0 + torch.randn_like(x)),
        }
        if work["name"] not in known:
            raise LookupError(f"no counterpart to {work['name']} is known")
        self.function: Callable[[Any], Any] = known[work["name"]]
        self.x = torch.from_numpy(kernel_data.normal(kernel_data.shape(work["elements"]), 0))

    def results(self) -> list[float]:
        return []

    def run(self) -> Any:
        return self.function(self.x)


class Loss(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        self.function, shape = _loss(work["name"]), kernel_data.shape(work["elements"])
        self.x = torch.from_numpy(kernel_data.fractions(shape, 0)).requires_grad_()
        self.target = torch.from_numpy(kernel_data.fractions(shape, 1))

    def run(self) -> Any:
        return torch.autograd.grad(self.function(self.x, self.target), self.x)[0]


class Optimizer(Kernel):
    def __init__(self, work: dict[str, Any]) -> None:
        weights, gradients = kernel_data.tensors(work)
        self.work = work
        self.parameters = [torch.nn.Parameter(put(work, w)) for w in weights]
        for parameter, g in zip(self.parameters, gradients, strict=True):
            parameter.grad = put(work, g)
        self.optimizer = self._make(work)

    def _make(self, work: dict[str, Any]) -> Any:
        return _optimizer(work["name"], self.parameters)

    def results(self) -> list[float]:
        before = [parameter.detach().clone() for parameter in self.parameters]
        self.run()
        return kernel_data.moved(before, [parameter.detach() for parameter in self.parameters])

    def run(self) -> Any:
        return self.optimizer.step()


class ClippedAdam(Optimizer):
    def _make(self, work: dict[str, Any]) -> Any:
        return torch.optim.Adam(self.parameters, 0.001, eps=kernel_data.EPSILON, fused=True)

    def run(self) -> Any:
        torch.nn.utils.clip_grad_norm_(self.parameters, nets.CLIP_NORM)
        self.optimizer.step()
        wait(self.work)


class DeviceCopy(Kernel):
    """torch's copy from one tensor to another."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.work, self.x = work, torch.zeros(work["elements"], device=work["device"])
        self.out = torch.zeros_like(self.x)

    def results(self) -> list[float]:
        return []

    def run(self) -> Any:
        self.out.copy_(self.x)
        wait(self.work)


KERNELS: dict[str, Any] = {
    "gemm": Gemm,
    "batchnorm": BatchNorm,
    "activation": Activation,
    "noise": Noise,
    "loss": Loss,
    "optimizer": Optimizer,
    "clipped adam": ClippedAdam,
    "device copy": DeviceCopy,
}
