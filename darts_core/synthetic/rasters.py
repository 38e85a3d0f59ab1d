"""Writing one raster file with GDAL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from darts_core.synthetic.grid import Grid

GEOTIFF: dict[str, str | int | bool] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": 256,
    "blockysize": 256,
    "compress": "deflate",
}
JPEG2000: dict[str, str | int | bool] = {
    "driver": "JP2OpenJPEG",
    "QUALITY": "100",
    "REVERSIBLE": "YES",
    "YCBCR420": "NO",
}
"""Lossless."""


def transform_of(grid: Grid) -> Affine:
    """The affine transform from (column, row) to (x, y)."""
    return Affine(grid.spacing, 0, grid.west, 0, -grid.spacing, grid.north)


def write_raster(
    path: Path,
    pixels: np.ndarray,
    crs: str,
    transform: Affine,
    options: dict[str, str | int | bool],
    nodata: float | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Write `pixels` (band, y, x) as they are; `names` describes the bands. An older file gives way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # GDAL opens a file before it writes over it, and fails when that one is damaged
    path.unlink(missing_ok=True)
    bands, height, width = pixels.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **shape, crs=crs, transform=transform, nodata=nodata, **options) as file:
        file.write(pixels)
        if names:
            file.descriptions = tuple(names)
    return path
