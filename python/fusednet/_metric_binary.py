"""Metrics of answers that are yes or no."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusednet._loss import number
from fusednet._metric import Metric


class BinaryAccuracy(Metric):
    """The share of elements where (output > threshold) is the target, 0 or 1.

    Args:
        name: the reported name.
        threshold: what an output must exceed to be a yes.

    Raises:
        TypeError, ValueError: for a threshold that is no finite number.

    Example:
        >>> from fusednet import metrics
        >>> metrics.BinaryAccuracy(threshold=0.7).params
        {'threshold': 0.7}
    """

    default, row, labels = "binary_accuracy", "binary_accuracy", False


class _Threshold(Metric):
    def __init__(self, thresholds: float | None = None, name: str | None = None) -> None:
        value = 0.5 if thresholds is None else number(type(self).__name__, "thresholds", thresholds, 0, 1)
        super().__init__(name, threshold=value)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"thresholds": self.params["threshold"], "name": self.name}


class Precision(_Threshold):
    """True positives / (true positives + false positives), over all elements; 0 where nothing was found.

    Args:
        thresholds: one number in [0, 1] that an output must exceed; None is 0.5.
        name: the reported name.

    Raises:
        TypeError, ValueError: for other thresholds, lists included.

    Example:
        >>> from fusednet import metrics
        >>> metrics.Precision().result([3.0, 4.0], outputs=1)
        0.75
    """

    default, row = "precision", "precision"


class Recall(_Threshold):
    """True positives / (true positives + false negatives), over all elements; 0 where nothing is positive.


    Args:
        thresholds, name: see `Precision`.

    Raises:
        TypeError, ValueError: for other thresholds, lists included.

    Example:
        >>> from fusednet import metrics
        >>> metrics.Recall(0.3).result([3.0, 4.0], outputs=1)
        0.75
    """

    default, row = "recall", "recall"


class AUC(Metric):
    """Area under the curve of the true over the false positive rate, in trapezoids between 200 thresholds.

    The thresholds are Keras's: 1/199 apart in [0, 1], the first and last moved outside by 1e-7. Outputs are clipped
    to [0, 1]; elements of all columns count alike, a target other than 0 as positive.

    Args:
        num_thresholds: 200; other numbers are not offered.
        name: the reported name.

    Raises:
        ValueError: for another number of thresholds.

    Source: Fawcett 2006, section 7.

    Example:
        >>> from fusednet import metrics
        >>> metrics.AUC().get_config()
        {'num_thresholds': 200, 'name': 'auc'}
    """

    default, row = "auc", "auc"

    def __init__(self, num_thresholds: int = 200, name: str | None = None) -> None:
        if num_thresholds != 200:
            raise ValueError(f"[AUC] num_thresholds expects 200, got {num_thresholds!r}")
        super().__init__(name)

    def result(self, sums: NDArray[np.float64], outputs: int) -> float:
        """The area, from the histograms of the positive and the other elements' outputs."""
        above = np.cumsum(np.reshape(sums, (2, -1))[:, ::-1], axis=1)[:, ::-1]  # more than each threshold
        total = above[:, :1]
        true, false = np.divide(above, total, out=np.zeros_like(above), where=total > 0)
        return float(((false[:-1] - false[1:]) * (true[:-1] + true[1:]) / 2).sum())

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"num_thresholds": 200, "name": self.name}
