"""What `fusednet catalogue` prints, and the page docs/catalogue.md."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from fusednet import _native, catalogue
from fusednet._figures import GRADIENT_LIMIT, Figures, measure
from fusednet.catalogue import Row

_WIDTH = 100  # of a formula on the terminal; JSON and the page have it whole


@dataclass(frozen=True)
class Report:
    """Rows with their figures; true if all are within the limits."""

    entries: tuple[tuple[Row, Figures], ...]

    def __bool__(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """Names of the rows that are beyond a limit."""
        return [row.name for row, figures in self.entries if not figures.passes(row.name)]

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows by kind."""
        return dict(Counter(row.kind for row, _ in self.entries))

    def worst(self, *names: str) -> tuple[float, str] | None:
        """The largest of some figures over all rows, and the row that has it."""
        found = [
            (value, row.name)
            for row, figures in self.entries
            for value in (getattr(figures, name) for name in names)
            if value is not None
        ]
        return max(found) if found else None

    def __str__(self) -> str:
        head = ("kind", "name", "gradient", "ULP", "ULP of f'", "float32", "formula")
        cells = [head, *(_cells(row, figures) for row, figures in self.entries)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        right = (False, False, True, True, True, True, False)
        lines = [
            "  ".join(f"{cell:>{w}}" if r else f"{cell:<{w}}" for cell, w, r in zip(line, widths, right, strict=True))
            for line in cells
        ]
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join(line.rstrip() for line in [*lines, "", *self._footer()])

    def _footer(self) -> list[str]:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        lines = [f"{len(self.entries)} rows: {counts}"]
        gradient, ulp = self.worst("gradient"), self.worst("ulp", "ulp_backward")
        if gradient is not None:
            lines.append(f"worst gradient check {gradient[0]:.1e} ({gradient[1]}); below {GRADIENT_LIMIT:g} is right")
        if ulp is not None:
            used = _native.isa_info()["used"]
            lines.append(f"worst error of a float32 activation {ulp[0]:.2f} ULP ({ulp[1]}), kernels {used}")
        lines.append(f"WRONG: {', '.join(self.failures)}" if self.failures else "all right")
        return lines

    def json(self) -> str:
        """The same as JSON."""
        rows = [{**asdict(row), **asdict(figures)} for row, figures in self.entries]
        gradient, ulp = self.worst("gradient"), self.worst("ulp", "ulp_backward")
        whole = {
            "rows": rows,
            "counts": self.counts,
            "total": len(rows),
            "worst_gradient": None if gradient is None else gradient[0],
            "worst_ulp": None if ulp is None else ulp[0],
            "kernels": _native.isa_info()["used"],
            "failures": self.failures,
        }
        return json.dumps(whole, indent=2)


def report(kind: str | None = None) -> Report:
    """The rows of one kind, or of all, with their figures."""
    return Report(tuple((row, measure(row)) for row in catalogue.rows(kind)))


def _cells(row: Row, figures: Figures) -> tuple[str, ...]:
    formula = row.formula if len(row.formula) <= _WIDTH else row.formula[: _WIDTH - 3] + "..."
    scientific = (_shown(figures.gradient, ".1e"), _shown(figures.float32, ".1e"))
    ulps = (_shown(figures.ulp, ".2f"), _shown(figures.ulp_backward, ".2f"))
    return row.kind, row.name, scientific[0], *ulps, scientific[1], formula


def _shown(figure: float | None, form: str) -> str:
    return "-" if figure is None else format(figure, form)


_INTRODUCTION = """# Catalogue

All that this build has, {total} rows, as `fusednet catalogue --markdown` writes them from the compiled tables and the
docstrings; a test keeps this page so, and nobody edits it. `fusednet catalogue` prints the same rows with a gradient
check of each, the error of each activation in ULP, and the distance of float32 from float64, computed then and there.

x is the input or the model's output, t the target, w a weight, g its gradient; u is uniform on [0, 1), z standard
normal; n is the batch, c the features. Parameters stand with their defaults; `help(fusednet.layers.Dense)` and the like
say what they mean, which values they take and what is raised. Arguments that all of a kind share are left out: `name`,
`trainable`, `input_shape` and `learning_rate_multiplier` of layers, `seed` of initializers, `reduction` of losses, and
`weight_decay`, clipping, averaging and accumulation of optimizers (`help(fusednet.optimizers.Optimizer)`).
"""

_TITLES = {
    "activation": ("Activations", "Also `layers.Activation(name)` and `activation=name` of `Dense`."),
    "layer": ("Layers", "An activation and a noise of the tables above and below is a layer as well."),
    "noise": ("Random layers", "While training; at inference they give back their input."),
    "initializer": ("Initializers", ""),
    "optimizer": (
        "Optimizers",
        "g is the clipped gradient, t the step, from 1.",
    ),
    "schedule": (
        "Learning-rate schedules",
        "t is the number of updates done before. A schedule goes where a learning rate goes.",
    ),
    "loss": (
        "Losses",
        "Of one sample. From logits, and behind the activation it contains, a loss is one pass over the logits.",
    ),
    "metric": ("Metrics", "Over a whole epoch or evaluation."),
    "regularizer": ("Regularizers", "Of kernel, bias, gamma, beta or a layer's outputs; part of the loss."),
    "constraint": ("Constraints", "What a weight is projected on after each update; the norm is a column's."),
}
_WORDS = ("layer", "initializer", "metric", "regularizer")  # kinds whose rows are explained in words


def markdown() -> str:
    """The page docs/catalogue.md."""
    parts = [_INTRODUCTION.format(total=len(catalogue.rows()))]
    for kind in catalogue.KINDS:
        title, remark = _TITLES[kind]
        found = catalogue.rows(kind)
        sourced = any(row.source for row in found)
        head = ["name", "in Python", "formula", "parameters"] + ["source"] * sourced
        lines = [f"## {title} ({len(found)})", "", *([remark, ""] if remark else [])]
        lines += [_line(head), _line(["---"] * len(head))]
        lines += [_line(_page_cells(row)[: len(head)]) for row in found]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _page_cells(row: Row) -> Sequence[str]:
    params = [key if default == "" else f"{key}={default}" for key, default in row.params.items()]
    formula = row.formula.replace("*", "\\*") if row.kind in _WORDS else f"`{row.formula}`"
    return f"`{row.name}`", _code(row.python), formula, _code(params), row.source


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
