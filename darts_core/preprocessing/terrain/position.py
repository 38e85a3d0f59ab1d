"""How a cell lies above or below its surroundings."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

_STEPS = 2.0**20
"""Steps of elevation to a metre: no coarser than float32 has above 8 m."""


def relative_elevation(
    elevation: np.ndarray, pixel: tuple[float, float], radius_m: float, inner_radius_m: float = 0.0
) -> np.ndarray:
    """Elevation above the mean of the surrounding disk or ring (topographic position index, Weiss 2001).

    The mean is over the cells of the disk that hold data, the centre among them, so one missing cell changes
    only the cells within the radius, by what it would have contributed.

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).
        radius_m: radius of the disk in metres.
        inner_radius_m: cells within it, if it is not 0, do not count.

    Returns:
        float32 metres, same shape; NaN where `elevation` is, and where no cell of the ring holds data. Near the
        border the disk is cut.
    """
    shape, kernel = elevation.shape, (pixel, radius_m, inner_radius_m)
    valid = ~np.isnan(elevation)
    whole = bool(valid.all())
    if not valid.any():
        return np.full(shape, np.nan, np.float32)
    # whole micrometres have exact sums, so that the result does not depend on how a scene is cut into blocks; above
    # their mean they are small, and so is the error of the transform
    steps = elevation.astype(np.float64)
    steps *= _STEPS
    np.rint(steps, out=steps)
    steps -= np.rint(steps.mean() if whole else steps[valid].mean())
    sums = _sums(steps if whole else np.where(valid, steps, 0.0), *kernel)
    counts = _full_counts(shape, *kernel) if whole else _sums(valid.astype(np.float64), *kernel)
    steps *= counts
    steps -= sums
    with np.errstate(invalid="ignore"):
        steps /= counts
    steps /= _STEPS
    return steps.astype(np.float32)


def _sums(values: np.ndarray, pixel: tuple[float, float], radius_m: float, inner_radius_m: float) -> np.ndarray:
    """Sums of whole numbers over the disk or ring around each cell, nothing beyond the border: whole numbers."""
    rows, columns = reach(pixel, radius_m)
    height, width = values.shape
    # what goes round comes back into the padding
    padded = fft.next_fast_len(height + rows, real=True), fft.next_fast_len(width + columns, real=True)
    spectrum = fft.rfft2(values, padded)
    spectrum *= _spectrum(padded, pixel, radius_m, inner_radius_m)
    sums = fft.irfft2(spectrum, padded, overwrite_x=True)[:height, :width]
    return np.rint(sums, out=sums)


@lru_cache(maxsize=9)
def _spectrum(
    padded: tuple[int, int], pixel: tuple[float, float], radius_m: float, inner_radius_m: float
) -> np.ndarray:
    """The disk or ring around the origin, transformed; a scene's blocks have at most nine shapes, most of them one."""
    kernel = disk(pixel, radius_m)
    rows, columns = reach(pixel, radius_m)
    if inner_radius_m > 0:
        inner = disk(pixel, inner_radius_m)
        top, left = (
            outer - inner_reach
            for outer, inner_reach in zip((rows, columns), reach(pixel, inner_radius_m), strict=True)
        )
        kernel[top : top + inner.shape[0], left : left + inner.shape[1]] -= inner
    around = np.zeros(padded)
    y, x = (np.arange(-r, r + 1) % size for r, size in zip((rows, columns), padded, strict=True))
    np.add.at(around, np.ix_(y, x), kernel)
    return fft.rfft2(around)


@lru_cache(maxsize=9)
def _full_counts(
    shape: tuple[int, int], pixel: tuple[float, float], radius_m: float, inner_radius_m: float
) -> np.ndarray:
    """Counts of a block without gaps; float32 holds them exactly."""
    return _sums(np.ones(shape), pixel, radius_m, inner_radius_m).astype(np.float32)


def disk(pixel: tuple[float, float], radius_m: float) -> np.ndarray:
    """float64 1 for pixels whose centre lies within the radius of the middle one's, else 0; odd sides."""
    rows, columns = reach(pixel, radius_m)
    y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    return ((y * pixel[0]) ** 2 + (x * pixel[1]) ** 2 <= radius_m**2 * (1 + 1e-9)).astype(np.float64)


def reach(pixel: tuple[float, float], radius_m: float) -> tuple[int, int]:
    """Whole pixels (rows, columns) within the radius."""
    return int(radius_m / pixel[0] + 1e-9), int(radius_m / pixel[1] + 1e-9)
