"""MNIST where Keras's listings look for it, read from a folder of the user's."""

import os

from fusednet.datasets._idx import Parts, load_idx


def load_data(path: str | os.PathLike[str] | None = None) -> Parts:
    """((x_train, y_train), (x_test, y_test)) from the folder `path`, or the one that FUSEDNET_DATA names.

    Nothing is downloaded: the folder holds the four IDX files, gzipped or not.

    Raises:
        FileNotFoundError: no folder is named, or a file is missing.
        ValueError: a file is damaged.
    """
    folder = os.environ.get("FUSEDNET_DATA") if path is None else path
    if not folder:
        raise FileNotFoundError(
            "[mnist.load_data] expects the environment variable FUSEDNET_DATA to name the folder with the four IDX "
            "files of MNIST, got none; nothing is downloaded"
        )
    return load_idx(folder)
