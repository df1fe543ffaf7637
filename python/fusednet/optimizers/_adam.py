"""Optimizers with moving averages of the gradient and of its square, or of what stands for it."""

from typing import TYPE_CHECKING

from fusednet.optimizers._base import Optimizer, Options, discount, number, stabilizer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adam(Optimizer):
    """Adaptive moments: momentum divided by a moving root mean square, both corrected for their start at zero.

    m = beta_1 * m + (1 - beta_1) * g, v = beta_2 * v + (1 - beta_2) * g**2,
    w = w - learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon) at step t = 1, 2, ...
    With amsgrad the largest v so far takes v's place in the root. Epsilon is outside the root and not corrected
    ("epsilon hat" of the paper), as in Keras.

    Args:
        learning_rate: size of a step.
        beta_1, beta_2: discounts of the moving averages, in [0, 1).
        epsilon: at least 1.2e-38, the smallest normal float32.
        amsgrad: divide by the largest root mean square so far.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Sources: Kingma & Ba 2015, algorithm 1 with the reordering at the end of section 2; Reddi et al. 2018, algorithm 2.

    Example:
        >>> from fusednet.optimizers import Adam
        >>> Adam(0.002, amsgrad=True).slots
        ('momentum', 'velocity', 'velocity_hat')
    """

    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool

    def __init__(
        self,
        learning_rate: object = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        hyper = moments(self, beta_1, beta_2, epsilon) | {"amsgrad": bool(amsgrad)}
        super().__init__(learning_rate, hyper, weight_decay, options)

    @property
    def row(self) -> str:
        return "amsgrad" if self.amsgrad else "adam"


class AdamW(Adam):
    """Adam with decoupled weight decay: w = w - learning_rate * weight_decay * w, then Adam's update.

    Args:
        learning_rate, beta_1, beta_2, epsilon, amsgrad: see `Adam`.
        weight_decay: at least 0.
        options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Loshchilov & Hutter 2019, algorithm 2; the decay is multiplied by the learning rate, as in Keras.

    Example:
        >>> from fusednet.optimizers import AdamW
        >>> AdamW().native()["weight_decay"]
        0.004
    """

    def __init__(
        self,
        learning_rate: object = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: "Unpack[Options]",
    ) -> None:
        decay = number("AdamW", "weight_decay", weight_decay)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, decay, **options)


class Nadam(Optimizer):
    """Adam with Nesterov's momentum, whose discount u_t = beta_1 * (1 - 0.96**t / 2) grows.

    m and v as in Adam; with U_t = u_1 * ... * u_t,
    m_hat = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t), v_hat = v / (1 - beta_2**t),
    w = w - learning_rate * m_hat / (sqrt(v_hat) + epsilon). Epsilon is beside the corrected root, as in Keras.

    Args:
        learning_rate: size of a step.
        beta_1, beta_2: discounts, in [0, 1).
        epsilon: at least 1.2e-38, the smallest normal float32.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Dozat 2016, algorithm 2, where t / 250 stands for t in the discount.

    Example:
        >>> from fusednet.optimizers import Nadam
        >>> Nadam(0.002, clipnorm=1.0).slots
        ('momentum', 'velocity')
    """

    beta_1: float
    beta_2: float
    epsilon: float

    def __init__(
        self,
        learning_rate: object = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        super().__init__(learning_rate, moments(self, beta_1, beta_2, epsilon), weight_decay, options)

    row = "nadam"


class Adamax(Optimizer):
    """Adam with the largest discounted magnitude in place of the root mean square.

    m as in Adam, u = max(beta_2 * u, abs(g)), w = w - learning_rate / (1 - beta_1**t) * m / (u + epsilon). The paper
    has no epsilon; here it is beside the norm, as in Keras.

    Args:
        learning_rate: size of a step.
        beta_1, beta_2: discounts, in [0, 1).
        epsilon: at least 1.2e-38, the smallest normal float32.
        weight_decay, options: see `Optimizer`.

    Raises:
        ValueError, TypeError: for an argument outside its domain or an option that does not exist.

    Source: Kingma & Ba 2015, algorithm 2.

    Example:
        >>> from fusednet.optimizers import Adamax
        >>> Adamax(0.002).slots
        ('momentum', 'norm')
    """

    beta_1: float
    beta_2: float
    epsilon: float

    def __init__(
        self,
        learning_rate: object = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        super().__init__(learning_rate, moments(self, beta_1, beta_2, epsilon), weight_decay, options)

    row = "adamax"


def moments(optimizer: Optimizer, beta_1: float, beta_2: float, epsilon: float) -> dict[str, object]:
    kind = type(optimizer).__name__
    return {
        "beta_1": discount(kind, "beta_1", beta_1),
        "beta_2": discount(kind, "beta_2", beta_2),
        "epsilon": stabilizer(kind, epsilon),
    }
