"""The oracle of random layers, layer normalization, Maxout and pooling: as `oracle.py`, from the papers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

# --- Philox4x32-10: Salmon et al. 2011, section 3.3 and table 2 ------------------------------------------------------

MASK = 0xFFFFFFFF


def philox_words(counter, key):
    """Four words from four counter words and two key words, in Python's integers."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(right >> 32) ^ c[1] ^ k0, right & MASK, (left >> 32) ^ c[3] ^ k1, left & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c


def philox_block(number: int, seed: int, stream: int):
    halves = lambda n: (n & MASK, n >> 32)  # noqa: E731
    return philox_words((*halves(number), *halves(stream)), halves(seed))


def words(shape, seed, stream=0, first_row=0, first_col=0, width=None):
    """The word of each element of a (rows, cols) matrix."""
    width = shape[1] if width is None else width
    rows = [[(first_row + i) * width + first_col + j for j in range(shape[1])] for i in range(shape[0])]
    blocks: dict[int, list[int]] = {}
    for number in {e // 4 for row in rows for e in row}:
        blocks[number] = philox_block(number, seed, stream)
    return np.array([[blocks[e // 4][e % 4] for e in row] for row in rows], np.uint64).reshape(shape), rows


def uniforms(shape, seed, stream=0, **place):
    return (words(shape, seed, stream, **place)[0] >> np.uint64(8)) / 2.0**24


def normals(shape, seed, stream=0, first_row=0, first_col=0, width=None):
    """Box and Muller 1958: elements 2k and 2k + 1 are the cosine and the sine of one pair of words."""
    width = shape[1] if width is None else width
    out = np.empty(shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            e = (first_row + i) * width + first_col + j
            block = philox_block(e // 4, seed, stream)
            u, v = (block[e % 4 // 2 * 2 + k] // 256 / 2**24 for k in range(2))
            radius = math.sqrt(-2 * math.log1p(-u))
            out[i, j] = radius * (math.cos if e % 2 == 0 else math.sin)(2 * math.pi * v)
    return out


# --- Random layers: name -> (y, dy/dx) of x, the draw and the parameter ----------------------------------------------

SELU_LIMIT = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def dropout(x, u, rate):  # Srivastava et al. 2014, scaled while training
    kept = u >= rate
    return np.where(kept, x, 0) / (1 - rate), kept / (1 - rate)


def alpha_dropout(x, u, rate):
    """Klambauer et al. 2017: a and b keep E = 0 and Var = 1, worked out from the moments of what is dropped."""
    q = 1 - rate
    kept = u >= rate
    mean, variance = (1 - q) * SELU_LIMIT, q + SELU_LIMIT**2 * q * (1 - q)
    return (np.where(kept, x, SELU_LIMIT) - mean) / math.sqrt(variance), kept / math.sqrt(variance)


def gaussian_noise(x, z, stddev):
    return x + stddev * z, np.ones_like(x)


def gaussian_dropout(x, z, rate):  # Srivastava et al. 2014, section 10: N(1, (1 - p) / p), p what is kept
    factor = 1 + math.sqrt(rate / (1 - rate)) * z
    return x * factor, factor


NOISES = {f.__name__: f for f in (dropout, alpha_dropout, gaussian_noise, gaussian_dropout)}
NORMAL = {"gaussian_noise", "gaussian_dropout"}


def noise(name, x, params, seed, stream=0, **place):
    """y and dy/dx."""
    if name not in NOISES:
        raise LookupError(f"tests/oracle_layers.py has no noise {name!r}: write it from its paper")
    draws = (normals if name in NORMAL else uniforms)(x.shape, seed, stream, **place)
    return NOISES[name](x, draws, *params)


# --- Layer normalization: Ba, Kiros and Hinton 2016, eq. 3 -----------------------------------------------------------


def layer_norm(x, gamma, beta, epsilon):
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def layer_norm_backward(dy, x, gamma, epsilon):
    """dx by the chain rule through mean and variance, dgamma, dbeta."""
    h = x.shape[1]
    mean = x.mean(axis=1, keepdims=True)
    sigma = np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + epsilon)
    dhat = dy * gamma
    dvariance = (dhat * (x - mean)).sum(axis=1, keepdims=True) * -0.5 / sigma**3
    dmean = -(dhat / sigma).sum(axis=1, keepdims=True) + dvariance * (-2 * (x - mean)).mean(axis=1, keepdims=True)
    dx = dhat / sigma + dvariance * 2 * (x - mean) / h + dmean / h
    return dx, (dy * (x - mean) / sigma).sum(axis=0), dy.sum(axis=0)


# --- Maxima ----------------------------------------------------------------------------------------------------------


def maxout(x, pieces):  # Goodfellow et al. 2013, section 2
    return x.reshape(x.shape[0], pieces, x.shape[1] // pieces).max(axis=1)


def maxout_backward(dy, x, pieces):
    z = x.reshape(x.shape[0], pieces, x.shape[1] // pieces)
    chosen = np.arange(pieces)[None, :, None] == z.argmax(axis=1)[:, None]  # argmax is the first of equals
    return np.where(chosen, dy[:, None], 0.0).reshape(x.shape)


def max_pool(x, rows, cols):
    """y and argmax of x (n, h, w, c), region by region."""
    n, h, w, c = x.shape
    shape = n, len(rows[0]), len(cols[0]), c
    y, argmax = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    place = np.arange(h * w * c).reshape(h, w, c)
    for i, (top, bottom) in enumerate(zip(*rows, strict=True)):
        for j, (left, right) in enumerate(zip(*cols, strict=True)):
            window = x[:, top:bottom, left:right].reshape(n, -1, c)
            first = window.argmax(axis=1)  # NumPy's maximum and argmax stop at a NaN
            y[:, i, j] = window.max(axis=1)
            flat = place[top:bottom, left:right].reshape(-1, c)
            argmax[:, i, j] = np.take_along_axis(flat[None].repeat(n, 0), first[:, None], axis=1)[:, 0]
    return y, argmax


def max_pool_backward(dy, argmax, shape):
    dx = np.zeros((len(dy), math.prod(shape)))
    for i in range(len(dy)):
        np.add.at(dx[i], argmax[i].ravel(), dy[i].ravel())
    return dx.reshape(len(dy), *shape)


def pseudo_random_borders(span, out, u: Fraction):
    """Graham 2014, section 2: a_i = ceil(alpha (i + u)), moved to begin at 0; in exact fractions."""
    alpha = Fraction(span, out)
    return [math.ceil(alpha * (i + u)) - math.ceil(alpha * u) for i in range(out + 1)]
