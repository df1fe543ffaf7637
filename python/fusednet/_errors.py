"""The exceptions that are the package's own."""


class NonFiniteError(FloatingPointError):
    """The loss or a gradient became NaN, infinite or too large to use; the model holds the weights before that step.

    Attributes:
        epoch: epoch of the failing step, counted from 1, or None outside `fit`.
        step: number of the failing step within the model's life, counted from 1.
        value: the loss, or the norm of the gradient.
        where: name of the first offending layer or tensor.
    """

    def __init__(self, message: str, *, epoch: int | None, step: int, value: float, where: str) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.value = value
        self.where = where


class ModelFileError(ValueError):
    """A model file is cut off, altered, of an unknown version or names something unknown."""
