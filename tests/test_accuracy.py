"""Accuracy of the float32 activations over the floats themselves, in ULP of the exact value.

By default every 9973rd bit pattern and the edges; `--sweep` takes all 2**32 (minutes a table). `-s` shows the worst
error of each.
"""

from __future__ import annotations

import numpy as np
import pytest

import helpers
import oracle
from fusednet import _native

STRIDE = 9973  # a prime: every exponent and no pattern of the mantissa
CHUNK = 1 << 20
FORWARD = {"sigmoid": 1.0, "tanh": 1.0, "elu": 1.0, "selu": 2.0}
BACKWARD = {"sigmoid": 2.0, "tanh": 2.0, "elu": 2.0, "selu": 2.0}
PARAMS = {r["name"]: [d for _, d in r["params"]] for r in _native.activation_rows()}
# The values that an activation saves for its backward pass: what lies outside never comes.
RANGE = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "elu": (-1.0, np.inf), "selu": (-1.7580993408473766, np.inf)}


def patterns(sweep: bool):
    """Chunks of float32 arrays, NaN and infinities among them."""
    if sweep:
        for first in range(0, 1 << 32, CHUNK):
            yield np.arange(first, first + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        return
    bits = np.arange(0, 1 << 32, STRIDE, dtype=np.uint64).astype(np.uint32)
    yield bits.view(np.float32)
    special = np.array([0, 0.5, 1, 2**-23, 0.1875, 0.34657359, 17.3287, 87.3365, 88.3763, 88.7229, 103.28, 104.0], "f4")
    near = (special.view(np.uint32)[:, None] + np.arange(-40, 41)).astype(np.uint32).ravel().view(np.float32)
    yield np.concatenate(
        [near, -near, np.linspace(-0.7, 0.7, 20001, dtype="f4"), np.linspace(-20, 20, 200001, dtype="f4")]
    )


def worst(isa, name, sweep, backward):
    params, found = PARAMS[name], (0.0, 0.0, 0.0)
    for x in patterns(sweep):
        if backward:
            low, high = RANGE[name]
            x = x[(x >= np.float32(low)) & (x <= high)]  # NaN falls out; it is tested with the limits
        if not x.size:
            continue
        x = x.reshape(1, -1)
        got, exact = np.full_like(x, np.nan), np.empty(x.shape)
        with np.errstate(invalid="ignore"):  # signalling NaNs are among the patterns
            wide = x.astype(np.float64)
        if backward:
            ones = np.ones_like(x)
            _native.activation_backward(ones, x, got, name, params, isa.isa)
            _native.activation_backward(ones.astype(np.float64), wide, exact, name, params)
        else:
            _native.activation_forward(x, got, name, params, isa.isa)
            _native.activation_forward(wide, exact, name, params)
        with np.errstate(all="ignore"):
            at = np.flatnonzero(got != exact.astype(np.float32))  # the others are right to half an ULP
        error = helpers.ulps(got[0, at], exact[0, at])
        if error.size and (top := error.max()) > found[0]:
            i = at[error.argmax()]
            found = float(top), float(x[0, i]), float(got[0, i])
    return found


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_ulps(isa, name, direction, request):
    sweep = request.config.getoption("--sweep")
    backward = direction == "backward"
    error, x, got = worst(isa, name, sweep, backward)
    print(f"\n{isa.name:9} {name:8} {direction:8} worst {error:.3f} ULP at {x!r}")
    budget = (BACKWARD if backward else FORWARD)[name]
    assert error <= budget, f"{name} {direction}: {error:.3f} ULP at {x!r}, got {got!r}"


@pytest.mark.parametrize("name", FORWARD)
def test_the_yardstick_is_the_oracle(name):
    """The float64 table, against which ULP are counted, is itself right to a thousandth of a float32 ULP."""
    for x in patterns(False):
        x = x[np.isfinite(x)].astype(np.float64).reshape(1, -1)
        got = np.empty_like(x)
        _native.activation_forward(x, got, name, PARAMS[name])
        want = oracle.activation(name, PARAMS[name], x)
        helpers.assert_close(got, want, 1e-12 * np.abs(want) + 1e-300, name)
