"""The reference of a co-registration: a raster, read on the pixels of a scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.scenes.bare import common_name

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.vrt import WarpedVRT

_TOLERANCE = 0.001
"""Pixels by which a transformation may be wrong; GDAL's own bound, an eighth, is more than what is measured here."""


class CoregistrationError(DartsError):
    """A scene that cannot be laid onto a reference, or a shift that cannot be believed."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One band of a raster, on the grid of a scene."""

    grid: Grid
    """Of the raster itself."""
    band: int
    """From 1."""
    warped: WarpedVRT

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """A window, rows and columns in pixels of the scene; float32, axes (y, x), NaN = no data."""
        from rasterio.windows import Window

        window = Window.from_slices(rows, columns)
        values = self.warped.read(self.band, window=window).astype(np.float32)
        held = self.warped.read_masks(self.band, window=window) > 0
        return np.where(held & np.isfinite(values), values, np.float32(np.nan))


@contextmanager
def open_reference(path: str, grid: Grid, band: str, number: int | None) -> Iterator[Reference]:
    """A band of the raster `path`, resampled (cubic) onto `grid` as it is read.

    Args:
        band: common name of the band that is compared.
        number: of the band in the raster, from 1; None takes the one that is described as `band`, or the only one.

    Raises:
        CoregistrationError: no raster, one that lies nowhere, or one without such a band.
    """
    import rasterio
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    try:
        with rasterio.open(path) as raster:
            if raster.crs is None:
                raise CoregistrationError(f"The reference {path} has no CRS; assign the one that it was made in")
            chosen = _chosen(raster, path, band, number)
            with WarpedVRT(
                raster,
                crs=grid.crs,
                transform=grid.transform,
                height=grid.height,
                width=grid.width,
                resampling=Resampling.cubic,
                tolerance=_TOLERANCE,
                # says where the raster holds data, or ends, where no number does
                add_alpha=raster.nodata is None and ColorInterp.alpha not in raster.colorinterp,
            ) as warped:
                own = Grid(raster.crs, raster.transform, raster.height, raster.width)
                yield Reference(own, chosen, warped)
    except RasterioError as error:
        raise CoregistrationError(f"The reference {path} cannot be read: {error}") from error


def _chosen(raster: DatasetReader, path: str, band: str, number: int | None) -> int:
    if number is not None:
        if number > raster.count:
            raise CoregistrationError(f"The reference {path} has {raster.count} bands, so there is no band {number}")
        return number
    named = [index for index, text in enumerate(raster.descriptions, start=1) if band in (text, common_name(text))]
    if raster.count > 1 and len(named) != 1:
        said = ", ".join(text or "-" for text in raster.descriptions)
        raise CoregistrationError(
            f"The reference {path} has {raster.count} bands ({said}), and {len(named) or 'none'} is described as "
            f"{band}. Say which one to compare (reference_band)"
        )
    return named[0] if named else 1
