"""Accuracy of the float32 activations over the floats themselves, in ULP of the exact value.

By default every 9973rd bit pattern and the edges; `--sweep` takes all 2**32 (minutes a row). `-s` shows the worst
error of each. Rows come from the catalogue.
"""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
import reference_activations
from fusednet import _native

STRIDE = 9973  # a prime: every exponent and no pattern of the mantissa
CHUNK = 1 << 18
ROWS = {r["name"]: r for r in _native.activation_rows() if not r["row"]}
PARAMS = {n: [d for _, d in r["params"]] for n, r in ROWS.items()} | {"rescaling": [1 / 255, -0.5]}
SLOPE = np.float32(0.23)  # of the rows that have one
# ULP; 2 where a row is not named.
TIGHT = dict.fromkeys(
    ("sigmoid", "tanh", "elu", "selu", "softplus", "exponential", "gelu", "gelu_tanh", "silu", "mish"), 1.0
)
# The values that an activation saves for its backward pass: what lies outside never comes.
RANGE = {
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "elu": (-1.0, np.inf), "selu": (-1.7580993408473766, np.inf),
    "softplus": (0.0, np.inf), "exponential": (0.0, np.inf), "relu6": (0.0, 6.0),
}  # fmt: skip
ROOTS = [-0.7517915246935645, -0.7524614220710163, -1.2784645427610737, -1.1924312145154952, -1.5, -3.0]
EDGES = [
    0, 0.5, 1, 2**-90, 2**-23, 0.1875, 0.34657359, 3, 3.5, 3.7, 3.9, 5.8, 6, 6.7, 7.8, 9.1, 14.2, 14.9, 17.3287, 17.4,
    20, 87.3365, 88.3763, 88.7229, 103.28, 104.0, 127.5, 2.0**100,
]  # fmt: skip


def patterns(sweep: bool):
    """Chunks of float32 arrays, NaN and infinities among them."""
    if sweep:
        for first in range(0, 1 << 32, CHUNK):
            yield np.arange(first, first + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        return
    yield np.arange(0, 1 << 32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    beside = [np.array(values, "f4").view(np.uint32)[:, None] for values in (EDGES, ROOTS)]
    near, roots = (
        (bits + np.arange(-reach, reach + 1)).astype(np.uint32).ravel().view(np.float32)
        for bits, reach in zip(beside, (40, 2000), strict=True)
    )
    around = [
        r + s * (2**-7 + np.linspace(-1e-4, 1e-4, 201)) for r in ROOTS for s in (-1, 1)
    ]  # where the root's series ends
    grids = [np.linspace(-0.7, 0.7, 20001, dtype="f4"), np.linspace(-20, 20, 200001, dtype="f4")]
    yield np.concatenate([near, -near, roots, *grids, np.linspace(-110, -80, 20001), *around]).astype(np.float32)


def tables():
    return [b for b in helpers.backends() if b.isa and b.supported]


def run(name, x, out, isa=None, backward=False):
    slope = None if ROWS[name]["slope"] == "none" else np.full(x.shape[1], SLOPE, x.dtype)
    if backward:
        _native.activation_backward(np.ones_like(x), x, out, name, PARAMS[name], isa, slope)
    else:
        _native.activation_forward(x, out, name, PARAMS[name], isa, slope)
    return out


def worst(name, sweep, backward):
    """By table: the largest error, the argument and the result there."""
    found = {table.isa: (0.0, 0.0, 0.0) for table in tables()}
    low, high = RANGE.get(name, (-np.inf, np.inf)) if backward else (-np.inf, np.inf)
    for x in patterns(sweep):
        x = x[(x >= np.float32(low)) & (x <= high)] if backward else x  # NaN falls out; it is tested with the limits
        if not x.size:
            continue
        x = x.reshape(1, -1)
        with np.errstate(invalid="ignore", over="ignore"):  # signalling NaNs are among the patterns
            exact = run(name, x.astype(np.float64), np.empty(x.shape), backward=backward)
            nearest = exact.astype(np.float32)
        for isa in found:
            got = run(name, x, np.full_like(x, np.nan), isa, backward)
            with np.errstate(invalid="ignore"):
                at = np.flatnonzero(got != nearest)  # the others are right to half an ULP
            error = helpers.ulps(got[0, at], exact[0, at])
            error = np.where(got[0, at] == 0, np.abs(exact[0, at]) / 2.0**-149, error)  # no denormal is flushed
            if error.size and (top := error.max()) > found[isa][0]:
                i = at[error.argmax()]
                found[isa] = float(top), float(x[0, i]), float(got[0, i])
    return found


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_ulps(name, direction, request):
    backward = direction == "backward"
    budget = TIGHT.get(name, 2.0)
    for isa, (error, x, got) in worst(name, request.config.getoption("--sweep"), backward).items():
        print(f"\n{isa:9} {name:12} {direction:8} worst {error:.3f} ULP at {x!r}")
        assert error <= budget, f"{isa} {name} {direction}: {error:.3f} ULP at {x!r}, got {got!r}"


@pytest.mark.parametrize("name", ROWS)
def test_the_yardstick_is_the_oracle(name):
    """The float64 table, against which ULP are counted, is itself right to a thousandth of a float32 ULP."""
    for x in patterns(False):
        x = x[np.isfinite(x)].astype(np.float64).reshape(1, -1)
        got = run(name, x, np.empty_like(x))
        slope = None if ROWS[name]["slope"] == "none" else float(SLOPE)
        with np.errstate(over="ignore"):
            want = oracle.activation(name, PARAMS[name], x, slope)
        size = np.abs(x) / 255 + 0.5 if name == "rescaling" else np.abs(want)
        helpers.assert_close(got, want, 1e-12 * size + 1e-300, name)


@pytest.mark.parametrize("name", reference_activations.VALUES)
def test_the_yardstick_is_right_to_its_last_digits(name):
    x, want = np.array(reference_activations.VALUES[name]).T.copy()
    got = run(name, x.reshape(1, -1), np.empty((1, x.size)))[0]
    helpers.assert_close(got, want, 2e-13 * np.abs(want), name)


@pytest.mark.parametrize("name", reference_activations.DERIVATIVES)
def test_the_yardstick_is_right_beside_the_roots(name):
    """One float32 beside the root of a derivative, where its terms agree to eight digits, ten more are right."""
    x, want = np.array(reference_activations.DERIVATIVES[name]).T.copy()
    got = run(name, x.reshape(1, -1), np.empty((1, x.size)), backward=True)[0]
    helpers.assert_close(got, want, 2e-13 * np.abs(want), name)
