"""Merging detections of scenes into slumps: matching, measures and cleaning."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, MultiPolygon, Point, Polygon, box
from support.detections import scene, square

from darts_core.release import ReleaseError, ReleaseParameters, merge_scenes
from darts_core.vectors.cleaning import clean_polygons
from darts_core.vectors.schema import RELEASE_SCHEMA, SchemaError


def test_a_slump_seen_twice_is_one_with_two_observations() -> None:
    early = scene("a", [square(0)], "2021-06-01", probability_mean=0.6, pixel_count=10, touches_edge=True)
    late = scene("b", [square(50)], "2021-09-01", probability_mean=0.9, pixel_count=30, probability_max=1.0)
    released = merge_scenes([late, early])
    assert len(released) == 1
    slump = released.iloc[0]
    assert slump["id"] == "a-0"
    assert slump["observations"] == 2
    assert (slump["first_seen"], slump["last_seen"]) == (
        pd.Timestamp("2021-06-01", tz="UTC"),
        pd.Timestamp("2021-09-01", tz="UTC"),
    )
    assert slump["scenes"] == "a,b"
    assert slump["sources"] == "a-0,b-0"
    assert slump["models"] == "m1,m2"
    assert slump["agreement"] == pytest.approx(100 / 150)
    assert slump["probability_mean"] == pytest.approx((0.6 * 10 + 0.9 * 30) / 40)
    assert (slump["probability_min"], slump["probability_max"]) == (0.5, 1.0)
    assert not slump["touches_edge"]
    assert slump.geometry.area == pytest.approx(150 * 100)


MATCH_SHARE = ReleaseParameters().match_share


@pytest.mark.parametrize(
    ("shift", "count"), [(100 * (1 - MATCH_SHARE) - 1, 1), (100 * (1 - MATCH_SHARE) + 1, 2), (100, 2)]
)
def test_a_tenth_of_the_smaller_one_makes_a_match(shift: float, count: int) -> None:
    released = merge_scenes([scene("a", [square(0, side=100)]), scene("b", [square(shift, side=100)])])
    assert len(released) == count


def test_neighbours_of_one_scene_stay_apart_until_another_scene_joins_them() -> None:
    two = scene("a", [square(0), square(100)])
    assert len(merge_scenes([two])) == 2
    joined = merge_scenes([two, scene("b", [square(50)], "2021-08-01")])
    assert joined["observations"].tolist() == [2]
    assert joined["sources"].tolist() == ["a-0,a-1,b-0"]


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), data=st.data())
def test_order_does_not_matter_and_nothing_is_lost(seed: int, data: st.DataObject) -> None:
    generator = np.random.default_rng(seed)
    frames = [
        scene(
            name,
            [square(300 * column + generator.uniform(0, 150), 0, generator.uniform(20, 140)) for column in range(4)],
            f"2021-07-0{number}",
        )
        for number, name in enumerate("abc", 1)
    ]
    released = merge_scenes(frames)
    shuffled = [frame.sample(frac=1, random_state=seed) for frame in data.draw(st.permutations(frames))]
    pd.testing.assert_frame_equal(pd.DataFrame(merge_scenes(shuffled)), pd.DataFrame(released))
    sources = [source for text in released["sources"] for source in text.split(",")]
    assert sorted(sources) == sorted(source for frame in frames for source in frame["id"])
    union = shapely.unary_union([shape for frame in frames for shape in frame.geometry])
    assert shapely.unary_union(released.geometry).equals_exact(union, 1e-6) or np.isclose(
        shapely.area(shapely.unary_union(released.geometry).symmetric_difference(union)), 0, atol=1e-3
    )
    assert released["agreement"].between(0, 1).all()
    assert released.geometry.is_valid.all()


def test_releasing_a_release_of_one_scene_changes_no_geometry() -> None:
    frame = scene("a", [square(0), square(500)])
    released = merge_scenes([frame])
    assert released.geometry.geom_equals(frame.geometry).all()
    assert released["agreement"].tolist() == [1.0, 1.0]
    assert released["id"].tolist() == ["a-0", "a-1"]


def test_neighbouring_tiles_of_one_datatake_are_one_observation() -> None:
    tiles = [
        scene("a", [square(0)], "2021-07-01T21:00:19Z"),
        scene("b", [square(50)], "2021-07-01T21:00:34Z"),
        scene("c", [square(0, side=150)], "2021-07-01T21:00:19Z", sensor="PS"),
    ]
    one = merge_scenes(tiles[:2])
    assert one["observations"].tolist() == [1]
    assert one["scenes"].tolist() == ["a,b"]
    # what both tiles show counts once: together they show all of the slump
    assert one["agreement"].tolist() == pytest.approx([1.0])
    two = merge_scenes(tiles)
    assert two["observations"].tolist() == [2]
    assert two["agreement"][0] == pytest.approx((15_000 + 22_500) / (2 * 22_500))


@pytest.mark.parametrize(("second", "looks"), [("21:09:59", 1), ("21:10:00", 2), ("22:40:00", 2)])
def test_what_is_ten_minutes_apart_is_another_look(second: str, looks: int) -> None:
    frames = [scene("a", [square(0)], "2021-07-01T21:00:00Z"), scene("b", [square(0)], f"2021-07-01T{second}Z")]
    assert merge_scenes(frames)["observations"].tolist() == [looks]


def test_scenes_of_two_zones_meet_across_their_border() -> None:
    place = gpd.GeoSeries([Point(-138, 69)], crs=4326)
    west, east = (place.to_crs(crs).buffer(200) for crs in (32607, 32608))
    released = merge_scenes(
        [scene("w", west.to_list(), crs="EPSG:32607"), scene("e", east.to_list(), crs="EPSG:32608")]
    )
    assert len(released) == 1
    assert released.crs.to_epsg() == 3413
    assert released["agreement"][0] > 0.99


def test_scenes_meet_across_the_antimeridian() -> None:
    place = gpd.GeoSeries([Point(180, 68)], crs=4326).to_crs(3413).buffer(300)
    zones = [place.to_crs(crs) for crs in (32601, 32660)]
    released = merge_scenes(
        [scene(str(n), zone.to_list(), f"2021-07-0{n + 1}", crs=zone.crs) for n, zone in enumerate(zones)]
    )
    assert len(released) == 1
    assert released["observations"].tolist() == [2]


@pytest.mark.parametrize(("longitude", "latitude"), [(-135, 68), (60, 75), (179.99, 71)])
def test_areas_and_perimeters_are_true_on_the_ellipsoid(longitude: float, latitude: float) -> None:
    shape = gpd.GeoSeries([Point(longitude, latitude)], crs=4326).to_crs(3413).buffer(2000, 32)
    released = merge_scenes([scene("a", shape.to_list())])
    geographic = shape.to_crs(4326)
    area, perimeter = geographic.crs.get_geod().geometry_area_perimeter(geographic[0])
    assert released["area_m2"][0] == pytest.approx(abs(area), rel=1e-4)
    assert released["perimeter_m"][0] == pytest.approx(perimeter, rel=1e-4)


@pytest.mark.parametrize("frames", [[], [scene("a", [])], [scene("a", [], crs="EPSG:32608"), scene("b", [])]])
def test_nothing_found_keeps_the_schema(frames: list) -> None:
    empty, full = merge_scenes(frames), merge_scenes([scene("a", [square(0)])])
    assert len(empty) == 0
    assert empty.crs == full.crs
    assert empty.dtypes.equals(full.dtypes)
    assert list(empty.columns) == [*(column.name for column in RELEASE_SCHEMA), "geometry"]


def test_frames_are_read_one_at_a_time() -> None:
    assert len(merge_scenes(scene(name, [square(0)]) for name in "ab")) == 1


def test_a_frame_without_our_columns_is_refused() -> None:
    frame = scene("a", [square(0)]).drop(columns=["sensor"]).astype({"pixel_count": "float64"})
    with pytest.raises(SchemaError, match=r"(?s)Polygons of a .*'sensor' is missing.*pixel_count: dtype is float64"):
        merge_scenes([frame])


def test_the_same_scene_twice_is_refused() -> None:
    with pytest.raises(ReleaseError, match="a-0"):
        merge_scenes([scene("a", [square(0)]), scene("a", [square(0)])])


def test_cleaning_repairs_and_counts() -> None:
    bowtie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    collection = shapely.GeometryCollection(
        [box(0, 0, 1, 1), MultiPolygon([box(3, 0, 4, 1)]), LineString([(0, 0), (9, 9)])]
    )
    shapes = [box(0, 0, 1, 1), None, Polygon(), bowtie, collection, LineString([(0, 0), (1, 1)]), box(5, 5, 6, 6)]
    names = ["good", "null", "empty", "bowtie", "collection", "line", None]
    frame = gpd.GeoDataFrame({"name": names}, geometry=shapes, crs=3413)
    cleaned, counts = clean_polygons(frame)
    assert cleaned["name"].tolist() == ["good", "bowtie", "collection"]
    assert counts == {"null": 3, "not_polygonal": 1, "repaired": 2}
    assert cleaned.geometry.is_valid.all()
    np.testing.assert_allclose(cleaned.area, [1, 2, 2])
    assert frame.geometry.iloc[3] is not cleaned.geometry.iloc[1]


def test_the_published_labels_are_cleaned(shared_data: Path) -> None:
    labels = gpd.read_file(shared_data / "arts_labels" / "ARTS_main_dataset_v5.0.0.geojson")
    cleaned, counts = clean_polygons(labels)
    assert counts == {"null": 0, "not_polygonal": 0, "repaired": 3}
    assert len(cleaned) == len(labels) == 2276
    assert cleaned.geometry.is_valid.all()
    assert set(cleaned.geom_type) <= {"Polygon", "MultiPolygon"}
    assert cleaned.area.sum() == pytest.approx(labels.geometry.buffer(0).area.sum(), rel=1e-4)


def test_two_seasons_of_published_labels_merge(shared_data: Path) -> None:
    labels, _ = clean_polygons(gpd.read_file(shared_data / "arts_labels" / "ARTS_main_dataset_v5.0.0.geojson"))
    first = scene("a", labels.geometry.to_list())
    second = scene("b", labels.geometry.translate(10, 0).to_list(), "2021-08-01")
    released = merge_scenes([first, second])
    assert (released["observations"] == 2).all()
    assert 2200 < len(released) < 2276
    assert released["agreement"].median() > 0.8
    assert released.geometry.is_valid.all()
