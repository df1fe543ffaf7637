"""Prints csrc/cpu/pieces_tables.h: the polynomials of `Pieces` (csrc/cpu/pieces.h). Needs mpmath.

Each function is exp(-a(t)) h(t) for t = |x|, or is made of it; h is what is fitted, on 32 intervals of u = 1 + scale t,
eight an octave. An interval beside the root of h is centred at the root, and its polynomial has that root exactly.
Format the result with clang-format.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np

mp.mp.dps = 40
DEGREE, NODES, INTERVALS = 5, 24, 32
Function = Callable[[mp.mpf], mp.mpf]


def mills(t: mp.mpf) -> mp.mpf:
    """(1 - Phi(t)) exp(t^2 / 2)"""
    return mp.erfc(t / mp.sqrt(2)) * mp.exp(t * t / 2) / 2


def gelu_derivative(t: mp.mpf) -> mp.mpf:
    return mills(t) - t / mp.sqrt(2 * mp.pi)


def gated_derivative(v: mp.mpf, k: mp.mpf) -> mp.mpf:
    """Of x sigmoid(v) at -t, times exp(v), with k = t v'."""
    e = mp.exp(-v)
    return (1 + e - k) / (1 + e) ** 2


def silu_derivative(t: mp.mpf) -> mp.mpf:
    return gated_derivative(t, t)


def gelu_tanh_derivative(t: mp.mpf) -> mp.mpf:
    linear = 2 * mp.sqrt(2 / mp.pi)
    cubic = linear * mp.mpf("0.044715")
    return gated_derivative(linear * t + cubic * t**3, linear * t + 3 * cubic * t**3)


# name, h, scale, about where it has a root, whether the last interval goes on as a line
TABLES: list[tuple[str, Function, float, float | None, bool]] = [
    ("gelu", mills, 1, None, False),
    ("gelu_derivative", gelu_derivative, 1, 0.75, False),
    ("gelu_tanh_derivative", gelu_tanh_derivative, 1, 0.75, False),
]


def power_series(h: Function, low: mp.mpf, high: mp.mpf, center: mp.mpf, degree: int, root: bool) -> list[mp.mpf]:
    """Coefficients in t - center, nearly those of the least relative error; with `root`, h(center) stays as it is."""
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle + half * mp.cos(mp.pi * (2 * i + 1) / (2 * NODES)) for i in range(NODES)]
    at_root = h(center) if root else mp.mpf(0)
    values = [(h(t) - at_root) / (t - center if root else 1) for t in nodes]
    degree -= root
    matrix = mp.matrix(NODES, degree + 1)
    right = mp.matrix(NODES, 1)
    for i, (t, value) in enumerate(zip(nodes, values, strict=True)):
        for k in range(degree + 1):
            matrix[i, k] = (t - center) ** k / value
        right[i] = 1
    found = list(mp.lu_solve(matrix, right))
    return [at_root, *found] if root else found


def coarse(value: mp.mpf, bits: int) -> mp.mpf:
    """The nearest number of so many bits."""
    if value == 0:
        return value
    unit = mp.mpf(2) ** (mp.floor(mp.log(abs(value), 2)) + 1 - bits)
    return mp.nint(value / unit) * unit


def steep(h: Function, low: mp.mpf, high: mp.mpf, center: mp.mpf, slope: mp.mpf) -> mp.mpf:
    """As many bits of the slope as keep slope (t - center) + lead exact; 0 where h is large beside its change."""
    least, most = sorted([abs(h(low)), abs(h(high))])
    if most - least > 0 and least > 2.5 * abs(slope) * (high - low):
        return mp.mpf(0)
    finest = mp.mpf(2) ** (mp.floor(mp.log(low, 2)) - 23) if low > 0 else mp.mpf(0)  # of t
    for bits in (5, 4, 3, 2, 1):
        found = coarse(slope, bits)
        unit = mp.mpf(2) ** (mp.floor(mp.log(abs(slope), 2)) + 1 - bits)
        if 1.1 * max(most, abs(found) * max(high - center, center - low)) <= mp.mpf(2) ** 24 * finest * unit:
            return found
    return mp.mpf(0)


def rows(h: Function, scale: float, root: mp.mpf | None, line: bool) -> tuple[np.ndarray, list[mp.mpf]]:
    """(8, 32): slope, lead, c[0] to c[5]; and u at the ends of the intervals that have the root as their center."""
    table = np.zeros((DEGREE + 3, INTERVALS), np.float32)
    around: list[mp.mpf] = []
    for j in range(INTERVALS):
        width = mp.mpf(2) ** (j // 8) / 8 / mp.mpf(scale)
        low = (mp.mpf(2) ** (j // 8) - 1) / mp.mpf(scale) + (j % 8) * width
        high = low + width
        rooted = root is not None and low - width / 2 < root < high + width / 2
        center = root if rooted and root is not None else (low + high) / 2
        if line and j == INTERVALS - 1:
            c = [mp.nint(h(center)), mp.nint(h(center + 1) - h(center)), *[mp.mpf(0)] * (DEGREE - 1)]
        else:
            c = power_series(h, low, high, center, DEGREE, rooted)
        slope = steep(h, low, high, center, c[1]) if root is not None else mp.mpf(0)
        lead = mp.mpf(0) if rooted else coarse(c[0], 7 if slope else 24)
        c[0], c[1] = c[0] - lead, c[1] - slope
        around += [1 + scale * low, 1 + scale * high] if rooted else []
        slot = (j + 24) % INTERVALS  # the last two bits of u's exponent and the first three of its mantissa
        table[:, slot] = [float(value) for value in (slope, lead, *c)]
    return table, around


def number(value: float) -> str:
    text = f"{float(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def main() -> None:
    print("// The tables of pieces.h: made by tools/fit_pieces.py.")
    for name, h, scale, near, line in TABLES:
        root = mp.mpf(float(np.float32(mp.findroot(h, near)))) if near else None
        table, around = rows(h, scale, root, line)
        ends = [root, min(around), max(around)] if root is not None else [0, 0, 0]
        print(f"\nconstexpr Pieces pieces_{name}{{")
        print("    " + ", ".join(number(float(value)) for value in (scale, *ends)) + ",\n    {")
        for row in table:
            print("        {" + ", ".join(number(value) for value in row) + "},")
        print("    }};")


if __name__ == "__main__":
    main()
