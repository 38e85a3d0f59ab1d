"""What is looked for: tiles, areas, periods, limits; and the clearest of what is found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from darts_core.catalogue import CatalogueError, Found, Query, area_of, clearest, period_of
from darts_core.catalogue.mgrs import tile_grid, tile_name
from darts_core.scenes import Scene, find_scenes
from darts_core.scenes.stac import footprint


def found(
    tile: str = "T08WMA", day: str = "2021-08-21", cloud: float | None = 10, snow: float | None = 0, nodata: float = 0
) -> Found:
    acquired = datetime.fromisoformat(f"{day}T21:00:00+00:00")
    scene = Scene(f"https://host/{tile}{day}", "stac", "id", tile, acquired, "S2A", ("item.json",))
    return Found(scene, cloud, snow, nodata, shapely.box(-136, 67, -133, 69))


@pytest.mark.parametrize("text", ["T08WMA", "08WMA", "8WMA", "MGRS-8WMA", " t08wma "])
def test_a_tile_has_one_name_however_it_is_written(text: str) -> None:
    assert tile_name(text) == "T08WMA"


@pytest.mark.parametrize("text", ["", "T00WMA", "T61WMA", "T08IMA", "T08WZA", "T08WMW", "scene", "T8"])
def test_what_is_no_tile_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError, match="Expected an MGRS tile such as T08WMA"):
        tile_name(text)


def test_a_tile_lies_where_the_real_product_of_it_lies(shared_data: Path) -> None:
    folder = shared_data / "sentinel2_l2a_T29UNU"
    image = next(folder.rglob("*_SCL_60m.jp2"))
    with rasterio.open(image) as raster:
        real, crs = raster.bounds, raster.crs
    grid = tile_grid("T29UNU")
    assert grid.crs == crs
    left, top = grid.transform.c, grid.transform.f
    assert (left, top) == pytest.approx((real.left, real.top), abs=60)
    assert (left + grid.transform.a, top + grid.transform.e) == pytest.approx((real.right, real.bottom), abs=60)


def test_peel_plateau_lies_in_its_tile(shared_data: Path) -> None:
    area = area_of(str(next((shared_data / "peel_plateau").rglob("*AOI*.geojson"))))
    assert footprint(tile_grid("T08WMA"))[0].contains(area)


@given(st.floats(-179.9, 179.9), st.floats(0.5, 83.5))
def test_every_place_lies_in_the_tile_of_its_square(longitude: float, latitude: float) -> None:
    zone = int((longitude + 180) // 6) + 1
    band = "NPQRSTUVWX"[min(int(latitude // 8), 9)]
    crs = 32600 + zone
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)
    column = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3][int(x // 100_000) - 1]
    rows = "ABCDEFGHJKLMNPQRSTUV"
    row = rows[(int(y // 100_000) + (0 if zone % 2 else 5)) % 20]
    grid = tile_grid(f"T{zone:02}{band}{column}{row}")
    left, top = grid.transform.c, grid.transform.f
    assert left <= x <= left + 109_800
    assert top - 109_800 <= y <= top


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2021", "2021-01-01T00:00:00", "2021-12-31T23:59:59.999999"),
        ("2020-02", "2020-02-01T00:00:00", "2020-02-29T23:59:59.999999"),
        ("2021-06-15/2021-09", "2021-06-15T00:00:00", "2021-09-30T23:59:59.999999"),
    ],
)
def test_periods_are_whole_days(text: str, start: str, end: str) -> None:
    assert period_of(text) == tuple(datetime.fromisoformat(part).replace(tzinfo=UTC) for part in (start, end))


@pytest.mark.parametrize("text", ["", "summer", "2021-13", "2021-02-30", "2021/", "/2021"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError, match="Expected a period such as 2021"):
        period_of(text)


def test_an_area_is_a_box_or_a_file_in_any_crs(tmp_path: Path) -> None:
    box = area_of("-136,67,-133,68")
    assert box.bounds == (-136, 67, -133, 68)
    gpd.GeoSeries([box], crs=4326).to_crs(3413).to_file(tmp_path / "area.gpkg")
    assert area_of(str(tmp_path / "area.gpkg")).symmetric_difference(box).area < 1e-6
    crossing = area_of("178,70,-178,71")
    assert crossing.intersects(shapely.Point(-179, 70.5))
    assert crossing.intersects(shapely.Point(179, 70.5))
    assert not crossing.intersects(shapely.Point(0, 70.5))
    for text in ("1,2,3", "0,5,1,4", "0,0,200,1", str(tmp_path / "none.geojson")):
        with pytest.raises(CatalogueError, match=r"Area|Expected an area"):
            area_of(text)


def test_what_is_not_known_does_not_pass_a_limit() -> None:
    assert Query(max_cloud=20).takes(found(cloud=20))
    assert not Query(max_cloud=20).takes(found(cloud=20.1))
    assert not Query(max_cloud=100).takes(found(cloud=None))
    assert not Query(max_snow=5).takes(found(snow=None))
    assert not Query(tiles=("08WMB",)).takes(found())
    assert Query(tiles=("8WMA",), area=area_of("-134,68,-133,70")).takes(found())
    assert not Query(area=area_of("10,68,11,70")).takes(found())


@pytest.mark.parametrize(
    "wrong", [{"max_cloud": 101}, {"max_snow": -1}, {"start": datetime(2021, 1, 1)}, {"tiles": ("nowhere",)}]
)
def test_a_query_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(CatalogueError, match="Expected"):
        Query(**wrong)


def test_the_clearest_shows_most_of_the_ground_and_the_cloudiest_is_never_preferred() -> None:
    cloudy, clear = found(day="2021-08-01", cloud=80), found(day="2021-08-11", cloud=3)
    sliver, unknown = found(day="2021-08-21", cloud=0, nodata=95), found(day="2021-08-30", cloud=None)
    assert clearest([cloudy, unknown, clear, sliver]) == (clear,)
    assert clearest([unknown]) == (unknown,)
    july, other = found(day="2021-07-01", cloud=50), found("T08WMB", cloud=90)
    assert clearest([cloudy, clear, july, other], "month") == (july, clear, other)
    assert clearest([found(cloud=5, snow=9), found(day="2021-08-22", cloud=5, snow=1)])[0].snow == 1
    with pytest.raises(CatalogueError, match="received 'week'"):
        clearest([cloudy], "week")  # type: ignore[arg-type]


def test_the_real_scenes_of_a_folder_are_searched_as_a_catalogue(shared_data: Path) -> None:
    from darts_core.catalogue import open_catalogue

    folder = shared_data / "sentinel2_l2a_T29UNU"
    (scene,) = find_scenes(str(folder)).scenes
    catalogue = open_catalogue(str(folder))
    (one,) = catalogue.search(Query(tiles=("29UNU",))).found
    assert one.scene == scene
    assert one.cloud is not None
    assert catalogue.search(Query(max_cloud=one.cloud - 1)).found == ()
    assert catalogue.search(Query(tiles=("T08WMA",))).found == ()
    place = footprint(tile_grid("T29UNU"))[0].centroid.buffer(0.01)
    assert len(catalogue.search(Query(area=place)).found) == 1
    assert catalogue.search(Query(area=area_of("0,0,1,1"))).found == ()
