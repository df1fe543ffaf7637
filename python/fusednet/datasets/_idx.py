"""The IDX format of MNIST: two zero bytes, a type code, the number of dimensions, the big-endian sizes, the values."""

import io
import math
import os
import struct
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Parts = tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 8
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in one IDX file, gzipped or not, in native byte order.

    Memory follows what the file holds, not what its header claims.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: wrong magic number, unknown type, cut-off or surplus content, damaged gzip.

    Source: the format's description on the MNIST page of LeCun, Cortes & Burges.
    """
    import gzip  # here and below: these cost import time
    import zlib

    shown = os.fspath(path)
    with open(path, "rb") as raw:
        start = raw.read(2)
        raw.seek(0)
        try:
            if start == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    return _parse(shown, unpacked)  # type: ignore[arg-type]
            return _parse(shown, raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _bad(shown, "a whole gzip file", f"a damaged or cut-off one ({error})") from None


def load_idx(folder: str | os.PathLike[str]) -> Parts:
    """((x_train, y_train), (x_test, y_test)) from a folder with the four files of MNIST or of a set like it.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each with or without `.gz`, a dot before `idx` being accepted too.

    Raises:
        FileNotFoundError: the folder or a file is missing.
        ValueError: a file is damaged, or images and labels differ in number.
    """
    directory = os.fspath(folder)
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"[load_idx] expects a folder, got {directory!r}, which is none")
    parts = []
    for prefix in ("train", "t10k"):
        images_path = _find(directory, f"{prefix}-images", 3)
        labels_path = _find(directory, f"{prefix}-labels", 1)
        images, labels = read_idx(images_path), read_idx(labels_path)
        if images.ndim != 3:
            raise _bad(images_path, "3 dimensions", str(images.ndim))
        if labels.ndim != 1:
            raise _bad(labels_path, "1 dimension", str(labels.ndim))
        if len(images) != len(labels):
            raise _bad(labels_path, f"{len(images)} labels, one for each image", str(len(labels)))
        parts.append((images, labels))
    return parts[0], parts[1]


def _find(directory: str, stem: str, dimensions: int) -> str:
    names = [f"{stem}{separator}idx{dimensions}-ubyte{end}" for separator in "-." for end in ("", ".gz")]
    for name in names:
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"[load_idx] expects {names[0]} or {names[1]} in {directory!r}, got neither")


def _parse(shown: str, file: IO[bytes]) -> NDArray[Any]:
    head = file.read(4)
    if len(head) < 4:
        raise _bad(shown, "a header of 4 bytes", f"{len(head)} bytes")
    zero, code, dimensions = struct.unpack(">HBB", head)
    if zero != 0 or code not in _TYPES:
        known = ", ".join(f"0x{known:02x}" for known in _TYPES)
        raise _bad(shown, f"a magic number 0x0000 with one of the types {known}", f"0x{head.hex()}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _bad(shown, f"1 to {_MAX_DIMENSIONS} dimensions", str(dimensions))
    sizes_raw = file.read(4 * dimensions)
    if len(sizes_raw) < 4 * dimensions:
        raise _bad(shown, f"{dimensions} sizes", f"a file cut off after {4 + len(sizes_raw)} bytes")
    sizes = struct.unpack(f">{dimensions}I", sizes_raw)
    dtype = np.dtype(_TYPES[code])
    wanted = math.prod(sizes) * dtype.itemsize
    content = io.BytesIO()
    while content.tell() <= wanted:
        part = file.read(min(_CHUNK, wanted + 1 - content.tell()))
        if not part:
            break
        content.write(part)
    if content.tell() != wanted:
        found = "more" if content.tell() > wanted else f"{content.tell()}, the file is cut off"
        raise _bad(shown, f"{wanted} bytes for shape {sizes}", found)
    return np.frombuffer(content.getbuffer(), dtype).reshape(sizes).astype(dtype.newbyteorder("="), copy=False)


def _bad(shown: str, expected: str, found: str) -> ValueError:
    return ValueError(f"[read_idx] {shown!r}: expects {expected}, got {found}")
