"""A stored release passes its ids on, from a folder and from S3."""

from pathlib import Path

import pytest
from support.detections import scene, square

from darts_assets.stored import passed_on
from darts_core.release import SceneDetections, write_release
from darts_core.store import MissingProduct, Store


def release(store: Store, season: str, shapes: list) -> None:  # type: ignore[type-arg]
    with store.draft("slump_dataset", season, f"v{season}") as draft:
        before = passed_on(store, season, None)
        frame = scene(season, shapes, f"{season}-07-01")
        write_release([SceneDetections(frame)], draft.folder, season, previous=before.release() if before else None)
        draft.commit()


def test_the_latest_earlier_season_passes_its_ids_on(store: Store, tmp_path: Path) -> None:
    assert passed_on(store, "2021", None) is None
    release(store, "2021", [square(0), square(1000)])
    release(store, "2023", [square(10)])
    assert passed_on(store, "2021", None) is None
    for season, before in (("2022", "2021"), ("2024", "2023")):
        found = passed_on(store, season, None)
        assert found is not None
        assert found.version == f"v{before}"
    latest = passed_on(store, "2024", None)
    assert latest is not None
    assert latest.release().ids().to_pylist() == ["2021-0"]
    assert latest.release().given_up().to_pydict() == {"id": ["2021-1"], "retired_in": ["2023"]}
    chosen = passed_on(store, "2024", "2021")
    assert chosen is not None
    assert sorted(chosen.release().ids().to_pylist()) == ["2021-0", "2021-1"]
    assert passed_on(store, "2024", "none") is None
    with pytest.raises(MissingProduct, match="2019"):
        passed_on(store, "2024", "2019")
