"""PyTorch: an eager loop with its fused optimizer, the same with torch.compile, and its operators."""

from __future__ import annotations

import contextlib
import importlib
import itertools
from typing import Any

from fusednet.benchmarks import nets
from fusednet.benchmarks.kernels_torch import KERNELS
from fusednet.benchmarks.nets import Net

torch: Any = None  # imported in the worker: this module can be read without it


def start(threads: int) -> None:
    global torch
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)


def versions() -> dict[str, str]:
    return {"torch": str(torch.__version__)}


def network(net: Net) -> Any:
    modules: list[Any] = []
    for number, (k, c) in enumerate(itertools.pairwise(net.widths), 1):
        modules.append(torch.nn.Linear(k, c))
        if number == len(net.widths) - 1:
            break
        if net.batchnorm:
            modules.append(torch.nn.BatchNorm1d(c, eps=nets.EPSILON, momentum=1 - nets.MOMENTUM))
        modules.append({"elu": torch.nn.ELU, "tanh": torch.nn.Tanh}[net.activation]())
    return torch.nn.Sequential(*modules)


def set_weights(network: Any, net: Net) -> None:
    arrays = iter(nets.weights(net))
    with torch.no_grad():
        for module in network:
            if isinstance(module, torch.nn.Linear):
                module.weight.copy_(torch.from_numpy(next(arrays)).T)
                module.bias.copy_(torch.from_numpy(next(arrays)))
            elif isinstance(module, torch.nn.BatchNorm1d):
                for place in (module.weight, module.bias, module.running_mean, module.running_var):
                    place.copy_(torch.from_numpy(next(arrays)))


class Step:
    """A step of a loop over ready-made batches; "medium" is bfloat16 by autocast, other precisions are float32."""

    units = 1
    compiled = False
    mode: str | None = None

    def __init__(self, work: dict[str, Any]) -> None:
        self.net = nets.of_work(work)
        if self.compiled:
            torch.compiler.reset()  # else it would take the sizes of a second network for ones that change
        self.model = self._network()
        self.parameters = list(self.model.parameters())
        self.forward = torch.compile(self._loss, mode=self.mode) if self.compiled else self._loss
        self.batches = [self._tensors(x, y) for x, y in nets.batches(self.net)]
        self.next = itertools.cycle(self.batches)
        self._restart()

    def results(self) -> list[float]:
        losses = []
        for number, (x, y) in enumerate(nets.checked_batches(self.net), 1):
            for group in self.optimizer.param_groups if self.net.optimizer == "adam" else ():
                group["eps"] = nets.ADAM_EPSILON / (1 - nets.BETA_2**number) ** 0.5  # ours is beside the root as it is
            losses.append(float(self._step(*self._tensors(x, y)).detach()))
        self._restart()
        return losses

    def run(self) -> object:
        return self._step(*next(self.next))

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward(x, y)
        loss.backward()
        if self.net.clip == "norm":
            torch.nn.utils.clip_grad_norm_(self.parameters, nets.CLIP_NORM)
        elif self.net.clip == "value":
            torch.nn.utils.clip_grad_value_(self.parameters, nets.CLIP_VALUE)
        self.optimizer.step()
        return loss

    def _loss(self, x: Any, y: Any) -> Any:
        low = self.net.precision == "medium"
        with torch.autocast(x.device.type, torch.bfloat16) if low else contextlib.nullcontext():
            outputs = self.model(x)
        return torch.nn.functional.cross_entropy(outputs.float() if low else outputs, y)

    def _network(self) -> Any:
        return network(self.net)

    def _tensors(self, x: Any, y: Any) -> tuple[Any, Any]:
        return torch.from_numpy(x), torch.from_numpy(y).long()

    def _restart(self) -> None:
        set_weights(self.model, self.net)
        rate = nets.RATE[self.net.optimizer]
        if self.net.optimizer == "adam":
            betas = (nets.BETA_1, nets.BETA_2)
            self.optimizer = torch.optim.Adam(self.parameters, rate, betas, eps=nets.ADAM_EPSILON, fused=True)
        else:
            self.optimizer = torch.optim.SGD(self.parameters, rate, fused=True)


class CompiledStep(Step):
    """Forward and backward pass by torch.compile; clipping and the fused optimizer after it."""

    compiled = True


class DeviceStep(Step):
    """An epoch over batches that lie on the device, waited for at its end."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.device = torch.device(work["device"])
        super().__init__(work)
        self.units = len(self.batches)

    def run(self) -> object:
        for x, y in self.batches:
            self._step(x, y)
        return torch.cuda.synchronize(self.device)

    def _network(self) -> Any:
        return network(self.net).to(self.device)

    def _tensors(self, x: Any, y: Any) -> tuple[Any, Any]:
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).long().to(self.device)


class GraphStep(DeviceStep):
    """Forward and backward pass by torch.compile with CUDA graphs; clipping and the fused optimizer after them."""

    compiled = True
    mode = "reduce-overhead"


class Inference:
    """The model in inference mode, from and to NumPy arrays."""

    units = 1

    def __init__(self, work: dict[str, Any]) -> None:
        net = nets.of_work(work)
        self.model = network(net)
        set_weights(self.model, net)
        self.model.eval()
        self.x = nets.data(net, 1)[0]

    def results(self) -> list[float]:
        return [float(value) for value in self.run()[:10].ravel()]

    def run(self) -> Any:
        with torch.inference_mode():
            return torch.softmax(self.model(torch.from_numpy(self.x)), -1).numpy()


TASKS: dict[str, Any] = {
    "step": Step,
    "compiled step": CompiledStep,
    "device step": DeviceStep,
    "graph step": GraphStep,
    "inference": Inference,
    **KERNELS,
}
