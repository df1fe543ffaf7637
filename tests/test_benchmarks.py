"""The benchmarks themselves: the protocol of their workers, turns, records, errors; that their numbers are times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fusednet.benchmarks import compare, job_torch, jobs, kernel_data, nets, pictures, run, side_fusednet, targets, team
from fusednet.benchmarks.compare import Bench, Rival
from fusednet.benchmarks.nets import Net
from fusednet.benchmarks.team import OURS, SideError, Team

SMALL = Net((6, 8, 7, 3), 5)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def workers():
    with Team([]) as found:
        yield found


@pytest.fixture
def bench(workers):
    said: list[str] = []
    made = Bench(workers, [1], rounds=3, seconds=0.002, say=said.append)
    made.said = said  # type: ignore[attr-defined]
    return made


def test_a_worker_loads_times_and_drops(workers):
    reply = workers.ask(OURS, 1, "load", task="a", make="step", work=SMALL.work())
    assert reply["units"] == SMALL.steps
    assert len(reply["results"]) == SMALL.checked_steps
    assert workers.ask(OURS, 1, "round", task="a", seconds=0.001)["seconds"] > 0.0
    assert workers.ask(OURS, 1, "drop", task="a") == {}
    with pytest.raises(SideError, match="KeyError"):
        workers.ask(OURS, 1, "round", task="a", seconds=0.001)
    assert set(workers.versions()) == {"fusednet", "numpy"}


def test_a_worker_answers_bad_requests_and_goes_on(workers):
    with pytest.raises(SideError, match="expects load, round, drop or versions, got 'fly'"):
        workers.ask(OURS, 1, "fly")
    with pytest.raises(SideError, match="KeyError: 'juggle'"):
        workers.ask(OURS, 1, "load", task="a", make="juggle", work={})
    with pytest.raises(SideError, match=r"expects one of|precision"):
        workers.ask(OURS, 1, "load", task="a", make="step", work=Net((2, 2), 2, precision="none").work())
    assert workers.ask(OURS, 1, "versions")


def test_a_worker_that_ends_is_named_and_replaced():
    with Team([]) as workers:
        workers.ask(OURS, 1, "versions")
        process = workers._processes[OURS, 1]._process
        process.kill()
        process.wait()
        with pytest.raises(SideError, match="ended with -9"):
            workers.ask(OURS, 1, "versions")
        assert workers.ask(OURS, 1, "versions")


def test_a_library_that_is_not_installed_is_named(monkeypatch, bench):
    missing = team.Family("torch", ("no_such_package",), "side_torch")
    monkeypatch.setitem(team.FAMILIES, "torch", missing)
    with Team(["torch"]) as workers:
        assert workers.absent["torch"] == "not installed (no_such_package)"
        assert workers.absent["jax"] == "not asked for"
        with pytest.raises(SideError, match="not installed"):
            workers.ask("torch", 1, "versions")
        bench.team = workers
        (row,) = compare.measure(
            bench, "steps", SMALL.name, "step", SMALL.work(), [Rival("torch eager", "torch", "step")]
        )
    assert row["rivals"] == []
    assert row["left_out"] == {"torch eager": "not installed (no_such_package)"}


def test_turns_alternate_and_their_order_turns_round():
    seen = []

    def one(key):
        seen.append(key)
        return float(len(seen))

    times = compare.take_turns(one, ["a", "b", "c"], 3)
    assert seen == list("abccbaabc")
    assert times == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}
    seen.clear()
    assert len(compare.take_turns(one, ["a"], 9, enough=0.0)["a"]) == compare.LEAST


def test_a_row_has_ratios_of_each_round(bench):
    rival = Rival("again", OURS, "step", note="the same")
    (row,) = compare.measure(bench, "steps", SMALL.name, "step", SMALL.work(), [rival], figures={"flops": SMALL.flops})
    (entry,) = row["rivals"]
    assert entry["difference"] == 0.0
    assert row["seconds"]["count"] == entry["ratio"]["count"] == 3
    assert row["seconds"]["min"] <= row["seconds"]["q1"] <= row["seconds"]["median"] <= row["seconds"]["max"]
    assert entry["ratio"]["min"] <= entry["ratio"]["median"] <= entry["ratio"]["max"]
    assert 0.01 < entry["ratio"]["median"] < 100  # of the same work, but the machine may be busy
    text = compare.line(row)
    assert SMALL.name in text
    assert "again, the same" in text
    assert "GFLOP/s" in text


def test_another_training_is_not_timed(bench):
    other = Net(SMALL.widths, SMALL.batch, activation="tanh")
    rivals = [Rival("other", OURS, "step", other.work())]
    (row,) = compare.measure(bench, "steps", "row", "step", SMALL.work(), rivals)
    assert row["rivals"] == []
    assert "its results are not ours" in row["left_out"]["other"]
    assert any("left out: other" in line for line in bench.said)


def test_a_rival_at_its_best_number_of_threads():
    times = {(OURS, 1): [1.0], (OURS, 2): [0.5], ("r", 1): [3.0], ("r", 2): [4.0]}
    for count, ratio in ((1, 3.0), (2, 6.0)):
        entry = compare.against(Rival("r", "r", "step"), count, times)
        assert entry is not None
        assert (entry["threads"], entry["ratio"]["median"]) == (1, ratio)


def test_the_time_of_a_step_is_that_of_a_plain_loop(bench):
    net = Net((64, 64, 64, 2), 32)
    task = side_fusednet.Step(net.work())
    task.run()

    def plain():
        start = time.perf_counter()
        task.run()
        return (time.perf_counter() - start) / task.units

    plain_seconds = min(plain() for _ in range(5))
    (row,) = compare.measure(bench, "steps", net.name, "step", net.work(), [])
    assert 0.2 < row["seconds"]["min"] / plain_seconds < 5.0


@pytest.mark.parametrize(
    ("make", "work"),
    [
        ("gemm", {"m": 3, "k": 4, "n": 5}),
        ("batchnorm", {"rows": 4, "columns": 3}),
        ("activation", {"name": "elu", "backward": True, "elements": 16}),
        ("activation", {"name": "prelu", "backward": False, "elements": 16}),
        ("activation", {"name": "softmax", "backward": False, "elements": 300}),
        ("noise", {"name": "dropout", "elements": 16}),
        ("loss", {"name": "huber", "elements": 16}),
        ("optimizer", {"name": "adam", "elements": 16}),
        ("clipped adam", {"net": SMALL.work()}),
        ("copy", {"elements": 64}),
        ("inference", SMALL.work()),
        ("pair", {"net": SMALL.work(), "at_once": True}),
        ("plan bytes", SMALL.work()),
    ],
)
def test_every_task_gives_what_is_compared(make, work):
    task = side_fusednet.TASKS[make](work)
    first = task.results()
    task.run()
    assert all(np.isfinite(first))
    assert task.units >= 1


def test_weights_and_data_are_the_same_for_all_sides():
    assert all(np.array_equal(a, b) for a, b in zip(nets.weights(SMALL), nets.weights(SMALL), strict=True))
    x, y = nets.data(SMALL, 2)
    assert x.shape == (10, 6)
    assert set(y) <= {0, 1, 2}
    batches = nets.checked_batches(SMALL)
    assert np.array_equal(batches[1][0], nets.data(SMALL, SMALL.checked_steps)[0][5:10])
    assert SMALL.near(1) == Net((7, 9, 8, 4), 6)
    assert nets.of_work(json.loads(json.dumps(SMALL.work()))) == SMALL
    model = side_fusednet.build(SMALL)
    assert model.count_params() == SMALL.parameters + 2 * sum(SMALL.widths[1:-1])
    assert sum(a.size for a in kernel_data.tensors({"net": SMALL.work()})[0]) == SMALL.parameters


def test_targets_find_their_rows():
    def row(name, rival, ratio, threads=2, group="kernels"):
        entry = {"side": rival, "ratio": {"median": ratio}}
        return {"group": group, "row": name, "threads": threads, "rivals": [entry]}

    gemms = [row("GEMM 64x64 by 64x64", "torch", 1.2), row("GEMM 65x65 by 65x65", "torch", 0.9)]
    lines = targets.table([*gemms, row(nets.FIRST.name, "torch eager", 4.5, 1, "steps")])
    found = {(line["work"], line["threads"]): line for line in lines}
    worst = found["GEMM, the worst of all sizes", 2]
    assert (worst["found"], worst["row"], worst["verdict"]) == (0.9, "GEMM 65x65 by 65x65", "missed")
    assert found[nets.FIRST.name, 1]["verdict"] == "met"
    assert found[nets.FIRST.name, 2]["verdict"] == "not measured"
    assert "1 met, 1 missed" in targets.text(lines)


def test_a_target_beyond_the_roof_is_told():
    def row(group, name, seconds, **more):
        return {"group": group, "row": name, "threads": 2, "seconds": {"median": seconds}, "rivals": [], **more}

    rival = {"side": "torch eager", "threads": 2, "ratio": {"median": 2.0}, "seconds": {"median": 8.0}}
    norm = {**rival, "side": "torch", "ratio": {"median": 3.0}, "seconds": {"median": 6.0}}
    shape = "BatchNorm + ELU forward and backward, 50x300"
    rows = [
        row("kernels", "GEMM 64x64 by 64x64", 3.0, flops=30.0, rivals=[{**norm, "seconds": {"median": 2.0}}]),
        row("roof", "copy, 1", 1.0, bytes=4.0),
        row("roof", "copy, 2", 1.0, bytes=100.0),
        row("steps", nets.FIRST.name, 4.0, flops=60.0, rivals=[rival]),
        row("steps", nets.LARGE_MEDIUM.name, 4.0, flops=60.0, rivals=[rival]),
        row("kernels", shape, 2.0, bytes=8.0, rivals=[norm]),
    ]
    found = {(line["work"], line["rival"], line["threads"]): line for line in targets.table(rows)}
    assert found[nets.FIRST.name, "torch eager", 2]["at_roof"] == 2.0  # 60 FLOP at 15 FLOP/s take 4 s
    assert found[nets.LARGE_MEDIUM.name, "torch eager", 2]["at_roof"] is None
    assert found[shape, "torch", 2]["at_roof"] == 3.0  # 8 bytes at the small copy's 4 bytes/s take 2 s
    assert found[nets.FIRST.name, "torch eager", 1]["found"] is None
    assert " 2.00    2.00  missed" in targets.text(targets.table(rows))


def test_a_whole_run(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(nets, "QUICK", (SMALL,))
    monkeypatch.setattr(nets, "NEIGHBOURED", (SMALL,))
    said: list[str] = []
    record = run.run(
        ["steps", "kernels"],
        quick=True,
        rounds=2,
        rivals="",
        threads=[1],
        only="6-8-7-3",
        json_file=tmp_path / "new" / "record.json",
        plots=tmp_path / "plots",
        say=said.append,
    )
    text = (tmp_path / "new" / "record.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(record))
    for key in (
        "schema",
        "cpu",
        "isa",
        "cores",
        "commit",
        "date",
        "versions",
        "options",
        "targets",
        "rows",
        "left_out",
    ):
        assert key in record
    assert [row["group"] for row in record["rows"]] == ["steps", "neighbours", "neighbours"]
    assert record["versions"]["numpy"] == np.__version__
    assert {"group": "all", "row": "torch", "why": "not asked for"} in record["left_out"]
    gemm = {**record["rows"][0], "row": "GEMM 64x64 by 64x64", "group": "kernels"}
    copy = {**gemm, "row": "copy, 1 M elements", "group": "roof", "bytes": 8.0}
    scaled = {**gemm, "group": "scaling", "batch": 8, "width": 16, "per_flop": 1e-12}
    cliffs = {"group": "scaling", "row": "cliffs among 1 sizes", "threads": gemm["threads"], "cliffs": []}
    drawn = pictures.draw({**record, "rows": [gemm, copy, scaled, cliffs]}, tmp_path)
    assert {"roofline.png", "scaling.png"} <= {path.name for path in drawn}


def test_mnist_is_skipped_by_name(monkeypatch, bench, tmp_path):
    monkeypatch.setenv("FUSEDNET_DATA", str(tmp_path))
    monkeypatch.setattr(jobs, "_memory", lambda bench: None)
    jobs.jobs(bench)
    assert [entry["row"].split(",")[0] for entry in bench.left_out] == [
        "fusednet train --recipe batchnorm",
        "fusednet train --recipe clipping",
    ]
    assert "no MNIST" in bench.left_out[0]["why"]
    seconds, peak = jobs.run([sys.executable, "-c", "import time; time.sleep(0.2)"], 1)
    assert seconds >= 0.2
    assert peak > 1e6
    with pytest.raises(SideError, match="ended with 3: why"):
        jobs.run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], 1)


def test_the_torch_script_reads_idx_files(tmp_path):
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    assert job_torch.idx(tmp_path, "a").tolist() == [[7, 8, 9]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["stepz"],
            "[bench] GROUP expects one of steps, device, inference, kernels, scaling, jobs, threads; got 'stepz'",
        ),
        (
            ["--rivals", "torch,tensorflow"],
            "[bench] --rivals expects one of torch, jax, keras, sklearn; got 'tensorflow'",
        ),
        (["--rounds", "0"], "[bench] --rounds expects at least 1, got 0"),
        (["--threads", "0"], "[bench] --threads expects at least 1, got 0"),
        (["--json", "/proc/nowhere/x.json"], "/proc/nowhere"),
    ],
)
def test_errors_of_the_command(tmp_path, arguments, words):
    command = [sys.executable, "-m", "fusednet", "bench", *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_code_has_one_place():
    """A checkout imports what the wheel maps from benchmarks/."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: source archives have no link")
    assert (ROOT / "python" / "fusednet" / "benchmarks").resolve() == ROOT / "benchmarks"
