"""The benchmark's steps on a device: where its data lie, how many steps a run is."""

from __future__ import annotations

from dataclasses import replace

import pytest

import fusednet
from devices import DEVICES
from fusednet.benchmarks import nets, side_fusednet
from fusednet.benchmarks.nets import Net

SMALL = Net((6, 8, 7, 3), 5)


@pytest.mark.parametrize("full_batch", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_on_a_device_is_as_many_steps_as_it_says(device, full_batch):
    task = side_fusednet.TASKS["device step"](replace(SMALL, device=device, full_batch=full_batch).work())
    assert isinstance(task.x, fusednet.DeviceArray)
    before = task.model.step
    task.run()
    assert task.model.step - before == task.units


def test_epochs_on_a_device_have_steps_enough_and_little_data():
    for net in (replace(net, device="cuda") for net in nets.ON_DEVICE):
        assert net.steps >= 4
        assert 4 * net.steps * net.batch * net.widths[0] <= 1 << 30
