"""Polygons of scenes, near the coast of the Beaufort Sea."""

from typing import Any

import geopandas as gpd
import pandas as pd
from shapely import Geometry, Polygon, box

from darts_core.vectors.schema import SLUMP_SCHEMA, frame_of

ORIGIN = (-2e6, -5e5)
"""Where `square` counts from, metres in EPSG:3413."""


def scene(
    name: str, shapes: list[Any], acquired: str = "2021-07-01T00:00:00Z", crs: object = "EPSG:3413", **columns: Any
) -> gpd.GeoDataFrame:
    """The polygons of a scene, their ids numbered."""
    values = {
        "id": [f"{name}-{number}" for number in range(len(shapes))],
        **{"scene": name, "tile": "t", "sensor": "S2", "models": "m1,m2", "data_version": "v"},
        "acquired": pd.to_datetime(acquired, utc=True),
        **{"area_m2": [shape.area for shape in shapes], "perimeter_m": [shape.length for shape in shapes]},
        "pixel_count": 10,
        **{"probability_min": 0.5, "probability_max": 0.9, "probability_mean": 0.7},
        **{"probability_median": 0.7, "probability_std": 0.1, "touches_edge": False, "low_quality": False},
    }
    return frame_of({**values, **columns}, shapes, crs, SLUMP_SCHEMA)


def square(x: float, y: float = 0, side: float = 100) -> Polygon:
    """A square by its lower left corner, metres from `ORIGIN`."""
    return box(ORIGIN[0] + x, ORIGIN[1] + y, ORIGIN[0] + x + side, ORIGIN[1] + y + side)


def around(*shapes: Geometry) -> Polygon:
    """A box with a margin of a kilometre around shapes."""
    return box(*gpd.GeoSeries([*shapes]).total_bounds).buffer(1000, join_style="mitre")
