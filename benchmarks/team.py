"""The sides of a comparison and their processes, as the one that asks them sees them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

PATIENCE = 400.0  # seconds until a side that does not answer is given up: torch.compile may take minutes


class SideError(Exception):
    """What a side could not do; it is left out by name."""


@dataclass(frozen=True)
class Family:
    """One library: the packages that it needs, and the module that its worker runs."""

    name: str
    packages: tuple[str, ...]
    module: str


OURS = "fusednet"
FAMILIES = {
    family.name: family
    for family in (
        Family(OURS, (), "side_fusednet"),
        Family("torch", ("torch",), "side_torch"),
        Family("jax", ("jax",), "side_jax"),
        Family("keras", ("keras", "jax"), "side_keras"),
        Family("sklearn", ("sklearn",), "side_sklearn"),
    )
}
RIVALS = tuple(name for name in FAMILIES if name != OURS)


class Process:
    """A worker and the pipe to it."""

    def __init__(self, family: Family, threads: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FUSEDNET_NUM_THREADS")
        command = [sys.executable, "-m", "fusednet.benchmarks.worker", family.module, str(threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **dict.fromkeys(counts, str(threads))},
        )
        self._rest = b""

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The reply to a request.

        Raises:
            SideError: the side could not do it, ended, or did not answer in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SideError(self._last_words()) from None
        reply: dict[str, Any] = json.loads(self._line())
        if "error" in reply:
            raise SideError(" ".join(reply["error"].split())[:300])
        return reply

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        pipe, end = self._process.stdout.fileno(), time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            if not select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
                self.close()
                raise SideError(f"no answer in {PATIENCE:g} s")
            more = os.read(pipe, 1 << 16)
            if not more:
                raise SideError(self._last_words())
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with {code}" + (f": {lines[-1][:200]}" if lines else "")

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()


class Team:
    """One process for each library and number of threads, started when first asked for, ended together.

    Attributes:
        absent: libraries that are left out of everything, with the reason.
    """

    def __init__(self, rivals: Sequence[str]) -> None:
        self.absent: dict[str, str] = {}
        self._processes: dict[tuple[str, int], Process] = {}
        for name in RIVALS:
            missing = [package for package in FAMILIES[name].packages if importlib.util.find_spec(package) is None]
            if name not in rivals:
                self.absent[name] = "not asked for"
            elif missing:
                self.absent[name] = f"not installed ({', '.join(missing)})"

    def ask(self, family: str, threads: int, do: str, **request: Any) -> dict[str, Any]:
        """The reply of a library's process.

        Raises:
            SideError: the library is left out, or could not do it.
        """
        if family in self.absent:
            raise SideError(self.absent[family])
        key = family, threads
        if key not in self._processes:
            self._processes[key] = Process(FAMILIES[family], threads)
        try:
            return self._processes[key].ask(do, **request)
        except SideError:
            if self._processes[key].ended:  # a new one for the next request
                self._processes.pop(key).close()
            raise

    def versions(self) -> dict[str, str]:
        """Of the libraries that have been asked anything."""
        found: dict[str, str] = {}
        for family, threads in list(self._processes):
            with contextlib.suppress(SideError):
                found.update(self.ask(family, threads, "versions"))
        return found

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.close()
        self._processes.clear()
