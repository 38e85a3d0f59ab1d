"""Where slumps were looked for, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.grids import Grid
from darts_core.inference.blocks import Block
from darts_core.release.cells import CRS, Cell, Spill, plane, touched
from darts_core.release.errors import ReleaseError
from darts_core.release.looks import ONE_LOOK_S, looks_at, seconds

if TYPE_CHECKING:
    import geopandas as gpd
    import shapely

RESOLUTION = 320.0
"""Metres a pixel of the coverage raster."""
TILE_PX = 1024
"""Pixels a side of one tile of a release."""
TILE_SIDE = RESOLUTION * TILE_PX
"""Metres a side of one tile of a release: 327.68 km, whole pixels of the coverage raster."""
BANDS = ("looks", "first_look", "last_look")

OUTLINE_M = 100.0
"""Metres a side of the squares in which extents are outlined."""

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Look:
    """One scene's look at the ground."""

    scene: str
    sensor: str
    acquired: datetime
    """With time zone."""
    extent: shapely.Geometry
    """Where slumps were looked for, in EPSG:3413; empty where nowhere."""

    @classmethod
    def of(cls, attrs: Mapping[str, Any], extent: shapely.Geometry) -> Look:
        """The look of a scene with these attributes: `scene`, `sensor` and `acquired`."""
        return cls(attrs["scene"], attrs["sensor"], datetime.fromisoformat(attrs["acquired"]), extent)


def extent_of(looked_at: xr.DataArray, resolution: float = OUTLINE_M) -> shapely.Geometry:
    """Where a scene was looked at, as polygons in EPSG:3413, outlined in squares of about `resolution` metres.

    Args:
        looked_at: bool, axes (y, x), True where slumps were looked for (`extent` of the product `postprocessed`). A
            square counts where at least half of its pixels were looked at. Lazy arrays are read by chunks.

    Raises:
        GridError: no CRS, or one that is not projected.
    """
    grid = Grid.of(looked_at)
    rows, cols = _steps(grid, resolution)
    share = looked_at.astype(np.float32).coarsen(y=rows, x=cols, boundary="pad").mean().values
    transform = grid.transform @ grid.transform.scale(cols, rows)
    return _outlined(np.nan_to_num(share) >= 0.5, Grid(grid.crs, transform, *share.shape))


def read_extent(path: str | Path, resolution: float = OUTLINE_M) -> shapely.Geometry:
    """`extent_of` a raster of the product `postprocessed`, from its overviews: a read of kilobytes.

    A square counts where the pixel that stands for it in the overview was looked at.

    Raises:
        ReleaseError: no readable raster, or one without the band `extent`.
    """
    import rasterio

    try:
        with rasterio.open(path) as source:
            if "extent" not in source.descriptions:
                raise ReleaseError(f"{path} has the bands {source.descriptions}; expected one described as extent")
            grid = Grid(source.crs, source.transform, *source.shape)
            rows, cols = _steps(grid, resolution)
            shape = -(-grid.height // rows), -(-grid.width // cols)
            squares = source.read(source.descriptions.index("extent") + 1, out_shape=shape) == 1
    except rasterio.errors.RasterioIOError as error:
        raise ReleaseError(f"{path} is not a raster that can be read: {error}") from error
    transform = grid.transform @ grid.transform.scale(grid.width / shape[1], grid.height / shape[0])
    return _outlined(squares, Grid(grid.crs, transform, *shape))


def _steps(grid: Grid, resolution: float) -> tuple[int, int]:
    """Pixels along y and x of a square of about `resolution` metres."""
    height, width = grid.metres()
    return max(1, round(resolution / height)), max(1, round(resolution / width))


def _outlined(squares: np.ndarray, grid: Grid) -> shapely.Geometry:
    """True squares as polygons in EPSG:3413."""
    import geopandas as gpd
    import shapely
    from rasterio import features

    traced = features.shapes(squares.astype(np.uint8), squares, connectivity=4, transform=grid.transform)
    outline = shapely.union_all([shapely.geometry.shape(shape) for shape, _ in traced])
    unit = grid.metres()[0] / grid.resolution[0]
    # an edge of 10 km is bent by less than a pixel of the coverage
    moved = gpd.GeoSeries([shapely.segmentize(outline, 10_000 / unit)], crs=grid.crs).to_crs(plane())[0]
    return moved if moved.is_valid else shapely.make_valid(moved, method="structure", keep_collapsed=False)


def spill_look(look: Look, spill: Spill) -> None:
    """Put a scene's extent into the tiles that it touches, cut to each."""
    import geopandas as gpd
    import pandas as pd
    import shapely

    if look.extent.is_empty:
        return
    _, cells = touched(np.array([look.extent.bounds]), TILE_SIDE)
    cut = [shapely.clip_by_rect(look.extent, *(cell * TILE_SIDE), *((cell + 1) * TILE_SIDE)) for cell in cells]
    when = pd.Timestamp(look.acquired).tz_convert("UTC").as_unit("us")
    facts = {"scene": look.scene, "sensor": look.sensor, "acquired": when}
    parts = gpd.GeoDataFrame(pd.DataFrame(facts, index=range(len(cut))), geometry=cut, crs=plane())
    spill.add(parts, np.flatnonzero(shapely.area(cut) > 0), cells[shapely.area(cut) > 0])


def count_looks(slumps: gpd.GeoDataFrame, extents: gpd.GeoDataFrame) -> np.ndarray:
    """How often the place of each slump was looked at, int64; at least as often as it was observed.

    A place is looked at where an extent covers a point within the slump; `looks_at` says what one look is.

    Args:
        slumps: rows of one tile, with `observations`.
        extents: what `spill_look` put into that tile.
    """
    import shapely

    observations = slumps["observations"].to_numpy()
    if extents.empty:
        return observations
    points = shapely.point_on_surface(slumps.geometry.to_numpy())
    slump, extent = shapely.STRtree(extents.geometry.to_numpy()).query(points, predicate="intersects")
    sensor = extents["sensor"].astype("category").cat.codes.to_numpy()[extent]
    look = looks_at(slump, sensor, seconds(extents["acquired"])[extent])
    seen_from = np.unique(np.column_stack([slump, look]), axis=0)[:, 0]
    return np.maximum(np.bincount(seen_from, minlength=len(slumps)), observations)


def burn(extents: gpd.GeoDataFrame, cell: Cell) -> np.ndarray:
    """The coverage of one tile: (3, TILE_PX, TILE_PX) uint16, bands as in `BANDS`, north up.

    `looks` counts, pixel by pixel, as `looks_at` does; a pixel is looked at where an extent covers its centre.
    """
    made = np.zeros((len(BANDS), TILE_PX, TILE_PX), np.uint16)
    looks, first, last = made
    grid = _grid(cell, cell)
    for _, of_sensor in extents.sort_values(["sensor", "acquired", "scene"]).groupby("sensor", sort=True):
        begun = np.full(looks.shape, -ONE_LOOK_S, np.int64)
        for when, shape in zip(seconds(of_sensor["acquired"]).tolist(), of_sensor.geometry, strict=True):
            rows, cols, covered = _burnt(shape, grid)
            again = covered & (when - begun[rows, cols] >= ONE_LOOK_S)
            begun[rows, cols][again] = when
            looks[rows, cols] += again
            day = np.uint16(when // _DAY_S)
            earliest, latest = first[rows, cols], last[rows, cols]
            earliest[covered & ((earliest == 0) | (earliest > day))] = day
            latest[covered & (latest < day)] = day
    return made


def write_coverage(spill: Spill, path: Path, seen: Callable[[Cell, np.ndarray], None]) -> None:
    """Write the coverage as a Cloud-Optimized GeoTIFF, tile by tile; nothing where nowhere was looked.

    Args:
        spill: every scene's extent (`spill_look`).
        seen: told each tile that was looked at and its raster (see `burn`).
    """
    from darts_core.inference.geotiff import RasterStream, write_cog

    covered = set(spill.cells())
    if not covered:
        return
    columns, rows = zip(*covered, strict=True)
    low, high = (min(columns), min(rows)), (max(columns), max(rows))

    def blocks() -> Iterator[Block]:
        nothing = np.zeros((len(BANDS), TILE_PX, TILE_PX), np.uint16)
        for row in range(high[1], low[1] - 1, -1):
            for column in range(low[0], high[0] + 1):
                data, cell = nothing, (column, row)
                if cell in covered:
                    data = burn(spill.read(cell), cell)
                    seen(cell, data)
                yield Block((high[1] - row) * TILE_PX, (column - low[0]) * TILE_PX, data)

    write_cog(RasterStream("coverage", BANDS, _grid(low, high), blocks, dict.fromkeys(BANDS, "release")), path)


def _grid(low: Cell, high: Cell) -> Grid:
    """The pixels of all tiles from one corner to the other."""
    from rasterio.crs import CRS as RasterCRS
    from rasterio.transform import from_origin

    columns, rows = high[0] - low[0] + 1, high[1] - low[1] + 1
    transform = from_origin(low[0] * TILE_SIDE, (high[1] + 1) * TILE_SIDE, RESOLUTION, RESOLUTION)
    return Grid(RasterCRS.from_string(CRS), transform, rows * TILE_PX, columns * TILE_PX)


def _burnt(shape: shapely.Geometry, grid: Grid) -> tuple[slice, slice, np.ndarray]:
    """The rows and columns of a tile that a shape reaches, and bool where it covers a pixel's centre."""
    from rasterio.features import rasterize

    left, bottom, right, top = shape.bounds
    (west, north), (east, south) = ~grid.transform @ (left, top), ~grid.transform @ (right, bottom)
    rows = slice(max(0, int(north)), min(grid.height, int(np.ceil(south))))
    cols = slice(max(0, int(west)), min(grid.width, int(np.ceil(east))))
    size = (max(0, rows.stop - rows.start), max(0, cols.stop - cols.start))
    if 0 in size:
        return rows, cols, np.zeros(size, bool)
    transform = grid.transform @ grid.transform.translation(cols.start, rows.start)
    return rows, cols, rasterize([shape], size, transform=transform, dtype="uint8").astype(bool)
