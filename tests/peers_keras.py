"""Keras's side of a comparison; importing it skips the module where Keras is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import fusednet
import peers

keras = peers.keras()
import jax  # noqa: E402  (after it is known to be there)

PEER = "Keras"
Make = Callable[[Any], Any]  # from a namespace, ours or Keras's, to layers, a loss or an optimizer


class Theirs:
    """A Keras model, trained with its own loss, penalties, optimizer and constraints.

    Operation by operation, which takes less time for a few steps than compilation, unless `compiled` says otherwise.
    """

    def __init__(self, layers: Iterable[Any], shape: Sequence[int], loss: Any, *, compiled: bool = False) -> None:
        self.model = keras.Sequential([keras.Input(tuple(shape)), *layers])
        self.loss = loss
        self.optimizer: Any = None
        self.compiled_update = False
        self.gradient_of = jax.value_and_grad(self._total, has_aux=True)
        if compiled:
            self.gradient_of = jax.jit(self.gradient_of)

    def _total(self, trainable: list[Any], fixed: list[Any], x: Any, y: Any, weight: Any) -> Any:
        out, fixed, penalties = self.model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
        return self.loss(y, out, sample_weight=weight) + sum(penalties), fixed

    def value_and_gradients(self, batch: Sequence[np.ndarray | None]) -> tuple[float, list[Any], list[Any]]:
        """The loss with its penalties, its gradients, and what the layers make of their other arrays."""
        x, y, weight = (*batch, None)[:3]
        trainable = [variable.value for variable in self.model.trainable_variables]
        fixed = [variable.value for variable in self.model.non_trainable_variables]
        (value, fixed), gradients = self.gradient_of(trainable, fixed, x, y, weight)
        return float(value), gradients, fixed

    def steps(self, batches: Iterable[Sequence[np.ndarray]]) -> list[float]:
        values = []
        update = self._compiled_update() if self.compiled_update else self.optimizer.apply
        for batch in batches:
            value, gradients, fixed = self.value_and_gradients(batch)
            update(gradients, self.model.trainable_variables)
            assign(self.model.non_trainable_variables, fixed)
            values.append(value)
        return values

    def _compiled_update(self) -> Callable[[list[Any], list[Any]], None]:
        self.optimizer.build(self.model.trainable_variables)
        apply = jax.jit(self.optimizer.stateless_apply)

        def update(gradients: list[Any], variables: list[Any]) -> None:
            state = [variable.value for variable in self.optimizer.variables]
            weights, state = apply(state, gradients, [variable.value for variable in variables])
            assign(variables, weights)
            assign(self.optimizer.variables, state)

        return update

    def weights(self) -> list[Any]:
        return [variable.value for variable in self.model.weights]


def assign(variables: Iterable[Any], values: Iterable[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


_REUSED: dict[tuple[Make, Make], Theirs] = {}


def mean_squared(k: Any) -> Any:
    return k.losses.MeanSquaredError()


def pair(
    stack: Make,
    shape: Sequence[int],
    loss: Make = mean_squared,
    optimizer: Make | None = None,
    *,
    reuse: bool = False,
    compiled_update: bool = False,
) -> tuple[peers.Ours, Theirs]:
    """The same model on both sides, with the same weights.

    Args:
        stack, loss, optimizer: of a namespace, ours or Keras's; without an optimizer it is SGD(0.02).
        shape: of a sample.
        reuse: Keras's gradients of this stack and loss are compiled, once for all tests.
        compiled_update: Keras's updates are compiled, which pays where they hold conditions.
    """
    optimizer = optimizer or (lambda k: k.optimizers.SGD(0.02))
    ours = peers.Ours(stack(fusednet), shape, loss(fusednet), optimizer(fusednet))
    theirs = _REUSED.get((stack, loss)) or Theirs(stack(keras), shape, loss(keras), compiled=reuse)
    if reuse:
        _REUSED[stack, loss] = theirs
    theirs.optimizer, theirs.compiled_update = optimizer(keras), compiled_update
    theirs.model.set_weights(ours.first)
    return ours, theirs


def train(
    subject: str,
    ours: peers.Ours,
    theirs: Theirs,
    batches: Sequence[tuple[np.ndarray, ...]],
    *,
    convention: str = "",
) -> None:
    """Gradients and outputs of the first batch, then the losses of all steps and the weights after them."""
    first = batches[0]
    x = first[0]
    peers.agree(
        f"{subject}: outputs", PEER, ours.model.predict(x), theirs.model(x, training=False), convention=convention
    )
    if ours.first:
        gradients = theirs.value_and_gradients(first)[1]
        peers.agree(f"{subject}: gradients", PEER, ours.gradients(*first), gradients, convention=convention)
    got, want = ours.steps(batches), theirs.steps(batches)
    after = [*got, *ours.weights(), ours.model.predict(x)]
    expected = [*want, *theirs.weights(), theirs.model(x, training=False)]
    peers.agree(f"{subject}: {len(batches)} steps", PEER, after, expected, convention=convention)
    ours.moved()
