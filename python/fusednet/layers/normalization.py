"""Normalisation inside a network, over the batch or over the features."""

from typing import Any

from fusednet._layer import Layer, Shape, WeightSpec, flat, number, parsed, positive


class _Normalizing(Layer):
    """A layer that may scale by gamma and shift by beta what it has normalised."""

    epsilon: float
    center: bool
    scale: bool
    _roles: tuple[str, ...] = ("gamma", "beta")

    def output_shape(self, shape: Shape) -> Shape:
        flat(self, shape)
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        absent = {"gamma": not self.scale, "beta": not self.center}
        return [
            WeightSpec(role, shape, self.trainable and not role.startswith("moving"), vars(self)[f"{role}_initializer"])
            for role in self._roles
            if not absent.get(role)
        ]


class BatchNormalization(_Normalizing):
    """Normalises each feature over the batch: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    Training uses the batch's mean and biased variance and updates the moving ones,
    moving = momentum * moving + (1 - momentum) * batch; inference, and a layer that is not trainable, use the
    moving ones. Keras's conventions: the moving variance is biased too, epsilon is inside the root.

    Args:
        axis: of the features: -1, the last.
        momentum: of the moving averages, in [0, 1].
        epsilon: added to the variance, positive.
        center, scale: whether beta and gamma exist.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: first values.
        beta_regularizer, gamma_regularizer: penalties, names or `fusednet.regularizers` objects.
        beta_constraint, gamma_constraint: names or `fusednet.constraints` objects.
        name, trainable, input_shape, learning_rate_multiplier: see `Layer`.

    x and y are (n, c); gamma, beta and the moving averages are (c,). In a batch of one row the variance is 0 and
    y = beta.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Ioffe & Szegedy 2015, algorithms 1 and 2.

    Example:
        >>> from fusednet.layers import BatchNormalization
        >>> [spec.role for spec in BatchNormalization(momentum=0.9).weight_specs((300,))]
        ['gamma', 'beta', 'moving_mean', 'moving_variance']
    """

    momentum: float
    _roles = ("gamma", "beta", "moving_mean", "moving_variance")
    _arguments = (
        "momentum", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer", "moving_mean_initializer",
        "moving_variance_initializer", "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
    )  # fmt: skip

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        _check_axis(owner, axis)
        values: dict[str, object] = {
            "momentum": number(owner, "momentum", momentum, "a number in [0, 1]", lambda v: 0.0 <= v <= 1.0),
            "epsilon": positive(owner, "epsilon", epsilon),
            "center": bool(center),
            "scale": bool(scale),
            **parsed(
                owner,
                beta_initializer=beta_initializer,
                gamma_initializer=gamma_initializer,
                moving_mean_initializer=moving_mean_initializer,
                moving_variance_initializer=moving_variance_initializer,
                beta_regularizer=beta_regularizer,
                gamma_regularizer=gamma_regularizer,
                beta_constraint=beta_constraint,
                gamma_constraint=gamma_constraint,
            ),
        }
        super().__init__(**options)
        self._set_all(values)

    def native(self, shape: Shape) -> dict[str, Any]:
        fields = {key: vars(self)[key] for key in ("momentum", "epsilon", "center", "scale")}
        return self._described("batch_normalization", shape, **fields)


class LayerNormalization(_Normalizing):
    """Normalises each sample over its features: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.

    Mean and biased variance are those of the sample's own features, in training and at inference alike. Keras's
    conventions: epsilon is inside the root.

    Args:
        axis: of the features: -1, the last.
        epsilon: added to the variance, positive.
        center, scale: whether beta and gamma exist.
        beta_initializer, gamma_initializer: first values.
        beta_regularizer, gamma_regularizer: penalties, names or `fusednet.regularizers` objects.
        beta_constraint, gamma_constraint: names or `fusednet.constraints` objects.
        name, trainable, input_shape, learning_rate_multiplier: see `Layer`.

    x and y are (n, c); gamma and beta are (c,). With one feature y = beta.

    Raises:
        ValueError, TypeError: for an argument outside its domain.

    Source: Ba et al. 2016, eq. 3 and 4.

    Example:
        >>> from fusednet.layers import LayerNormalization
        >>> [spec.role for spec in LayerNormalization().weight_specs((300,))]
        ['gamma', 'beta']
    """

    _arguments = (
        "epsilon", "center", "scale", "beta_initializer", "gamma_initializer",
        "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
    )  # fmt: skip

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        _check_axis(owner, axis)
        values: dict[str, object] = {
            "epsilon": positive(owner, "epsilon", epsilon),
            "center": bool(center),
            "scale": bool(scale),
            **parsed(
                owner,
                beta_initializer=beta_initializer,
                gamma_initializer=gamma_initializer,
                beta_regularizer=beta_regularizer,
                gamma_regularizer=gamma_regularizer,
                beta_constraint=beta_constraint,
                gamma_constraint=gamma_constraint,
            ),
        }
        super().__init__(**options)
        self._set_all(values)

    def native(self, shape: Shape) -> dict[str, Any]:
        fields = {key: vars(self)[key] for key in ("epsilon", "center", "scale")}
        return self._described("layer_normalization", shape, **fields)


def _check_axis(owner: str, axis: object) -> None:
    if isinstance(axis, bool) or axis not in (-1, 1):
        raise ValueError(f"[{owner}] axis expects -1, the features of flat inputs, got {axis!r}")
