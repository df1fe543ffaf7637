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
    """A Keras model, trained with its own loss, penalties, optimizer and constraints, without compilation."""

    def __init__(self, layers: Iterable[Any], shape: Sequence[int], loss: Any, optimizer: Any = None) -> None:
        self.model = keras.Sequential([keras.Input(tuple(shape)), *layers])
        self.loss = loss
        self.optimizer = optimizer

    def value_and_gradients(self, batch: Sequence[np.ndarray | None]) -> tuple[float, list[Any], list[Any]]:
        """The loss with its penalties, its gradients, and what the layers make of their other arrays."""
        x, y, *weight = batch
        model = self.model

        def total(trainable: list[Any]) -> Any:
            fixed = [variable.value for variable in model.non_trainable_variables]
            out, fixed, penalties = model.stateless_call(trainable, fixed, x, training=True, return_losses=True)
            return self.loss(y, out, sample_weight=weight[0] if weight else None) + sum(penalties), fixed

        trainable = [variable.value for variable in model.trainable_variables]
        (value, fixed), gradients = jax.value_and_grad(total, has_aux=True)(trainable)
        return float(value), gradients, fixed

    def steps(self, batches: Iterable[Sequence[np.ndarray]]) -> list[float]:
        values = []
        for batch in batches:
            value, gradients, fixed = self.value_and_gradients(batch)
            self.optimizer.apply(gradients, self.model.trainable_variables)
            for variable, array in zip(self.model.non_trainable_variables, fixed, strict=True):
                variable.assign(array)
            values.append(value)
        return values

    def weights(self) -> list[Any]:
        return [variable.value for variable in self.model.weights]


def mean_squared(k: Any) -> Any:
    return k.losses.MeanSquaredError()


def pair(
    stack: Make, shape: Sequence[int], loss: Any = mean_squared, optimizer: Any = None
) -> tuple[peers.Ours, Theirs]:
    """The same model on both sides, with the same weights. `loss` and `optimizer` are names or made from a namespace.

    Without an optimizer it is SGD(0.02).
    """

    def both(what: Any) -> tuple[Any, Any]:
        return (what(fusednet), what(keras)) if callable(what) else (what, what)

    losses = both(loss)
    optimizers = both(optimizer or (lambda k: k.optimizers.SGD(0.02)))
    ours = peers.Ours(stack(fusednet), shape, losses[0], optimizers[0])
    theirs = Theirs(stack(keras), shape, losses[1], optimizers[1])
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
