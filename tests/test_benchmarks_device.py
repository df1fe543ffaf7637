"""The benchmark's steps on a device: where its data lie, how many steps a run is."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fusednet
from devices import DEVICES
from fusednet import _native
from fusednet.benchmarks import kernels_device, nets, side_fusednet, steps, targets
from fusednet.benchmarks.compare import Bench
from fusednet.benchmarks.nets import Net
from fusednet.benchmarks.team import Team

SMALL = Net((6, 8, 7, 3), 5)


@pytest.mark.parametrize("full_batch", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_on_a_device_is_as_many_steps_as_it_says(device, full_batch):
    task = side_fusednet.TASKS["device step"](replace(SMALL, device=device, full_batch=full_batch).work())
    assert isinstance(task.x, fusednet.DeviceArray)
    before = task.model.step
    task.run()
    assert task.model.step - before == task.units


def test_networks_of_the_cpus_table_and_those_with_targets_first():
    targeted = [target.work for target in targets.TARGETS if target.work.endswith(", cuda") and "-" in target.work[:5]]
    names = [replace(net, device="cuda").name for net in nets.ON_DEVICE]
    assert len(targeted) == 6
    assert names[:6] == targeted
    assert {*nets.NETS, nets.WIDE} <= set(nets.ON_DEVICE)
    assert len(set(names)) == len(names)
    assert all(net.programs for net in nets.IN_PROGRAMS)


def test_which_networks_have_rivals(monkeypatch):
    """All but those in programs, which come last."""
    asked = []
    monkeypatch.setattr(_native, "device_names", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(_native, "why_no_device", lambda name: "")
    monkeypatch.setattr(kernels_device, "kernels", lambda bench, name: None)
    monkeypatch.setattr(
        steps, "measure", lambda bench, group, name, make, work, rivals, **more: asked.append((name, rivals))
    )
    with Team([]) as workers:
        steps.device(Bench(workers, [1], say=lambda line: None))
    sides = [[rival.label for rival in rivals] for _, rivals in asked]
    known = ["torch eager", targets.GRAPHS, "JAX scan"]
    assert sides == [known] * len(nets.ON_DEVICE) + [[steps.ROWS_THERE]] + [[]] * len(nets.IN_PROGRAMS)


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
    step, high = (replace(net, device="cuda").name for net in (nets.MIDDLE, nets.ON_DEVICE[4]))
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
    for net in (replace(net, device="cuda") for net in nets.ON_DEVICE):
        assert net.steps >= 4
        assert 4 * net.steps * net.batch * net.widths[0] <= 1 << 30
