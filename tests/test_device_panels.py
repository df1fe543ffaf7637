"""BatchNormalization by panels of columns, whose second pass finds what the first has read in the device's cache: which
columns a panel has, that they change no bit, and the host's results around the limits."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import fusednet
from devices import DEVICES
from foreign_arrays import CudaInterface
from fusednet import ops
from fusednet.layers import ELU, BatchNormalization, Dense, PReLU
from stand_in import CSRC, CXX, FLAGS, TESTS

UNIT = 64  # columns
ROOM = 256 << 10  # of the emulated device, in bytes
MIB = 1 << 20


# --- which columns ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not CSRC.is_dir() or not shutil.which(CXX[0]):
        pytest.skip("needs csrc and a C++ compiler")
    built = tmp_path_factory.mktemp("panels") / "panels"
    subprocess.run([*CXX, *FLAGS, TESTS / "panels.cpp", "-o", built], check=True)
    return built


def begins(program, cases):
    lines = "".join(f"{cols} {column} {room}\n" for cols, column, room in cases)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def test_panels_are_all_columns_and_fit(program):
    columns = [0, 1, 63, 64, 95, 96, 97, 127, 128, 160, 200, 1000, 1024, 1032, 4096, 100_000]
    heights = [0, 4, 1000, ROOM // UNIT - 1, ROOM // UNIT, ROOM // UNIT + 1, ROOM // (3 * UNIT), 262_144, 1 << 40]
    cases = [(cols, height, room) for cols in columns for height in heights for room in (0, ROOM)]
    for (cols, height, room), found in zip(cases, begins(program, cases), strict=True):
        assert (found[0], found[-1]) == (0, cols)
        widths = [b - a for a, b in pairwise(found)]
        if cols * height <= room or UNIT * height > room:
            assert len(widths) == 1
            continue
        assert not any(begin % UNIT for begin in found[:-1])
        assert all(width * height <= room for width in widths[:-1])
        assert (widths[-1] - UNIT // 2) * height < room  # what is left of a unit goes with the last
        assert len(widths) <= 3 * -(-cols * height // room)
        if cols >= UNIT:
            assert max(widths) - min(widths) < 2 * UNIT  # balanced: no thin one at the end
            assert min(widths) >= UNIT // 2


def test_panels_of_an_h100(program):
    """50 MB: x of 65536 rows by 128 columns, x and dy by 64."""
    room = 50 * MIB // 3 * 2
    forward, backward = begins(program, [(1024, 4 * 65536, room), (1024, 8 * 65536, room)])
    assert forward == list(range(0, 1025, 128))
    assert backward == list(range(0, 1025, 64))


def test_what_panels_may_have_of_a_cache(program):
    for cache in (0, 1, 3 << 10, 50 * MIB):
        done = subprocess.run([program, str(cache)], capture_output=True, text=True, check=True)
        assert int(done.stdout) == cache // 3 * 2


# --- results ---------------------------------------------------------------------------------------------------------

# One panel and several, of 64 columns and more; in pieces (2^18 elements, columns that 4 divides) and not; with several
# blocks a column (512 rows); columns too tall for a panel, both ways or backward; short ones, which share a launch.
SHAPES = [
    *((340, 192), (340, 193), (341, 772), (300, 1100), (200, 1312), (512, 516), (512, 515), (512, 128)),
    *((600, 200), (1024, 260), (1025, 260), (4096, 70), (128, 1100)),
]
ROWS = ["elu", "tanh", "gelu", "prelu", "rrelu"]


def drawn(rows, cols, dtype, seed=0):
    g = np.random.default_rng([rows, cols, seed])
    x, dy = (g.normal(1, 2, (rows, cols)).astype(np.float32).astype(dtype) for _ in range(2))
    gamma, beta = (g.uniform(0.5, 1.5, cols).astype(np.float32).astype(dtype) for _ in range(2))
    return x, dy, gamma, beta


def slope_of(name, rows, cols, dtype):
    if name not in {"prelu", "rrelu"}:
        return None
    g = np.random.default_rng(9)
    return g.uniform(-0.5, 0.5, (rows, cols) if name == "rrelu" else cols).astype(np.float32).astype(dtype)


def both_ways(x, dy, gamma, beta, name, slope, *, training=True, out=None, back=None):
    """All that BatchNormalization gives, forward and backward."""
    y, mean, variance = ops.batchnorm_forward(x, gamma, beta, activation=name, slope=slope, out=out)
    of = ops.batchnorm_backward(
        dy, x, y, mean, variance, gamma, beta, activation=name, slope=slope, training=training, out=back
    )
    return [y, mean, variance, *(value for value in of if value is not None)]


def there(device, *arrays):
    return [None if a is None else fusednet.device_array(a, device) for a in arrays]


def close(got, want, rows, dtype, what):
    eps = np.finfo(dtype).eps
    size = np.abs(want).max() if want.size else 0
    np.testing.assert_allclose(got, want, rtol=0, atol=(3 * rows**0.5 + 40) * eps * max(size, 1), err_msg=what)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_as_on_the_host(device, shape, name, dtype):
    given = drawn(*shape, dtype)
    slope = slope_of(name, *shape, dtype)
    want = both_ways(*(a.astype(np.float64) for a in given), name, None if slope is None else slope.astype(float))
    *held, slope = there(device, *given, slope)
    for i, (got, exact) in enumerate(zip(both_ways(*held, name, slope), want, strict=True)):
        close(got.numpy(), exact, shape[0], dtype, f"result {i}")


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(("offset", "gap"), [(0, 0), (0, 4), (1, 3), (4, 1)])
def test_arrays_with_gaps_and_in_place(name, offset, gap):
    """y in x's place and dx in dy's; what lies between the rows stays."""
    rows, cols = 340, 776
    given = drawn(rows, cols, np.float32)
    slope = slope_of(name, rows, cols, np.float32)
    want = both_ways(*given, name, slope)

    def laid(array):
        held = np.full(offset + rows * (cols + gap), 7, np.float32)
        matrix = held[offset:].reshape(rows, cols + gap)[:, :cols]
        matrix[:] = array
        return held, matrix

    (held_x, x), (held_dy, dy), (held_y, y) = (laid(a) for a in (*given[:2], np.zeros((rows, cols))))
    vectors = there("cuda_emulated", *given[2:])
    each = CudaInterface(laid(slope)[1]) if name == "rrelu" else there("cuda_emulated", slope)[0]
    x_there, dy_there, y_there = (CudaInterface(a) for a in (x, dy, y))
    got = both_ways(x_there, dy_there, *vectors, name, each, out=y_there, back=dy_there)
    for i, (value, exact) in enumerate(zip((y, *got[1:3], dy, *got[4:]), want, strict=True)):
        close(value if i in (0, 3) else value.numpy(), exact, rows, np.float32, f"result {i}")
    ops.batchnorm_forward(x_there, *vectors, activation=name, slope=each, out=x_there)
    np.testing.assert_array_equal(x, y)
    for held in (held_x, held_dy, held_y):
        assert (held[:offset] == 7).all()
        assert (held[offset:].reshape(rows, cols + gap)[:, cols:] == 7).all()


@pytest.mark.parametrize("name", ROWS)
def test_without_training_or_parameters(device, name):
    """Given statistics are constants; sums are wanted all the same. No gamma and no beta are ones and zeros."""
    rows, cols = 340, 200
    x, dy, _, _ = drawn(rows, cols, np.float32)
    slope = slope_of(name, rows, cols, np.float32)
    exact = None if slope is None else slope.astype(float)
    for training in (False, True):
        want = both_ways(x.astype(float), dy.astype(float), None, None, name, exact, training=training)
        got = both_ways(*there(device, x, dy), None, None, name, *there(device, slope), training=training)
        for i, (value, one) in enumerate(zip(got, want, strict=True)):
            close(value.numpy(), one, rows, np.float32, f"result {i}")


# --- the same bits, in models too ------------------------------------------------------------------------------------


def normalized(wide):
    return [
        *(Dense(wide, use_bias=False, input_shape=[6]), BatchNormalization(), PReLU()),
        *(Dense(wide // 2 + 40), BatchNormalization(scale=False), ELU()),
        *(BatchNormalization(trainable=False), fusednet.layers.RReLU(), Dense(3, "softmax")),
    ]


def compiled(device, wide=200):
    model = fusednet.Sequential(normalized(wide), seed=5)
    model.compile("adam", "sparse_categorical_crossentropy", device=device)
    return model


def batch_of(rows):
    g = np.random.default_rng(rows)
    return g.normal(1, 2, (rows, 6)).astype(np.float32), g.integers(0, 3, rows)


def print_bits(device):
    """Of results and of trainings; how many kernels a step has, and how many steps were a program's."""
    digest, counts = hashlib.sha256(), []
    cases = [((33_000, 512), name, np.float32) for name in ("elu", "prelu")]
    if device == "cuda_emulated":
        shapes = [(340, 192), (341, 772), (300, 1100), (512, 516), (512, 515), (1024, 260)]
        cases = [(shape, name, dtype) for shape in shapes for name in ROWS for dtype in (np.float32, np.float64)]
        cases.append(((512, 8481), "elu", np.float64))  # so wide that a column has fewer blocks than a panel's would
    for shape, name, dtype in cases:
        given = there(device, *drawn(*shape, dtype), slope_of(name, *shape, dtype))
        for value in both_ways(*given[:4], name, given[4]):
            digest.update(value.numpy().tobytes())
    x, y = batch_of(3 * 512)
    for wide in (200, 130):
        model = compiled(device, wide)
        model.fit(x, y, batch_size=512, epochs=2, verbose=0)
        for weights in model.get_weights():
            digest.update(weights.tobytes())
        counts += model.plan.kernels, model.plan.programmed
    print(digest.hexdigest(), *counts)


def bits(device, panels, programs="0"):
    code = f"import test_device_panels; test_device_panels.print_bits({device!r})"
    environment = {**os.environ, "FUSEDNET_PANELS": panels, "FUSEDNET_PROGRAMS": programs}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TESTS, env=environment, capture_output=True, text=True, check=True
    )
    digest, *counts = done.stdout.split()
    return digest, *map(int, counts)


def test_panels_change_no_bit(device):
    whole, by_panels = bits(device, "0"), bits(device, "1")
    assert by_panels[0] == whole[0]
    if device == "cuda_emulated":
        # A panel more: a fold, the join of its blocks and what follows. 512 x 200: two panels, backward three;
        # 512 x 140, 130 and 105: one, backward two.
        assert (by_panels[1] - whole[1], by_panels[3] - whole[3]) == (3 * (1 + 2 + 1), 3 * (1 + 1))


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
def test_programs_have_panels_too():
    programs, steps = bits("cuda_emulated", "1", "1"), bits("cuda_emulated", "1")
    assert programs[2] == 0 < programs[4]  # the wider one is too much work for a program
    assert programs[0] == steps[0]
    assert programs[3] == steps[3]


@pytest.mark.parametrize("rows", [340, 512, 1100])
def test_gradients_are_the_cpus(device, rows):
    x, y = batch_of(rows)
    got, want = (compiled(name).compute_gradients(x, y) for name in (device, "cpu"))
    for (name, gradient), ours in zip(want.items(), got.values(), strict=True):
        size = max(float(np.abs(gradient).max()), 3e-2)
        np.testing.assert_allclose(ours, gradient, atol=1e-4 * size, rtol=0, err_msg=name)


@pytest.mark.skipif("cuda_emulated" not in DEVICES, reason="this build emulates no device")
def test_a_setting_that_is_none():
    code = "import fusednet; fusednet.device_array([1.0], 'cuda_emulated')"
    environment = {**os.environ, "FUSEDNET_PANELS": "yes"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FUSEDNET_PANELS expects 0 or 1, got 'yes'" in done.stderr
