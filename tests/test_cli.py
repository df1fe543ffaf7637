"""The command line as a user meets it, in processes of its own."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fusednet


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fusednet", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"MPLBACKEND": "agg"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_train_on_the_digits(tmp_path):
    done = run("train", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "fusednet-run"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] >= 0.97
    assert f"{metrics['test']['accuracy']:.4f}" in done.stdout
    assert len(metrics["history"]["val_accuracy"]) == metrics["epochs"]
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    model = fusednet.load_model(folder / "model.safetensors")
    _, (x, y) = fusednet.datasets.load_digits()
    assert model.evaluate(x / 16.0, y, verbose=0)[1] == pytest.approx(metrics["test"]["accuracy"])
    assert "Epoch 1/" in done.stdout + done.stderr

    checked = run("check", folder / "model.safetensors", "--elements", "20", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "all right" in checked.stdout


def write_idx(path, values, compress=True):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    (gzip.open if compress else open)(path, "wb").write(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def idx(tmp_path):
    """A small data set in MNIST's four files, some of them gzipped."""
    g = np.random.default_rng(0)
    folder = tmp_path / "idx"
    folder.mkdir()
    for part, rows in (("train", 5100), ("t10k", 60)):
        y = g.integers(0, 10, rows)
        x = g.integers(0, 40, (rows, 6, 6)) + 20 * y[:, None, None]
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", x)
        with open(folder / f"{part}-labels-idx1-ubyte", "wb") as file:
            file.write(bytes([0, 0, 8, 1]) + rows.to_bytes(4, "big") + y.astype(np.uint8).tobytes())
    return folder


@pytest.mark.parametrize("recipe", ["batchnorm", "clipping"])
def test_train_on_idx_files(tmp_path, idx, recipe):
    done = run(
        "train", "--data", idx, "--recipe", recipe, "--epochs", 2, "--batch-size", 20, "--out", "o", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["steps"] == 10


def test_bad_idx_files(tmp_path, idx):
    images = idx / "t10k-images-idx3-ubyte.gz"
    whole = gzip.decompress(images.read_bytes())
    for content, words in [
        (gzip.compress(whole[:-5]), "60"),
        (gzip.compress(b"\0\0\x0d\x03" + whole[4:]), "magic|idx|type"),
        (images.read_bytes()[:-20], "t10k-images"),
        (b"", "t10k-images"),
    ]:
        images.write_bytes(content)
        with pytest.raises((ValueError, OSError), match=words):
            fusednet.datasets.load_idx(idx)
    images.unlink()
    done = run("train", "--data", idx, cwd=tmp_path)
    assert done.returncode == 2
    assert "t10k-images" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_large_gzip_files(tmp_path):
    """Larger than what is read at a time, packed and unpacked, in one member and in thousands."""
    path, count = tmp_path / "x.gz", (9 << 20) + 5
    values = np.random.default_rng(1).integers(0, 64, count, np.uint8)
    whole = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + values.tobytes()
    for size in (len(whole), 4001):
        path.write_bytes(b"".join(gzip.compress(whole[i : i + size], 1) for i in range(0, len(whole), size)))
        np.testing.assert_array_equal(fusednet.datasets.read_idx(path), values)
    packed = gzip.compress(whole[:8] + bytes(count))  # a thousandth of it: packed bytes run out long before the others
    path.write_bytes(packed)
    assert not fusednet.datasets.read_idx(path).any()
    path.write_bytes(packed[:-9])
    with pytest.raises(ValueError, match="damaged or cut-off"):
        fusednet.datasets.read_idx(path)


def test_gzip_files_are_read_as_gzip_reads_them(tmp_path):
    """Several members, a filled-up end and sizes around a read's are taken; what is damaged anywhere is not."""
    path = tmp_path / "x.gz"
    values = np.random.default_rng(1).integers(0, 256, (7, 1001), np.uint8)
    whole = bytes([0, 0, 8, 2]) + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.tobytes()
    packed = gzip.compress(whole)
    parts = [gzip.compress(whole[a:b]) for a, b in ((0, 3), (3, 12), (12, 12), (12, 5000), (5000, None))]
    wide = bytes(1 << 18)  # more than is read at a time
    for content in (packed, packed + bytes(700), b"".join(parts), bytes(64).join(parts), wide.join(parts) + wide):
        path.write_bytes(content)
        np.testing.assert_array_equal(fusednet.datasets.read_idx(path), values)
    damaged = bytearray(packed)
    damaged[-8] ^= 1  # the checksum
    wrong = [packed[:cut] for cut in (2, 9, 11, 600, len(packed) - 1)]
    wrong += [packed + b"more", bytes(damaged), b"".join(parts[:-1]), b"".join(parts)[:-9], packed + packed]
    for content in wrong:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"read_idx.*x\.gz"):
            fusednet.datasets.read_idx(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "nowhere"],
        ["train", "--epochs", "0"],
        ["train", "--epochs", "-3"],
        ["train", "--batch-size", "0"],
        ["train", "--learning-rate", "nan"],
        ["train", "--recipe", "dropout"],
        ["train", "--out", "/proc/nowhere"],
        ["check", "nowhere.safetensors"],
        ["check", "--elements", "0"],
        ["fly"],
        [],
    ],
)
def test_errors_are_one_line_and_status_2(tmp_path, arguments):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert "error" in done.stderr
    assert "Traceback" not in done.stderr


def test_info_and_check(tmp_path):
    info = run("info", cwd=tmp_path)
    assert info.returncode == 0
    assert fusednet.__version__ in info.stdout
    for word in ("baseline", "threads", "CUDA"):
        assert word.lower() in info.stdout.lower()
    check = run("check", "--recipe", "clipping", "--elements", "10", cwd=tmp_path)
    assert check.returncode == 0, check.stdout + check.stderr


def test_a_bad_isa_is_an_error(tmp_path):
    done = run("train", "--epochs", "1", cwd=tmp_path, FUSEDNET_ISA="avx9000")
    assert done.returncode == 2
    assert "FUSEDNET_ISA" in done.stderr
    assert "baseline" in done.stderr


def test_ctrl_c_ends_with_130(tmp_path):
    command = [sys.executable, "-u", "-m", "fusednet", "train", "--epochs", "1000000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines = []
        while not lines or b"Epoch" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], b"".join(lines)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"interrupted" in rest
    assert b"Traceback" not in rest
