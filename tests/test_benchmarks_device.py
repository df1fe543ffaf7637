"""The benchmark's steps on a device: where its data lie, how many steps a run is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fusednet
from devices import DEVICES
from fusednet import _native
from fusednet.benchmarks import kernels_device, nets, reached, run, side_fusednet, steps, targets
from fusednet.benchmarks.compare import Bench
from fusednet.benchmarks.nets import Net
from fusednet.benchmarks.team import Team

ROOT = Path(__file__).resolve().parent.parent
SMALL = Net((6, 8, 7, 3), 5)
ON_DEVICE = nets.WITH_TARGET + nets.WITHOUT_TARGET


@pytest.mark.parametrize("full_batch", [False, True])
def test_a_run_on_a_device_is_as_many_steps_as_it_says(device, full_batch):
    task = side_fusednet.TASKS["device step"](replace(SMALL, device=device, full_batch=full_batch).work())
    assert isinstance(task.x, fusednet.DeviceArray)
    before = task.model.step
    task.run()
    assert task.model.step - before == task.units


def test_networks_of_the_cpus_table_and_those_with_targets_first():
    targeted = [target.work for target in targets.TARGETS if target.work.endswith(", cuda") and "-" in target.work[:5]]
    names = [replace(net, device="cuda").name for net in ON_DEVICE]
    assert len(targeted) == 6
    assert names[:6] == targeted
    assert {*nets.NETS, nets.WIDE} <= set(ON_DEVICE)
    assert len(set(names)) == len(names)
    assert all(net.programs for net in nets.IN_PROGRAMS)


@pytest.fixture
def asked(monkeypatch):
    """The rows that the group measures, each with its rivals."""

    def rows(when):
        measured = []

        def measure(bench, group, name, make, work, rivals, **more):
            measured.append((name, [rival.label for rival in rivals]))
            return []

        monkeypatch.setattr(_native, "device_names", lambda: ["cpu", "cuda"])
        monkeypatch.setattr(_native, "why_no_device", lambda name: "")
        monkeypatch.setattr(steps, "measure", measure)
        monkeypatch.setattr(kernels_device, "measure", measure)
        with Team([]) as workers:
            steps.device(Bench(workers, [1], say=lambda line: None, targets=when))
        return measured

    return rows


def test_which_networks_have_rivals(asked):
    """All but those in programs, which come last."""
    sides = [rivals for name, rivals in asked("first") if "-" in name[:5]]
    known = ["torch eager", targets.GRAPHS, "JAX scan"]
    assert sides == [known] * len(ON_DEVICE) + [[steps.ROWS_THERE]] + [[]] * len(nets.IN_PROGRAMS)


def test_only_what_has_a_target_beside_the_sides_that_it_names(asked):
    named: dict[str, set[str]] = {}
    for target in targets.TARGETS:
        if target.work.endswith(", cuda"):
            named.setdefault(target.work, set()).update({target.rival, target.also} - {""})
    rows = asked("only")
    assert {name: set(sides) for name, sides in rows} == named
    assert len(rows) == len(named) == 8
    # never measured beside a rival so far; then the kernels, then the narrow networks
    assert [name.split("-")[0].split(" ")[0] for name, _ in rows] == [
        *("1024", "4096", "4096", "4096"),
        *("BatchNorm", "Adam"),
        *("64", "784"),
    ]


def test_the_order_of_rows_leaves_none_out(asked):
    first, last = asked("first"), asked("last")
    assert sorted(first) == sorted(last)
    names = [name for name, _ in asked("only")]
    assert sorted(name for name, _ in last[-8:]) == sorted(names)
    assert sorted(name for name, _ in first[2:10]) == sorted(names)


def _row(name, seconds, **more):
    row = {"group": "device", "device": "cuda", "row": name, "threads": 2, "seconds": {"median": seconds}}
    return {**row, "rivals": [], **more}


def _rival(side, seconds, ours):
    return {"side": side, "threads": 2, "seconds": {"median": seconds}, "ratio": {"median": seconds / ours}}


def test_the_faster_copy_is_what_memory_allows():
    name = kernels_device.norm_name("cuda")
    ours, torchs = _rival(kernels_device.COPY, 0.9, 1.0), _rival(kernels_device.TORCH_COPY, 0.6, 1.0)
    for rivals, found in (([ours, torchs], 0.6), ([torchs, ours], 0.6), ([ours], 0.9)):
        lines = targets.table([_row(name, 1.0, bytes=24.0, rivals=rivals)])
        (line,) = (line for line in lines if line["work"] == name and line["rival"] == kernels_device.COPY)
        assert line["found"] == found
        assert line["verdict"] == ("met" if found >= 0.85 else "missed")


def test_the_roof_of_a_device_is_its_own():
    """Products and copies of the device, not the CPU's, whichever side was the faster; none for other precisions."""
    step, high = (replace(net, device="cuda").name for net in (nets.MIDDLE, nets.WITH_TARGET[4]))
    norm = kernels_device.norm_name("cuda")
    graphs = _rival(targets.GRAPHS, 6.0, 3.0)
    rows = [
        _row("GEMM 64x64 by 64x64", 1.0, group="kernels", device="cpu", flops=1000.0),
        _row("copy, 4 elements", 1.0, group="roof", device="cpu", bytes=1000.0),
        _row("copy, 4 elements, cuda", 2.0, bytes=8.0, rivals=[_rival("torch", 1.0, 2.0)]),
        _row(kernels_device.gemm_name("cuda"), 2.0, flops=20.0, rivals=[_rival("torch", 1.0, 2.0)]),
        _row(step, 3.0, flops=40.0, rivals=[graphs]),
        _row(high, 3.0, flops=40.0, rivals=[graphs]),
        _row(norm, 4.0, bytes=16.0, rivals=[_rival("torch", 6.0, 4.0)]),
    ]
    lines = targets.table(rows)
    found = {(line["work"], line["rival"]): line.get("at_roof") for line in lines}
    assert found[step, targets.GRAPHS] == 3.0  # 40 FLOP at torch's 20 FLOP/s take 2 s
    assert found[high, targets.GRAPHS] is None
    assert found[norm, "torch"] == 3.0  # 16 bytes at torch's 8 bytes/s take 2 s
    worst = [line for line in lines if line["work"] == "GEMM, the worst of all sizes"]
    assert all(line["rows_without_rival"] <= 1 for line in worst)  # the device's is none of them


def test_products_on_a_device():
    for device in DEVICES:
        work = {"m": 3, "k": 4, "n": 5}
        task, here = (side_fusednet.TASKS["gemm"](given) for given in ({**work, "device": device}, work))
        assert isinstance(task.out, fusednet.DeviceArray)
        assert task.results() == pytest.approx(here.results(), rel=1e-5)


def test_epochs_on_a_device_have_steps_enough_and_little_data():
    for net in (replace(net, device="cuda") for net in ON_DEVICE):
        assert net.steps >= 4
        assert 4 * net.steps * net.batch * net.widths[0] <= 1 << 30


def records():
    folder = ROOT / "benchmarks" / "results"
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def test_the_page_has_what_the_records_have():
    """python -m fusednet.benchmarks.reached benchmarks/results/*.json writes it."""
    page = (ROOT / "docs" / "cuda.md").read_text("utf-8")
    assert page.partition("<!-- targets -->\n")[2].partition("\n<!-- end of targets -->")[0] == reached.table(records())


def test_a_line_for_each_target_and_gpu():
    (h100,) = (record for record in records() if "H100" in record.get("device", ""))
    aimed = [target for target in targets.TARGETS if target.work.endswith(", cuda")]
    lines = reached.table([h100]).splitlines()
    assert len(lines) == 2 + len(aimed) + 2
    assert "H200" in lines[-1]
    copy = [line for line in lines if kernels_device.COPY in line]
    # in the record our copy was the slower one: the fastest of the run is what memory allows
    assert "0.524: missed" in copy[0]
    assert "0.909: met" in copy[1]
    assert sum(reached.NOT_YET in line for line in lines) == 4
    step = replace(nets.MIDDLE, device="cuda").name
    more = {
        **h100,
        "date": "9999",
        "commit": "new",
        "rows": [_row(step, 1.0, rivals=[_rival(targets.GRAPHS, 1.2, 1.0)])],
    }
    other = {**more, "device": "an H200"}
    both = reached.table([more, other, h100, {"rows": [], "date": ""}])
    assert "| 1.5 | 1.2: missed | NVIDIA H100 80GB HBM3, new |" in both
    assert "| 1.5 | 1.2: missed | an H200, new |" in both
    assert "has run none" not in both
    assert both.count("16.6: met") == 1  # what the newest record has not, an older one has
    assert sum(reached.NOT_YET in line for line in both.splitlines()) == 3


@pytest.mark.parametrize(
    ("groups", "when", "words"),
    [
        (["device"], "lest", "--targets expects one of first, only, last; got 'lest' (did you mean 'last'?)"),
        (["device", "steps"], "only", "--targets only expects the group device alone, got device, steps"),
        ([], "last", "--targets last expects the group device alone, got all"),
    ],
)
def test_when_rows_with_a_target_come_is_for_a_device(groups, when, words):
    with pytest.raises(ValueError, match=re.escape(f"[bench] {words}")):
        run.run(groups, targeted=when, only="no such row", say=lambda line: None)


def test_the_command_takes_it(tmp_path):
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "fusednet", "bench", "device", "--targets", "only", "--only", "no such row"]
    done = subprocess.run([*command, "--json", str(record)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(record.read_text())["options"]["targets"] == "only"
