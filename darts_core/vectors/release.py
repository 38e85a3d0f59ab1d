"""The release: all slumps of a season, each once, over scenes and tiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from darts_core.errors import DartsError
from darts_core.vectors.schema import RELEASE_SCHEMA, SLUMP_SCHEMA, frame_of, require_schema

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

CRS = "EPSG:3413"
"""NSIDC polar stereographic north: one plane for the Arctic, also across the antimeridian."""

EQUAL_AREA = "EPSG:6931"
"""EASE-Grid 2.0 north: areas are true in it."""

MATCH_SHARE = 0.1
"""Detections of two scenes are the same slump where they share at least this part of the smaller one's area."""


class ReleaseError(DartsError):
    """Polygons that cannot be released."""


def merge_scenes(frames: Iterable[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """The slumps of many scenes, each once.

    Detections of different scenes that overlap by `MATCH_SHARE` or more are one slump, also through a third: the
    slump is their union. Detections of one scene are never matched with each other directly.

    Args:
        frames: polygons of each scene, columns as in `SLUMP_SCHEMA`, each in its own CRS.

    Returns:
        One row a slump, columns as in `RELEASE_SCHEMA`, also without rows; valid polygons in EPSG:3413, sorted by
        id. The order of the frames and of their rows does not matter.

    Raises:
        SchemaError: a frame has other columns.
        ReleaseError: the same detection is given twice.
    """
    detections = _gather(frames)
    if detections.empty:
        return frame_of({column.name: [] for column in RELEASE_SCHEMA}, [], CRS, RELEASE_SCHEMA)
    slump = _match(detections)
    shapes = _dissolve(detections, slump)
    columns = {**_summary(detections, slump), **_measures(detections, slump, shapes)}
    released = frame_of(columns, shapes, CRS, RELEASE_SCHEMA)
    return released.sort_values("id", ignore_index=True)


def clean_polygons(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, dict[str, int]]:
    """Polygons fit for measuring and matching, and what had to be done for it.

    Args:
        frame: features of any geometry, with defects: null or empty geometries, rows with nothing in any column,
            invalid rings, collections.

    Returns:
        The rows that hold an area, as valid Polygons and MultiPolygons, other columns and index untouched; and
        counts: `null` rows without geometry or without any attribute, `not_polygonal` rows without an area (both left
        out), `repaired` rows whose geometry was changed.
    """
    attributes = frame.drop(columns=frame.geometry.name)
    null = frame.geometry.isna() | frame.geometry.is_empty
    if attributes.shape[1]:
        null |= attributes.isna().all(axis=1)
    kept = frame[~null]
    shapes = [_polygonal(shape) for shape in kept.geometry]
    area = np.array([not shape.is_empty for shape in shapes], bool)
    repaired = sum(new is not old for new, old in zip(shapes, kept.geometry, strict=True) if not new.is_empty)
    cleaned = kept.set_geometry(shapes, crs=frame.crs)[area]
    return cleaned, {"null": int(null.sum()), "not_polygonal": int((~area).sum()), "repaired": repaired}


def _polygonal(shape: Any) -> Any:
    """The areas of a geometry, valid; the geometry itself where it is that already."""
    import shapely

    if shape.is_valid and shape.geom_type in ("Polygon", "MultiPolygon"):
        return shape
    valid = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    areas = [part for part in shapely.get_parts([valid], return_index=False) if part.area > 0]
    # a collection may hold multipolygons; unary_union makes one valid polygonal geometry of them all
    return shapely.unary_union(areas) if areas else shapely.Polygon()


def _gather(frames: Iterable[gpd.GeoDataFrame]) -> gpd.GeoDataFrame:
    """All detections in the CRS of the release, in an order of their own: by acquisition, then id."""
    import geopandas as gpd
    import pandas as pd

    moved = []
    for number, frame in enumerate(frames):
        scene = frame["scene"].iloc[0] if "scene" in frame and len(frame) else f"frame {number}"
        require_schema(frame, SLUMP_SCHEMA, f"Polygons of {scene}")
        if len(frame):
            cleaned, _ = clean_polygons(frame.to_crs(CRS))
            moved.append(cleaned)
    if not moved:
        return gpd.GeoDataFrame(geometry=[], crs=CRS)
    detections = gpd.GeoDataFrame(pd.concat(moved, ignore_index=True), crs=CRS)
    twice = detections["id"][detections["id"].duplicated()]
    if len(twice):
        raise ReleaseError(
            f"The detection {twice.iloc[0]} of {len(twice)} is given twice; pass each scene's polygons once"
        )
    return detections.sort_values(["acquired", "id"], ignore_index=True)


def _match(detections: gpd.GeoDataFrame) -> np.ndarray:
    """For each detection the number of its slump, 0.. in the order of their earliest detection."""
    import shapely
    from scipy import sparse

    shapes = detections.geometry.array
    scenes = detections["scene"].astype("category").cat.codes.to_numpy()
    left, right = detections.sindex.query(shapes, predicate="intersects")
    other = (left < right) & (scenes[left] != scenes[right])
    left, right = left[other], right[other]
    shared = shapely.area(shapely.intersection(shapes[left], shapes[right]))
    areas = shapely.area(shapes)
    same = shared >= MATCH_SHARE * np.minimum(areas[left], areas[right])
    count = len(detections)
    graph = sparse.coo_array((np.ones(same.sum(), bool), (left[same], right[same])), shape=(count, count))
    _, component = sparse.csgraph.connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _dissolve(detections: gpd.GeoDataFrame, slump: np.ndarray) -> list[Any]:
    import shapely

    members = _members(slump)
    shapes = detections.geometry.to_numpy()
    return [shapely.normalize(shapely.unary_union(shapes[rows])) for rows in members]


def _members(slump: np.ndarray) -> list[np.ndarray]:
    """The rows of each slump."""
    order = np.argsort(slump, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(slump[order])) + 1)


def _summary(detections: gpd.GeoDataFrame, slump: np.ndarray) -> dict[str, Any]:
    """What follows from the columns of the detections; rows are sorted by acquisition, so the first is the earliest."""
    pixels = detections["pixel_count"]
    weighted = (detections["probability_mean"] * pixels).groupby(slump).sum(min_count=1)
    held = pixels.where(detections["probability_mean"].notna()).groupby(slump).sum(min_count=1)
    groups = detections.groupby(slump)
    return {
        "id": groups["id"].first().to_numpy(),
        "observations": groups["scene"].nunique().to_numpy(),
        "first_seen": groups["acquired"].min().to_numpy(),
        "last_seen": groups["acquired"].max().to_numpy(),
        "probability_min": groups["probability_min"].min().to_numpy(),
        "probability_max": groups["probability_max"].max().to_numpy(),
        "probability_mean": (weighted / held).to_numpy(),
        **{
            plural: groups[column].agg(_listed).to_numpy()
            for plural, column in {"scenes": "scene", "sources": "id", "models": "models"}.items()
        },
        "touches_edge": groups["touches_edge"].all().to_numpy(),
        "low_quality": groups["low_quality"].all().to_numpy(),
    }


def _listed(texts: pd.Series) -> str:
    return ",".join(sorted({part for text in texts.dropna() for part in text.split(",") if part}))


def _measures(detections: gpd.GeoDataFrame, slump: np.ndarray, shapes: list[Any]) -> dict[str, Any]:
    """Area, perimeter and agreement of the dissolved slumps."""
    import geopandas as gpd
    import shapely

    merged = gpd.GeoSeries(shapes, crs=CRS)
    area = merged.to_crs(EQUAL_AREA).area.to_numpy()
    # detections of one scene do not overlap, so the areas of a scene add up; both are measured in one plane
    covered = np.bincount(slump, weights=shapely.area(detections.geometry.to_numpy()))
    observations = detections.groupby(slump)["scene"].nunique().to_numpy()
    geod = merged.crs.get_geod()
    geographic = merged.to_crs(merged.crs.geodetic_crs)
    return {
        "area_m2": area,
        "perimeter_m": [geod.geometry_length(shape.boundary) for shape in geographic],
        "agreement": np.clip(covered / (observations * merged.area.to_numpy()), 0, 1),
    }
