"""Ids that outlive a release."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detections import scene, square

from darts_core.release import PreviousRelease, ReleaseError, SceneDetections, write_release
from darts_core.release.lineage import UsedIds


class Releases:
    """One release after the other."""

    def __init__(self, folder: Path, cell_m: float = 65_536.0) -> None:
        self.folder, self.cell_m, self.last = folder, cell_m, None

    def make(self, year: int, shapes: list, name: str | None = None) -> pd.DataFrame:  # type: ignore[no-untyped-def]
        """Release one scene on top of the last release; slumps by id."""
        out = self.folder / str(year)
        out.mkdir()
        frame = scene(name or str(year), shapes, f"{min(year, 2200)}-07-01")
        write_release([SceneDetections(frame)], out, str(year), previous=self.last, cell_m=self.cell_m)
        self.last = PreviousRelease.in_folder(out)
        return gpd.read_parquet(out / "slumps.parquet").set_index("id").sort_index()

    def retired(self, year: int) -> list[tuple[str, str]]:
        return [*pd.read_parquet(self.folder / str(year) / "retired.parquet").itertuples(index=False, name=None)]


@pytest.mark.parametrize("cell_m", [75.0, 65_536.0])
def test_slumps_keep_split_merge_appear_and_vanish(tmp_path: Path, cell_m: float) -> None:
    releases = Releases(tmp_path, cell_m)
    first = releases.make(2021, [square(0), square(1000, side=300), square(2000), square(2110), square(3000)])
    assert (first["status"] == "new").all()
    assert (first["previous_ids"] == "").all()
    second = releases.make(
        2022,
        [
            square(20),  # moved a little
            square(1000, side=90),  # two pieces of one, the second larger
            square(1150, side=150),
            square(2000).union(square(2110)).convex_hull,  # two that grew together
            square(5000),
        ],
    )
    assert second[["status", "previous_ids"]].to_dict("index") == {
        "2021-0": {"status": "kept", "previous_ids": "2021-0"},
        "2021-1": {"status": "split", "previous_ids": "2021-1"},
        "2022-1": {"status": "split", "previous_ids": "2021-1"},
        "2021-2": {"status": "merged", "previous_ids": "2021-2,2021-3"},
        "2022-4": {"status": "new", "previous_ids": ""},
    }
    assert second.geometry["2021-1"].area == pytest.approx(150**2)
    assert releases.retired(2022) == [("2021-3", "2022"), ("2021-4", "2022")]


def test_an_id_is_never_given_again(tmp_path: Path) -> None:
    """Also not that of a slump which vanished two releases ago and comes back under the name of the same detection."""
    releases = Releases(tmp_path)
    releases.make(2021, [square(0), square(1000)], name="s")
    releases.make(2022, [square(0)], name="s")
    third = releases.make(2023, [square(0), square(1000)], name="s")
    assert third["status"].to_dict()["s-0"] == "kept"
    (fresh,) = set(third.index) - {"s-0"}
    assert fresh != "s-1"
    assert third.loc[fresh, "status"] == "new"
    assert releases.retired(2023) == [("s-1", "2022")]


def test_a_release_upon_itself_keeps_every_id(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    shapes = [square(200 * n, 150 * (n % 3)) for n in range(30)]
    first, second = releases.make(2021, shapes), releases.make(2022, shapes)
    assert second.index.tolist() == first.index.tolist()
    assert (second["status"] == "kept").all()
    assert releases.retired(2022) == []


@settings(max_examples=6)
@given(
    before=st.lists(st.tuples(st.integers(0, 600), st.sampled_from([60, 150])), min_size=1, max_size=6),
    after=st.lists(st.tuples(st.integers(0, 600), st.sampled_from([60, 150])), min_size=1, max_size=6),
    cell_m=st.sampled_from([45.0, 210.0]),
)
def test_whatever_happens_ids_are_unique_and_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, before: list, after: list, cell_m: float
) -> None:
    small, large = (Releases(tmp_path_factory.mktemp("releases"), side) for side in (cell_m, 65_536.0))
    old = small.make(2021, [square(x, side=side) for x, side in before])
    new = small.make(2022, [square(x, side=side) for x, side in after])
    assert len(new) == len(after)
    assert new.index.is_unique
    assert {name for name, _ in small.retired(2022)} == set(old.index) - set(new.index)
    inherited = new.index.intersection(old.index)
    for name in inherited:
        assert name in new.loc[name, "previous_ids"].split(",")
    # an id is given up only where every slump that matches bears another one of the same place
    for name in set(old.index) - set(inherited):
        heirs = new[[name in ids.split(",") for ids in new["previous_ids"]]]
        assert set(heirs.index) <= set(inherited)
    large.make(2021, [square(x, side=side) for x, side in before])
    again = large.make(2022, [square(x, side=side) for x, side in after])
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(new))


def test_names_that_are_used_are_changed_the_same_way_each_time() -> None:
    used = UsedIds(["a", "b"])
    assert used.unused("c") == "c"
    assert used.unused("a") == UsedIds(["a"]).unused("a") != "a"
    assert UsedIds(["a", used.unused("a")]).unused("a") not in ("a", used.unused("a"))


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"slumps\.parquet"):
        PreviousRelease.in_folder(tmp_path)
