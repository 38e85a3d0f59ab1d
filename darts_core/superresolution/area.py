"""The part of a scene that someone wants: a box or polygons, cut to whole pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
from affine import Affine
from pyproj.exceptions import CRSError
from rasterio.features import rasterize

from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.inference.source import VALID
from darts_core.windows import Window

_SLACK = 1e-6
"""Pixels by which an edge may miss that of a pixel and still lie on it: coordinates are rounded when stored."""


class AreaError(DartsError):
    """An area of interest that cannot be read, or that no scene can give."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the world."""

    name: str
    """How it was asked for; errors say it."""
    shape: shapely.Geometry
    crs: str | None
    """Of the shape; None is that of the scene."""
    masked: bool
    """Whether pixels of the scene that the shape does not touch become nodata."""

    @property
    def identity(self) -> str:
        """The same for areas that are the same part of the world, and treated the same."""
        return f"{self.shape.wkb_hex} {self.crs} {self.masked}"


def read_area(text: str, crs: str | None = None) -> Area:
    """An area from `minx,miny,maxx,maxy`, or from the polygons of a vector file.

    Args:
        text: four numbers, or the path of what GDAL reads as vectors: GeoJSON, GeoPackage, Shapefile.
        crs: that of the four numbers; by default the scene's. A file has its own.

    Raises:
        AreaError: neither a box nor a file with polygons and a CRS.
    """
    numbers = _numbers(text)
    if numbers is None:
        return _from_file(Path(text))
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise AreaError(
            f"Expected an area of interest as minx,miny,maxx,maxy with minx < maxx and miny < maxy, received {text}"
        )
    return Area(text, shapely.box(*numbers), crs, masked=False)


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None


def _from_file(path: Path) -> Area:
    if not path.is_file():
        raise AreaError(
            f"Area of interest {path} is neither four numbers minx,miny,maxx,maxy nor a file; "
            "name a GeoJSON or GeoPackage with polygons"
        )
    try:
        frame = gpd.read_file(path)
    except Exception as error:
        # pyogrio, fiona and GDAL each raise errors of their own
        raise AreaError(f"Area of interest {path} is not a vector file that GDAL can read: {error}") from error
    shapes = frame.geometry if isinstance(frame, gpd.GeoDataFrame) else gpd.GeoSeries()
    shape = shapely.union_all(shapely.make_valid(shapes[shapes.geom_type.isin(["Polygon", "MultiPolygon"])].values))
    if shape.is_empty or frame.crs is None:
        raise AreaError(
            f"Area of interest {path} should hold polygons and say in which CRS; it has {len(frame)} rows"
            f"{' without an area' if shape.is_empty else ' and no CRS'}"
        )
    return Area(str(path), shape, frame.crs.to_wkt(), masked=True)


def crop(dataset: xr.Dataset, area: Area) -> xr.Dataset:
    """The pixels of a scene that an area touches, lazily: a rectangle of whole pixels.

    Args:
        dataset: variables (y, x), `valid_data_mask` among them (bool, True = usable).

    Returns:
        Where the area is masked, `valid_data_mask` is also False for each pixel that it does not touch. The values
        there are kept, so that a model at the rim of a polygon sees what lies beyond it.

    Raises:
        AreaError: the area lies outside the scene.
    """
    grid = Grid.of(dataset)
    shape = _in_pixels(area, grid)
    window = _around(shape)
    if window is None:
        raise AreaError(_elsewhere(area, grid))
    part = cut(dataset, window)
    if not area.masked:
        return part
    to_window = Affine.translation(window.col, window.row)
    inside = rasterize(
        [shape], out_shape=(window.height, window.width), transform=to_window, all_touched=True, dtype="uint8"
    )
    return part.assign({VALID: part[VALID] & xr.DataArray(inside.astype(bool), dims=("y", "x"))})


def _in_pixels(area: Area, grid: Grid) -> shapely.Geometry:
    """What of the shape lies in the scene, in columns and rows of the grid."""
    left, bottom, right, top = area.shape.bounds
    # a straight edge in one CRS is a curve in another
    dense = shapely.segmentize(area.shape, max(right - left, top - bottom) / 64)
    try:
        placed = gpd.GeoSeries([dense], crs=area.crs or grid.crs).to_crs(grid.crs).iloc[0]
    except CRSError as error:
        raise AreaError(f"Area of interest {area.name}: {area.crs!r} is no CRS; try EPSG:4326") from error
    a, b, c, d, e, f = tuple(~grid.transform)[:6]
    drawn = shapely.transform(placed, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))
    # far from where a CRS is of use, coordinates are infinite
    if not np.isfinite(drawn.bounds).all():
        return shapely.Polygon()
    return shapely.make_valid(drawn).intersection(shapely.box(0, 0, grid.width, grid.height))


def _around(shape: shapely.Geometry) -> Window | None:
    """The pixels around a shape; None where it has no area."""
    left, top, right, bottom = shape.bounds
    if shape.area == 0:
        return None
    row, col = math.floor(top + _SLACK), math.floor(left + _SLACK)
    height, width = math.ceil(bottom - _SLACK) - row, math.ceil(right - _SLACK) - col
    return Window(row, col, height, width) if height > 0 and width > 0 else None


def _elsewhere(area: Area, grid: Grid) -> str:
    corners = [grid.transform @ corner for corner in ((0, grid.height), (grid.width, 0))]
    return (
        f"Area of interest {area.name} lies outside the scene, which spans "
        f"{','.join(f'{value:.10g}' for corner in corners for value in corner)} in {grid.crs.to_string()}. "
        "Give the numbers in that CRS, or say theirs (on the command line: --aoi-crs)"
    )


def cut(dataset: xr.Dataset, window: Window) -> xr.Dataset:
    """A window of a dataset (y, x) on its own grid, lazily; also where the grid is rotated."""
    grid = Grid.of(dataset)
    part = dataset.isel(y=window.rows, x=window.cols)
    return part.rio.write_transform(grid.transform @ Affine.translation(window.col, window.row))
