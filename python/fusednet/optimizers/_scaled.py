"""Optimizers that divide the gradient by a root of its squares."""

from typing import TYPE_CHECKING

from fusednet.optimizers._base import Optimizer, Options, number, stabilizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RMSprop(Optimizer):
    """Divides the gradient by a moving root mean square of it, or by its moving standard deviation.

    v = rho * v + (1 - rho) * g**2, w = w - learning_rate * g / sqrt(v + epsilon). With momentum,
    m = momentum * m + learning_rate * g / sqrt(v + epsilon), w = w - m. Centred, a = rho * a + (1 - rho) * g and
    max(v - a**2, 0) takes v's place in the root. Epsilon is inside the root, as in Keras.

    Args:
        learning_rate: size of a step.
        rho: discount of the moving averages, in [0, 1].
        momentum: in [0, 1]; 0 is without.
        epsilon: at least 1.2e-38, the smallest normal float32.
        centered: divide by the standard deviation.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Sources: Tieleman & Hinton 2012, lecture 6.5; Graves 2013, eq. 38 to 42 (centred).

    Example:
        >>> from fusednet.optimizers import RMSprop
        >>> RMSprop(momentum=0.9, centered=True).slots
        ('velocity', 'average_gradient', 'momentum')
    """

    rho: float
    momentum: float
    epsilon: float
    centered: bool

    def __init__(
        self,
        learning_rate: object = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = {
            "rho": number("RMSprop", "rho", rho, most=1.0),
            "momentum": number("RMSprop", "momentum", momentum, most=1.0),
            "epsilon": stabilizer("RMSprop", epsilon),
            "centered": bool(centered),
        }
        super().__init__(learning_rate, hyper, weight_decay, options)

    @property
    def row(self) -> str:
        return "rmsprop" + "_centered" * self.centered + "_momentum" * (self.momentum > 0.0)


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares: steps shrink where gradients have been large.

    a = a + g**2, w = w - learning_rate * g / sqrt(a + epsilon). Epsilon is inside the root, as in Keras.

    Args:
        learning_rate: size of a step; the paper's experiments want larger ones, up to 1.
        initial_accumulator_value: of a, at least 0.
        epsilon: at least 1.2e-38, the smallest normal float32.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Duchi et al. 2011, figure 1 with diagonal matrices.

    Example:
        >>> from fusednet.optimizers import Adagrad
        >>> Adagrad(0.1).slots
        ('accumulated_square',)
    """

    initial_accumulator_value: float
    epsilon: float

    def __init__(
        self,
        learning_rate: object = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = {
            "initial_accumulator_value": number("Adagrad", "initial_accumulator_value", initial_accumulator_value),
            "epsilon": stabilizer("Adagrad", epsilon),
        }
        super().__init__(learning_rate, hyper, weight_decay, options)

    row = "adagrad"


class Adadelta(Optimizer):
    """Divides the gradient by its moving root mean square and multiplies it by that of the steps.

    a = rho * a + (1 - rho) * g**2, step = sqrt(d + epsilon) / sqrt(a + epsilon) * g, d = rho * d + (1 - rho) * step**2,
    w = w - learning_rate * step. Epsilon is inside both roots, as in the paper and in Keras.

    Args:
        learning_rate: size of a step; 1 is the paper's method.
        rho: discount of the moving averages, in [0, 1].
        epsilon: at least 1.2e-38, the smallest normal float32.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Zeiler 2012, algorithm 1.

    Example:
        >>> from fusednet.optimizers import Adadelta
        >>> Adadelta(1.0).slots
        ('accumulated_grad', 'accumulated_delta_var')
    """

    rho: float
    epsilon: float

    def __init__(
        self,
        learning_rate: object = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = {
            "rho": number("Adadelta", "rho", rho, most=1.0),
            "epsilon": stabilizer("Adadelta", epsilon),
        }
        super().__init__(learning_rate, hyper, weight_decay, options)

    row = "adadelta"
