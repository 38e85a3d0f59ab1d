"""Slump polygons."""

from collections.abc import Callable
from typing import Any

import geopandas as gpd
import pandas as pd
from geopandas.testing import assert_geodataframe_equal
from shapely import MultiPolygon, box
from support.conformance import IOManagerConformance

from darts_core.store import Store
from darts_core.vectors.schema import SLUMP_SCHEMA, frame_of, require_schema
from io_managers.geoparquet import GeoParquetIOManager


def slumps(scene: str, count: int, crs: str = "EPSG:32608") -> gpd.GeoDataFrame:
    """Polygons as `vectorize` makes them, the last one of two parts."""
    shapes: list[Any] = [box(500_000 + 200 * n, 7e6, 500_100 + 200 * n, 7e6 + 100) for n in range(count)]
    if shapes:
        shapes[-1] = MultiPolygon([shapes[-1], box(600_000, 7e6, 600_100, 7e6 + 100)])
    columns = {
        "id": [f"{scene}-{n}" for n in range(count)],
        "scene": scene,
        "tile": "T08WMA",
        "acquired": pd.Timestamp("2021-08-21T21:00:19.024", tz="UTC"),
        "sensor": "S2Å",
        "area_m2": [shape.area for shape in shapes],
        "perimeter_m": [shape.length for shape in shapes],
        "pixel_count": list(range(count)),
        **{f"probability_{name}": 0.75 for name in ("min", "max", "mean", "median")},
        "probability_std": float("nan"),
        "models": "a1,b2",
        "data_version": "v0",
        "touches_edge": [n == 0 for n in range(count)],
        "low_quality": False,
    }
    return frame_of(columns, shapes, crs, SLUMP_SCHEMA)


class TestSlumpPolygons(IOManagerConformance):
    """Every dtype of the schema, in a UTM zone and in the CRS of the Arctic."""

    manager_class = GeoParquetIOManager

    def value(self, number: int) -> gpd.GeoDataFrame:
        return slumps("scene", number + 1, "EPSG:32608" if number == 1 else "EPSG:3413")

    def failing(self, then: Callable[[], None]) -> gpd.GeoDataFrame:
        class Calling(gpd.GeoDataFrame):
            def to_parquet(self, path: Any, **options: Any) -> None:
                super().to_parquet(path, **options)
                then()

        return Calling(self.value(2))

    def assert_same(self, read: gpd.GeoDataFrame, number: int) -> None:
        require_schema(read, SLUMP_SCHEMA, "what was read")
        assert_geodataframe_equal(read, self.value(number), check_dtype=True, check_crs=True)


def test_no_slumps_keep_their_schema(store: Store) -> None:
    case, none = TestSlumpPolygons(), slumps("scene", 0)
    case.made(store, "v1", none, 0)
    read = case.read(store)
    assert read.attrs == {"version": "v1"}
    assert_geodataframe_equal(read, none, check_dtype=True, check_crs=True)
