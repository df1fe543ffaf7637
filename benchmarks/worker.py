"""The process of one side: answers requests, one JSON object a line, on standard input; replies on standard output.

| request | reply |
| --- | --- |
| `{"do": "load", "task": ID, "make": NAME, "work": {...}}` | `{"results": [...]}`: what is compared before timing |
| `{"do": "round", "task": ID, "seconds": S}` | `{"seconds": T}`: of a unit (a step, a call), over at least S seconds |
| `{"do": "drop", "task": ID}` | `{}` |
| `{"do": "versions"}` | `{"name": "version"}` |

A request that fails is answered by `{"error": "..."}`; the process goes on. Between requests it waits for input and
uses no processor. It is started as `python -m fusednet.benchmarks.worker MODULE THREADS`.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import signal
import sys
import time
from typing import Any, Protocol

WARM = 0.25  # seconds of a run from which no untimed one goes before the timed


class Task(Protocol):
    """Something to time, ready: its data and state are made by its constructor."""

    units: int  # steps or calls of one run

    def results(self) -> list[float]:
        """Numbers that all sides must agree on; the state is as before afterwards."""
        ...

    def run(self) -> object:
        """The timed work; returns when it is done."""
        ...


class Worker:
    """Holds the tasks of a side and times them."""

    def __init__(self, side: Any) -> None:
        self._side = side
        self._tasks: dict[str, Task] = {}
        self._runs: dict[str, float] = {}  # seconds of a run, as last seen

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        do = request["do"]
        if do == "load":
            return self._load(request["task"], request["make"], request["work"])
        if do == "round":
            return {"seconds": self._round(request["task"], request["seconds"])}
        if do == "drop":
            self._tasks.pop(request["task"], None)
            self._runs.pop(request["task"], None)
            gc.collect()
            return {}
        if do == "versions":
            return dict(self._side.versions())
        raise ValueError(f"[worker] 'do' expects load, round, drop or versions, got {do!r}")

    def _load(self, name: str, make: str, work: dict[str, Any]) -> dict[str, Any]:
        task: Task = self._side.TASKS[make](work)
        results = [float(value) for value in task.results()]
        self._tasks[name] = task
        return {"results": results, "units": task.units}

    def _round(self, name: str, seconds: float) -> float:
        task = self._tasks[name]
        if name not in self._runs:
            task.run()  # the first may compile, allocate, or touch its memory for the first time
            self._runs[name] = _timed(task, 1)
        if self._runs[name] < WARM:
            task.run()  # others have had the caches, and threads have gone to sleep
        count = max(1, math.ceil(seconds / max(self._runs[name], 1e-9)))
        total = _timed(task, count)
        while total < 0.5 * seconds:  # the first of them were slower than it is
            count *= 2
            total = _timed(task, count)
        self._runs[name] = total / count
        return self._runs[name] / task.units


def _timed(task: Task, count: int) -> float:
    run = task.run
    start = time.perf_counter()
    for _ in range(count):
        run()
    return time.perf_counter() - start


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the process ends it
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no reply
    module, threads = sys.argv[1], int(sys.argv[2])
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            if worker is None:
                side = importlib.import_module(f"fusednet.benchmarks.{module}")
                side.start(threads)
                worker = Worker(side)
                gc.collect()
                gc.freeze()  # what was imported stays: it need not be looked through again
            reply = worker.answer(json.loads(line))
        except Exception as error:  # a side that fails is left out by name, whatever it raises
            said = str(error)  # a plain LookupError says what the side does not have
            reply = {"error": said if type(error) is LookupError else f"{type(error).__name__}: {said}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
