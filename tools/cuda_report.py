"""Sums up what ptxas said of every CUDA kernel in a build's log.

    cmake -DFUSEDNET_CUDA=ON -DFUSEDNET_CUDA_REPORT=ON … && cmake --build … | tee LOG
    python tools/cuda_report.py LOG [ARCHITECTURE...]

For each architecture: how many kernels, the most registers, and which kernels spill registers to memory. Of functions
that are called by address, whatever the architecture: the most stack, what they save for their caller included.
Ends with status 1 where a kernel has no figures or one of the named architectures (80, 90, …) no kernels.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(r"Compiling entry function '(?P<name>\w+)' for 'sm_(?P<architecture>\w+)'")
PROPERTIES = re.compile(r"Function properties for (?P<name>\w+)")
STACK = re.compile(
    r"(?P<frame>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
)
USED = re.compile(r"Used (?P<registers>\d+) registers")


@dataclass
class Kernel:
    name: str
    architecture: str
    registers: int | None = None
    spilled: int | None = None  # bytes, stores and loads


def kernels(log: str) -> tuple[list[Kernel], list[int]]:
    """The kernels, and the stack of each function."""
    found: list[Kernel] = []
    frames: list[int] = []
    name = ""
    for line in log.splitlines():
        if properties := PROPERTIES.search(line):
            name = properties["name"]
        elif entry := ENTRY.search(line):
            found.append(Kernel(entry["name"], entry["architecture"]))
        elif stack := STACK.search(line):
            if not found or found[-1].name != name:
                frames.append(int(stack["frame"]))
            elif found[-1].spilled is None:
                found[-1].spilled = int(stack["stores"]) + int(stack["loads"])
        elif (used := USED.search(line)) and found and found[-1].registers is None:
            found[-1].registers = int(used["registers"])
    return found, frames


def readable(names: list[str]) -> list[str]:
    """The struct and function that a kernel was made of, without arguments."""
    tool = shutil.which("c++filt")
    if tool:
        out = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True).stdout
        names = out.splitlines()
    short = []
    for name in names:
        scalar = re.search(r"float(?:32|64)", name)
        name = re.sub(r"(?:fusednet::(?:cuda::)?(?:float(?:32|64)::)?|void |run_kernel)", "", name)
        name = name.replace(" const", "")
        while (without := re.sub(r"\([^()]*\)", "", name)) != name:
            name = without
        name = name.replace("::{lambda#1}", "").replace("<", "", 1)
        name = f"{scalar[0]} {name}" if scalar else name
        short.append(name if len(name) <= 100 else name[:97] + "...")
    return short


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__)
        return 2
    found, frames = kernels(Path(arguments[0]).read_text(encoding="utf-8", errors="replace"))
    status = 0
    architectures = sorted({k.architecture for k in found}, key=lambda a: (len(a), a))
    for architecture in architectures:
        own = [k for k in found if k.architecture == architecture]
        whole = [k for k in own if k.registers is not None and k.spilled is not None]
        if len(whole) < len(own):
            print(f"sm_{architecture}: {len(own) - len(whole)} of {len(own)} kernels have no figures")
            status = 1
        if not whole:
            continue
        most = max(whole, key=lambda k: k.registers or 0)
        spilling = sorted((k for k in whole if k.spilled), key=lambda k: -(k.spilled or 0))
        print(
            f"sm_{architecture}: {len(whole)} kernels, at most {most.registers} registers"
            f" ({readable([most.name])[0]}), {len(spilling)} spill"
        )
        for kernel, name in zip(spilling, readable([k.name for k in spilling]), strict=True):
            print(f"    {kernel.spilled} bytes: {name}")
    if frames:
        print(f"{len(frames)} functions called by address, at most {max(frames)} bytes of stack")
    for architecture in arguments[1:]:
        if architecture not in architectures:
            print(f"sm_{architecture}: no kernels")
            status = 1
    if not found:
        print(f"{arguments[0]}: no kernels; was the build configured with FUSEDNET_CUDA_REPORT=ON?")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
