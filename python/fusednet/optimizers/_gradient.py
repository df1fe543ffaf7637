"""Optimizers that follow the gradient or its sign, with or without momentum."""

from typing import TYPE_CHECKING

from fusednet.optimizers._base import Optimizer, Options, number

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SGD(Optimizer):
    """Gradient descent, plain, with momentum or with Nesterov's momentum.

    Plain: w = w - learning_rate * g. With momentum: v = momentum * v - learning_rate * g, w = w + v.
    With Nesterov: v as before, w = w + momentum * v - learning_rate * g.

    Args:
        learning_rate: size of a step.
        momentum: in [0, 1]; 0 is plain.
        nesterov: look ahead; without momentum it changes nothing.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Sources: Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013, eq. 3 and 4.

    Example:
        >>> from fusednet.optimizers import SGD
        >>> SGD(0.1, momentum=0.9, clipvalue=1.0)
        SGD(learning_rate=0.1, momentum=0.9, nesterov=False, clipvalue=1.0)
    """

    momentum: float
    nesterov: bool

    def __init__(
        self,
        learning_rate: object = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = {"momentum": number("SGD", "momentum", momentum, most=1.0), "nesterov": bool(nesterov)}
        super().__init__(learning_rate, hyper, weight_decay, options)

    @property
    def row(self) -> str:
        if self.momentum == 0.0:
            return "sgd"
        return "sgd_nesterov" if self.nesterov else "sgd_momentum"


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a momentum.

    w = w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g), then m = beta_2 * m + (1 - beta_2) * g; the sign of 0
    is 0. It wants a learning rate some ten times smaller, and a weight decay larger, than Adam.

    Args:
        learning_rate: size of a step.
        beta_1, beta_2: discounts, in [0, 1].
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Chen et al. 2023, algorithm 2.

    Example:
        >>> from fusednet.optimizers import Lion
        >>> Lion(1e-4, weight_decay=0.1).slots
        ('momentum',)
    """

    beta_1: float
    beta_2: float

    def __init__(
        self,
        learning_rate: object = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = {
            "beta_1": number("Lion", "beta_1", beta_1, most=1.0),
            "beta_2": number("Lion", "beta_2", beta_2, most=1.0),
        }
        super().__init__(learning_rate, hyper, weight_decay, options)

    row = "lion"
