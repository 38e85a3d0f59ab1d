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
from darts_core.objects import Objects, erode_lazily, label_objects
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
        with holes, or MultiPolygons where parts meet at a corner, in the scene's CRS. Statistics leave out nodata
        pixels and are NaN where an object has nothing else.

    Raises:
        GridError: no CRS, or a geographic one, in which areas have no unit.
        VectorizeError: the quality lies on another grid.
    """
    import pandas as pd

    grid = Grid.of(postprocessed)
    height, width = grid.metres()
    slump = postprocessed["binarized_segmentation"] == 1
    objects = label_objects(slump, connectivity=8)
    histogram, first, parts = _survey(objects, postprocessed["probabilities_percent"])
    shapes = _place(_assemble(parts, objects.count), grid)
    inside = erode_lazily(postprocessed["extent"], 1, outside=False)
    low = np.zeros(objects.count, np.int64)
    if quality_level is not None:
        _require_shape(quality_level, slump, origin)
        low = objects.count_pixels((quality_level < 2).assign_coords(y=slump.y, x=slump.x))
    pixels = objects.count_pixels()
    unit = height / grid.resolution[0]
    columns = {
        "id": [_identity(origin.scene, *grid.transform @ place) for place in first],
        **{name: getattr(origin, name) for name in ("scene", "tile", "sensor", "data_version")},
        "acquired": pd.to_datetime(origin.acquired, utc=True),
        "models": ",".join(origin.models),
        "area_m2": pixels * (height * width),
        "perimeter_m": [shape.length * unit for shape in shapes],
        "pixel_count": pixels,
        **_statistics(histogram),
        "touches_edge": objects.count_pixels(~inside) > 0,
        "low_quality": low > 0,
    }
    return frame_of(columns, shapes, grid.crs, SLUMP_SCHEMA)


def _require_shape(quality_level: xr.DataArray, slump: xr.DataArray, origin: Origin) -> None:
    if quality_level.shape != slump.shape:
        raise VectorizeError(
            f"{origin.scene}: expected a quality level of {slump.shape} pixels as the mask, received "
            f"{quality_level.shape}. Bring it onto the finer grid with darts_core.grids.refine"
        )


def _survey(objects: Objects, percent: xr.DataArray) -> tuple[np.ndarray, list[tuple[int, int]], list[list[Geometry]]]:
    """One walk over the objects: their histograms of percent, first pixels (column, row) and parts by strip."""
    histogram = np.zeros((objects.count + 1, _CODES), np.int64)
    first: dict[int, tuple[int, int]] = {}
    parts: list[list[Geometry]] = [[] for _ in range(objects.count)]
    for rows, labels, (codes,) in objects.walk(percent):
        places = np.flatnonzero(labels)
        found, codes = labels.ravel()[places], codes.ravel()[places]
        held = codes < _CODES
        bins = np.bincount(found[held] * np.int64(_CODES) + codes[held], minlength=histogram.size)
        histogram += bins.reshape(histogram.shape)
        for label, place in zip(*np.unique(found, return_index=True), strict=True):
            row, column = divmod(int(places[place]), labels.shape[1])
            first.setdefault(int(label), (column, row + rows.start))
        _trace(labels, rows.start, parts)
    return histogram[1:], [first[label] for label in range(1, objects.count + 1)], parts


def _trace(labels: np.ndarray, top: int, parts: list[list[Geometry]]) -> None:
    """Append the 4-connected parts of each object in a strip, in pixels of the scene."""
    import shapely
    from rasterio import features
    from rasterio.transform import Affine

    # rings traced at 4-connectivity never share an edge; the parts that meet at corners make a MultiPolygon
    traced = features.shapes(labels, mask=labels > 0, connectivity=4, transform=Affine.translation(0, top))
    for outline, label in traced:
        parts[int(label) - 1].append(shapely.geometry.shape(outline))


def _assemble(parts: list[list[Geometry]], count: int) -> list[Geometry]:
    """One valid geometry an object from its parts; those of neighbouring strips are joined without a seam."""
    import shapely

    shapes = [shapely.unary_union(parts[index]) for index in range(count)]
    return [shapely.normalize(shapely.simplify(shape, 0)) for shape in shapes]


def _place(shapes: list[Geometry], grid: Grid) -> list[Geometry]:
    """Geometries in pixels (column, row) as geometries in the grid's CRS."""
    from shapely import affinity

    a, b, c, d, e, f = tuple(grid.transform)[:6]
    return [affinity.affine_transform(shape, (a, b, d, e, c, f)) for shape in shapes]


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
