"""Auxiliary rasters on a scene's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from darts_core.auxiliary.cache import Cache
from darts_core.auxiliary.identity import identity_of
from darts_core.auxiliary.mosaic import lattice_points, mosaics, step
from darts_core.auxiliary.rasters import Raster, open_raster
from darts_core.auxiliary.sources import AuxiliaryError, Where, name_of, parts_of
from darts_core.auxiliary.warping import Frame, lazily
from darts_core.grids import Grid
from darts_core.remote import is_remote

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
    where: Where,
    grid: Grid,
    buffer_m: float = 0.0,
    chunks: tuple[tuple[int, ...], ...] | None = None,
    *,
    cache: Cache | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Elevation on the scene's grid, grown by a buffer on every side. Lazy.

    Args:
        where: raster with one band of elevations in metres (of a Zarr store, its one variable or ``dem``), or the
            tiles of one. The coarsest overview that is no coarser than the grid is read.
        grid: the scene's grid, in a projected CRS.
        buffer_m: metres that features need around the scene; rounded up to whole pixels.
        chunks: the scene's chunk sizes along (y, x); the outer ones are grown by the buffer.
        cache: keeps what is read of remote rasters.
        storage_options: of the filesystem that remote rasters lie in, such as ``endpoint_url``.

    Returns:
        float32 metres, axes (y, x), clipped to `ELEVATION_RANGE`, NaN where the DEM holds nothing; bilinear.
        Attributes: `coverage` (share 0..1 of the area inside the rasters' frames), `data_source`, and
        `buffer_pixels` (rows, columns).

    Raises:
        AuxiliaryError: a raster cannot be opened, has no CRS or not one band, or none touches the scene.
        GridError: the scene's CRS is geographic.
    """
    rows, columns = (int(np.ceil(buffer_m / size)) for size in grid.metres())
    grown = grid.grown(rows, columns)
    rasters = [open_raster(url, storage_options) for url in parts_of(where)]
    bands = {_elevation_band(raster) for raster in rasters}
    if len(bands) > 1:
        raise AuxiliaryError(f"DEM: expected the elevations in the same band of every tile of {', '.join(where)}")
    band = bands.pop()
    frames, coverage = _frames(rasters, grown, "DEM", cache)
    values = lazily(frames, [band], grown, _grown_chunks(chunks, grid, rows, columns), columns)[0]
    scale, offset = rasters[0].scales[band - 1], rasters[0].offsets[band - 1]
    if (scale, offset) != (1.0, 0.0):
        values = values * np.float32(scale) + np.float32(offset)
    elevation = xr.DataArray(values, dims=("y", "x"), coords=grown.coordinates()).clip(*ELEVATION_RANGE)
    return elevation.assign_attrs(
        coverage=coverage, data_source=_told(rasters), buffer_pixels=(rows, columns), units="m"
    )


def read_trends(
    where: Where,
    grid: Grid,
    chunks: tuple[tuple[int, ...], ...] | None = None,
    *,
    cache: Cache | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Tasselled-cap trends on the scene's grid. Lazy.

    Args:
        where: raster whose bands (of a Zarr store, variables) are named as in `TREND_BANDS`, or the tiles of one.

    Returns:
        tc_brightness, tc_greenness, tc_wetness: uint8, axes (y, x), bilinear, 0 beyond the raster's frame;
        attributes `coverage` (share 0..1 of the scene inside the frame) and `data_source`.

    Raises:
        AuxiliaryError: a raster cannot be opened, has no CRS, is not uint8, none touches the scene, or its
            band descriptions do not name the three bands.
    """
    rasters = [open_raster(url, storage_options) for url in parts_of(where)]
    bands = [_trend_bands(raster) for raster in rasters]
    if len(set(bands)) > 1:
        raise AuxiliaryError(f"Trends: expected the same order of bands in every tile of {', '.join(where)}")
    frames, coverage = _frames(rasters, grid, "Trends", cache)
    numbers = lazily(frames, bands[0], grid, _grown_chunks(chunks, grid, 0, 0))
    values = numbers.map_blocks(_as_bytes, dtype=np.uint8)
    trends = {name: (("y", "x"), values[band]) for band, name in enumerate(TREND_BANDS)}
    return xr.Dataset(trends, grid.coordinates(), {"coverage": coverage, "data_source": _told(rasters)})


def _as_bytes(numbers: np.ndarray) -> np.ndarray:
    rounded = numbers + np.float32(0.5)
    return np.nan_to_num(rounded, copy=False).astype(np.uint8)


def _elevation_band(raster: Raster) -> int:
    if len(raster.names) == 1:
        return 1
    if "dem" in raster.names and raster.url.rstrip("/").endswith(".zarr"):
        return raster.names.index("dem") + 1
    raise AuxiliaryError(f"DEM {raster.url}: expected one band of elevations, received {len(raster.names)}")


def _trend_bands(raster: Raster) -> tuple[int, ...]:
    described = {(text or "").strip().lower(): band for band, text in enumerate(raster.names, 1)}
    found = [next((described[name] for name in names if name in described), None) for names in TREND_BANDS.values()]
    if None in found:
        raise AuxiliaryError(
            f"Trends {raster.url}: expected bands described as {', '.join(TREND_BANDS)} (or TCB_slope, TCG_slope, "
            f"TCW_slope), received {raster.names}. Set them (gdal_edit.py, or dst.descriptions in rasterio)"
        )
    bands = tuple(band for band in found if band is not None)
    if any(raster.dtypes[band - 1] != "uint8" for band in bands):
        raise AuxiliaryError(f"Trends {raster.url}: expected uint8, received {', '.join(raster.dtypes)}")
    return bands


def _frames(rasters: Sequence[Raster], grid: Grid, what: str, cache: Cache | None) -> tuple[tuple[Frame, ...], float]:
    """What the grid needs of the rasters, and the share of it inside their frames."""
    levels = [raster.finest_for(min(step(raster, grid))) for raster in rasters]
    kept = [cache is not None and is_remote(raster.url) for raster in rasters]
    identities = [
        identity_of(raster.url, raster.storage_options) if keep else None
        for raster, keep in zip(rasters, kept, strict=True)
    ]
    gathered = mosaics(levels, identities, cache)
    inside = np.zeros(1)
    for mosaic in gathered:
        columns, rows = lattice_points(mosaic, grid)
        inside = inside + mosaic.holds(columns, rows)
    if not inside.any():
        raise AuxiliaryError(_elsewhere(rasters[0], grid, f"{what} {rasters[0].url}", len(rasters)))
    return tuple(Frame.of(mosaic, grid) for mosaic in gathered), round(float((inside > 0).mean()), 4)


def _elsewhere(raster: Raster, grid: Grid, what: str, count: int) -> str:
    (mosaic,) = mosaics([raster], [None], None)
    columns, rows = lattice_points(mosaic, grid)
    return (
        f"{what} does not cover the scene at all{f', nor do the {count - 1} others' if count > 1 else ''}: of its "
        f"{raster.width} x {raster.height} pixels the scene needs "
        f"columns {columns.min():.0f}..{columns.max():.0f} and rows {rows.min():.0f}..{rows.max():.0f} "
        f"({raster.crs.to_string()}, {tuple(raster.transform)[:6]}). Configure a raster of the scene's region"
    )


def _told(rasters: Sequence[Raster]) -> str:
    first = name_of(rasters[0].url)
    return first if len(rasters) == 1 else f"{first} and {len(rasters) - 1} more"


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
