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
    import shapely

    attributes = frame.drop(columns=frame.geometry.name)
    null = frame.geometry.isna() | frame.geometry.is_empty
    if attributes.shape[1]:
        null |= attributes.isna().all(axis=1)
    kept = frame[~null]
    shapes = kept.geometry.to_numpy().copy()
    polygonal = np.isin(shapely.get_type_id(shapes), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    defective = np.flatnonzero(~(polygonal & shapely.is_valid(shapes)))
    for row in defective:
        shapes[row] = _polygonal(shapes[row])
    area = ~shapely.is_empty(shapes)
    repaired = area[defective].sum()
    cleaned = kept.set_geometry(shapes, crs=frame.crs)[area]
    return cleaned, {"null": int(null.sum()), "not_polygonal": int((~area).sum()), "repaired": int(repaired)}


def _polygonal(shape: Any) -> Any:
    """The areas of a geometry, valid."""
    import shapely

    valid = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    areas = [part for part in shapely.get_parts([valid], return_index=False) if part.area > 0]
    # a collection may hold multipolygons; unary_union makes one valid polygonal geometry of them all
    return shapely.unary_union(areas) if areas else shapely.Polygon()
