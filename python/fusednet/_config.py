"""What the package runs on: instruction sets, threads, devices."""

import platform
from dataclasses import dataclass
from typing import Any

from fusednet import _native, _threadpoolctl
from fusednet._native import get_num_threads, set_num_threads

__all__ = ["Config", "get_num_threads", "set_num_threads", "show_config"]

_threadpoolctl.watch()


@dataclass(frozen=True)
class Config:
    """What `show_config` found; a table when printed."""

    version: str
    isa: dict[str, Any]
    threads: int
    cuda: dict[str, Any]
    machine: str

    def __str__(self) -> str:
        tables = ", ".join(
            f"{table['name']} ({table['lanes']} lanes{'' if table['supported'] else ', not supported here'})"
            for table in self.isa["tables"]
        )
        cuda = self.cuda["reason"] or ("built" if self.cuda["built"] else "not built")
        rows = [
            ("fusednet", self.version),
            ("machine", self.machine),
            ("float32 kernels", tables),
            ("used", f"{self.isa['used']} ({self.isa['reason']})"),
            ("float64 kernels", f"{self.isa['float64_lanes']} lanes"),
            ("threads", str(self.threads)),
            ("CUDA", f"{'yes' if self.cuda['built'] else 'no'} ({cuda})"),
        ]
        return "\n".join(f"{name:<16} {value}" for name, value in rows)

    __repr__ = __str__


def show_config() -> Config:
    """Version, kernel tables and which of them is used and why, threads, CUDA; print what it returns.

    Raises:
        ValueError: FUSEDNET_ISA names a table that does not exist or that this CPU does not support, or
            FUSEDNET_NUM_THREADS is no integer of at least 1.
    """
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Config(_native.__version__, _native.isa_info(), get_num_threads(), _native.cuda_info(), machine)
