"""PyTorch's side of a comparison; importing it skips the module where PyTorch is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import peers

torch = peers.torch()
nn = torch.nn

PEER = "PyTorch"
RATE = 0.02


class Function(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, *branch: Any) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Any) -> Any:
        return x + self.branch(x)


def tensor(value: np.ndarray, dtype: Any = None) -> Any:
    """Integers stay what they are, all others have the model's type."""
    found = torch.from_numpy(np.ascontiguousarray(value))
    return found if not found.is_floating_point() else found.to(dtype or torch.float64)


class Theirs:
    """A PyTorch model and its training loop.

    Args:
        modules: in order; their arrays are those of our layers, in our order.
        loss: of the output and the targets.
        optimizer: of the parameters; without it, it is SGD(0.02).
        first: our arrays to begin with.
        before_step, after_step: of the parameters; what a loop does beside the optimizer's own step.
        accumulated: batches an update, whose mean gradient counts.
    """

    def __init__(
        self,
        modules: Iterable[Any],
        loss: Callable[[Any, Any], Any],
        first: Sequence[np.ndarray],
        optimizer: Callable[[list[Any]], Any] | None = None,
        *,
        before_step: Callable[[list[Any]], object] | None = None,
        after_step: Callable[[list[Any]], object] | None = None,
        accumulated: int = 1,
        dtype: Any = None,
    ) -> None:
        self.dtype = dtype or torch.float64
        self.model = nn.Sequential(*modules).to(self.dtype)
        self.loss, self.before_step, self.after_step = loss, before_step, after_step
        self.accumulated = accumulated
        self.load(first)
        make = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=RATE))
        self.optimizer = make(list(self.model.parameters()))

    def places(self) -> list[tuple[Any, bool]]:
        """Each array with whether ours is its transpose."""
        found = []
        for module in self.model.modules():
            roles = ("weight", "bias", "running_mean", "running_var")
            for role in roles:
                value = getattr(module, role, None)
                if value is not None:
                    found.append((value, isinstance(module, nn.Linear) and role == "weight"))
        return found

    def load(self, arrays: Sequence[np.ndarray]) -> None:
        with torch.no_grad():
            for (place, turned), array in zip(self.places(), arrays, strict=True):
                place.copy_(tensor(array.T if turned else array))

    def weights(self) -> list[Any]:
        return [place.T if turned else place for place, turned in self.places()]

    def gradients(self, batch: Sequence[Any]) -> list[Any]:
        self.optimizer.zero_grad()
        state = [place.detach().clone() for place, _ in self.places()]
        self.value(batch).backward()
        found = [place.grad.T if turned else place.grad for place, turned in self.places() if place.requires_grad]
        found = [gradient.clone() for gradient in found]
        self.optimizer.zero_grad()
        with torch.no_grad():
            for (place, _), before in zip(self.places(), state, strict=True):
                place.copy_(before)  # the moving statistics of BatchNormalization
        return found

    def value(self, batch: Sequence[Any]) -> Any:
        x, *rest = (tensor(part, self.dtype) for part in batch)
        self.model.train()
        return self.loss(self.model(x), *rest)

    def predict(self, x: np.ndarray) -> Any:
        self.model.eval()
        with torch.no_grad():
            return self.model(tensor(x, self.dtype))

    def steps(self, batches: Iterable[Sequence[Any]]) -> list[float]:
        values = []
        parameters = list(self.model.parameters())
        self.optimizer.zero_grad()
        for number, batch in enumerate(batches, 1):
            value = self.value(batch)
            (value / self.accumulated).backward()
            values.append(float(value.detach()))
            if number % self.accumulated == 0:
                if self.before_step is not None:
                    self.before_step(parameters)
                self.optimizer.step()
                self.optimizer.zero_grad()
                if self.after_step is not None:
                    self.after_step(parameters)
        return values


def train(
    subject: str,
    ours: peers.Ours,
    theirs: Theirs,
    batches: Sequence[tuple[np.ndarray, ...]],
    *,
    convention: str = "",
    tolerance: float = peers.TOLERANCE,
    read: Callable[[], list[Any]] | None = None,
) -> None:
    """Outputs and gradients of the first batch, then the losses of all steps and the weights after them.

    `read` gives PyTorch's weights where they are to be mapped first.
    """
    first = batches[0]
    how = {"convention": convention, "tolerance": tolerance}
    peers.agree(f"{subject}: outputs", PEER, ours.model.predict(first[0]), theirs.predict(first[0]), **how)
    if ours.first:
        peers.agree(f"{subject}: gradients", PEER, ours.gradients(*first), theirs.gradients(first), **how)
    got, want = ours.steps(batches), theirs.steps(batches)
    after = (read or theirs.weights)()
    peers.agree(f"{subject}: {len(batches)} steps", PEER, [*got, *ours.weights()], [*want, *after], **how)
    ours.moved()
