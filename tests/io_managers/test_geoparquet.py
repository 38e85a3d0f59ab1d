"""Slump polygons and the release."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
from geopandas.testing import assert_geodataframe_equal
from shapely import MultiPolygon, box
from support.conformance import SEASON, IOManagerConformance, loaded, materialized

from darts_core.store import Store, StoreError
from darts_core.vectors.release import merge_scenes
from darts_core.vectors.schema import RELEASE_SCHEMA, SLUMP_SCHEMA, frame_of, require_schema
from io_managers.base import Made
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


def test_a_release_is_geoparquet_geopackage_and_a_stac_collection(store: Store) -> None:
    manager = TestSlumpPolygons().manager(store)
    release = merge_scenes([slumps("a", 2), slumps("b", 3)])
    materialized(manager, "release", Made("v1", release, lambda read: {"slumps": len(read)}), SEASON)
    version = store.current("product", SEASON)
    assert set(version.manifest.objects) == {"collection.json", "slumps.gpkg", "slumps.parquet"}
    read = loaded(manager, "release", SEASON)
    require_schema(read, RELEASE_SCHEMA, "what was read")
    assert_geodataframe_equal(read, release, check_dtype=True, check_crs=True)
    package = gpd.read_file(version.fetch("slumps.gpkg"))
    assert package["sources"].tolist() == release["sources"].tolist()
    assert package.geometry.area.tolist() == pytest.approx(release.geometry.area.tolist())
    described = json.loads(version.fetch("collection.json").read_text())
    assert described["id"] == f"thaw-slumps-{SEASON}"
    assert {asset["href"] for asset in described["assets"].values()} == {"./slumps.parquet", "./slumps.gpkg"}


def test_a_release_without_slumps_is_whole(store: Store) -> None:
    manager = TestSlumpPolygons().manager(store)
    release = merge_scenes([slumps("a", 0)])
    materialized(manager, "release", Made("v1", release, lambda read: {}), SEASON)
    assert_geodataframe_equal(loaded(manager, "release", SEASON), release, check_dtype=True, check_crs=True)
    package = sqlite3.connect(store.current("product", SEASON).fetch("slumps.gpkg"))
    assert package.execute("select count(*) from slumps").fetchone() == (0,)


def test_a_release_of_no_season_leaves_nothing_visible(store: Store) -> None:
    manager = TestSlumpPolygons().manager(store)
    with pytest.raises(Exception, match="Expected a season as a year of four digits"):
        materialized(manager, "release", Made("v1", merge_scenes([slumps("a", 1)]), lambda read: {}))
    with pytest.raises(StoreError, match="does not exist"):
        TestSlumpPolygons().current(store)
