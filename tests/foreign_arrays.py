"""Arrays as CuPy, PyTorch and JAX hand them over, of memory that the emulated device takes for its own."""

from __future__ import annotations

import ctypes

import numpy as np

CUDA, MANAGED = 2, 13
_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}


class CudaInterface:
    """What CuPy and Numba export; `fields` replace those of `__cuda_array_interface__`."""

    def __init__(self, array: np.ndarray, **fields: object) -> None:
        self.array = array
        self.fields = fields
        self.asked = 0

    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        self.asked += 1
        a = self.array
        own = {"shape": a.shape, "typestr": a.dtype.str, "data": (a.ctypes.data, not a.flags.writeable), "version": 3}
        return {**own, "strides": a.strides, "stream": None, **self.fields}


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _DELETER))


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class DLPack:
    """What PyTorch and JAX export. `deleted` counts the calls of the deleter, `calls` keeps what was asked for."""

    def __init__(self, array, *, kind=CUDA, inside=CUDA, number=0, versioned=True, strides=True, lanes=1, major=1):
        self.array, self.kind, self.inside, self.number = array, kind, inside, number
        self.versioned, self.strides, self.lanes, self.major = versioned, strides, lanes, major
        self.deleted = 0
        self.calls: list[dict[str, object]] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.number

    def __dlpack__(self, **options: object) -> object:
        if not self.versioned and "max_version" in options:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        self.calls.append(options)
        a = self.array
        sizes = (ctypes.c_int64 * max(a.ndim, 1))(*a.shape)
        steps = (ctypes.c_int64 * max(a.ndim, 1))(*(stride // a.itemsize for stride in a.strides))
        offset = 4 * a.itemsize
        tensor = _Tensor(
            a.ctypes.data - offset,
            _Device(self.inside, self.number),
            a.ndim,
            _Type(_CODES[a.dtype.kind], 8 * a.itemsize, self.lanes),
            sizes,
            steps if self.strides else None,
            offset,
        )

        def delete(_: int) -> None:
            self.deleted += 1

        deleter = _DELETER(delete)
        if self.versioned:
            managed = _Versioned(self.major, 0, None, deleter, int(not a.flags.writeable), tensor)
        else:
            managed = _Managed(tensor, None, deleter)
        self.kept = managed, sizes, steps, deleter
        name = b"dltensor_versioned" if self.versioned else b"dltensor"
        return _new_capsule(ctypes.addressof(managed), name, None)
