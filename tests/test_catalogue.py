"""The catalogue: every row and every class is in it, its figures are measured, its page is up to date."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fusednet
from fusednet import _catalogue_report, _figures, _native, catalogue, cli
from fusednet._figures import Figures

ROOT = Path(__file__).resolve().parent.parent
NATIVE = sorted(name for name in dir(_native) if name.endswith("_rows"))
MODULES = {
    "activation": fusednet.layers,
    "layer": fusednet.layers,
    "noise": fusednet.layers,
    "initializer": fusednet.initializers,
    "optimizer": fusednet.optimizers,
    "schedule": fusednet.optimizers.schedules,
    "loss": fusednet.losses,
    "metric": fusednet.metrics,
    "regularizer": fusednet.regularizers,
    "constraint": fusednet.constraints,
}
BASES = (*("Layer", "Initializer", "Optimizer", "LearningRateSchedule", "Loss", "Metric", "Regularizer", "Constraint"),)


def written():
    """The names of the classes that the rows' Python expressions use."""
    return {text.partition("(")[0].rpartition(".")[2] for row in catalogue.rows() for text in row.python}


@pytest.fixture(scope="module")
def report():
    return _catalogue_report.report()


@pytest.mark.parametrize("function", NATIVE)
def test_every_compiled_row_is_there(function):
    found = [row.name for row in catalogue.rows(function.removesuffix("_rows"))]
    assert found == [row["name"] for row in getattr(_native, function)()]
    assert found


def test_the_kinds_are_those_of_the_tables_and_modules():
    assert {name.removesuffix("_rows") for name in NATIVE} <= set(catalogue.KINDS) == set(MODULES)


@pytest.mark.parametrize("name", sorted({module.__name__ for module in MODULES.values()}))
def test_every_class_is_there(name):
    module = sys.modules[name]
    kinds = {name for name in module.__all__ if isinstance(getattr(module, name), type)}
    kinds |= set(getattr(module, "CLASSES", ()))
    classes = {getattr(module, name).__name__ for name in kinds} - set(BASES)
    assert classes
    assert classes <= written()


def test_every_expression_makes_something():
    for row in catalogue.rows():
        assert row.python, row.name
        for text in row.python:
            if text != "a number":
                scope = {**vars(fusednet)}
                assert callable(eval(text.partition("(")[0], scope))
                assert "(" not in text or eval(text, scope)


@pytest.mark.parametrize("row", catalogue.rows(), ids=lambda row: f"{row.kind}-{row.name}")
def test_rows_are_complete(row):
    assert row.formula
    assert "\n" not in row.formula + row.source
    assert len(row.formula) > 8 or row.formula in ("x", "exp(x)", "tanh(x)", "All ones")


def test_a_row_as_it_is_written():
    (row,) = (row for row in catalogue.rows("optimizer") if row.name == "rmsprop_centered_momentum")
    assert row.python == ("optimizers.RMSprop(momentum=0.9, centered=True)",)
    assert dict(row.params) == {"learning_rate": "0.001", "rho": "0.9", "epsilon": "1e-07", "momentum": "0.9"}
    assert row.source == "Graves 2013, eq. 38 to 42"
    (row,) = (row for row in catalogue.rows("loss") if row.name == "softmax_crossentropy")
    assert "losses.SparseCategoricalCrossentropy(from_logits=True)" in row.python
    (row,) = (row for row in catalogue.rows("layer") if row.name == "Maxout")
    assert dict(row.params) == {"units": "", "pieces": "2"}


def test_figures(report):
    assert report, report.failures
    measured = {"gradient": {"activation", "layer", "noise", "loss", "regularizer"}, "float32": {"optimizer", "loss"}}
    for row, figures in report.entries:
        if row.kind in measured["gradient"]:
            assert 0.0 < figures.gradient < 1e-8, row.name  # 0 would be a check of nothing
        else:
            assert figures.gradient is None
        if row.kind in measured["float32"]:
            assert 0.0 < figures.float32 < 1e-6, row.name
    for row in _native.activation_rows():
        (figures,) = (f for r, f in report.entries if (r.kind, r.name) == ("activation", row["name"]))
        assert (figures.ulp is None) == (figures.ulp_backward is None) == row["row"] == (figures.float32 is not None)


@pytest.mark.parametrize("row", catalogue.rows("loss"), ids=lambda row: row.name)
def test_losses_are_checked_by_themselves(row):
    """Behind an activation that it contains, a loss would leave its place to another row."""
    model = _figures._loss(row)
    assert "loss with its activation" not in str(model.plan)
    assert catalogue.loss_row(model.loss.name) == row.name or model.loss.from_logits


def test_limits():
    assert Figures().passes("softplus")
    assert Figures(1e-8, 0.9, 0.9).passes("softplus")
    assert not Figures(gradient=2e-7).passes("softplus")
    assert not Figures(gradient=float("nan")).passes("softplus")
    assert not Figures(ulp=1.1).passes("softplus")
    assert Figures(ulp=1.1).passes("leaky_relu")
    assert not Figures(ulp=2.1).passes("leaky_relu")
    assert not Figures(ulp_backward=1.1).passes("softplus")
    assert Figures(ulp_backward=1.9).passes("leaky_relu")
    assert set(_figures.TIGHT) <= {row.name for row in catalogue.rows("activation")}


def test_ulps():
    one = np.float32(1.0)
    up = np.nextafter(one, np.float32(2.0))
    exact = np.array([1.0, 1.0, np.nan, np.inf, 1e-40, 0.0])
    got = np.array([1.0, up, np.nan, np.inf, 0.0, 0.0], np.float32)
    assert _figures.ulps(got, exact) == 1.0
    assert _figures.ulps(got[:1], exact[:1]) == 0.0
    assert _figures.ulps(got[3:4], np.array([float(np.finfo(np.float32).max)])) == pytest.approx(1.0)
    assert _figures.ulps(np.array([np.nan], np.float32), np.array([1.0])) == np.inf
    assert _figures.ulps(np.array([1.0], np.float32), np.array([np.nan])) == np.inf


def test_the_sample_of_floats():
    x = _figures.floats()
    assert np.isnan(x).sum() == 1
    assert np.isinf(x).sum() == 2
    assert ((x != 0) & (np.abs(x) < np.finfo(np.float32).tiny)).any()
    assert x.max(initial=0, where=np.isfinite(x)) == np.finfo(np.float32).max


def test_the_command(capsys, report):
    start = time.monotonic()
    assert cli.main(["catalogue"]) == 0
    assert time.monotonic() - start < 20
    out = capsys.readouterr().out
    lines = out.splitlines()
    for row in catalogue.rows():
        assert sum(line.split()[:2] == [row.kind, row.name] for line in lines) == 1
    total = len(catalogue.rows())
    assert f"{total} rows: " in out
    assert f"{len(catalogue.rows('loss'))} loss" in out
    assert "worst gradient check" in lines[-3]
    assert "ULP" in lines[-2]
    assert lines[-1] == "all right"


def test_the_command_as_json(capsys):
    assert cli.main(["catalogue", "--kind", "activation", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == len(found["rows"]) == found["counts"]["activation"] == len(_native.activation_rows())
    assert found["worst_gradient"] == max(row["gradient"] for row in found["rows"])
    assert found["worst_ulp"] > 0
    assert found["failures"] == []


@pytest.mark.parametrize("wrong", [Figures(gradient=1e-6), Figures(ulp=1.5), Figures(ulp_backward=2.5)])
def test_a_row_beyond_a_limit_is_status_1(capsys, monkeypatch, wrong):
    monkeypatch.setattr(
        _catalogue_report, "measure", lambda row: wrong if row.name == "sigmoid" else Figures(gradient=1e-9)
    )
    assert cli.main(["catalogue", "--kind", "activation"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "WRONG: sigmoid"


def test_a_kind_without_figures(capsys):
    assert cli.main(["catalogue", "--kind", "metric"]) == 0
    assert "worst" not in capsys.readouterr().out


def test_unknown_kinds_are_errors():
    with pytest.raises(ValueError, match=r"kind expects one of activation, layer, noise.*did you mean 'loss'"):
        catalogue.rows("losses")
    with pytest.raises(SystemExit) as status:
        cli.main(["catalogue", "--kind", "losses"])
    assert status.value.code == 2


def test_the_page_is_up_to_date(capsys):
    assert cli.main(["catalogue", "--markdown"]) == 0
    written = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert written == capsys.readouterr().out, "run: fusednet catalogue --markdown > docs/catalogue.md"
    for row in catalogue.rows():
        assert f"| `{row.name}` |" in written
    plain = re.sub(r"`[^`]*`", "", written)  # outside of code, stars would be emphasis
    assert not re.findall(r"(?<!\\)\*", plain)
