"""Ground where no slump can be (water, glaciers), from rasters or polygons, on the pixels of a scene."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.manifests import file_digest
from darts_core.windows import Window

if TYPE_CHECKING:
    import geopandas as gpd

_BLOCK = 1024
_RASTERS = (".tif", ".tiff", ".vrt")


class ExclusionError(DartsError):
    """Excluded ground that cannot be read, or does not say where it lies."""


def read_excluded(files: Sequence[str], like: xr.Dataset | xr.DataArray) -> xr.DataArray:
    """Where at least one of the files says that no slump can be, on the grid and in the chunks of a scene. Lazy.

    Only what lies in the scene is read, and rasters block by block as they are asked for. Ground that a file does
    not cover is not excluded by it.

    Args:
        files: local files, each in a CRS of its own. GeoTIFF or VRT of one band: every value but 0, NaN and nodata
            excludes, taken from the nearest pixel. Any other vector file: the pixels whose centre lies in a polygon.
        like: the scene, axes (y, x).

    Returns:
        bool, axes (y, x), True where excluded.

    Raises:
        ExclusionError: not a readable file, one without CRS, or a raster of several bands.
    """
    import dask.array as da

    grid = Grid.of(like)
    layers = [_layer(file, grid) for file in files]
    sizes = like.chunksizes or {}
    chunks = da.core.normalize_chunks(tuple(sizes.get(axis, _BLOCK) for axis in ("y", "x")), grid.shape)

    def block(block_info: Any) -> np.ndarray:
        (top, bottom), (left, right) = block_info[None]["array-location"]
        window = Window(row=top, col=left, height=bottom - top, width=right - left)
        nothing = np.zeros((window.height, window.width), bool)
        return functools.reduce(np.logical_or, (layer(window) for layer in layers), nothing)

    values = da.map_blocks(block, chunks=chunks, dtype=bool, meta=np.empty((0, 0), bool))
    placed = {axis: like[axis] for axis in ("y", "x", "spatial_ref") if axis in like.coords}
    return xr.DataArray(values, placed, ("y", "x"), "excluded")


def digests(files: Sequence[str]) -> list[str]:
    """The content of each file and of what belongs to it, for the identity of products that use it.

    Raises:
        ExclusionError: a file that is not there.
    """
    return [_digest(file) for file in files]


def _digest(file: str) -> str:
    digest = hashlib.sha256()
    for part in _parts(file):
        status = part.stat()
        digest.update(f"{part.name}\0{_content(part, status.st_size, status.st_mtime_ns)}\0".encode())
    return digest.hexdigest()


@functools.lru_cache
def _content(part: Path, _size: int, _modified: int) -> str:
    """SHA-256 of a file: inventories are large, and a process makes many scenes with the same one."""
    return file_digest(part)


def _parts(file: str) -> list[Path]:
    """The files that a raster or a vector file consists of."""
    path = Path(file)
    if not path.exists():
        raise ExclusionError(f"Excluded ground {file}: there is no such file. Expected a GeoTIFF or a vector file here")
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    if path.suffix.lower() in _RASTERS:
        with _opened(file) as raster:
            return sorted(map(Path, {file, *raster.files}))
    return sorted(path.parent.glob(f"{path.stem}.*")) if path.suffix.lower() == ".shp" else [path]


def _layer(file: str, grid: Grid) -> Callable[[Window], np.ndarray]:
    """From a window of the grid to bool (height, width), True where the file excludes."""
    if Path(file).suffix.lower() in _RASTERS:
        with _opened(file) as raster:
            _require_place(file, raster.crs)
            if raster.count != 1:
                raise ExclusionError(
                    f"Excluded ground {file}: expected one band, received {raster.count}. Cut out the band that says "
                    "where it is (gdal_translate -b)"
                )
        return functools.partial(_from_raster, file, grid)
    from darts_core.vectors.outlines import slump_mask

    outlines = _polygons(file, grid)
    return lambda window: slump_mask(outlines, window, grid).astype(bool)


def _from_raster(file: str, grid: Grid, window: Window) -> np.ndarray:
    from rasterio.vrt import WarpedVRT
    from rasterio.windows import Window as RasterWindow

    with (
        _opened(file) as raster,
        WarpedVRT(raster, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width) as warped,
    ):
        # beyond its frame a raster is nodata, or 0 where it declares none
        values = warped.read(1, window=RasterWindow(window.col, window.row, window.width, window.height))
        nodata = warped.nodata
    excluded = (values != 0) & ~np.isnan(values)
    return excluded if nodata is None else excluded & (values != nodata)


def _opened(file: str) -> Any:
    import rasterio

    try:
        return rasterio.open(file)
    except rasterio.errors.RasterioIOError as error:
        raise ExclusionError(f"Excluded ground {file} is not a raster that GDAL can open: {error}") from error


def _polygons(file: str, grid: Grid) -> gpd.GeoSeries:
    """The polygons around a grid, in its CRS."""
    import geopandas as gpd
    import pandas as pd
    import pyogrio
    import shapely

    try:
        stored = gpd.read_parquet(file) if Path(file).suffix == ".parquet" else None
        crs = pyogrio.read_info(file)["crs"] if stored is None else stored.crs
        _require_place(file, crs)
        around = _around(grid, crs)
        near = [
            gpd.read_file(file, bbox=box) if stored is None else stored.iloc[stored.sindex.query(shapely.box(*box))]
            for box in around
        ]
    except ExclusionError:
        raise
    except Exception as error:
        raise ExclusionError(
            f"Excluded ground {file} is not a vector file that GDAL or GeoParquet can read: {error}"
        ) from error
    outlines = [_cut(some, box).to_crs(grid.crs) for some, box in zip(near, around, strict=True)]
    return pd.concat(outlines, ignore_index=True)


def _cut(frame: gpd.GeoDataFrame, box: tuple[float, float, float, float]) -> gpd.GeoSeries:
    """The polygons within a box, without what is no polygon.

    An ocean's polygon reaches to where the scene's projection has no coordinates, so it is cut before it is moved.
    """
    import geopandas as gpd
    import shapely

    areas = frame.geometry[frame.geom_type.isin(["Polygon", "MultiPolygon"])].make_valid()
    side = max(box[2] - box[0], box[3] - box[1])
    shapes = shapely.segmentize(shapely.clip_by_rect(areas.to_numpy(), *box), side / 100)
    return gpd.GeoSeries(shapes[~shapely.is_empty(shapes)], crs=frame.crs)


def _around(grid: Grid, crs: Any) -> list[tuple[float, float, float, float]]:
    """Bounds of a grid in another CRS, as one box, or as two where it crosses the antimeridian of degrees."""
    from pyproj import CRS, Transformer

    columns, rows = np.array([0, grid.width, 0, grid.width]), np.array([0, 0, grid.height, grid.height])
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    known = CRS.from_user_input(crs)
    transformer = Transformer.from_crs(grid.crs, known, always_xy=True)
    west, south, east, north = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max())
    if west <= east:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def _require_place(file: str, crs: Any) -> None:
    if crs is None:
        raise ExclusionError(f"Excluded ground {file} has no CRS; set the one it was drawn in")
