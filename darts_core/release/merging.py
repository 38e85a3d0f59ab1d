"""Detections of many scenes that are one slump, dissolved into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.release.cells import plane
from darts_core.release.looks import looks_at, seconds
from darts_core.vectors.cleaning import clean_polygons
from darts_core.vectors.schema import RELEASE_SCHEMA, SLUMP_SCHEMA, frame_of, require_schema

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

EQUAL_AREA = "EPSG:6931"
"""EASE-Grid 2.0 north: areas are true in it."""

ORDER = ("acquired", "id")
"""Detections of a slump in time; the id makes the order complete."""

_LATER = ("status", "previous_ids", "looks", "detection_rate")

DISSOLVED = tuple(column for column in RELEASE_SCHEMA if column.name not in _LATER)
"""The columns of a slump that follow from its detections alone."""

_KEPT = (
    "id",
    "scene",
    "acquired",
    "sensor",
    "pixel_count",
    "probability_min",
    "probability_max",
    "probability_mean",
    "models",
    "touches_edge",
    "low_quality",
)


def detections_of(frame: gpd.GeoDataFrame, number: int) -> gpd.GeoDataFrame:
    """The polygons of a scene as they are matched: in EPSG:3413, valid, with the columns that a release needs.

    Args:
        frame: columns as in `SLUMP_SCHEMA`, in any CRS.
        number: of the frame, to name it where it names no scene itself.

    Raises:
        SchemaError: a column of `SLUMP_SCHEMA` is missing or has another dtype.
    """
    import geopandas as gpd

    scene = frame["scene"].iloc[0] if "scene" in frame and len(frame) else f"frame {number}"
    require_schema(frame, SLUMP_SCHEMA, f"Polygons of {scene}")
    cleaned, _ = clean_polygons(frame.to_crs(plane()))
    return gpd.GeoDataFrame(cleaned[[*_KEPT]], geometry=cleaned.geometry)


def dissolve(detections: gpd.GeoDataFrame, group: np.ndarray) -> gpd.GeoDataFrame:
    """One slump for each group of detections.

    Args:
        detections: as `detections_of` makes them, sorted by `ORDER`, so that the first of a group is its earliest.
        group: (rows,) the number of each one's group, 0.. by first row.

    Returns:
        Rows in the order of groups, columns as in `DISSOLVED`, valid normalized polygons in EPSG:3413. The same
        members give the same row, whatever other groups are beside it.
    """
    import geopandas as gpd
    import shapely

    members = _members(group)
    shapes = detections.geometry.to_numpy()
    merged = np.array([shapes[rows[0]] if len(rows) == 1 else shapely.union_all(shapes[rows]) for rows in members])
    merged = shapely.normalize(merged)
    area = shapely.area(merged)
    observations, covered = _observed(detections, group, shapes)
    columns = {
        "observations": observations,
        "agreement": np.clip(covered / (observations * area), 0, 1),
        **_summary(detections, group, members),
        **_measures(gpd.GeoSeries(merged, crs=plane())),
    }
    return frame_of(columns, merged, plane(), DISSOLVED)


def _members(group: np.ndarray) -> list[np.ndarray]:
    """The rows of each group, in their order."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _observed(detections: gpd.GeoDataFrame, group: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each group its observations, and the area that they cover, summed over observations."""
    import shapely

    sensor = detections["sensor"].astype("category").cat.codes.to_numpy()
    look = looks_at(group, sensor, seconds(detections["acquired"]))
    seen_in = np.zeros(look.max() + 1, np.int64)
    seen_in[look] = group
    covered = np.bincount(look, weights=shapely.area(shapes))
    # detections of one scene do not overlap, so their areas add up; those of two tiles of one look may
    scene = detections["scene"].astype("category").cat.codes.to_numpy()
    scenes = np.bincount(np.unique(np.column_stack([look, scene]), axis=0)[:, 0])
    for number in np.flatnonzero(scenes > 1):
        covered[number] = shapely.area(shapely.union_all(shapes[look == number]))
    return np.bincount(seen_in), np.bincount(seen_in, weights=covered)


def _summary(detections: gpd.GeoDataFrame, group: np.ndarray, members: list[np.ndarray]) -> dict[str, Any]:
    """What follows from the columns of the detections."""
    mean, pixels = detections["probability_mean"].to_numpy(), detections["pixel_count"].to_numpy()
    known = ~np.isnan(mean)
    weighted = np.bincount(group, weights=np.where(known, mean, 0) * pixels)
    held = np.bincount(group, weights=np.where(known, pixels, 0))
    groups = detections.groupby(group)
    with np.errstate(invalid="ignore"):
        averaged = weighted / held
    return {
        "id": groups["id"].first().to_numpy(),
        "first_seen": groups["acquired"].min().array,
        "last_seen": groups["acquired"].max().array,
        "probability_min": groups["probability_min"].min().to_numpy(),
        "probability_max": groups["probability_max"].max().to_numpy(),
        "probability_mean": averaged,
        **{
            plural: _listed(detections[column], members)
            for plural, column in {"scenes": "scene", "sources": "id", "models": "models"}.items()
        },
        "touches_edge": groups["touches_edge"].all().to_numpy(),
        "low_quality": groups["low_quality"].all().to_numpy(),
    }


def _listed(texts: pd.Series, members: list[np.ndarray]) -> list[str]:
    """The distinct names in each group's texts, sorted, separated by commas."""
    values = texts.fillna("").to_numpy(object)
    return [_joined(values[rows]) for rows in members]


def _joined(texts: Iterable[str]) -> str:
    return ",".join(sorted({part for text in texts for part in text.split(",") if part}))


def _measures(merged: gpd.GeoSeries) -> dict[str, Any]:
    """Area and perimeter on the ellipsoid."""
    import shapely

    geographic = merged.to_crs(merged.crs.geodetic_crs)
    rings, owner = shapely.get_rings(geographic.to_numpy(), return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    _, _, lengths = merged.crs.get_geod().inv(*points[:-1].T, *points[1:].T)
    # the step from one ring's end to the next one's start is no edge
    edge = ring[1:] == ring[:-1]
    perimeter = np.bincount(owner[ring[1:][edge]], weights=lengths[edge], minlength=len(merged))
    return {"area_m2": merged.to_crs(EQUAL_AREA).area.to_numpy(), "perimeter_m": perimeter}
