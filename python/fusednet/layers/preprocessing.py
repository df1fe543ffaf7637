"""Layers whose weights are statistics of the training data: what `adapt` finds, not what training changes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusednet._layer import Shape, WeightSpec, checked_size, flat, positive
from fusednet.layers._adapted import Adapted, Array, Given, chunks, mean_row

_LEAST_VARIANCE = 1e-14  # Keras divides by max(sqrt(variance), 1e-7)


class Normalization(Adapted):
    """Gives each feature mean 0 and variance 1 over the training data: y = (x - mean) / max(sqrt(variance), 1e-7).

    Args:
        axis: axes of the data, the first (0, the samples) excepted, along which statistics are kept apart: -1 has
            statistics for each feature, a tuple for each place along these axes, None a single mean and variance.
        mean, variance: known statistics in place of `adapt`; both or neither, numbers or arrays over the kept axes.
        scale: False only centres, y = x - mean.
        name, input_shape: see `Layer`.

    x and y are (n, ...). The arrays `mean` and `variance` hold one value for each value of a sample, whatever the axes;
    they are never trained. The variance is the population's (divided by n) and at least 1e-14.

    Raises:
        ValueError, TypeError: for axes that do not exist, one of mean and variance alone, or a negative variance.

    Example:
        >>> import numpy as np
        >>> from fusednet.layers import Normalization
        >>> layer = Normalization()
        >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
        >>> [spec.initializer(spec.shape).tolist() for spec in layer.weight_specs((2,))]
        [[1.0, 20.0], [1.0, 100.0]]
    """

    axis: tuple[int, ...]
    scale: bool
    _arguments = ("scale",)

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        *,
        scale: bool = True,
        **options: Any,
    ) -> None:
        owner = self._owner(options)
        axes = _axes(owner, axis)
        if (mean is None) != (variance is None):
            raise ValueError(f"[{owner}] expects both mean and variance or neither, got one")
        known = None
        if mean is not None and variance is not None:
            known = _known(owner, "mean", mean), _known(owner, "variance", variance)
            if known[0].shape != known[1].shape or known[0].ndim > len(axes):
                raise ValueError(
                    f"[{owner}] mean and variance expect one shape of at most {len(axes)} axes, "
                    f"got {known[0].shape} and {known[1].shape}"
                )
            if (known[1] < 0.0).any():
                raise ValueError(f"[{owner}] variance expects values of at least 0, got {known[1].min():g}")
        super().__init__(**options)
        self._set_all({"axis": axes, "scale": bool(scale), "_known": known})

    @property
    def adapted(self) -> bool:
        """Whether the layer has its statistics, from `adapt` or as arguments."""
        return vars(self)["_known"] is not None or super().adapted

    def adapt(self, data: ArrayLike) -> None:
        if vars(self)["_known"] is not None:
            raise RuntimeError(f"{self.label} adapt expects a layer without mean and variance, got one that has them")
        super().adapt(data)

    adapt.__doc__ = Adapted.adapt.__doc__

    def output_shape(self, shape: Shape) -> Shape:
        self._fits(shape)
        self._check_adapted(shape)
        return shape

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        size = (math.prod(shape),)
        return [WeightSpec(role, size, False, Given(self, role, shape)) for role in ("mean", "variance")]

    def native(self, shape: Shape) -> dict[str, Any]:
        return self._described("normalization", shape, trainable=False)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        known = vars(self)["_known"]
        mean, variance = (None, None) if known is None else (values.tolist() for values in known)
        config.update(axis=list(self.axis), mean=mean, variance=variance, adapted=super().adapted)
        return config

    def _first(self, role: str, shape: Shape) -> Array:
        known = vars(self)["_known"]
        if known is None:
            return super()._first(role, shape)
        if role == "variance" and not self.scale:
            return np.ones(math.prod(shape))
        value = known[role == "variance"]
        kept = self._kept(shape)
        spread = [1] * len(shape)
        for place, size in zip(kept[len(kept) - value.ndim :], value.shape, strict=True):
            spread[place] = size
        full: Array = np.broadcast_to(value.reshape(spread), shape).ravel()
        return np.maximum(full, _LEAST_VARIANCE) if role == "variance" else full

    def _fits(self, shape: Shape) -> None:
        kept = self._kept(shape)
        known = vars(self)["_known"]
        if known is not None:
            sizes = tuple(shape[place] for place in kept)[len(kept) - known[0].ndim :]
            if any(size not in (1, full) for size, full in zip(known[0].shape, sizes, strict=True)):
                raise ValueError(f"{self.label} expects mean and variance of shape {sizes}, got {known[0].shape}")

    def _kept(self, shape: Shape) -> list[int]:
        """Places in a sample's shape along which statistics are kept apart."""
        kept = sorted({axis - 1 if axis > 0 else axis + len(shape) for axis in self.axis})
        if any(not 0 <= place < len(shape) for place in kept):
            raise ValueError(f"{self.label} axis expects axes of (n, {', '.join(map(str, shape))}), got {self.axis}")
        return kept

    def _measure(self, rows: NDArray[Any], shape: Shape) -> dict[str, Array]:
        others = tuple(place for place in range(len(shape)) if place not in self._kept(shape))

        def pooled(values: Array) -> Array:
            """The mean over the axes that are not kept, at every place."""
            grid = values.reshape(shape)
            return np.broadcast_to(grid.mean(axis=others, keepdims=True), shape).ravel() if others else values

        mean = pooled(mean_row(rows))
        if not self.scale:
            return {"mean": mean, "variance": np.ones_like(mean)}
        squares = sum(((chunk - mean) ** 2).sum(axis=0) for chunk in chunks(rows))
        return {"mean": mean, "variance": np.maximum(pooled(squares / rows.shape[0]), _LEAST_VARIANCE)}


class Whitening(Adapted):
    """Makes features uncorrelated and of variance 1 over the training data: y = (x - mean) U diag(1/sqrt(l + epsilon)).

    The columns of U are the eigenvectors of the covariance matrix and l its eigenvalues, the largest first; each
    eigenvector's largest element is positive.

    Args:
        method: "pca", or "zca", which turns back, y = (x - mean) U diag(1 / sqrt(l + epsilon)) U^T, and so stays
            nearest to x.
        epsilon: added to the eigenvalues, positive, so that directions of little variance are not blown up.
        components: how many of the largest eigenvalues "pca" keeps; None is all.
        name, input_shape: see `Layer`.

    x is (n, c), y is (n, c) or (n, components). The arrays are `mean` (c,), `variance` (c,), which is 1, and `kernel`,
    the matrix behind x - mean; they are never trained. The covariance is the population's (divided by n).

    Raises:
        ValueError, TypeError: for an argument outside its domain, input that is not flat, or more components than
            features.

    Source: Kessy et al. 2018, on PCA and ZCA whitening, where epsilon is 0.

    Example:
        >>> import numpy as np
        >>> from fusednet.layers import Whitening
        >>> layer = Whitening(components=1)
        >>> layer.adapt(np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]))
        >>> layer.output_shape((2,))
        (1,)
    """

    method: str
    epsilon: float
    components: int | None
    _arguments = ("method", "epsilon", "components")

    def __init__(
        self, method: str = "pca", epsilon: float = 1e-5, components: int | None = None, **options: Any
    ) -> None:
        owner = self._owner(options)
        if method not in ("pca", "zca"):
            raise ValueError(f"[{owner}] method expects 'pca' or 'zca', got {method!r}")
        added = positive(owner, "epsilon", epsilon)
        count = None if components is None else checked_size(owner, "components", components)
        if count is not None and method == "zca":
            raise ValueError(f"[{owner}] components expects None with method 'zca', which keeps all, got {count}")
        super().__init__(**options)
        self._set_all({"method": method, "epsilon": added, "components": count})

    def output_shape(self, shape: Shape) -> Shape:
        self._fits(shape)
        self._check_adapted(shape)
        return shape if self.components is None else (self.components,)

    def weight_specs(self, shape: Shape) -> list[WeightSpec]:
        (features,) = shape
        sizes = {"mean": shape, "variance": shape, "kernel": (features, self.components or features)}
        return [WeightSpec(role, size, False, Given(self, role, shape)) for role, size in sizes.items()]

    def native(self, shape: Shape) -> list[dict[str, Any]]:
        linear = {"name": "linear", "params": []}
        fields = {"units": self.components or shape[0], "use_bias": False, "activation": linear}
        return [
            self._described("normalization", shape, trainable=False),
            self._described("dense", shape, trainable=False, drop_rate=0.0, pieces=1, **fields),
        ]

    def _fits(self, shape: Shape) -> None:
        flat(self, shape)
        if (self.components or 1) > shape[0]:
            raise ValueError(f"{self.label} components expects at most the {shape[0]} features, got {self.components}")

    def _measure(self, rows: NDArray[Any], shape: Shape) -> dict[str, Array]:
        mean = mean_row(rows)
        covariance = np.zeros((mean.size, mean.size))
        for chunk in chunks(rows):
            centred = chunk - mean
            covariance += centred.T @ centred
        covariance /= rows.shape[0]
        if not np.isfinite(covariance).all():
            return {"mean": mean, "kernel": covariance}
        values, vectors = (found[..., ::-1] for found in np.linalg.eigh(covariance))
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.where(vectors[largest, np.arange(mean.size)] < 0.0, -1.0, 1.0)
        kernel = vectors / np.sqrt(np.maximum(values, 0.0) + self.epsilon)  # rounding can leave values below 0
        kernel = kernel @ vectors.T if self.method == "zca" else kernel[:, : self.components]
        return {"mean": mean, "variance": np.ones_like(mean), "kernel": np.ascontiguousarray(kernel)}


def _axes(owner: str, axis: object) -> tuple[int, ...]:
    given = () if axis is None else tuple(axis) if isinstance(axis, Sequence) else (axis,)
    if any(isinstance(a, bool) or not isinstance(a, int) or a == 0 for a in given):
        raise ValueError(f"[{owner}] axis expects None or integers other than 0, the samples, got {axis!r}")
    return given


def _known(owner: str, argument: str, value: ArrayLike) -> Array:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {argument} expects a number or an array of numbers, got {value!r}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"[{owner}] {argument} expects finite values, got {value!r}")
    return array
