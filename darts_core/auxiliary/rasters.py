"""Auxiliary rasters, whatever they are stored as: what is known of one, and its pixels by windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.auxiliary import zarrs
from darts_core.auxiliary.sources import AuxiliaryError
from darts_core.remote import gdal_options, gdal_path

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader

_OVERVIEW_SLACK = 1.01
"""A scene's pixel of 9.95 m takes the overview of 10 m."""


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster that was found, and how to open it again: a value that workers can be sent."""

    url: str
    crs: CRS
    """Horizontal."""
    transform: Affine
    height: int
    width: int
    dtypes: tuple[str, ...]
    """Of each band."""
    nodata: tuple[float | None, ...]
    """Of each band."""
    names: tuple[str | None, ...]
    """Description of each band, or its variable."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    """physical = number * scale + offset, of each band."""
    overviews: tuple[int, ...] = ()
    """Factors."""
    level: int | None = None
    """The overview that this is; None is full resolution."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def finest_for(self, step: float) -> Raster:
        """The coarsest overview whose pixels are no larger than the target's, `step` of this raster's pixels wide."""
        fitting = [level for level, factor in enumerate(self.overviews) if factor <= step * _OVERVIEW_SLACK]
        return open_raster(self.url, self.storage_options, level=fitting[-1]) if fitting else self

    def read(self, bands: Sequence[int], rows: slice, cols: slice) -> np.ndarray:
        """Bands (from 1) of a window, axes (band, y, x), float32, NaN for nodata, numbers as stored.

        Raises:
            AuxiliaryError: the raster is damaged, or its server fails.
        """
        if zarrs.is_zarr(self.url):
            numbers = zarrs.read(self.url, self.storage_options, [self.names[band - 1] for band in bands], rows, cols)
        else:
            numbers = self._read_gdal(bands, rows, cols)
        values = numbers.astype(np.float32)
        for position, band in enumerate(bands):
            nodata = self.nodata[band - 1]
            if nodata is not None and not np.isnan(nodata):
                values[position][numbers[position] == nodata] = np.nan
        return values

    def _read_gdal(self, bands: Sequence[int], rows: slice, cols: slice) -> np.ndarray:
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        try:
            with _opened(self.url, self.storage_options, self.level) as dataset:
                return dataset.read(list(bands), window=Window.from_slices(rows, cols))
        except (RasterioError, OSError) as error:
            raise AuxiliaryError(
                f"Auxiliary raster {self.url} cannot be read in rows {rows.start}..{rows.stop}, columns "
                f"{cols.start}..{cols.stop} ({error}). It may be damaged, or its server failed; run it again"
            ) from error


def open_raster(url: str, storage_options: Mapping[str, Any] | None = None, *, level: int | None = None) -> Raster:
    """Inspect a raster that says where it lies; no pixel is read.

    Args:
        level: the overview to take, from 0; None is full resolution.

    Raises:
        AuxiliaryError: it cannot be opened, or has no CRS.
    """
    options = dict(storage_options or {})
    if zarrs.is_zarr(url):
        facts = zarrs.inspect(url, options)
        return Raster(url, storage_options=options, **{**facts, "crs": horizontal(facts["crs"])})
    with _opened(url, options, level) as dataset:
        if dataset.crs is None:
            raise AuxiliaryError(f"Auxiliary raster {url} has no CRS; assign the one it was made in")
        return Raster(
            url,
            horizontal(dataset.crs),
            dataset.transform,
            dataset.height,
            dataset.width,
            dataset.dtypes,
            dataset.nodatavals,
            dataset.descriptions,
            dataset.scales,
            dataset.offsets,
            () if level is not None else tuple(dataset.overviews(1)),
            level,
            options,
        )


def files_of(url: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """Every file behind a raster that GDAL opens: itself, the tiles of a VRT, sidecars."""
    with _opened(url, storage_options, None) as dataset:
        return sorted(set(dataset.files)) or [url]


@contextmanager
def _opened(url: str, storage_options: Mapping[str, Any] | None, level: int | None) -> Iterator[DatasetReader]:
    import rasterio

    options = {} if level is None else {"OVERVIEW_LEVEL": level}
    with rasterio.Env(**gdal_options(url, storage_options, changing=True)):
        try:
            dataset = rasterio.open(gdal_path(url), **options)
        except rasterio.errors.RasterioIOError as error:
            raise AuxiliaryError(
                f"Auxiliary raster {url} cannot be opened ({error}). Check the address in the auxiliary resource, "
                "or set it to null to work without this feature"
            ) from error
        with dataset:
            yield dataset


def horizontal(crs: CRS) -> CRS:
    """A CRS without its vertical part: heights are not shifted, and GDAL would look for grids to do so."""
    from pyproj import CRS as ProjCRS
    from rasterio.crs import CRS

    whole = ProjCRS.from_user_input(crs)
    if whole.is_compound:
        return CRS.from_wkt(whole.sub_crs_list[0].to_wkt())
    return CRS.from_wkt(whole.to_2d().to_wkt()) if len(whole.axis_info) > 2 else crs
