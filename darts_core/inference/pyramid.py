"""Overviews of a raster, made tile by tile while the raster itself is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from darts_core.inference.blocks import TILE


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a raster: the raster itself, or an overview of it."""

    height: int
    """Rows of pixels."""
    width: int
    """Columns of pixels."""

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // TILE), -(-self.width // TILE)


def levels(height: int, width: int) -> tuple[Level, ...]:
    """The raster and its overviews, from fine to coarse: each half of the one before, rounded up, down to one tile."""
    found = [Level(height, width)]
    while found[-1].tiles != (1, 1):
        found.append(Level(-(-found[-1].height // 2), -(-found[-1].width // 2)))
    return tuple(found)


class Pyramid:
    """Puts the tiles of an overview together from halved tiles of the level below, whose order does not matter.

    What has come waits until its up to three siblings have: when blocks come row by row, a quarter of the bytes of
    one row of tiles, and half as much again at each further level.
    """

    def __init__(self, levels: tuple[Level, ...]) -> None:
        self._levels = levels
        self._waiting: dict[tuple[int, int, int], dict[tuple[int, int], np.ndarray]] = {}

    def add(self, level: int, row: int, col: int, quarter: np.ndarray) -> np.ndarray | None:
        """Take a halved tile.

        Args:
            level, row, col: the tile that was halved.
            quarter: (bands, rows, cols).

        Returns:
            The tile (row // 2, col // 2) of the next level, (bands, rows, cols), where this was its last quarter.
        """
        above = level + 1, row // 2, col // 2
        held = self._waiting.setdefault(above, {})
        held[row % 2, col % 2] = quarter
        rows, cols = (
            min(2, count - n // 2 * 2) for count, n in zip(self._levels[level].tiles, (row, col), strict=True)
        )
        if len(held) < rows * cols:
            return None
        del self._waiting[above]
        return np.block([[held[r, c] for c in range(cols)] for r in range(rows)])


def halve(pixels: np.ndarray, nodata: float | None, *, categorical: bool) -> np.ndarray:
    """Make one pixel of each 2 x 2, beginning at the first; an odd last row or column counts as its own neighbour.

    Args:
        pixels: (bands, rows, cols).
        nodata: what does not count (values only); None where everything does.
        categorical: whether pixels are classes.

    Returns:
        (bands, rows / 2, cols / 2), rounded up, of the same dtype. Values: the mean of the pixels that hold data,
        in integers rounded to the nearest and halves up; nodata where none does. Classes: the most frequent, and
        of equally frequent ones the first in reading order.
    """
    rows, cols = pixels.shape[1:]
    if rows % 2 or cols % 2:
        pixels = np.pad(pixels, ((0, 0), (0, rows % 2), (0, cols % 2)), mode="edge")
    return _most_frequent(pixels) if categorical else _mean(pixels, nodata)


def _most_frequent(pixels: np.ndarray) -> np.ndarray:
    a, b, c, d = (pixels[:, row::2, col::2] for row in (0, 1) for col in (0, 1))
    without_a = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    return np.where((a == b) | (a == c) | (a == d), a, without_a)


def _mean(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    integer = pixels.dtype.kind in "iu"
    wide = np.int32 if integer and pixels.dtype.itemsize <= 2 else np.int64 if integer else np.float64
    if nodata is None or not (missing := _missing(pixels, nodata)).any():
        total = _sums(pixels, wide)
        return ((total + 2) >> 2 if integer else total / 4).astype(pixels.dtype)
    total = _sums(np.where(missing, pixels.dtype.type(0), pixels), wide)
    count = _sums(~missing, wide)
    some = np.maximum(count, 1)
    mean: np.ndarray = (2 * total + some) // (2 * some) if integer else total / some
    return np.where(count == 0, pixels.dtype.type(nodata), mean).astype(pixels.dtype)


def _missing(pixels: np.ndarray, nodata: float) -> np.ndarray:
    """Where nodata is."""
    return np.isnan(pixels) if np.isnan(nodata) else pixels == pixels.dtype.type(nodata)


def _sums(pixels: np.ndarray, dtype: Any) -> np.ndarray:
    """Sums over 2 x 2 pixels."""
    pairs = np.add(pixels[:, ::2], pixels[:, 1::2], dtype=dtype)
    return pairs[..., ::2] + pairs[..., 1::2]
