"""Polygons of any origin, made fit for measuring and matching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import geopandas as gpd


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
