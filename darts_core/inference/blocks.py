"""Pieces of a raster on their way from the step that makes them into the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TILE = 512
"""Pixels a side of one tile of a GeoTIFF."""


@dataclass(frozen=True, slots=True)
class Block:
    """Finished pixels of a raster.

    The blocks of one raster cover each of its pixels once, in any order. A block starts on a tile and consists of
    whole tiles, except at the raster's right and bottom edge.
    """

    row: int
    """First row, a multiple of `TILE`."""
    col: int
    """First column, a multiple of `TILE`."""
    data: np.ndarray
    """(bands, rows, cols), codes of the product's dtype."""
