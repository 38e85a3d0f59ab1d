"""How rough the square window around a cell is.

A window is `2 * reach + 1` cells along each axis. Cells without data do not count; near the border it is cut. Sums
are of whole numbers, which are exact, so that the result does not depend on how a scene is cut into blocks.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from darts_core.preprocessing.terrain.surface import framed, horn

_SPAN_M = 4096.0
"""No two elevations on Earth's land in the range of our DEMs are further apart."""


def ruggedness_index(elevation: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Terrain ruggedness index: root of the sum of squared differences to the neighbours.

    Riley et al. 1999, Intermountain Journal of Sciences 5. Where cells of the window are missing, the others stand
    for them: the sum is scaled to the whole window.

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata, within a span of 4096 m.
        reach: cells (rows, columns) from the middle of the window to its edge.

    Returns:
        float32 metres, same shape; NaN where `elevation` is.
    """
    size = _cells(reach)
    valid = ~np.isnan(elevation)
    # the finest power of two in which the greatest possible sum fits 63 bits
    steps = 2.0 ** np.floor((62 - np.log2(size * _SPAN_M**2)) / 2)
    z = np.rint(np.where(valid, elevation, 0).astype(np.float64) * steps).astype(np.int64)
    count = _box(valid.astype(np.int64), reach)
    # sums of squares wrap round and wrap back: only the sum of squared differences, which fits, is taken for a number
    squares = _box(z * z, reach) - 2 * z * _box(z, reach) + count * z * z
    index = np.sqrt(squares * (size / np.maximum(count, 1))) / steps
    return np.where(valid, index, np.nan).astype(np.float32)


def vector_ruggedness(elevation: np.ndarray, pixel: tuple[float, float], reach: tuple[int, int]) -> np.ndarray:
    """Vector ruggedness measure: how far the surface's normals point apart, whatever the slope.

    Sappington et al. 2007, Journal of Wildlife Management 71: 1 less the length of the mean unit normal, which is
    that of the slope by Horn 1981.

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        pixel: size of a pixel in metres along (y, x).
        reach: cells (rows, columns) from the middle of the window to its edge.

    Returns:
        float32 in 0..1, same shape; NaN where the slope is: in the outermost row and column, at nodata and beside it.
    """
    if min(elevation.shape) < 3:
        return framed(None, elevation)
    along_x, along_y = horn(elevation, pixel)
    length = np.sqrt(1 + along_x**2 + along_y**2)
    valid = ~(np.isnan(length) | np.isnan(elevation[1:-1, 1:-1]))
    count = np.maximum(_box(valid.astype(np.int64), reach), 1)
    steps = 2.0 ** np.floor(62 - np.log2(_cells(reach)))
    total = np.zeros(length.shape)
    for component in (along_x, along_y, 1.0):
        whole = np.rint(np.where(valid, component / length, 0) * steps).astype(np.int64)
        total += (_box(whole, reach) / steps) ** 2
    # rounding may leave a plane with a mean a hair longer than 1
    measure = np.maximum(1 - np.sqrt(total) / count, 0)
    return framed(np.where(valid, measure, np.nan), elevation)


def dissection_index(elevation: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Relief of the window as a share of its greatest elevation (Nir 1957, Bulletin of the Israel Exploration Society).

    Args:
        elevation: metres, float, axes (y, x), NaN = nodata.
        reach: cells (rows, columns) from the middle of the window to its edge.

    Returns:
        float32, same shape, 0..1 where no elevation is below 0; NaN where `elevation` is, and where nothing rises
        above 0.
    """
    size = tuple(2 * cells + 1 for cells in reach)
    valid = ~np.isnan(elevation)
    z = elevation.astype(np.float32, copy=False)
    highest = ndimage.maximum_filter(np.where(valid, z, -np.inf), size, mode="constant", cval=-np.inf)
    lowest = ndimage.minimum_filter(np.where(valid, z, np.inf), size, mode="constant", cval=np.inf)
    index = np.full(z.shape, np.nan, np.float32)
    return np.divide(highest - lowest, highest, out=index, where=valid & (highest > 0))


def _cells(reach: tuple[int, int]) -> int:
    return (2 * reach[0] + 1) * (2 * reach[1] + 1)


def _box(values: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Sums over the window around each cell, nothing beyond the border; int64, which may wrap round."""
    for axis, cells in enumerate(reach):
        margin = [(0, 0), (0, 0)]
        margin[axis] = (cells + 1, cells)
        running = np.moveaxis(np.cumsum(np.pad(values, margin), axis=axis), axis, 0)
        values = np.moveaxis(running[2 * cells + 1 :] - running[: -2 * cells - 1], 0, axis)
    return values
