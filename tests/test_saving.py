"""Model files: whole or not at all, nothing trusted, and training that goes on bit for bit."""

from __future__ import annotations

import copy
import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fusednet
from fusednet import _saving
from fusednet.layers import Activation, BatchNormalization, Dense

OPTIMIZERS = {
    "sgd": fusednet.optimizers.SGD(0.05),
    "nesterov": fusednet.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.1),
    "rmsprop": fusednet.optimizers.RMSprop(0.001, momentum=0.5, clipnorm=0.5),
    "adam": fusednet.optimizers.Adam(0.01, global_clipnorm=1.0),
}


def network(optimizer="adam", dtype="float32"):
    model = fusednet.Sequential(
        [Dense(9, input_shape=[4]), BatchNormalization(), Activation("selu"), Dense(3, activation="softmax")],
        seed=4,
        dtype=dtype,
    )
    model.compile(OPTIMIZERS[optimizer], "sparse_categorical_crossentropy", ["accuracy"])
    return model


def samples():
    g = np.random.default_rng(8)
    return g.normal(size=(90, 4)).astype(np.float32), g.integers(0, 3, 90)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resuming_is_bit_identical(tmp_path, optimizer, dtype):
    x, y = samples()
    whole = network(optimizer, dtype)
    expected = whole.fit(x, y, batch_size=20, epochs=5, verbose=0).history
    half = network(optimizer, dtype)
    half.fit(x, y, batch_size=20, epochs=2, verbose=0)
    half.save(tmp_path / "half.safetensors")
    rest = fusednet.load_model(tmp_path / "half.safetensors")
    history = rest.fit(x, y, batch_size=20, epochs=5, initial_epoch=2, verbose=0).history
    assert history["loss"] == expected["loss"][2:]
    assert history["accuracy"] == expected["accuracy"][2:]
    assert rest.step == whole.step == 25
    for a, b in zip(whole.get_weights(), rest.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_file_is_plain_safetensors(tmp_path):
    model = network()
    model.save(tmp_path / "m")
    arrays = load_file(tmp_path / "m")
    for variable in model.weights:
        np.testing.assert_array_equal(arrays[variable.name], variable.numpy())


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    network().save(path)
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        fusednet.load_model(tmp_path / "nothing")


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1])
def test_a_cut_off_file(saved, keep):
    content = saved.read_bytes()
    saved.write_bytes(content[: keep if keep >= 0 else len(content) - 1])
    with pytest.raises(fusednet.ModelFileError, match=r"cut-off or damaged"):
        fusednet.load_model(saved)


def test_every_altered_byte_is_found(saved):
    content = bytearray(saved.read_bytes())
    g = np.random.default_rng(0)
    for at in g.choice(len(content), 60, replace=False):
        altered = content.copy()
        altered[at] ^= 1 << int(g.integers(8))
        saved.write_bytes(altered)
        with pytest.raises(fusednet.ModelFileError):
            fusednet.load_model(saved)


def rewrite(path, change):
    """The same file with its configuration changed, as somebody who edits it by hand would."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(metadata["config"])
    change(config, arrays, metadata)
    metadata["config"] = json.dumps(config)
    save_file(arrays, path, metadata)


def set_layer(class_name):
    def change(config, arrays, metadata):
        config["layers"][0]["class"] = class_name

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (set_layer("os.system"), "unknown|expects one of"),
        (lambda c, a, m: c["layers"][1]["config"].update(units=10**9), "expects"),
        (lambda c, a, m: c["state"].update(step=-1), "step"),
        (lambda c, a, m: c["state"].pop("seed"), "seed"),
        (lambda c, a, m: a.pop("dense_kernel", None) or a.clear(), "arrays"),
        (lambda c, a, m: m.update(version="99"), "version"),
        (lambda c, a, m: a.update({k: v * 2 for k, v in a.items()}), "checksum"),
    ],
)
def test_a_tampered_file(saved, change, match):
    rewrite(saved, change)
    with pytest.raises(fusednet.ModelFileError, match=match):
        fusednet.load_model(saved)


def test_a_full_disk_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    model = network("sgd")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_folder_that_takes_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        network().save(tmp_path / "nowhere" / "model.safetensors")


def test_a_file_size_limit_is_an_error_and_keeps_the_old_file(saved):
    """The kernel itself refuses the bytes, as a full disk would."""
    before = saved.read_bytes()
    program = f"""
import resource, signal, fusednet
from fusednet.layers import Dense
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = fusednet.Sequential([Dense(400, input_shape=[500])])
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
try:
    model.save({str(saved)!r})
except OSError as error:
    print("refused", error.errno)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == f"refused {errno.EFBIG}\n", done.stderr
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular file"):
        network().save(tmp_path / "pipe")
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_a_long_file_name(tmp_path):
    network().save(tmp_path / ("m" * 250))
    assert fusednet.load_model(tmp_path / ("m" * 250)).built


def test_copying_says_what_to_do_instead():
    with pytest.raises(TypeError, match="save"):
        copy.deepcopy(network())


def test_no_overwriting_if_asked(saved):
    with pytest.raises(FileExistsError):
        network().save(saved, overwrite=False)
    with pytest.raises(IsADirectoryError):
        network().save(saved.parent)


def test_killed_while_saving_leaves_a_whole_file(saved):
    """SIGKILL at random moments of a process that saves all the time."""
    program = f"""
import fusednet
from fusednet.layers import Dense
model = fusednet.Sequential([Dense(400, input_shape=[500])])
while True:
    model.save({str(saved)!r})
    print("saved", flush=True)
"""
    for wait in (0.001, 0.004, 0.009):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        assert fusednet.load_model(saved).count_params() == 400 * 501


def test_without_compiling(saved):
    model = fusednet.load_model(saved, compile=False)
    assert model.optimizer is None
    with pytest.raises(ValueError, match="compile"):
        model.fit(*samples())


def test_a_file_of_the_first_version_goes_on(tmp_path):
    """It held the metrics' names and one counter; training continues as if it had been of this version."""
    x, y = samples()
    model = network()
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "new")
    model.fit(x, y, epochs=1, verbose=0)
    arrays = load_file(tmp_path / "new")
    with safe_open(tmp_path / "new", "numpy") as file:
        config = json.loads(file.metadata()["config"])
    config["compile"]["metrics"] = ["accuracy"]
    for counter in ("passes", "pending"):
        del config["state"][counter]
    text = json.dumps(config, sort_keys=True)
    digest = _saving._digest("1", text, arrays)
    save_file(arrays, tmp_path / "old", {"format": "fusednet", "version": "1", "config": text, "sha256": digest})
    loaded = fusednet.load_model(tmp_path / "old")
    loaded.fit(x, y, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
