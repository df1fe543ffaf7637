"""The short way of fusednet.ops into its kernels: what it takes and what it leaves, with the same results."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
from fusednet import _native, ops

ROWS = {row["name"]: row for row in _native.activation_rows()}
OPTIMIZERS = {row["name"]: row for row in _native.optimizer_rows()}
NUMBERS = {name: number for number, name in enumerate(ROWS)}
PLAIN = [name for name, row in ROWS.items() if row["slope"] == "none"]


def defaults(name):
    return tuple(value for _, value in ROWS[name]["params"])


def matrix(shape=(5, 19), dtype=np.float32, key=0):
    return helpers.rng(31, key).normal(size=shape).astype(dtype)


def forward(name, x, out, slope=None, params=None):
    return _native.ready_activation_forward(NUMBERS[name], defaults(name) if params is None else params, x, out, slope)


def backward(name, dy, saved, out):
    return _native.ready_activation_backward(NUMBERS[name], defaults(name), dy, saved, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (19,), (5, 19), (300, 70), (3, 4, 5)])
@pytest.mark.parametrize("name", PLAIN)
def test_both_ways_have_the_same_bits(name, shape, dtype):
    x, dy = matrix(shape, dtype), matrix(shape, dtype, 1)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    assert forward(name, x, y)
    saved = y if ops.saves_output(name) else x
    assert backward(name, dy, saved, dx)
    flat = [a.reshape(-1, a.shape[-1]) for a in (x, dy, saved)]
    long_y, long_dx = np.empty_like(flat[0]), np.empty_like(flat[0])
    _native.activation_forward(flat[0], long_y, name, defaults(name))
    _native.activation_backward(flat[1], flat[2], long_dx, name, defaults(name))
    np.testing.assert_array_equal(y, long_y.reshape(shape))
    np.testing.assert_array_equal(dx, long_dx.reshape(shape))
    for found, wanted in (
        (ops.activation_forward(x, name), y),
        (getattr(ops, f"{name}_forward")(x, out=np.empty_like(x)), y),
        (ops.activation_backward(dy, saved, name), dx),
        (getattr(ops, f"{name}_backward")(dy, saved, out=np.empty_like(x)), dx),
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["prelu", "rrelu"])
def test_slopes_of_the_columns(name):
    x, slope, y, wanted = matrix(), matrix((19,), key=1), *np.empty((2, 5, 19), np.float32)
    assert forward(name, x, y, slope)
    _native.activation_forward(x, wanted, name, defaults(name), slope=slope)
    np.testing.assert_array_equal(y, wanted)
    assert not forward(name, x, y)
    assert not forward(name, x, y, slope[:1])
    assert not forward(name, x, y, slope.astype(np.float64))
    assert not forward(name, x, slope[None].repeat(5, 0), slope[None].repeat(5, 0))
    assert not forward("relu", x, y, slope)
    whole = matrix((20, 19))
    assert not forward(name, x, whole[:5], whole[4])  # the slope would be overwritten


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    return np.frombuffer(bytearray(a.nbytes + 1), np.uint8)[1:].view(a.dtype).reshape(a.shape)


class Subclass(np.ndarray):
    pass


UNFIT = {
    "list": lambda a: a.tolist(),
    "none": lambda a: None,
    "gaps": lambda a: np.zeros((a.shape[0], 2 * a.shape[1]), a.dtype)[:, ::2],
    "fortran": np.asfortranarray,
    "rows": lambda a: np.zeros((2 * a.shape[0], a.shape[1]), a.dtype)[::2],
    "type": lambda a: a.astype(np.float64),
    "integers": lambda a: a.astype(np.int32),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "shape": lambda a: a[:-1].copy(),
    "dimensions": lambda a: a.reshape(-1),
    "transposed": lambda a: a.T.copy(),
    "empty": lambda a: a[:0],
    "unaligned": unaligned,
    "subclass": lambda a: a.view(Subclass),
}


@pytest.mark.parametrize("kind", [*UNFIT, "read only"])
def test_what_does_not_fit_is_left_alone(kind):
    change = UNFIT.get(kind, read_only)
    x, y, w = matrix(), np.zeros((5, 19), np.float32), np.ones((5, 19), np.float32)
    other = change(x)
    assert not forward("relu", x, change(y))
    assert not backward("relu", x, x.copy(), change(y))
    if kind != "read only":
        assert not forward("relu", other, y)
        assert not backward("relu", other, x, y)
        assert not backward("relu", x, other, y)
    assert not update("sgd_momentum", change(w), x, (y,))
    assert not update("sgd_momentum", w, x, (change(y),))
    assert not y.any()
    assert (w == 1).all()


def test_overlaps_are_left_alone():
    held = matrix((11, 19))
    before = held.copy()
    assert not forward("relu", held[:5], held[1:6])
    assert not backward("relu", held[:5], held[5:10], held[1:6])
    assert not backward("relu", held[:5], held[5:10], held[5:10])
    np.testing.assert_array_equal(held, before)
    with pytest.raises(ValueError, match=r"\[activation_forward\] 'out' expects memory of its own"):
        ops.relu_forward(held[:5], out=held[1:6])
    assert forward("relu", held[:5], held[:5])
    np.testing.assert_array_equal(held[:5], np.maximum(before[:5], 0))
    assert backward("relu", held[5:10], before[5:10], held[5:10])


def test_numbers_that_are_none():
    x, y = matrix(), np.zeros((5, 19), np.float32)
    for number in (-1, len(ROWS), 2**70, "relu", None, 1.5):
        assert not _native.ready_activation_forward(number, (), x, y, None)
    for params in ("a", ("a",), (None,), (1.0,) * 5, (10**400,), 3):
        assert not forward("elu", x, y, params=params)
    assert not _native.ready_activation_forward(3, (), x)
    assert not y.any()
    assert forward("elu", x, y, params=[2])
    np.testing.assert_array_equal(y, ops.elu_forward(x, alpha=2.0))


def update(name, w, g, slots, step=3, hyper=None, scale=1.0, clip_value=None, decay=0.0):
    names = list(OPTIMIZERS)
    given = [value for _, value in OPTIMIZERS[name]["hyper"]] if hyper is None else hyper
    return _native.ready_optimizer_update(names.index(name), w, g, slots, step, given, scale, clip_value, decay)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_have_the_same_bits(name, dtype):
    g = matrix((7, 3000), dtype)
    found, wanted = ([matrix(g.shape, dtype, 1), *ops.optimizer_slots(name, g)] for _ in range(2))
    options = {"scale": 0.5, "clip_value": 0.25, "decay": 0.01}
    hyper = [value for _, value in OPTIMIZERS[name]["hyper"]]
    assert update(name, found[0], g, found[1:], hyper=hyper, **options)
    flat = [a.reshape(-1) for a in wanted]
    _native.optimizer_update(name, flat[0], g.reshape(-1), flat[1:], 3, hyper, **options)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_updates_that_are_left_alone():
    w, g, m, v = np.ones((4, 30), np.float32)
    for wrong in (
        {"slots": (m,)},
        {"slots": (m, v, v.copy())},
        {"slots": (m, None)},
        {"slots": iter((m, v))},
        {"step": 0},
        {"step": 1.0},
        {"step": 2**70},
        {"hyper": (0.1,)},
        {"hyper": None},
        {"hyper": ("a", 0.9, 0.999, 1e-7)},
        {"scale": "a"},
        {"clip_value": "a"},
        {"decay": None},
    ):
        given = {"slots": (m, v), "step": 1, "hyper": (0.1, 0.9, 0.999, 1e-7), "scale": 1.0, "clip_value": None}
        given = {**given, "decay": 0.0, **wrong}
        number = list(OPTIMIZERS).index("adam")
        assert not _native.ready_optimizer_update(number, w, g, *given.values()), wrong
        for held in (w, m, v):
            assert (held == 1).all()
    with pytest.raises(ValueError, match="step"):
        ops.adam_update(w, g, m, v, step=0)


def norm(dtype=np.float32, shape=(5, 19)):
    """x, dy, gamma, beta; mean, variance, y; dx, dgamma, dbeta."""
    x, dy = matrix(shape, dtype), matrix(shape, dtype, 1)
    rows = [matrix(shape[1:], dtype, 2 + i) for i in range(6)]
    return x, dy, *rows[:4], np.zeros_like(x), np.zeros_like(x), *rows[4:]


def norm_forward(name, x, mean, variance, gamma, beta, y, epsilon=1e-3):
    return _native.ready_batchnorm_forward(NUMBERS[name], defaults(name), x, mean, variance, gamma, beta, y, epsilon)


def norm_backward(name, *arrays, epsilon=1e-3):
    return _native.ready_batchnorm_backward(NUMBERS[name], defaults(name), *arrays, epsilon)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in PLAIN if not ROWS[name]["row"]])
def test_norms_have_the_same_bits(name, dtype):
    x, dy, gamma, beta, mean, variance, y, dx, dgamma, dbeta = norm(dtype)
    assert norm_forward(name, x, mean, variance, gamma, beta, y)
    assert norm_backward(name, dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta)
    found, wanted = (mean, variance, y, dx, dgamma, dbeta), [np.empty_like(a) for a in (mean, mean, y, y, mean, mean)]
    row = (1e-3, name, defaults(name))
    _native.batchnorm_forward(x, *wanted[:2], gamma, beta, wanted[2], *row, own=True)
    _native.batchnorm_backward(dy, x, wanted[2], *wanted[:2], gamma, beta, *wanted[3:], *row)
    whole = ops.batchnorm_forward(x, gamma, beta, 1e-3, name)
    whole = (*whole[1:], whole[0], *ops.batchnorm_backward(dy, x, *whole, gamma, beta, 1e-3, name))
    for a, b, c in zip(found, wanted, whole, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, b)


def test_norms_that_are_left_alone():
    x, dy, gamma, beta, mean, variance, y, dx, dgamma, dbeta = norm()
    forward_given = [x, mean, variance, gamma, beta, y]
    backward_given = [dy, x, y, mean, variance, gamma, beta, dx, dgamma, dbeta]
    held = [a.copy() for a in backward_given]
    wrong = (None, x.tolist(), x[:, ::2], x[:4], gamma[:7], gamma.astype(np.float64), x.astype(np.float64), x[None])
    for call, given in ((norm_forward, forward_given), (norm_backward, backward_given)):
        for place in range(len(given)):
            for value in wrong:
                assert not call("elu", *given[:place], value, *given[place + 1 :]), (call, place)
    assert not norm_forward("softmax", *forward_given)
    assert not norm_forward("prelu", *forward_given)
    assert not norm_forward("elu", *forward_given, epsilon="a")
    assert not norm_forward("elu", x, x[0], variance, gamma, beta, y)
    assert not norm_forward("elu", x, mean, y[1], gamma, beta, y)
    assert not norm_forward("elu", *forward_given[:5], read_only(y))
    assert not norm_backward("elu", dy, x, y, mean, variance, gamma, beta, y, dgamma, dbeta)
    assert not norm_backward("elu", dy, x, y, mean, variance, gamma, beta, x, dgamma, dbeta)
    for a, b in zip(backward_given, held, strict=True):
        np.testing.assert_array_equal(a, b)


SIZES = [(1, 1, 1), (4, 7, 3), (64, 64, 64), (50, 784, 300), (70, 1100, 260)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_products_have_the_same_bits(m, k, n, turned, dtype):
    a, b = matrix((k, m) if turned[0] else (m, k), dtype), matrix((n, k) if turned[1] else (k, n), dtype, 1)
    a, b = a.T if turned[0] else a, b.T if turned[1] else b
    for bias in (None, matrix((n,), dtype, 2)):
        found, wanted = np.full((2, m, n), np.nan, dtype)
        assert _native.ready_gemm(a, b, bias, found)
        _native.gemm(a, b, wanted, bias)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(ops.gemm(a, b, bias=bias), wanted)
        np.testing.assert_array_equal(ops.gemm(a, b, bias=bias, out=found), wanted)


def test_products_that_are_left_alone():
    a, b, bias, out = matrix((5, 7)), matrix((7, 19), key=1), matrix((19,), key=2), np.zeros((5, 19), np.float32)
    given, held = [a, b, bias, out], out.copy()
    wrong = (a.tolist(), b[:, ::2], b[::2], bias[:7], matrix((19, 5)), b.astype(np.float64), b[None], b[:0])
    for place in range(len(given)):
        for value in wrong:
            assert not _native.ready_gemm(*given[:place], value, *given[place + 1 :]), place
    assert not _native.ready_gemm(a, b, bias, None)
    assert not _native.ready_gemm(a, b, bias, read_only(out))
    assert not _native.ready_gemm(a, b, bias, np.asfortranarray(out))
    square = matrix((7, 7))
    for overlapping in ((square, b[:, :7].copy(), square), (b[:, :7].copy(), square.T, square)):
        assert not _native.ready_gemm(overlapping[0], overlapping[1], None, overlapping[2])
    assert not _native.ready_gemm(a, b, out[0], out)
    np.testing.assert_array_equal(out, held)


def test_shapes_of_a_product_are_checked_before_its_room_is_taken():
    long = 3_000_000  # whose product with itself has more elements than any memory
    with pytest.raises(ValueError, match=r"\[gemm\] 'b' expects shape \(3, n\), got \(4, 3000000\)"):
        ops.gemm(np.zeros((long, 3), np.float32), np.zeros((4, long), np.float32))
