"""The slumps of one scene as polygons with their statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from darts_core.errors import DartsError
from darts_core.grids import Grid
from darts_core.objects import Objects, erode_lazily, label_objects, runs_of
from darts_core.vectors.schema import SLUMP_SCHEMA, frame_of

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely import Geometry

_NAMED = ("scene", "tile", "acquired", "sensor")

_CODES = 101
"""Percent 0..100: the bins from which every statistic follows exactly."""


class VectorizeError(DartsError):
    """A mask that cannot be turned into polygons."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the polygons of a scene come from; goes into every row."""

    scene: str
    tile: str
    acquired: str
    """ISO 8601 with time zone."""
    sensor: str
    models: tuple[str, ...] = ()
    """Digests of the models."""
    data_version: str = ""
    """Version of the mask."""

    @classmethod
    def of(cls, attrs: Mapping[str, Any], models: Iterable[str] = (), data_version: str = "") -> Origin:
        """The origin that a scene's attributes name.

        Raises:
            VectorizeError: an attribute is missing.
        """
        missing = [name for name in _NAMED if name not in attrs]
        if missing:
            raise VectorizeError(
                f"{attrs.get('scene', 'The scene')}: expected the attributes scene, tile, acquired and sensor, "
                f"missing {', '.join(missing)}. They come from the raw scene; carry its attributes along"
            )
        scene, tile, acquired, sensor = (str(attrs[name]) for name in _NAMED)
        return cls(scene, tile, acquired, sensor, tuple(models), data_version)


def vectorize(postprocessed: xr.Dataset, origin: Origin, quality_level: xr.DataArray | None = None) -> gpd.GeoDataFrame:
    """The objects of a mask as polygons, one row an 8-connected object.

    Args:
        postprocessed: `binarized_segmentation` (0/1), `probabilities_percent` (0..100, 255 nodata) and `extent`,
            axes (y, x), on a projected grid.
        origin: what every row says about the scene.
        quality_level: uint8 0..2 on the same grid; None marks nothing as low quality.

    Returns:
        Rows in the order of their first pixel, columns as in `SLUMP_SCHEMA`, also without rows; valid Polygons
        with holes, or MultiPolygons where parts meet at a corner, in the scene's CRS. Area and perimeter are
        true to 0.1 % in UTM, on the ellipsoid in any other projection. Statistics leave out nodata pixels and are
        NaN where an object has nothing else.

    Raises:
        GridError: no CRS, or a geographic one, in which areas have no unit.
        VectorizeError: the quality lies on another grid.
    """
    import pandas as pd

    grid = Grid.of(postprocessed)
    slump = postprocessed["binarized_segmentation"] == 1
    inside = erode_lazily(postprocessed["extent"], 1, outside=False)
    low = _low(quality_level, slump, origin)
    runs, at_edge, of_low_quality = runs_of(slump, slump & ~inside, slump & low)
    objects = label_objects(runs, connectivity=8)
    shapes = _outlines(objects, slump, grid)
    pixels = objects.count_pixels()
    area, perimeter = _measures(shapes, pixels, grid)
    columns = {
        "id": [
            _identity(origin.scene, *grid.transform @ (column, row))
            for row, column in zip(*objects.first_pixels, strict=True)
        ],
        **{name: getattr(origin, name) for name in ("scene", "tile", "sensor", "data_version")},
        "acquired": pd.to_datetime(origin.acquired, utc=True),
        "models": ",".join(origin.models),
        "area_m2": area,
        "perimeter_m": perimeter,
        "pixel_count": pixels,
        **_statistics(_histogram(objects, postprocessed["probabilities_percent"])),
        "touches_edge": objects.count_pixels(at_edge) > 0,
        "low_quality": objects.count_pixels(of_low_quality) > 0,
    }
    return frame_of(columns, list(shapes), grid.crs, SLUMP_SCHEMA)


def _low(quality_level: xr.DataArray | None, slump: xr.DataArray, origin: Origin) -> xr.DataArray:
    """bool, axes (y, x): True where quality is below high."""
    if quality_level is None:
        return xr.zeros_like(slump)
    if quality_level.shape != slump.shape:
        raise VectorizeError(
            f"{origin.scene}: expected a quality level of {slump.shape} pixels as the mask, received "
            f"{quality_level.shape}. Bring it onto the finer grid with darts_core.grids.refine"
        )
    return (quality_level < 2).assign_coords(y=slump.y, x=slump.x)


def _outlines(objects: Objects, mask: xr.DataArray, grid: Grid) -> np.ndarray:
    """One valid geometry an object, in the grid's CRS; parts in neighbouring strips are joined without a seam."""
    import shapely

    parts: list[list[Geometry]] = [[] for _ in range(objects.count)]
    for rows, places, owners, _ in objects.walk(mask):
        _trace(places, owners, rows, grid.width, parts)
    whole = [some[0] if len(some) == 1 else shapely.unary_union(some) for some in parts]
    outlines = shapely.normalize(shapely.simplify(np.array(whole, object), 0))
    a, b, c, d, e, f = tuple(grid.transform)[:6]
    return shapely.transform(outlines, lambda xy: xy @ [[a, d], [b, e]] + [c, f])


def _trace(places: np.ndarray, owners: np.ndarray, rows: slice, width: int, parts: list[list[Geometry]]) -> None:
    """Append the 4-connected parts of each object in a strip, in pixels of the scene."""
    import shapely
    from rasterio import features
    from rasterio.transform import Affine

    if not places.size:
        return
    # only the rows that hold an object are looked at
    top, bottom = places[0] // width, places[-1] // width + 1
    burnt = np.zeros((bottom - top, width), np.uint8)
    burnt.ravel()[places - top * width] = 1
    # rings traced at 4-connectivity never share an edge; the parts that meet at corners make a MultiPolygon
    traced = features.shapes(burnt, mask=burnt, connectivity=4, transform=Affine.translation(0, rows.start + top))
    for outline, _ in traced:
        # below and to the right of the first corner, in the order of reading, lies a pixel of the part
        row, column = min((y, x) for x, y in outline["coordinates"][0])
        place = (int(row) - rows.start) * width + int(column)
        parts[owners[np.searchsorted(places, place)]].append(shapely.geometry.shape(outline))


def _measures(shapes: np.ndarray, pixels: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Area in m2 and length of all rings in metres, of each shape.

    In UTM, whose scale is true to 0.1 % within a zone, pixels times their size; in any other projection (EPSG:3413
    makes areas 8 % larger at 60 degrees and 6 % smaller at the pole) geodesic on the ellipsoid (Karney 2013,
    https://doi.org/10.1007/s00190-012-0578-z).
    """
    import geopandas as gpd
    import pyproj
    import shapely

    height, width = grid.metres()
    crs = pyproj.CRS.from_user_input(grid.crs)
    if crs.utm_zone is not None:
        return pixels * (height * width), shapely.length(shapes) * (height / grid.resolution[0])
    # a hole counts as negative where it turns the other way; across the antimeridian that shows in the plane only
    plane = gpd.GeoSeries(shapely.orient_polygons(shapes), crs=crs)
    geod, turned = plane.crs.get_geod(), plane.to_crs(crs.geodetic_crs)
    area = [geod.geometry_area_perimeter(shape)[0] for shape in turned]
    return np.array(area, float), np.array([geod.geometry_length(shape.boundary) for shape in turned], float)


def _histogram(objects: Objects, percent: xr.DataArray) -> np.ndarray:
    """int64 (object, 101): how many pixels of each object have each percent; nodata is not counted."""
    counts = np.zeros((objects.count, _CODES), np.int64)
    for _, _, owners, (codes,) in objects.walk(percent, percent):
        held = codes < _CODES
        bins = np.bincount(owners[held] * _CODES + codes[held], minlength=counts.size)
        counts += bins.reshape(counts.shape)
    return counts


def _statistics(histogram: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics in 0..1 of each row of counts of percent; NaN for a row without counts."""
    percent = np.arange(_CODES)
    count = histogram.sum(axis=1)
    cumulated = histogram.cumsum(axis=1)

    def ranked(rank: np.ndarray) -> np.ndarray:
        # the value at a rank (from 1) is the first bin whose cumulated count reaches it
        return (cumulated < rank[:, None]).sum(axis=1)

    with np.errstate(invalid="ignore"):
        mean = histogram @ percent / count
        variance = (histogram * (percent - mean[:, None]) ** 2).sum(axis=1) / count
    statistics = {
        "min": ranked(np.ones_like(count)),
        "max": ranked(count),
        "mean": mean,
        "median": (ranked((count + 1) // 2) + ranked(count // 2 + 1)) / 2,
        "std": np.sqrt(variance),
    }
    return {f"probability_{name}": np.where(count > 0, values, np.nan) / 100 for name, values in statistics.items()}


def _identity(scene: str, x: float, y: float) -> str:
    """Sixteen hexadecimal digits from the scene and the corner of an object's first pixel, to a centimetre."""
    return hashlib.sha256(f"{scene}\0{x:.2f}\0{y:.2f}".encode()).hexdigest()[:16]
