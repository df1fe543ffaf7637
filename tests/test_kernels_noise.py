"""Random layers: draws ↔ Philox in Python, formulas ↔ oracle, the same bits on every table, split and type, moments."""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import oracle_layers
from fusednet import _native, ops
from helpers import Guarded, assert_close

ROWS = {r["name"]: r for r in _native.noise_rows()}
PARAMS = {"dropout": [0.3], "alpha_dropout": [0.2], "gaussian_noise": [0.7], "gaussian_dropout": [0.4]}
KEY = (0x243F6A8885A308D3, 0x13198A2E03707344)  # seed, stream: both halves of both at work
UNIFORM = [name for name in ROWS if name not in oracle_layers.NORMAL]


def inputs(shape, seed=0, dtype=np.float64):
    return helpers.rng(*shape, seed).normal(size=shape).astype(np.float32).astype(dtype)


def forward(name, x, isa=None, first_row=0, first_col=0, width=None, out=None, key=KEY, params=None):
    out = np.full_like(x, np.nan) if out is None else out
    width = x.shape[-1] if width is None else width
    _native.noise_forward(x, out, name, params or PARAMS[name], *key, first_row, first_col, width, isa)
    return out


def backward(name, dy, isa=None, first_row=0, first_col=0, width=None, out=None, key=KEY, params=None):
    out = np.full_like(dy, np.nan) if out is None else out
    width = dy.shape[-1] if width is None else width
    _native.noise_backward(dy, out, name, params or PARAMS[name], *key, first_row, first_col, width, isa)
    return out


# --- the draws -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_oracle_knows_the_published_answers(counter, key, words):
    """Random123's known answers for philox4x32-10."""
    assert " ".join(f"{w:08x}" for w in oracle_layers.philox_words(counter, key)) == words


def test_uniform_is_philox(backend):
    for cols in backend.sizes:
        for rows, place in ((1, {}), (3, {"first_row": 5, "first_col": 3, "width": cols + 7})):
            want = oracle_layers.uniforms((rows, cols), *KEY, **place)
            position = {"first_row": 0, "first_col": 0, "width": cols} | place
            out = Guarded((rows, cols), backend.dtype)
            _native.uniform(out.view, 0.0, 1.0, *KEY, *position.values(), backend.isa)
            np.testing.assert_array_equal(out.check(), want)
    out = np.empty((2, 40), backend.dtype)
    _native.uniform(out, 0.0, 1.0, 0, 0, 0, 0, 40, backend.isa)
    assert out[0, 0] == (0x6627E8D5 >> 8) / 2**24


def test_elements_beyond_32_bits_have_draws_of_their_own(backend):
    place = {"first_row": 1 << 20, "first_col": 5, "width": (1 << 16) + 1}
    out = np.empty((3, 9), backend.dtype)
    _native.uniform(out, 0.0, 1.0, *KEY, *place.values(), backend.isa)
    np.testing.assert_array_equal(out, oracle_layers.uniforms(out.shape, *KEY, **place))


def test_uniform_range(backend):
    u = oracle_layers.uniforms((4, 33), 9)
    out = np.empty(u.shape, backend.dtype)
    _native.uniform(out, 0.125, 0.25, 9, 0, 0, 0, 33, backend.isa)
    assert_close(out, 0.125 + 0.125 * u, backend.eps / 2)
    assert out.min() >= 0.125
    assert out.max() <= 0.25


# --- formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_float64_is_the_oracle(name):
    x, dy = inputs((13, 37)), inputs((13, 37), 1)
    place = {"first_row": 2, "first_col": 3, "width": 41}
    y, slope = oracle_layers.noise(name, x, PARAMS[name], *KEY, **place)
    bound = 2e-6 if name in oracle_layers.NORMAL else 1e-14  # normal draws are float32's
    assert_close(forward(name, x, **place), y, bound * (1 + np.abs(x)))
    assert_close(backward(name, dy, **place), dy * slope, bound * (1 + np.abs(dy)))


@pytest.mark.parametrize("name", ROWS)
def test_float64_backward_is_the_difference(name):
    x, v, dy = (inputs((9, 21), k) for k in range(3))
    h = 1e-3
    numeric = ((forward(name, x + h * v) - forward(name, x - h * v)) * dy).sum() / (2 * h)
    assert (backward(name, dy) * v).sum() == pytest.approx(numeric, rel=1e-9)


@pytest.mark.parametrize("name", ROWS)
def test_sizes_strides_and_tails(isa, name):
    """The same numbers as float64, rounded; nothing written outside, nothing left unwritten."""
    for cols in isa.sizes:
        for rows in (0, 1, 3, 33):
            place = {"first_row": 1, "first_col": 2, "width": cols + 3}
            x = inputs((rows, cols))
            exact = [forward(name, x, **place), backward(name, x, **place)]
            for kernel, want in zip((forward, backward), exact, strict=True):
                out = Guarded(x.shape, isa.dtype)
                kernel(name, Guarded(x.shape, isa.dtype, x, offset=3, pad=5).view, isa.isa, out=out.view, **place)
                assert_close(out.check(), want, 8 * isa.eps * (1 + np.abs(x) + np.abs(want)), f"{name} {x.shape}")


@pytest.mark.parametrize("name", ROWS)
def test_float32_tables_agree_bit_for_bit(name):
    x = inputs((23, 131), dtype=np.float32)
    tables = [b for b in helpers.backends() if b.isa and b.supported]
    for kernel in (forward, backward):
        results = [kernel(name, x, b.isa) for b in tables]
        for table, result in zip(tables, results, strict=True):
            np.testing.assert_array_equal(result.view(np.uint32), results[0].view(np.uint32), err_msg=table.name)


@pytest.mark.parametrize("name", ROWS)
def test_splits_do_not_matter(backend, name):
    """Panels of columns and chunks of rows, aligned or not, draw what the whole matrix draws."""
    x = inputs((11, 83), dtype=backend.dtype)
    for kernel in (forward, backward):
        whole = kernel(name, x, backend.isa, first_row=4)
        parts = np.full_like(x, np.nan)
        for r0, r1 in ((0, 1), (1, 8), (8, 11)):
            for c0, c1 in ((0, 16), (16, 17), (17, 48), (48, 83)):
                place = {"first_row": 4 + r0, "first_col": c0, "width": 83}
                kernel(name, x[r0:r1, c0:c1], backend.isa, out=parts[r0:r1, c0:c1], **place)
        np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("name", UNIFORM)
@pytest.mark.parametrize("rate", [0.5, 0.3, 0.7, 1 / 3, 0.9, 5e-8, 0.5 + 2**-26])
def test_masks_are_the_same_in_both_types(isa, name, rate):
    """The last rates lie between two multiples of 2**-24, where a threshold rounded to float32 could decide otherwise;
    the draws that stand at the threshold are looked for."""
    double = backward(name, np.ones((64, 257)), params=[rate])
    single = backward(name, np.ones((64, 257), isa.dtype), isa.isa, params=[rate])
    np.testing.assert_array_equal(single != 0, double != 0)
    u = ops.uniform((64, 257), seed=KEY[0], stream=KEY[1], dtype="float64")
    np.testing.assert_array_equal(double != 0, u >= rate)


@pytest.mark.parametrize("name", UNIFORM)
def test_a_rate_between_two_draws(backend, name):
    """The rate is a hair above a draw that occurs: rounded to float32 it would be that draw, which must be dropped."""
    u = ops.uniform((1, 64), seed=1, dtype="float64")
    draw = u[(u > 0.5) & (u < 0.9)].min()
    ones = np.ones(u.shape, backend.dtype)
    kept = backward(name, ones, backend.isa, key=(1, 0), params=[draw]) != 0
    above = backward(name, ones, backend.isa, key=(1, 0), params=[draw + 1e-12]) != 0
    assert kept[u == draw].all()
    assert not above[u == draw].any()


@pytest.mark.parametrize("name", ROWS)
def test_in_place_is_the_same_bits(backend, name):
    x = inputs((5, 3 * backend.lanes + 2), dtype=backend.dtype)
    for kernel in (forward, backward):
        held = x.copy()
        kernel(name, held, backend.isa, out=held)
        np.testing.assert_array_equal(held, kernel(name, x, backend.isa))


@pytest.mark.parametrize("name", ROWS)
def test_width_zero_is_one_draw_for_all_rows(backend, name):
    x = np.ones((6, 19), backend.dtype)
    y = forward(name, x, backend.isa, first_row=3, first_col=2, width=0)
    np.testing.assert_array_equal(y, np.broadcast_to(y[0], y.shape))
    np.testing.assert_array_equal(y[:1], forward(name, x[:1], backend.isa, first_col=2, width=19))


@pytest.mark.parametrize("name", ROWS)
def test_no_noise_is_the_identity(backend, name):
    x = inputs((3, 29), dtype=backend.dtype)
    np.testing.assert_array_equal(forward(name, x, backend.isa, params=[0.0]), x)
    np.testing.assert_array_equal(backward(name, x, backend.isa, params=[0.0]), x)


def test_nan_and_infinity(backend):
    """What is dropped is dropped whatever it was; what is kept stays what it is."""
    for value in (np.inf, -np.inf, np.nan):
        x = np.full((2, 4 * backend.lanes + 3), value, backend.dtype)
        kept = backward("dropout", np.ones_like(x), backend.isa) != 0
        assert 0 < kept.sum() < kept.size
        for name, rest in (("dropout", 0.0), ("alpha_dropout", None)):
            y = forward(name, x, backend.isa, params=PARAMS["dropout"])
            np.testing.assert_array_equal(y[kept], np.asarray(value, backend.dtype))
            assert (np.isfinite(y[~kept])).all()
            assert rest is None or (y[~kept] == rest).all()
            dx = backward(name, x, backend.isa, params=PARAMS["dropout"])
            assert (dx[~kept] == 0).all()
        assert not np.isfinite(forward("gaussian_noise", x, backend.isa)).any()


# --- moments: within 4 standard errors -------------------------------------------------------------------------------

N = 1 << 18


def test_moments_of_the_draws(backend):
    u = ops.uniform((512, N // 512), seed=11, dtype=backend.dtype, isa=backend.isa).astype(np.float64)
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / N)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / N)
    z = forward("gaussian_noise", np.zeros((512, N // 512), backend.dtype), backend.isa, params=[1.0]).ravel()
    z = z.astype(np.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * np.sqrt(variance / N), power
    assert abs((z[::2] * z[1::2]).mean()) < 4 * np.sqrt(2 / N)  # cosine and sine of one pair
    assert np.abs(z).max() > 4


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_moments_of_the_layers(backend, rate):
    ones = np.ones((512, N // 512), backend.dtype)
    for name in ("dropout", "gaussian_dropout"):  # both keep the mean and have the variance rate / (1 - rate)
        y = forward(name, ones, backend.isa, params=[rate]).astype(np.float64)
        variance = rate / (1 - rate)
        fourth = ((1 - rate) * variance**4 + rate) if name == "dropout" else 3 * variance**2
        assert abs(y.mean() - 1) < 4 * np.sqrt(variance / N), name
        spread = ((y - 1) ** 2).mean()  # at rate 0.5 dropout has no other value
        assert abs(spread - variance) < 4 * np.sqrt(max(0, fourth - variance**2) / N) + 1e-6, name


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_alpha_dropout_keeps_the_moments_of_selu(backend, rate):
    """SELU maps N(0, 1) to mean 0 and variance 1: so do SELU and alpha dropout together."""
    x = oracle.activation("selu", [], helpers.rng(1).normal(size=(512, N // 512)))
    y = forward("alpha_dropout", x.astype(backend.dtype), backend.isa, params=[rate]).astype(np.float64)
    assert abs(y.mean()) < 4 * np.sqrt(1 / N)
    assert abs(y.var() - 1) < 4 * np.sqrt((y**4).mean() / N)


# --- Python ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_every_row_has_its_functions(name):
    x = inputs((2, 3, 5))
    [(param, _)] = ROWS[name]["params"]
    for direction, kernel in (("forward", forward), ("backward", backward)):
        function = getattr(ops, f"{name}_{direction}")
        assert ROWS[name]["formula"] in function.__doc__
        got = function(x, **{param: PARAMS[name][0]}, seed=KEY[0], stream=KEY[1])
        np.testing.assert_array_equal(got, kernel(name, x.reshape(6, 5)).reshape(x.shape))
        assert function(np.ones((0, 4)), seed=1).shape == (0, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.dropout_forward(x, rate=1.5, seed=1), ValueError, "rate expects a number in [0, 1), got 1.5"),
        (lambda x: ops.dropout_forward(x, rate=1.0, seed=1), ValueError, "rate expects a number in [0, 1), got 1"),
        (lambda x: ops.gaussian_noise_backward(x, stddev=-1, seed=1), ValueError, "stddev expects a finite number"),
        (lambda x: ops.gaussian_noise_forward(x, stddev=np.nan, seed=1), ValueError, "stddev expects a finite"),
        (lambda x: ops.dropout_forward(x, p=0.5, seed=1), TypeError, "parameters expected: rate; got 'p'"),
        (lambda x: ops.dropout_forward(x), TypeError, "[dropout_forward] expects a seed"),
        (lambda x: ops.dropout_forward(x, seed=-1), ValueError, "[dropout_forward] seed expects an integer in [0, 2**"),
        (lambda x: ops.dropout_forward(x, seed=1.5), TypeError, "[dropout_forward] seed expects an integer, got 1.5"),
        (lambda x: ops.dropout_forward(x, seed=1, width=-3), ValueError, "width expects an integer in [0, 2**48)"),
        (lambda x: ops.noise_forward(x, "dropuot", seed=1), ValueError, "did you mean 'dropout'?"),
        (lambda x: ops.dropout_forward(x, seed=1, out=x[:1]), ValueError, "'out' expects shape (3, 4), got (1, 4)"),
        (lambda x: ops.uniform((2,), high=np.inf, seed=1), ValueError, "[uniform] high expects a finite number"),
    ],
)
def test_errors_name_op_argument_expected_and_given(call, error, message):
    x = np.ones((3, 4))
    with pytest.raises(error) as caught:
        call(x)
    assert message in str(caught.value)
    assert (x == 1).all()
