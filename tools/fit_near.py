"""Prints csrc/cpu/near_values.h, or near_derivatives.h: the polynomials of `Near` (csrc/cpu/near.h). Needs mpmath.

fit_near.py values | derivatives: up to some minutes.

Each function h(t) is fitted on 32 intervals of one width around the multiples of it: of t = |x| the first 32, or of
x itself those from -16 to 15. An interval's center is a float near its middle where h is a float too, and 1 - h where
that is wanted, and its slope as far as may be; around a root of h it is the root. Format the result with clang-format.
"""

from __future__ import annotations

import argparse

import mpmath as mp
import numpy as np
from fit_pieces import Function, gated_derivative, gelu_derivative, gelu_tanh_derivative, number

mp.mp.dps = 40
DEGREE, NODES, INTERVALS = 5, 24, 32
SLACK = mp.mpf("0.50001")  # half of an interval, and what the rounding of scale t may come to
EXACT = mp.mpf("0.02")  # how far from a float h may be at a center, in ULP
CHOICE = 6  # so many such floats, the best of which has the slope nearest to a float
SELU = mp.mpf("1.0507009873554804934193349852946") * mp.mpf("1.6732632423543772848170429916717")


def sigmoid(t: mp.mpf) -> mp.mpf:
    """Of -t, as the next four."""
    return 1 / (1 + mp.exp(t))


def normal(t: mp.mpf) -> mp.mpf:
    return mp.erfc(t / mp.sqrt(2)) / 2


def tanh_argument(t: mp.mpf) -> mp.mpf:
    return 2 * mp.sqrt(2 / mp.pi) * (t + mp.mpf("0.044715") * t**3)


def normal_by_tanh(t: mp.mpf) -> mp.mpf:
    return sigmoid(tanh_argument(t))


def silu_derivative(t: mp.mpf) -> mp.mpf:
    return gated_derivative(t, t)


def softplus(t: mp.mpf) -> mp.mpf:
    return mp.log1p(mp.exp(-t))


def tanh_over_x(t: mp.mpf) -> mp.mpf:
    return mp.tanh(t) / t if t else mp.mpf(1)


def selu_over_x(t: mp.mpf) -> mp.mpf:
    return -SELU * mp.expm1(-t) / t if t else SELU


def mish_over_x(x: mp.mpf) -> mp.mpf:
    e = mp.exp(x)
    return (e * e + 2 * e) / (e * e + 2 * e + 2)


# name, h, intervals for 1, whether 1 - h is wanted, whether of x itself
VALUES: list[tuple[str, Function, float, bool, bool]] = [
    ("sigmoid", sigmoid, 4, True, False),
    ("normal", normal, 8, True, False),
    ("normal_by_tanh", normal_by_tanh, 8.5, True, False),
    ("tanh", tanh_over_x, 3.4, False, False),
    ("softplus", softplus, 4, False, False),
    ("selu", selu_over_x, 1.8, False, False),
    ("mish", mish_over_x, 8 / 3, False, True),
]
# name, h exp(a), a, about where it has a root, how many intervals that is from 0; 1 - h is wanted
DERIVATIVES: list[tuple[str, Function, Function, float, int]] = [
    ("silu_derivative", silu_derivative, lambda t: t, 1.28, 6),
    ("gelu_derivative", gelu_derivative, lambda t: t * t / 2, 0.75, 6),
    ("gelu_tanh_derivative", gelu_tanh_derivative, tanh_argument, 0.75, 6),
]


def off_a_float(value: mp.mpf) -> mp.mpf:
    """The distance to the nearest float, in ULP."""
    units = value / mp.mpf(2) ** (mp.floor(mp.log(abs(value), 2)) - 23)
    return abs(units - mp.nint(units))


def center_of(h: Function, middle: mp.mpf, width: mp.mpf, share: bool) -> mp.mpf:
    """The float near the middle where h, 1 - h if it is a `share`, and their slope are nearest to floats."""

    def off(t: mp.mpf) -> mp.mpf:
        value = h(t)
        return max(off_a_float(value), off_a_float(1 - value)) if share else off_a_float(value)

    if middle == 0 and off(middle) == 0:
        return middle
    base = np.float32(float(middle or width / 16))
    reach = int(float(width) / 16 / abs(float(np.spacing(base))))
    count = 600
    while True:
        steps = np.unique(np.linspace(-reach, reach, 2 * min(count, reach) + 1).astype(np.int64))
        bits = int(base.view(np.uint32)) + steps
        found = [(off(t), t) for t in (mp.mpf(float(np.uint32(b).view(np.float32))) for b in bits)]
        good = [(lost, t) for lost, t in found if lost < EXACT]
        if len(good) >= CHOICE or (good and count >= reach):
            return min(good, key=lambda g: 4 * g[0] + off_a_float(mp.diff(h, g[1])))[1]
        if count >= reach:
            return min(found)[1]
        count *= 4


def polynomial(h: Function, low: mp.mpf, high: mp.mpf, center: mp.mpf, rooted: bool) -> list[mp.mpf]:
    """Coefficients of (h(t) - h(center)) / (t - center), nearly those of the least relative error of h."""
    lead = h(center)
    matrix, right = mp.matrix(NODES, DEGREE), mp.matrix(NODES, 1)
    for i in range(NODES):
        t = (low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * NODES))
        d, rise = t - center, h(t) - lead
        weight = d / (rise if rooted else h(t))
        for k in range(DEGREE):
            matrix[i, k] = d**k * weight
        right[i] = rise / d * weight
    return list(mp.lu_solve(matrix, right))


def table(
    h: Function, scale: mp.mpf, share: bool, intervals: range, root: mp.mpf | None = None, around: int = 0
) -> np.ndarray:
    """(8, 32): center, lead, the slope's five coefficients, and what the first of them lacks around the root."""
    found = np.zeros((DEGREE + 3, INTERVALS), np.float32)
    width = 1 / scale
    for j in intervals:
        low, high = (j - SLACK) * width, (j + SLACK) * width
        if j == intervals[0] == 0:
            low = mp.mpf("1e-12")
        rooted = root is not None and abs(j - around) <= 1
        center = root if rooted and root is not None else center_of(h, j * width, width, share)
        c = polynomial(h, low, high, center, rooted)
        lost = c[0] - mp.mpf(float(np.float32(float(c[0])))) if rooted else mp.mpf(0)
        found[:, j % INTERVALS] = [float(value) for value in (center, h(center), *c, lost)]
    return found


def show(name: str, scale: mp.mpf, rows: np.ndarray) -> None:
    print(f"\nconstexpr Near near_{name}{{")
    print(f"    {number(float(scale))},\n    {{")
    for row in rows:
        print("        {" + ", ".join(number(value) for value in row) + "},")
    print("    }};")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("values", "derivatives"))
    what = parser.parse_args().what
    print(f"// Tables of near.h: made by tools/fit_near.py {what}.")
    for name, h, intervals, share, signed in VALUES if what == "values" else []:
        scale = mp.mpf(float(np.float32(intervals)))
        first = -INTERVALS // 2 if signed else 0
        show(name, scale, table(h, scale, share, range(first, first + INTERVALS)))
    for name, part, exponent, near, around in DERIVATIVES if what == "derivatives" else []:

        def whole(t: mp.mpf, part: Function = part, exponent: Function = exponent) -> mp.mpf:
            return part(t) * mp.exp(-exponent(t))

        root = mp.mpf(float(np.float32(mp.findroot(whole, near))))
        scale = mp.mpf(float(np.float32(around / root)))
        show(name, scale, table(whole, scale, True, range(INTERVALS), root, around))


if __name__ == "__main__":
    main()
