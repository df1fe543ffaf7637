"""A run of the benchmark that is interrupted."""

import json

import pytest

from fusednet.benchmarks import run, targets


def test_an_interrupted_run_keeps_what_it_has(monkeypatch, tmp_path):
    def group(bench):
        bench.rows.append({"group": "steps", "row": "one"})
        raise KeyboardInterrupt

    monkeypatch.setitem(run.GROUPS, "steps", group)
    monkeypatch.setattr(targets, "table", lambda rows: [])
    with pytest.raises(KeyboardInterrupt):
        run.run(["steps"], rivals="", json_file=tmp_path / "bench.json", say=lambda line: None)
    record = json.loads((tmp_path / "bench.json").read_text())
    assert record["interrupted"]
    assert [row["row"] for row in record["rows"]] == ["one"]
