"""Terrain features of a digital elevation model.

Pure functions of one array; `darts_core.preprocessing.preprocess` runs them block by block with the neighbourhood
that each needs. A NaN in the elevation reaches exactly the cells that cannot be computed without it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

SLOPE_REACH = 1
"""Pixels around a cell that its slope depends on."""

_STEPS = 2.0**20
"""Steps of elevation to a metre: no coarser than float32 has above 8 m."""


def slope(elevation: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """Steepness by the eight neighbours (Horn 1981, Proceedings of the IEEE 69).

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).

    Returns:
        float32 degrees in 0..90, same shape; NaN in the outermost row and column, at nodata and beside it.
    """
    height, width = pixel
    degrees = np.full(elevation.shape, np.nan, np.float32)
    if min(elevation.shape) < 3:
        return degrees
    z = elevation.astype(np.float64, copy=False)
    along_y = z[:-2] + 2 * z[1:-1] + z[2:]
    along_x = z[:, :-2] + 2 * z[:, 1:-1] + z[:, 2:]
    gradient_x = (along_y[:, 2:] - along_y[:, :-2]) / (8 * width)
    gradient_y = (along_x[2:] - along_x[:-2]) / (8 * height)
    # a cell without elevation has no slope, though its neighbours' gradient does not ask for it
    steepness = np.degrees(np.arctan(np.hypot(gradient_x, gradient_y)))
    degrees[1:-1, 1:-1] = np.where(np.isnan(z[1:-1, 1:-1]), np.nan, steepness)
    return degrees


def relative_elevation(elevation: np.ndarray, pixel: tuple[float, float], radius_m: float) -> np.ndarray:
    """Elevation above the mean of the surrounding disk (topographic position index, Weiss 2001).

    The mean is over the cells of the disk that hold data, the centre among them, so one missing cell changes
    only the cells within the radius, by what it would have contributed.

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).
        radius_m: radius of the disk in metres.

    Returns:
        float32 metres, same shape; NaN where `elevation` is. Near the border the disk is cut.
    """
    kernel = disk(pixel, radius_m)
    valid = ~np.isnan(elevation)
    # whole micrometres have exact sums, so that the result does not depend on how a scene is cut into blocks
    steps = np.rint(np.where(valid, elevation, 0.0).astype(np.float64) * _STEPS)
    sums = np.rint(signal.oaconvolve(steps, kernel, mode="same")) / _STEPS
    counts = _full_counts(valid.shape, pixel, radius_m) if valid.all() else _counts(valid, kernel)
    mean = np.divide(sums, counts, out=np.full(elevation.shape, np.nan), where=valid)
    return (elevation - mean).astype(np.float32)


def _counts(valid: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.rint(signal.oaconvolve(valid.astype(np.float64), kernel, mode="same"))


@lru_cache(maxsize=9)
def _full_counts(shape: tuple[int, int], pixel: tuple[float, float], radius_m: float) -> np.ndarray:
    """Counts of a block without gaps: a scene's blocks have at most nine shapes, most of them one."""
    return _counts(np.ones(shape, bool), disk(pixel, radius_m))


def disk(pixel: tuple[float, float], radius_m: float) -> np.ndarray:
    """float64 1 for pixels whose centre lies within the radius of the middle one's, else 0; odd sides."""
    rows, columns = reach(pixel, radius_m)
    y, x = np.ogrid[-rows : rows + 1, -columns : columns + 1]
    return ((y * pixel[0]) ** 2 + (x * pixel[1]) ** 2 <= radius_m**2 * (1 + 1e-9)).astype(np.float64)


def reach(pixel: tuple[float, float], radius_m: float) -> tuple[int, int]:
    """Whole pixels (rows, columns) within the radius."""
    return int(radius_m / pixel[0] + 1e-9), int(radius_m / pixel[1] + 1e-9)
