"""Prints csrc/cpu/pieces_tables.h: the polynomials of `Pieces` (csrc/cpu/pieces.h). Needs mpmath.

Each function is exp(-a(t)) h(t) for t = |x|, or is made of it; h is what is fitted, on intervals of u = 1 + t, eight an
octave, to 16. Format the result with clang-format.
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


def gelu_tanh_derivative(t: mp.mpf) -> mp.mpf:
    linear = 2 * mp.sqrt(2 / mp.pi)
    cubic = linear * mp.mpf("0.044715")
    return gated_derivative(linear * t + cubic * t**3, linear * t + 3 * cubic * t**3)


# name, h, whether it may be small beside its change over an interval
TABLES: list[tuple[str, Function, bool]] = [
    ("gelu", mills, False),
    ("gelu_derivative", gelu_derivative, True),
    ("gelu_tanh_derivative", gelu_tanh_derivative, True),
]


def power_series(h: Function, low: mp.mpf, high: mp.mpf) -> list[mp.mpf]:
    """Coefficients in the distance from the middle, nearly those of the least relative error."""
    middle, half = (low + high) / 2, (high - low) / 2
    matrix, right = mp.matrix(NODES, DEGREE + 1), mp.matrix(NODES, 1)
    for i in range(NODES):
        d = half * mp.cos(mp.pi * (2 * i + 1) / (2 * NODES))
        value = h(middle + d)
        for k in range(DEGREE + 1):
            matrix[i, k] = d**k / value
        right[i] = 1
    return list(mp.lu_solve(matrix, right))


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


def rows(h: Function, sloped: bool) -> np.ndarray:
    """(8, 32): slope, lead, c[0] to c[5]. What is below u = 4 is not read: near.h has it."""
    table = np.zeros((DEGREE + 3, INTERVALS), np.float32)
    for j in range(INTERVALS):
        width = mp.mpf(2) ** (j // 8) / 8
        low = mp.mpf(2) ** (j // 8) - 1 + (j % 8) * width
        high = low + width
        c = power_series(h, low, high)
        slope = steep(h, low, high, (low + high) / 2, c[1]) if sloped else mp.mpf(0)
        lead = coarse(c[0], 7 if slope else 24)
        c[0], c[1] = c[0] - lead, c[1] - slope
        slot = (j + 24) % INTERVALS  # the last two bits of u's exponent and the first three of its mantissa
        table[:, slot] = [float(value) for value in (slope, lead, *c)]
    return table


def number(value: float) -> str:
    text = f"{float(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def main() -> None:
    print("// The tables of pieces.h: made by tools/fit_pieces.py.")
    for name, h, sloped in TABLES:
        print(f"\nconstexpr Pieces pieces_{name}{{{{")
        for row in rows(h, sloped):
            print("    {" + ", ".join(number(value) for value in row) + "},")
        print("}};")


if __name__ == "__main__":
    main()
