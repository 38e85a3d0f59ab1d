"""The columns of our vector products: one table a product, also for zero rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darts_core.errors import DartsError

if TYPE_CHECKING:
    import geopandas as gpd

TIME = "datetime64[us, UTC]"


class SchemaError(DartsError):
    """A table of features departs from its schema."""


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute of a feature."""

    name: str
    dtype: str
    """pandas dtype."""
    unit: str | None
    meaning: str


SLUMP_SCHEMA = (
    Column("id", "str", None, "Stable name: digest of the scene and of the position of the first pixel"),
    Column("scene", "str", None, "Scene it was found in"),
    Column("tile", "str", None, "Tile of the scene"),
    Column("acquired", TIME, None, "When the scene was acquired"),
    Column("sensor", "str", None, "Sensor of the scene"),
    Column("area_m2", "float64", "m2", "Area: of its pixels in UTM, on the ellipsoid elsewhere"),
    Column("perimeter_m", "float64", "m", "Length of all rings, measured as the area"),
    Column("pixel_count", "int64", None, "Pixels of the object"),
    Column("probability_min", "float64", "1", "Least probability of its pixels, 0..1"),
    Column("probability_max", "float64", "1", "Greatest probability of its pixels"),
    Column("probability_mean", "float64", "1", "Mean probability of its pixels"),
    Column("probability_median", "float64", "1", "Median probability of its pixels"),
    Column("probability_std", "float64", "1", "Population standard deviation of the probability of its pixels"),
    Column("models", "str", None, "Digests of the models, separated by commas"),
    Column("data_version", "str", None, "Version of the mask it was made from"),
    Column("touches_edge", "bool", None, "A pixel lies at the border of where slumps were looked for"),
    Column("low_quality", "bool", None, "A pixel has a quality level below 2 (high)"),
)

STATUSES = ("new", "kept", "merged", "split")
"""What a slump is to those of the previous release; `new` where there was none."""

RELEASE_SCHEMA = (
    Column("id", "str", None, "Stable name: that of the previous release, else of its earliest detection"),
    Column("status", "str", None, "What it is to the previous release: new, kept, merged or split"),
    Column("previous_ids", "str", None, "Ids of the previous release's slumps that it overlaps, separated by commas"),
    Column("observations", "int64", None, "Looks that detected it; scenes of one sensor within ten minutes are one"),
    Column("looks", "int64", None, "Looks at its place, at least its observations; 0 where extents are unknown"),
    Column("detection_rate", "float64", "1", "Observations over looks, 0..1; NaN where extents are unknown"),
    Column("first_seen", TIME, None, "Acquisition of the earliest detection"),
    Column("last_seen", TIME, None, "Acquisition of the latest detection"),
    Column("agreement", "float64", "1", "Mean share of its area that an observation covers, 0..1"),
    Column("area_m2", "float64", "m2", "Area in EPSG:6931, an equal-area projection"),
    Column("perimeter_m", "float64", "m", "Length of all rings on the ellipsoid"),
    Column("probability_min", "float64", "1", "Least probability over its detections, 0..1"),
    Column("probability_max", "float64", "1", "Greatest probability over its detections"),
    Column("probability_mean", "float64", "1", "Mean probability over the pixels of its detections"),
    Column("scenes", "str", None, "Scenes that it was detected in, separated by commas"),
    Column("sources", "str", None, "Ids of its detections, separated by commas"),
    Column("models", "str", None, "Digests of all models, separated by commas"),
    Column("touches_edge", "bool", None, "Every detection is cut by the border of where slumps were looked for"),
    Column("low_quality", "bool", None, "Every detection has pixels of low quality"),
)


def frame_of(columns: dict[str, Any], geometry: Any, crs: Any, schema: Iterable[Column]) -> gpd.GeoDataFrame:
    """A table with exactly the columns, dtypes and order of the schema, and `geometry` last.

    Args:
        columns: values of each column of the schema; a scalar stands for every row.
        geometry: shapely geometries, one a row.
        crs: CRS of the geometries.
        schema: what the columns are.
    """
    import geopandas as gpd
    import pandas as pd

    rows = range(len(geometry))
    data = {column.name: pd.Series(columns[column.name], index=rows, dtype=column.dtype) for column in schema}
    return gpd.GeoDataFrame(data, geometry=gpd.GeoSeries(geometry, index=rows, crs=crs), crs=crs)


def require_schema(frame: gpd.GeoDataFrame, schema: Iterable[Column], what: str) -> None:
    """Check that a table has the columns of a schema; more are allowed.

    Raises:
        SchemaError: a column is missing or has another dtype, or the CRS is missing.
    """
    departures = []
    for column in schema:
        if column.name not in frame:
            departures.append(f"column {column.name!r} is missing")
        elif not _same_kind(str(frame[column.name].dtype), column.dtype):
            departures.append(f"{column.name}: dtype is {frame[column.name].dtype}, expected {column.dtype}")
    if frame.crs is None:
        departures.append("the CRS is missing")
    if departures:
        raise SchemaError(f"{what} departs from its schema:" + "".join(f"\n  - {text}" for text in departures))


def _same_kind(found: str, expected: str) -> bool:
    # text comes back from files as object or string, times with another resolution
    text = ("str", "string", "object")
    if expected == "str":
        return found in text
    return found == expected or (expected == TIME and found.startswith("datetime64") and "UTC" in found)
