"""What the tests share: backends, sizes, guarded arrays, error measures."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from fusednet import _native

TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Backend:
    """One kernel table: what to pass as `isa`, its scalar type and its width."""

    name: str
    dtype: np.dtype
    lanes: int
    supported: bool = True

    @property
    def isa(self) -> str | None:
        return None if self.name == "float64" else self.name

    @property
    def eps(self) -> float:
        """Unit roundoff."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def sizes(self) -> list[int]:
        w = self.lanes
        return sorted({0, 1, w - 1, w, w + 1, 2 * w + 1, 67, 1031})


def backends() -> list[Backend]:
    """The float64 table and the float32 tables of this build, or the one that FUSEDNET_ISA forces.

    A table that has only products of its own, beside another's kernels, is there where it is forced;
    test_kernels_precision.py holds the products.
    """
    info, forced = _native.isa_info(), os.environ.get("FUSEDNET_ISA")
    tables = [t for t in info["tables"] if (t["name"] == forced if forced else not t["base"])]
    assert tables, f"FUSEDNET_ISA={forced} names no table of this build"
    single = [Backend(t["name"], np.dtype(np.float32), t["lanes"], t["supported"]) for t in tables]
    return [Backend("float64", np.dtype(np.float64), info.get("float64_lanes", 1)), *single]


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([20, 26, *key])


class Guarded:
    """A (rows, cols) view inside a buffer of sentinels, and the check that a kernel wrote only the view.

    `offset` elements put the first one off every vector boundary; `pad` elements stand between the rows. The view
    holds `data`, or NaN where an output must be written in full.
    """

    SENTINEL = 12345.678

    def __init__(self, shape, dtype, data=None, offset: int = 1, pad: int = 3) -> None:
        rows, cols = shape if len(shape) == 2 else (1, shape[0])
        ld = cols + (pad if len(shape) == 2 else 0)
        self.buffer = np.full(64 + offset + rows * ld + 64, self.SENTINEL, dtype)
        start = 64 + offset
        body = self.buffer[start : start + rows * ld].reshape(rows, ld)[:, :cols]
        self.view = body if len(shape) == 2 else body[0]
        self.view[...] = np.nan if data is None else data
        self._outside = np.ones(self.buffer.shape, bool)
        self._outside[start : start + rows * ld].reshape(rows, ld)[:, :cols] = False

    def check(self) -> np.ndarray:
        """The view's contents, once nothing outside is found changed and nothing inside unwritten."""
        outside = self.buffer[self._outside]
        assert (outside == np.asarray(self.SENTINEL, outside.dtype)).all(), "wrote outside the output"
        return np.array(self.view)


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Error in units of the last place of the float32 nearest to `exact` (float64).

    A result below the smallest normal may be flushed to zero. NaN, and the same infinity, count as 0 where expected.
    """
    # Infinity stands one place above the largest number, as rounding has it.
    limit, largest = 2.0**128, np.nextafter(np.finfo(np.float32).max, np.float32(0))  # its spacing is a number
    with np.errstate(all="ignore"):
        got64, nearest = np.clip(np.asarray(got, np.float64), -limit, limit), exact.astype(np.float32)
        unit = np.spacing(np.minimum(np.abs(nearest), largest)).astype(np.float64)
        error = np.abs(got64 - np.clip(exact, -limit, limit)) / unit
    fine = (np.isnan(got64) & np.isnan(exact)) | ((np.abs(exact) < TINY) & (got64 == 0))
    return np.where(fine, 0.0, np.nan_to_num(error, nan=np.inf))


def assert_ulps(got: np.ndarray, exact: np.ndarray, budget: float, what: str = "") -> None:
    error = ulps(got, exact)
    if error.size and error.max() > budget:
        worst = np.unravel_index(error.argmax(), error.shape)
        raise AssertionError(
            f"{what}: {error.max():.3g} ULP > {budget} at {tuple(map(int, worst))}: "
            f"got {np.asarray(got)[worst]!r}, expected {exact[worst]!r}"
        )


def assert_close(got, want, bound, what: str = "") -> None:
    """|got - want| <= bound, element by element; NaN and infinity must stand where they are expected."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=what)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(got - want) <= bound) & finite
    if bad.any():
        i = tuple(int(v) for v in np.argwhere(bad)[0])
        b = np.broadcast_to(bound, want.shape)[i]
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} wrong, first {i}: got {got[i]!r}, "
            f"expected {want[i]!r} within {b:.3g}"
        )
