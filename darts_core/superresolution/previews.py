"""What one looks at after a run: a small place of the scene and of the finished raster, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from scipy.ndimage import uniform_filter

from darts_core import pictures
from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.inference.geotiff import blocks_of, read_cog, write_geotiff
from darts_core.inference.source import VALID
from darts_core.superresolution.area import cut
from darts_core.superresolution.patches import PRODUCT
from darts_core.windows import Window

_SAMPLES = 33
"""Pixels a side at which a raster is looked at to find where it holds data; none costs more than one tile."""


class PreviewError(DartsError):
    """A place that the scene does not have."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One place before and after."""

    coarse: xr.Dataset
    """The scene's bands (y, x): physical values, NaN where it is not valid."""
    fine: xr.Dataset
    """The same bands of the finished raster, each pixel of `coarse` as factor x factor of its own."""


def excerpt(scene: xr.Dataset, raster: Path, size: int, at: tuple[float, float] | None = None) -> Excerpt:
    """Cut a place out of a scene and of the raster that was made of it; nothing is predicted.

    Args:
        scene: memory form, lazy or not, with `valid_data_mask`.
        raster: the finished file.
        size: pixels of the scene a side; less where the scene is smaller.
        at: x and y of the middle in the scene's CRS; by default a place near the scene's centre that holds data.

    Raises:
        PreviewError: `at` is outside the scene.
    """
    grid = Grid.of(scene)
    finished = read_cog(raster, PRODUCT)
    factor = finished.sizes["y"] // grid.height
    col, row = _middle(raster, size * factor, grid) if at is None else pixel_at(at, grid)
    height, width = min(size, grid.height), min(size, grid.width)
    place = Window(
        min(max(round(row - height / 2), 0), grid.height - height),
        min(max(round(col - width / 2), 0), grid.width - width),
        height,
        width,
    )
    part = cut(scene, place)
    finer = Window(place.row * factor, place.col * factor, height * factor, width * factor)
    bands = [str(name) for name in finished.data_vars]
    return Excerpt(part[bands].where(part[VALID]).compute(), cut(finished, finer).compute())


def _middle(raster: Path, side: int, grid: Grid) -> tuple[float, float]:
    """Column and row of the scene around which a square of the raster holds much data, the scene's centre if it can."""
    with rasterio.open(raster) as source:
        shape = min(_SAMPLES, source.height), min(_SAMPLES, source.width)
        held = (source.read(1, out_shape=shape) != source.nodata).astype(float)
        reach = [max(1, round(side * n / whole)) for n, whole in zip(shape, source.shape, strict=True)]
    rows, cols = ((np.arange(n) + 0.5) / n for n in shape)
    far = np.hypot(rows[:, None] - 0.5, cols - 0.5)
    row, col = np.unravel_index(np.argmax(uniform_filter(held, reach, mode="constant") - far / 4), shape)
    return float(cols[col] * grid.width), float(rows[row] * grid.height)


def pixel_at(at: tuple[float, float], grid: Grid) -> tuple[float, float]:
    """Column and row of a point of the scene.

    Raises:
        PreviewError: it is outside.
    """
    col, row = ~grid.transform @ at
    if not (0 <= col < grid.width and 0 <= row < grid.height):
        raise PreviewError(
            f"Expected the middle of the excerpt as x,y within the scene in {grid.crs.to_string()}, received "
            f"{at[0]},{at[1]}: row {row:.0f} of {grid.height}, column {col:.0f} of {grid.width}"
        )
    return col, row


def write_excerpt(excerpt: Excerpt, coarse: Path, fine: Path) -> None:
    """Write both as GeoTIFF with the same codes, so that they can be laid over one another."""
    for dataset, path in ((excerpt.coarse, coarse), (excerpt.fine, fine)):
        write_geotiff(blocks_of(dataset, PRODUCT), path)


def write_pictures(excerpt: Excerpt, coarse: Path, fine: Path) -> None:
    """Write both as PNG of one size under one stretch, in true colour where the bands allow it."""
    for image, path in zip(pictures.pair(excerpt.coarse, excerpt.fine), (coarse, fine), strict=True):
        hidden = path.with_name(f".{path.name}.part")
        image.save(hidden, "PNG")
        hidden.replace(path)
