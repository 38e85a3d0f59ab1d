"""Warping in strips of columns that lie where the scene lies, whichever part of it is asked for.

Along a row GDAL interpolates between positions that it computes exactly at the ends of what it is asked for. Asked for
blocks as a scene is cut, it would give each cut its own values in the last bits; exact positions everywhere would cost
most of the time. Strips that are the same for every cut give the same bits, with an error that can be afforded.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rasterio.vrt import WarpedVRT

TRANSFORM_ERROR = 1e-4
"""Source pixels that a position may be off: a millimetre of elevation on a slope of 45 degrees and pixels of 10 m."""
_COLUMNS = 1024


def strips_around(cols: slice, width: int, origin: int = 0) -> slice:
    """The columns of all strips that some columns of a grid lie in; see `read_strips`."""
    first, last = (cols.start - origin) // _COLUMNS, -((origin - cols.stop) // _COLUMNS)
    return slice(max(first * _COLUMNS + origin, 0), min(last * _COLUMNS + origin, width))


def read_strips(warped: WarpedVRT, bands: list[int], rows: slice, cols: slice, origin: int = 0) -> np.ndarray:
    """Bands (from 1) of a part of a warped raster, axes (band, y, x), the same bits for any part.

    Args:
        warped: over the whole grid of the scene, with a tolerance of `TRANSFORM_ERROR`.
        bands: from 1.
        rows: of the grid.
        cols: of the grid.
        origin: column of the grid at which the scene begins: strips count from there, as its blocks do, so that few
            blocks lie in two strips.
    """
    from rasterio.windows import Window

    parts = []
    around = strips_around(cols, warped.width, origin)
    borders = range(around.start + _COLUMNS - (around.start - origin) % _COLUMNS, around.stop, _COLUMNS)
    for left, right in pairwise((around.start, *borders, around.stop)):
        values = warped.read(bands, window=Window(left, rows.start, right - left, rows.stop - rows.start))
        parts.append(values[:, :, max(cols.start - left, 0) : cols.stop - left])
    return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
