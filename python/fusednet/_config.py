"""What the package runs on: instruction sets, threads, devices."""

import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

from fusednet import _native, _threadpoolctl
from fusednet._native import get_num_threads, set_num_threads

__all__ = [
    "Config",
    "get_float32_matmul_precision",
    "get_num_threads",
    "set_float32_matmul_precision",
    "set_num_threads",
    "show_config",
]

_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Of what numbers the products of float32 models are made, from their next use on.

    "highest": float32. "high": each number as the sum of two bfloat16, three products, about 16 bits. "medium": one
    product of bfloat16, 8 bits. Sums, weights, optimizer state, norms and statistics are float32 throughout. Where the
    CPU makes a precision no faster, or a device has no library for large products, float32 serves; `show_config()` and
    `print(model.plan)` say so. A setting of the process, as in PyTorch: not saved with a model, and not that of
    `fusednet.ops` or of gradient checks.

    Raises:
        ValueError: another name.

    Example:
        >>> import fusednet
        >>> fusednet.set_float32_matmul_precision("medium")
        >>> fusednet.get_float32_matmul_precision()
        'medium'
        >>> fusednet.set_float32_matmul_precision("highest")
    """
    global _precision
    if precision not in _PRECISIONS:
        known = ", ".join(repr(name) for name in _PRECISIONS)
        raise ValueError(f"[set_float32_matmul_precision] expects one of {known}, got {precision!r}")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The setting of `set_float32_matmul_precision`: "highest" unless it was called."""
    return _precision


def default_device() -> str:
    """Where models begin: what FUSEDNET_DEVICE names, or the CPU."""
    return os.environ.get("FUSEDNET_DEVICE") or "cpu"


def programs() -> bool:
    """Whether a device may run many steps of a narrow network in one launch: only where FUSEDNET_PROGRAMS is 1."""
    setting = os.environ.get("FUSEDNET_PROGRAMS") or "0"
    if setting not in ("0", "1"):
        raise ValueError(f"FUSEDNET_PROGRAMS expects 0 or 1, got {setting!r}")
    return setting == "1"


def check_device(owner: str, device: str) -> None:
    """Raise where there is no such device in this build or on this machine."""
    if device not in _native.device_names():
        known = ", ".join(repr(name) for name in _native.device_names())
        raise ValueError(f"[{owner}] 'device' expects one of {known}, got {device!r}")
    reason = _native.why_no_device(device)
    if reason:
        raise RuntimeError(f"[{owner}] device {device!r} cannot be used: {reason}")


def tell_package_folders() -> None:
    """Where the package with cuBLASLt may be installed, which nothing here imports."""
    folders: list[Any] = list(sys.path)  # where others put what they like
    absolute = [folder for folder in folders if isinstance(folder, str) and os.path.isabs(folder)]
    _native.set_package_folders([folder for folder in absolute if folder.isprintable()])


_threadpoolctl.watch()
tell_package_folders()


@dataclass(frozen=True)
class Config:
    """What `show_config` found; a table when printed."""

    version: str
    isa: dict[str, Any]
    threads: int
    cuda: dict[str, Any]
    machine: str
    precision: str = "highest"

    def __str__(self) -> str:
        tables = ", ".join(
            f"{table['name']} ({table['lanes']} lanes{'' if table['supported'] else ', not supported here'})"
            for table in self.isa["tables"]
        )
        rows = [
            ("fusednet", self.version),
            ("machine", self.machine),
            ("float32 kernels", tables),
            ("used", f"{self.isa['used']} ({self.isa['reason']})"),
            ("products", self.isa["products"][self.precision]),
            ("float64 kernels", f"{self.isa['float64_lanes']} lanes"),
            ("threads", str(self.threads)),
            *_cuda_rows(self.cuda),
        ]
        return "\n".join(f"{name:<16} {value}" for name, value in rows)

    __repr__ = __str__


def _cuda_rows(cuda: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("CUDA", "yes" if cuda["available"] else f"no: {cuda['reason']}")]
    if not cuda["built"]:
        return rows
    rows.append(("CUDA versions", f"{cuda['runtime']} (built with), {cuda['driver'] or 'none'} (driver's)"))
    rows.append(("CUDA kernels", f"compute capability {', '.join(cuda['compute_capabilities'])}"))
    rows.append(("CUDA products", cuda["products"]))
    for number, device in enumerate(cuda["devices"]):
        memory = f"{device['memory'] / 2**30:.1f} GiB"
        rows.append((f"CUDA device {number}", f"{device['name']}, {device['compute_capability']}, {memory}"))
    return rows


def show_config() -> Config:
    """Version, kernel tables and which of them is used and why, products, threads, CUDA; print what it returns.

    `cuda` is a dictionary: `built`, `available` and if not the `reason`, the `compute_capabilities` that kernels were
    compiled for, the versions `runtime` and `driver`, `devices` (`name`, `compute_capability`, `memory` in bytes) and
    `products`, what serves large matrix products.

    Raises:
        ValueError: FUSEDNET_ISA names a table that does not exist or that this CPU does not support, or
            FUSEDNET_NUM_THREADS is no integer of at least 1.
    """
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Config(_native.__version__, _native.isa_info(), get_num_threads(), _native.cuda_info(), machine, _precision)
