"""Data sets: the embedded digits, and files in the IDX format of MNIST. Nothing is downloaded."""

import os

import numpy as np
from numpy.typing import NDArray

from fusednet import _native
from fusednet.datasets import mnist
from fusednet.datasets._idx import load_idx, read_idx

__all__ = ["load_digits", "load_idx", "mnist", "read_idx"]

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_TEST = 360  # of 1,797 images
_SPLIT_SEED = 2024


def load_digits() -> tuple[Part, Part]:
    """The UCI handwritten digits: ((x_train, y_train), (x_test, y_test)), always split the same way.

    x is (n, 8, 8) of uint8 in 0 .. 16, y is (n,) in 0 .. 9; 1,437 images to train on and 360 to test on.

    Source: Alpaydin & Kaynak 1998, UCI Machine Learning Repository, CC BY 4.0.

    Example:
        >>> from fusednet.datasets import load_digits
        >>> (x_train, y_train), (x_test, y_test) = load_digits()
        >>> x_train.shape, y_test.shape
        ((1437, 8, 8), (360,))
    """
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "digits.npz")
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    order = _native.permutation(_SPLIT_SEED, 0, len(images))
    train, test = order[_TEST:], order[:_TEST]
    return (images[train], labels[train]), (images[test], labels[test])
