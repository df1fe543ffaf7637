"""What `fit` and `evaluate` show: a tqdm bar, a line, or nothing."""

import time
from collections.abc import Mapping
from typing import Any


class Progress:
    """One bar or line, for one epoch or one evaluation; use as a context manager.

    Args:
        verbose: 0 nothing, 1 a bar on standard error, 2 a line on standard output at the end.
        title: what it begins with, for example "Epoch 1/5".
        steps: batches in all.
    """

    def __init__(self, verbose: int, title: str, steps: int) -> None:
        self._verbose, self._title, self._steps = verbose, title, steps
        self._bar: Any = None
        self._logs: Mapping[str, float] = {}
        self._done = False

    def __enter__(self) -> "Progress":
        self._start = time.perf_counter()
        if self._verbose == 1:
            from tqdm import tqdm

            self._bar = tqdm(total=self._steps, desc=self._title, unit="batch", dynamic_ncols=True)
        return self

    @property
    def shows(self) -> bool:
        """Whether there is a bar, which wants running values."""
        return self._bar is not None

    def advance(self, steps: int, logs: Mapping[str, float] | None = None) -> None:
        """`steps` more batches are done; logs are the running values."""
        if self._bar is not None:
            if logs is not None:
                self._bar.set_postfix(_texts(logs), refresh=False)
            self._bar.update(steps)

    def finish(self, logs: Mapping[str, float]) -> None:
        """The final values."""
        self._logs, self._done = logs, True
        if self._bar is not None:
            self._bar.set_postfix(_texts(logs), refresh=True)

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._verbose == 2 and self._done:
            seconds = time.perf_counter() - self._start
            values = " - ".join(f"{name}: {text}" for name, text in _texts(self._logs).items())
            print(f"{self._title} - {seconds:.1f}s - {values}", flush=True)


def _texts(logs: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{value:.4g}" for name, value in logs.items()}
