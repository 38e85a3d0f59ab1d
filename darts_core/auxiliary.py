"""Auxiliary data of a scene: elevation and tasselled-cap trends, from local or remote rasters.

A raster is anything GDAL opens: a GeoTIFF, a VRT over many, ``https://``, ``s3://``, ``/vsizip/…``. It is warped
straight onto the scene's grid, block by block as dask asks for it, so only the window that is needed is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.errors import DartsError
from darts_core.grids import Grid

if TYPE_CHECKING:
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
_HASHED_BYTES = 256 * 2**20
_TRANSFORM_ERROR = 1e-6
"""Source pixels; GDAL interpolates between exact positions along a row, and 0 is not accepted."""


class AuxiliaryError(DartsError):
    """Auxiliary data that cannot be opened, does not cover the scene or has unexpected bands."""


@dataclass(frozen=True, slots=True)
class AuxiliarySources:
    """Where the auxiliary data lies; None: that feature is not made."""

    dem: str | None = None
    """Elevation in metres, one band, with declared nodata."""
    trends: str | None = None
    """Tasselled-cap trends, uint8; band descriptions name the bands."""


def read_dem(
    url: str, grid: Grid, buffer_m: float = 0.0, chunks: tuple[Sequence[int], Sequence[int]] | None = None
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
    with _open(url) as raster:
        if raster.count != 1:
            raise AuxiliaryError(f"DEM {url}: expected one band of elevations, received {raster.count}")
        coverage = _coverage(raster, grown, f"DEM {url}")
        source = _Source(url, (1,), "bilinear", np.nan, "float32", *_scales(raster, grown))
    values = _lazy(source, grown, _grown_chunks(chunks, grid, rows, columns))[0]
    elevation = xr.DataArray(values, dims=("y", "x"), coords=grown.coordinates()).clip(*ELEVATION_RANGE)
    return elevation.assign_attrs(
        coverage=coverage, data_source=_name(url), buffer_pixels=(rows, columns), units="m"
    )


def read_trends(
    url: str, grid: Grid, chunks: tuple[Sequence[int], Sequence[int]] | None = None
) -> xr.Dataset:
    """Tasselled-cap trends on the scene's grid. Lazy.

    Returns:
        tc_brightness, tc_greenness, tc_wetness: uint8, axes (y, x), bilinear, 0 beyond the raster's frame;
        attributes `coverage` (share 0..1 of the scene inside the frame) and `data_source`.

    Raises:
        AuxiliaryError: the raster cannot be opened, has no CRS, is not uint8, does not touch the scene, or its
            band descriptions do not name the three bands.
    """
    with _open(url) as raster:
        bands = _trend_bands(raster, url)
        if any(raster.dtypes[band - 1] != "uint8" for band in bands):
            raise AuxiliaryError(f"Trends {url}: expected uint8, received {', '.join(raster.dtypes)}")
        coverage = _coverage(raster, grid, f"Trends {url}")
        source = _Source(url, bands, "bilinear", 0, "uint8", *_scales(raster, grid))
    values = _lazy(source, grid, _grown_chunks(chunks, grid, 0, 0))
    trends = {name: (("y", "x"), values[band]) for band, name in enumerate(TREND_BANDS)}
    attrs = {"coverage": coverage, "data_source": _name(url)}
    return xr.Dataset(trends, grid.coordinates(), attrs)


def fingerprint(sources: AuxiliarySources) -> dict[str, str]:
    """What the auxiliary data is made of: one digest for each configured source, for the identity of products.

    Covers every file behind the raster (a VRT's tiles, sidecars): name, size and content; above 256 MB, and for
    remote files, the modification time or ETag stands for the content.

    Raises:
        AuxiliaryError: a source that cannot be opened.
    """
    configured = {"dem": sources.dem, "trends": sources.trends}
    return {name: _digest(url) for name, url in configured.items() if url is not None}


@dataclass(frozen=True, slots=True)
class _Source:
    """What a worker needs to open the raster again and warp one block of it."""

    url: str
    bands: tuple[int, ...]
    resampling: str
    nodata: float
    dtype: str
    scale_y: float
    scale_x: float


def _open(url: str) -> DatasetReader:
    import rasterio

    try:
        raster = rasterio.open(url)
    except rasterio.errors.RasterioIOError as error:
        raise AuxiliaryError(
            f"Auxiliary raster {url} cannot be opened ({error}). Check the address in the auxiliary resource, "
            "or set it to null to work without this feature"
        ) from error
    if raster.crs is None:
        raster.close()
        raise AuxiliaryError(f"Auxiliary raster {url} has no CRS; assign the one it was made in")
    return raster


def _trend_bands(raster: DatasetReader, url: str) -> tuple[int, ...]:
    described = {(text or "").strip().lower(): band for band, text in enumerate(raster.descriptions, 1)}
    found = [
        next((described[name] for name in names if name in described), None) for names in TREND_BANDS.values()
    ]
    if None in found:
        raise AuxiliaryError(
            f"Trends {url}: expected bands described as {', '.join(TREND_BANDS)} (or TCB_slope, TCG_slope, "
            f"TCW_slope), received {raster.descriptions}. Set them (gdal_edit.py, or dst.descriptions in rasterio)"
        )
    return tuple(band for band in found if band is not None)


def _coverage(raster: DatasetReader, grid: Grid, what: str) -> float:
    """Share of the grid inside the raster's frame, from 65 x 65 points of it."""
    from rasterio.warp import transform

    columns, rows = np.meshgrid(np.linspace(0, grid.width, 65), np.linspace(0, grid.height, 65))
    xs, ys = grid.transform * (columns.ravel(), rows.ravel())
    x, y = (np.asarray(values) for values in transform(grid.crs, raster.crs, xs, ys))
    column, row = ~raster.transform * (x, y)
    inside = (column >= 0) & (column <= raster.width) & (row >= 0) & (row <= raster.height)
    if not inside.any():
        raise AuxiliaryError(
            f"{what} does not cover the scene: it spans x {raster.bounds.left:g}..{raster.bounds.right:g}, "
            f"y {raster.bounds.bottom:g}..{raster.bounds.top:g}, the scene needs x {x.min():g}..{x.max():g}, "
            f"y {y.min():g}..{y.max():g} ({raster.crs.to_string()}). Configure a raster of the scene's region"
        )
    return round(float(inside.mean()), 4)


def _scales(raster: DatasetReader, grid: Grid) -> tuple[float, float]:
    """Source pixels to one target pixel as GDAL's (YSCALE, XSCALE), at most 1.

    GDAL would estimate them anew for every block, and the values would depend on how the scene is cut.
    """
    from rasterio.warp import transform

    xs, ys = grid.transform * (
        np.array([0.5, 0.5, 1.5]) + (grid.width - 2) / 2,
        np.array([0.5, 1.5, 0.5]) + (grid.height - 2) / 2,
    )
    x, y = (np.asarray(values) for values in transform(grid.crs, raster.crs, xs, ys))
    column, row = ~raster.transform * (x, y)
    step_y = max(abs(row[1] - row[0]), abs(row[2] - row[0]))
    step_x = max(abs(column[1] - column[0]), abs(column[2] - column[0]))
    return min(1.0, 1 / step_y), min(1.0, 1 / step_x)


def _grown_chunks(
    chunks: tuple[Sequence[int], Sequence[int]] | None, grid: Grid, rows: int, columns: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The scene's chunks with the buffer added to the outer ones, so that the inner borders coincide."""

    def grown(sizes: Sequence[int], buffer: int) -> tuple[int, ...]:
        sizes = list(sizes)
        sizes[0] += buffer
        sizes[-1] += buffer
        return tuple(sizes)

    def regular(length: int) -> list[int]:
        return [min(_BLOCK, length - start) for start in range(0, length, _BLOCK)]

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
    from rasterio.windows import Window

    _, (top, bottom), (left, right) = block_info[None]["array-location"]
    with (
        _open(source.url) as raster,
        WarpedVRT(
            raster,
            crs=grid.crs,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling[source.resampling],
            nodata=source.nodata,
            dtype=source.dtype,
            tolerance=_TRANSFORM_ERROR,
            XSCALE=source.scale_x,
            YSCALE=source.scale_y,
        ) as warped,
    ):
        return warped.read(list(source.bands), window=Window(left, top, right - left, bottom - top))


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _digest(url: str) -> str:
    with _open(url) as raster:
        files = sorted(set(raster.files)) or [url]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{_name(file)}\0{_identity(file)}\0".encode())
    return digest.hexdigest()


def _identity(file: str) -> str:
    path = Path(file)
    if not path.is_file():
        return _remote_identity(file)
    size = path.stat().st_size
    if size > _HASHED_BYTES:
        return f"{size} bytes, modified {path.stat().st_mtime_ns}"
    with path.open("rb") as opened:
        return f"{size} bytes, sha256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _remote_identity(file: str) -> str:
    """Size and ETag, or modification time, as the file system that holds `file` reports them."""
    import fsspec

    vsi = {"/vsicurl/": "", "/vsis3/": "s3://", "/vsizip/": "", "/vsigs/": "gs://"}
    address = file
    for prefix, scheme in vsi.items():
        if address.startswith(prefix):
            address = scheme + address.removeprefix(prefix)
    archive = address.split(".zip")[0] + ".zip" if ".zip/" in address else address
    if Path(archive).is_file():
        return _identity(archive)
    try:
        system, path = fsspec.core.url_to_fs(archive)
        info = system.info(path)
    except Exception as error:
        raise AuxiliaryError(
            f"Auxiliary file {file} cannot be identified ({type(error).__name__}: {error}). "
            "Check the address and the credentials of the store"
        ) from error
    stamp = info.get("ETag") or info.get("mtime") or info.get("LastModified") or info.get("created")
    return f"{info.get('size')} bytes, {stamp}"
