"""The learning curve as a picture; needs matplotlib, which the extra `plot` brings."""

import contextlib
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def prepare() -> None:
    """Begin to import matplotlib, which takes half a second, beside what the caller does next. It may fail unheard."""

    def load() -> None:
        with contextlib.suppress(Exception):  # learning_curve will say it
            importlib.import_module("matplotlib.figure")
            importlib.import_module("matplotlib.backends.backend_agg")

    if available():
        with contextlib.suppress(RuntimeError):  # no more threads
            threading.Thread(target=load, name="fusednet-plot").start()


def learning_curve(history: Mapping[str, Sequence[float]], path: Path, title: str) -> None:
    """Loss and accuracy over the epochs, training and validation, as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 3.6))
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.14, top=0.88)  # a layout engine draws everything twice
    FigureCanvasAgg(figure)  # draws without a display
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label, style in ((name, "training", "o-"), (f"val_{name}", "validation", "s--")):
            if key in history:
                axes.plot(range(1, len(history[key]) + 1), history[key], style, label=label, markersize=3)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
