"""A release that waits on disk is the one that is merged in memory, whatever the cells and the order of scenes."""

import tempfile
from itertools import combinations
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detections import ORIGIN, scene, square

from darts_core.release import ReleaseError, SceneDetections, merge_scenes, write_release
from darts_core.release.cells import Spill, touched
from darts_core.release.matching import groups, matched
from darts_core.vectors.cleaning import clean_polygons
from darts_core.vectors.schema import SchemaError

NAMES = "abcd"


def released(frames: list[gpd.GeoDataFrame], **options: float) -> gpd.GeoDataFrame:
    """The slumps of a release by way of its files, sorted as `merge_scenes` sorts them."""
    with tempfile.TemporaryDirectory() as folder:
        write_release((SceneDetections(frame) for frame in frames), Path(folder), "2021", **options)
        return gpd.read_parquet(Path(folder, "slumps.parquet")).sort_values("id", ignore_index=True)


def assert_same_release(found: gpd.GeoDataFrame, expected: gpd.GeoDataFrame) -> None:
    columns = [name for name in expected.columns if name != "geometry"]
    pd.testing.assert_frame_equal(pd.DataFrame(found[columns]), pd.DataFrame(expected[columns]), check_exact=True)
    assert shapely.equals_identical(found.geometry.to_numpy(), expected.geometry.to_numpy()).all()


@st.composite
def scenes(draw: st.DrawFn) -> list[gpd.GeoDataFrame]:
    """Scenes of squares so crowded that chains of them reach over many small cells, on both sides of a cell's edge."""
    frames = []
    for number, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        count = draw(st.integers(0, 8))
        places = st.tuples(st.integers(-400, 400), st.integers(-200, 200), st.sampled_from([40, 100, 150]))
        shapes = [square(*draw(places)) for _ in range(count)]
        minutes = draw(st.sampled_from([0, 5, 60, 1440]))
        acquired = pd.Timestamp("2021-07-01", tz="UTC") + pd.Timedelta(minutes=minutes + number)
        mean = [draw(st.sampled_from([0.6, 0.7, 0.95, float("nan")])) for _ in shapes]
        frames.append(scene(name, shapes, str(acquired), probability_mean=mean, pixel_count=[*range(1, count + 1)]))
    return frames


@settings(max_examples=10)
@given(frames=scenes(), cell_m=st.sampled_from([61.0, 100.0, 333.3, 65_536.0]), data=st.data())
def test_cells_and_order_change_nothing(frames: list[gpd.GeoDataFrame], cell_m: float, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(frames))
    assert_same_release(released(shuffled, cell_m=cell_m), merge_scenes(frames))


@settings(max_examples=10)
@given(frames=scenes(), cell_m=st.sampled_from([61.0, 100.0, 333.3]))
def test_groups_are_those_of_every_pair_compared(frames: list[gpd.GeoDataFrame], cell_m: float) -> None:
    """Against union-find over all pairs, written down as the definition reads."""
    rows = pd.concat(frames, ignore_index=True).sort_values(["acquired", "id"], ignore_index=True)
    group = {name: {name} for name in rows["id"]}
    for one, other in combinations(rows.itertuples(), 2):
        smaller = min(one.geometry.area, other.geometry.area)
        if one.scene != other.scene and one.geometry.intersection(other.geometry).area >= 0.1 * smaller:
            joined = group[one.id] | group[other.id]
            group.update(dict.fromkeys(joined, joined))
    expected = {frozenset(members) for members in group.values()}
    with tempfile.TemporaryDirectory() as folder:
        spill = Spill(Path(folder, "spill"))
        spill.add(rows, *touched(rows.bounds.to_numpy(), cell_m))
        made = groups(spill, cell_m, Path(folder, "work"), order=("acquired", "id"), apart="scene", share=0.1)
        found = [frozenset(part) for frame, numbers in made for _, part in frame["id"].groupby(numbers)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_a_chain_over_many_cells_is_one_slump() -> None:
    even = scene("a", [square(160 * n) for n in range(20)], "2021-07-01")
    odd = scene("b", [square(160 * n + 80) for n in range(20)], "2021-08-01")
    (slump,) = released([odd, even], cell_m=100.0).itertuples()
    assert slump.observations == 2
    assert slump.geometry.area == pytest.approx((19 * 160 + 180) * 100)
    assert len(slump.sources.split(",")) == 40


@pytest.mark.parametrize("held", [1, 3, 1000])
def test_what_is_spilled_comes_back_by_cell(tmp_path: Path, held: int) -> None:
    spill = Spill(tmp_path / "spill", waiting=held)
    frame = scene("a", [square(0), square(90), square(250)])
    corner = np.array(ORIGIN)
    for _ in range(2):
        spill.add(frame, *touched(frame.bounds.to_numpy() - np.tile(corner, 2), 100.0))
    # a box that ends on the edge of a cell touches the next one too
    assert spill.cells() == [(x, y) for x in range(4) for y in range(2)]
    assert spill.read((1, 1))["id"].tolist() == ["a-0", "a-1", "a-0", "a-1"]
    assert spill.read((3, 0))["id"].tolist() == ["a-2", "a-2"]
    assert spill.read((3, 0)).geometry[0].equals_exact(square(250), 0)
    assert spill.read((3, 0)).dtypes["acquired"] == frame.dtypes["acquired"]
    assert len(spill.read((9, 9))) == 0


def test_cells_are_those_of_every_corner_between() -> None:
    rows, cells = touched(np.array([[-10.0, -10, 10, 10], [5, 5, 25, 6]]), 10)
    assert rows.tolist() == [0] * 9 + [1] * 3
    assert {tuple(cell) for cell in cells[:9].tolist()} == {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
    assert cells[9:].tolist() == [[0, 0], [1, 0], [2, 0]]


def test_the_labels_as_two_scenes_merge_the_same_out_of_core(shared_data: Path) -> None:
    labels = gpd.read_file(shared_data / "arts_labels" / "ARTS_main_dataset_v5.0.0.geojson")
    shapes = labels.geometry.to_list()
    frames = [scene("a", shapes), scene("b", labels.geometry.translate(10, 0).to_list(), "2021-08-01")]
    found = released(frames, cell_m=5000.0)
    assert_same_release(found, merge_scenes(frames))
    assert (found["observations"] == 2).all()
    assert found.geometry.is_valid.all()
    assert sum(len(sources.split(",")) for sources in found["sources"]) == 2 * len(clean_polygons(labels)[0])


def test_the_same_detection_twice_is_refused(tmp_path: Path) -> None:
    twice = [SceneDetections(scene("a", [square(0)]))] * 2
    with pytest.raises(ReleaseError, match="a-0 is given twice"):
        write_release(twice, tmp_path, "2021")
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="Polygons of a"):
        write_release([SceneDetections(scene("a", [square(0)]).drop(columns="sensor"))], tmp_path, "2021")


def test_matched_numbers_groups_by_their_first_member() -> None:
    frame = pd.concat([scene("b", [square(300), square(0)], "2021-08-01"), scene("a", [square(310)])])
    ordered, group = matched(frame, ("acquired", "id"), apart="scene", share=0.1)
    assert ordered["id"].tolist() == ["a-0", "b-0", "b-1"]
    assert group.tolist() == [0, 0, 1]
