"""csrc/cuda/{runtime,device,cache,cublaslt}.cpp on the host, against a stand-in of CUDA's runtime: copies, streams,
events and captures in any order that a device may have them in, and each of its calls failing."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter

import pytest

from stand_in import compile_runtime, compile_stand_in

PACES = ["lazy", "eager", *map(str, range(2))]  # of the stand-in: as late as may be, at once, drawn
NO_DRIVER = {"driver": 0, "counted": 35}
TOLD = {
    "cudaEventCreateWithFlags": "an event",
    "cudaEventRecord": "copying (to|from) the device",
    "cudaEventSynchronize": "copying (to|from) the device",
    "cudaGetDevice": r"the current device|\[Plan\] expects \d MB of memory of device 'cuda', got",
    "cudaGraphLaunch": "a captured step",
    "cudaLaunchKernel": "kernel '(add|of steps in one launch)'",
    "cudaMemcpyAsync": "copying (to|from) the device",
    "cudaMemsetAsync": "clearing the device's memory|kernel 'of steps in one launch'",
    "cudaPointerGetAttributes": "looking at memory",
    "cudaSetDevice": "choosing the device",
    "cudaStreamCreateWithFlags": "a stream",
    "cudaStreamSynchronize": "waiting for the device|looking at memory",
    "cudaStreamWaitEvent": "copying (to|from) the device",
    "cudaMalloc": r"\[Plan\] expects \d MB of memory of device 'cuda', got",
}
# Where there is another way, or nobody who could be told: not pinned, kernel by kernel, not twice as large, not kept.
BORNE = {
    *("cudaEventDestroy", "cudaFree", "cudaFreeHost", "cudaGraphDestroy", "cudaGraphExecDestroy", "cudaStreamDestroy"),
    *("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphGetNodes", "cudaGraphInstantiate"),
    "cudaGraphNodeGetType",
    *("cudaMallocHost", "cudaMemGetInfo", "cudaRuntimeGetVersion", "cudaGetDeviceProperties"),
    *("cudaGetDevice", "cudaSetDevice", "cudaMalloc", "cudaLaunchKernel", "cudaStreamSynchronize"),
}
ONCE = {"cudaDriverGetVersion", "cudaGetDeviceCount", "cudaGetDeviceProperties"}  # asked once in a process
ERRORS = {"no memory": "out of memory", "unknown": "unknown error", "lost": "an illegal memory access was encountered"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A case of cuda_runtime/, at a pace, with what fails there: its lines but for the last, "ok"."""
    program = compile_runtime(tmp_path_factory.mktemp("runtime"))

    def of_case(case, pace="lazy", library="no/library.so", **failing):
        arguments = [f"{name}={value}" for name, value in failing.items()]
        environment = {**os.environ, "FUSEDNET_CUBLASLT": str(library)}
        done = subprocess.run(
            [program, case, pace, *arguments], env=environment, capture_output=True, text=True, timeout=60
        )
        lines = done.stdout.splitlines()
        assert (done.returncode, lines[-1:]) == (0, ["ok"]), done.stdout + done.stderr
        return lines[:-1]

    return of_case


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(
    "case",
    [
        *("of all sizes", "in order", "beside kernels", "waited for", "growing", "not grown", "no memory of the host"),
        *("brought beside kernels", "brought", "not brought"),
        *("two queues", "threads", "replayed"),
        *("workspaces", "makes room", "others make room", "kept", "exact", "closed", "outside", "not ours", "holds"),
        *(
            "launches",
            "too many blocks",
            "late kernel",
            "late graph",
            "late program",
            "no capture",
            "no program",
            "no objects",
        ),
        *("errors of others", "lost before any kernel", "lost in a capture", "found later"),
    ],
)
def test_case(run, case, pace):
    assert run(case, pace) == []


@pytest.mark.parametrize("case", ["serves", "fails", "not on another device"])
def test_a_library_for_products(run, tmp_path, case):
    assert run(f"library {case}", library=compile_stand_in(tmp_path)) == []


def test_no_library_for_products(run):
    assert run("library is missing") == []


@pytest.mark.parametrize(("system", "library"), [("darwin", ""), ("linux", "musl")])
def test_elsewhere_it_is_skipped(monkeypatch, tmp_path, system, library):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.libc_ver", lambda: (library, ""))
    with pytest.raises(pytest.skip.Exception, match="needs Linux with glibc"):
        compile_runtime(tmp_path)


@pytest.mark.parametrize("pace", PACES)
def test_without_pinned_memory(run, pace):
    assert run("pageable", pace, cudaMallocHost=2) == []


def test_a_process_that_was_forked(run):
    assert run("forked") == [
        'this process was forked from one that had used CUDA; start it anew (multiprocessing: "spawn")'
    ]


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({}, "a device"),
        (NO_DRIVER, "no NVIDIA driver is installed"),
        ({"driver": 12040, "counted": 35}, "the driver is too old: it has CUDA 12.4, this build needs 13.0"),
        ({"counted": 34}, "CUDA driver is a stub library"),
        ({"cudaDriverGetVersion": 34, "counted": 34}, "the driver's version: CUDA driver is a stub library"),
        ({"counted": 100}, "the driver finds no device"),
        ({"devices": 0}, "the driver finds no device"),
        ({"counted": 3}, "initialization error"),
        ({"cudaGetDeviceProperties": 999}, "device 0: unknown error"),
        ({"loaded": 209}, "Stand-in 0 has compute capability 9.0, this build has kernels for 8.0 9.0"),
        ({"loaded": 98}, "Stand-in 0 has compute capability 9.0, this build has kernels for 8.0 9.0"),
        ({"loaded": 46}, "Stand-in 0: CUDA-capable device(s) is/are busy or unavailable"),
        ({"cudaSetDevice": 101}, "a device"),  # it is the current one anyway
        ({"cudaGetDevice": 46}, "Stand-in 0: CUDA-capable device(s) is/are busy or unavailable"),
    ],
)
def test_why_there_is_no_device(run, monkeypatch, machine, why):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    lines = run("found", **machine)
    assert lines[:2] == [why] * 2
    count = machine.get("devices", 2) if "counted" not in machine else 0
    driver = 0 if "cudaDriverGetVersion" in machine else machine.get("driver", 13000)
    assert lines[2].startswith(f"driver {driver} runtime 13000 devices {count}")
    if count and "cudaGetDeviceProperties" not in machine:
        assert lines[2].endswith(", Stand-in 0 9.0, Stand-in 1 9.0")


def test_devices_that_are_hidden(run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert run("found", counted=100)[0] == "the driver finds no device among CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize(("error", "pace"), [("no memory", "eager"), ("unknown", "0"), ("lost", "lazy")])
def test_each_call_fails(run, error, pace):
    """It is told with what was being done, or borne; the next attempt goes well unless the device is lost to the
    process, which is told again then. Each in a process of its own, which looks for what is left over."""
    text, seen = ERRORS[error], Counter()
    for line in run(f"every call: {error}", pace):
        function, first, second = (part.strip() for part in re.fullmatch(r"\d+ (.*) \|(.*)\|(.*)", line).groups())
        seen[function] += 1
        if not first:
            assert function in BORNE or error == "lost", line
        elif first.startswith("open: "):
            assert first.endswith(text), line
        elif error != "lost":
            why = f"{text}|MB free of" if error == "no memory" else text
            assert re.match(f"({TOLD[function]}).*({why})", first), line
        else:
            assert first.endswith(text), line
        lasts = first and (error == "lost" or (function in ONCE and first.startswith("open: ")))
        assert second.endswith(text) if lasts else not second, line
    assert seen.keys() == {*TOLD, *BORNE, *ONCE, "cudaFuncGetAttributes"}
    assert sum(seen.values()) > 100
