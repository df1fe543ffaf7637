"""Layers that multiply by a matrix."""

from typing import Any, ClassVar

from fusednet import activations, initializers
from fusednet._layer import Layer, Shape, WeightSpec, checked_size, flat, parsed, share
from fusednet.activations import ActivationFunction

_ZEROS = initializers.Zeros()


class Dense(Layer):
    """Each output is a weighted sum of all inputs: y = activation(x W + b).

    Args:
        units: number of outputs.
        activation: name, `fusednet.activations` object or activation layer; None is linear.
        use_bias: whether b exists. Leave it out before a BatchNormalization, which subtracts it again.
        kernel_initializer, bias_initializer: names or `fusednet.initializers` objects.
        kernel_regularizer, bias_regularizer: penalties on W and b, names or `fusednet.regularizers` objects.
        activity_regularizer: penalty on y, the mean over the batch as in Keras 3, with either reduction of the loss.
        kernel_constraint, bias_constraint: what W and b are projected on after an update, names or
            `fusednet.constraints` objects.
        input_dim: short for `input_shape=(input_dim,)`.
        name, trainable, input_shape, learning_rate_multiplier: see `Layer`.

    x is (n, k), W is (k, units), b is (units,), y is (n, units). An activation whose slope is learned adds `alpha`
    (units,), which starts at 0.

    Raises:
        ValueError, TypeError: for an argument outside its domain, naming the known values.

    Example:
        >>> from fusednet.layers import Dense
        >>> Dense(300, activation="elu", kernel_initializer="he_normal", name="hidden").output_shape((784,))
        (300,)
    """

    units: int
    activation: ActivationFunction
    use_bias: bool
    _arguments: ClassVar[tuple[str, ...]] = (
        "units", "activation", "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer",
        "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint",
    )  # fmt: skip

    def __init__(
        self,
        units: int,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        *,
        input_dim: int | None = None,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        values = {
            "units": checked_size(owner, "units", units),
            "activation": _function(owner, activation),
            "use_bias": bool(use_bias),
            **parsed(
                owner,
                kernel_initializer=kernel_initializer,
                bias_initializer=bias_initializer,
                kernel_regularizer=kernel_regularizer,
                bias_regularizer=bias_regularizer,
                activity_regularizer=activity_regularizer,
                kernel_constraint=kernel_constraint,
                bias_constraint=bias_constraint,
            ),
        }
        if input_dim is not None:
            if options.get("input_shape") is not None:
                raise ValueError(f"[{owner}] expects input_shape or input_dim, got both")
            options["input_shape"] = input_dim
        super().__init__(**options)
        self._set_all(values)

    def output_shape(self, shape: Shape) -> Shape:
        flat(self, shape)
        return (self.units,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        columns = self.units * self._pieces()
        specs = [WeightSpec("kernel", (shape[0], columns), self.trainable, vars(self)["kernel_initializer"])]
        if self.use_bias:
            specs.append(WeightSpec("bias", (columns,), self.trainable, vars(self)["bias_initializer"]))
        if getattr(self.activation, "slope", "none") == "learned":
            specs.append(WeightSpec("alpha", (self.units,), self.trainable, _ZEROS))
        return specs

    def native(self, shape: Shape) -> dict[str, Any]:
        return self._described(
            "dense",
            shape,
            units=self.units,
            use_bias=self.use_bias,
            activation=self.activation.native(),
            drop_rate=self._drop_rate(),
            pieces=self._pieces(),
        )

    def _pieces(self) -> int:
        return 1

    def _drop_rate(self) -> float:
        return 0.0


class DropConnect(Dense):
    """A `Dense` that forgets a share of its weights at every step: y = activation(x (W * M) / (1 - rate) + b).

    M holds zeros with probability `rate` and ones elsewhere, drawn anew for each batch; at inference y is that of a
    `Dense`, the mean over M before the activation. The bias is never dropped.

    Args:
        units: number of outputs.
        rate: share of the weights that is dropped, in [0, 1).
        activation and all others: those of `Dense`, by name.

    x is (n, k), W and M are (k, units), b is (units,), y is (n, units).

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Wan et al. 2013, section 3, with one M a batch where they draw one a sample, and scaled as inverted dropout
    where they approximate the inference by a normal distribution.

    Example:
        >>> from fusednet.layers import DropConnect
        >>> DropConnect(100, 0.5, activation="relu").output_shape((784,))
        (100,)
    """

    rate: float
    _arguments = ("units", "rate", *Dense._arguments[1:])

    def __init__(self, units: int, rate: float, activation: object = None, **options: Any) -> None:
        dropped = share(self._owner(options), "rate", rate)
        super().__init__(units, activation, **options)
        self._set("rate", dropped)

    def _drop_rate(self) -> float:
        return self.rate


class Maxout(Dense):
    """Each output is the largest of several weighted sums of all inputs: y_j = max over i of (x W_i + b_i)_j.

    Args:
        units: number of outputs.
        pieces: number of sums an output, its linear pieces.
        use_bias, kernel_initializer and all others: those of `Dense`, by name; there is no activation.

    x is (n, k), y is (n, units). W is (k, units * pieces) and b (units * pieces,), piece after piece: W_i is the
    columns from i * units to (i + 1) * units. Of equal sums the first has the gradient.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Goodfellow et al. 2013, section 3.

    Example:
        >>> from fusednet.layers import Maxout
        >>> [spec.shape for spec in Maxout(10, pieces=3).weight_specs((20,))]
        [(20, 30), (30,)]
    """

    pieces: int
    _arguments = ("units", "pieces", *Dense._arguments[2:])

    def __init__(self, units: int, pieces: int = 2, **options: Any) -> None:
        owner = self._owner(options)
        if "activation" in options:
            raise TypeError(f"[{owner}] expects no activation: the largest piece is one, got {options['activation']!r}")
        count = checked_size(owner, "pieces", pieces)
        checked_size(owner, "units * pieces", checked_size(owner, "units", units) * count)
        super().__init__(units, **options)
        self._set("pieces", count)

    def _pieces(self) -> int:
        return self.pieces


def _function(owner: str, activation: object) -> ActivationFunction:
    """The function of an activation argument; of a layer with slopes to learn nothing else can be taken over."""
    function = activations.get(activation, owner)
    if isinstance(activation, Layer):
        given = vars(activation)
        if given.get("shared") or given.get("alpha_initializer", _ZEROS) != _ZEROS:
            raise ValueError(
                f"[{owner}] activation expects slopes that start at 0, one a unit; put {activation.label}, whose are "
                "others, behind this layer"
            )
    return function
