"""Auxiliary rasters on a scene's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.auxiliary.sources import AuxiliaryError, name_of, open_raster
from darts_core.auxiliary.strips import TRANSFORM_ERROR, read_strips
from darts_core.grids import Grid

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.io import DatasetReader

ELEVATION_RANGE = (-100.0, 3000.0)
"""Metres; what lies beyond is clipped (valid range of the DEM in DARTS)."""

TREND_BANDS = {
    "tc_brightness": ("tc_brightness", "tcb_slope"),
    "tc_greenness": ("tc_greenness", "tcg_slope"),
    "tc_wetness": ("tc_wetness", "tcw_slope"),
}
"""Our variable, and the band descriptions (in lower case) that name it; the second is that of TCVIS."""

_BLOCK = 1024


def read_dem(
    url: str, grid: Grid, buffer_m: float = 0.0, chunks: tuple[tuple[int, ...], ...] | None = None
) -> xr.DataArray:
    """Elevation on the scene's grid, grown by a buffer on every side. Lazy.

    Args:
        url: raster with one band of elevations in metres.
        grid: the scene's grid, in a projected CRS.
        buffer_m: metres that features need around the scene; rounded up to whole pixels.
        chunks: the scene's chunk sizes along (y, x); the outer ones are grown by the buffer.

    Returns:
        float32 metres, axes (y, x), clipped to `ELEVATION_RANGE`, NaN where the DEM holds nothing; bilinear.
        Attributes: `coverage` (share 0..1 of the area inside the raster's frame), `data_source`, and
        `buffer_pixels` (rows, columns).

    Raises:
        AuxiliaryError: the raster cannot be opened, has no CRS or not one band, or does not touch the scene.
        GridError: the scene's CRS is geographic.
    """
    rows, columns = (int(np.ceil(buffer_m / size)) for size in grid.metres())
    grown = grid.grown(rows, columns)
    with open_raster(url) as raster:
        if raster.count != 1:
            raise AuxiliaryError(f"DEM {url}: expected one band of elevations, received {raster.count}")
        coverage = _coverage(raster, grown, f"DEM {url}")
        source = _Source(url, (1,), "bilinear", np.nan, "float32", *_scales(raster, grown), origin=columns)
    values = _lazy(source, grown, _grown_chunks(chunks, grid, rows, columns))[0]
    elevation = xr.DataArray(values, dims=("y", "x"), coords=grown.coordinates()).clip(*ELEVATION_RANGE)
    return elevation.assign_attrs(coverage=coverage, data_source=name_of(url), buffer_pixels=(rows, columns), units="m")


def read_trends(url: str, grid: Grid, chunks: tuple[tuple[int, ...], ...] | None = None) -> xr.Dataset:
    """Tasselled-cap trends on the scene's grid. Lazy.

    Returns:
        tc_brightness, tc_greenness, tc_wetness: uint8, axes (y, x), bilinear, 0 beyond the raster's frame;
        attributes `coverage` (share 0..1 of the scene inside the frame) and `data_source`.

    Raises:
        AuxiliaryError: the raster cannot be opened, has no CRS, is not uint8, does not touch the scene, or its
            band descriptions do not name the three bands.
    """
    with open_raster(url) as raster:
        bands = _trend_bands(raster, url)
        if any(raster.dtypes[band - 1] != "uint8" for band in bands):
            raise AuxiliaryError(f"Trends {url}: expected uint8, received {', '.join(raster.dtypes)}")
        coverage = _coverage(raster, grid, f"Trends {url}")
        # beyond the raster's frame GDAL leaves 0 anyway; a raster without nodata is warped twice as fast as one with it
        nodata = None if raster.nodata is None else 0
        source = _Source(url, bands, "bilinear", nodata, "uint8", *_scales(raster, grid))
    values = _lazy(source, grid, _grown_chunks(chunks, grid, 0, 0))
    trends = {name: (("y", "x"), values[band]) for band, name in enumerate(TREND_BANDS)}
    attrs = {"coverage": coverage, "data_source": name_of(url)}
    return xr.Dataset(trends, grid.coordinates(), attrs)


@dataclass(frozen=True, slots=True)
class _Source:
    """What a worker needs to open the raster again and warp one block of it."""

    url: str
    bands: tuple[int, ...]
    resampling: str
    nodata: float | None
    dtype: str
    scale_y: float
    scale_x: float
    origin: int = 0
    """Column of the grid at which the scene begins."""


def _trend_bands(raster: DatasetReader, url: str) -> tuple[int, ...]:
    described = {(text or "").strip().lower(): band for band, text in enumerate(raster.descriptions, 1)}
    found = [next((described[name] for name in names if name in described), None) for names in TREND_BANDS.values()]
    if None in found:
        raise AuxiliaryError(
            f"Trends {url}: expected bands described as {', '.join(TREND_BANDS)} (or TCB_slope, TCG_slope, "
            f"TCW_slope), received {raster.descriptions}. Set them (gdal_edit.py, or dst.descriptions in rasterio)"
        )
    return tuple(band for band in found if band is not None)


def _coverage(raster: DatasetReader, grid: Grid, what: str) -> float:
    """Share of the grid inside the raster's frame, from 65 x 65 points of it."""
    columns, rows = np.meshgrid(np.linspace(0, grid.width, 65), np.linspace(0, grid.height, 65))
    column, row = _positions(raster, grid, columns.ravel(), rows.ravel())
    inside = (column >= 0) & (column <= raster.width) & (row >= 0) & (row <= raster.height)
    if not inside.any():
        raise AuxiliaryError(
            f"{what} does not cover the scene at all: of its {raster.width} x {raster.height} pixels the scene needs "
            f"columns {column.min():.0f}..{column.max():.0f} and rows {row.min():.0f}..{row.max():.0f} "
            f"({raster.crs.to_string()}, bounds {tuple(raster.bounds)}). Configure a raster of the scene's region"
        )
    return round(float(inside.mean()), 4)


def _scales(raster: DatasetReader, grid: Grid) -> tuple[float, float]:
    """Target pixels to one source pixel as GDAL's (YSCALE, XSCALE), at most 1.

    GDAL would estimate them anew for every block, and the values would depend on how the scene is cut.
    """
    columns = np.array([0.0, 0.0, 1.0]) + (grid.width - 1) / 2
    rows = np.array([0.0, 1.0, 0.0]) + (grid.height - 1) / 2
    column, row = _positions(raster, grid, columns, rows)
    step_y = max(abs(row[1] - row[0]), abs(row[2] - row[0]))
    step_x = max(abs(column[1] - column[0]), abs(column[2] - column[0]))
    return min(1.0, 1 / step_y), min(1.0, 1 / step_x)


def _positions(
    raster: DatasetReader, grid: Grid, columns: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(column, row) in the raster of (column, row) in the grid; infinite where the raster's CRS has no such place."""
    from rasterio.warp import transform

    xs, ys = _apply(grid.transform, columns, rows)
    x, y = (np.asarray(values) for values in transform(grid.crs, raster.crs, xs, ys))
    return _apply(~raster.transform, x, y)


def _apply(affine: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d, e, f = tuple(affine)[:6]
    return a * x + b * y + c, d * x + e * y + f


def _grown_chunks(
    chunks: tuple[tuple[int, ...], ...] | None, grid: Grid, rows: int, columns: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The scene's chunks with the buffer added to the outer ones, so that the inner borders coincide."""

    def grown(lengths: tuple[int, ...], buffer: int) -> tuple[int, ...]:
        sizes = list(lengths)
        sizes[0] += buffer
        sizes[-1] += buffer
        return tuple(sizes)

    def regular(length: int) -> tuple[int, ...]:
        return tuple(min(_BLOCK, length - start) for start in range(0, length, _BLOCK))

    along_y, along_x = chunks or (regular(grid.height), regular(grid.width))
    return grown(along_y, rows), grown(along_x, columns)


def _lazy(source: _Source, grid: Grid, chunks: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    """The warped raster as a dask array (bands, y, x)."""
    import dask.array as da

    bands = len(source.bands)
    # block_info gives map_blocks' function its place in the grid; it needs no input array
    return da.map_blocks(
        _read_block,
        source=source,
        grid=grid,
        chunks=((bands,), *chunks),
        dtype=source.dtype,
        meta=np.empty((0, 0, 0), source.dtype),
    )


def _read_block(source: _Source, grid: Grid, block_info: Any = None) -> np.ndarray:
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    _, (top, bottom), (left, right) = block_info[None]["array-location"]
    with (
        open_raster(source.url) as raster,
        WarpedVRT(
            raster,
            crs=grid.crs,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling[source.resampling],
            nodata=source.nodata,
            dtype=source.dtype,
            tolerance=TRANSFORM_ERROR,
            XSCALE=source.scale_x,
            YSCALE=source.scale_y,
        ) as warped,
    ):
        return read_strips(warped, list(source.bands), slice(top, bottom), slice(left, right), source.origin)
