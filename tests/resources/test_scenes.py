"""The register of scenes, and the folder they arrive in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from darts_core.scenes import Scene
from darts_core.store import MissingProduct, Store, StoreError
from resources.scenes import SceneSource, register, registered


def scene(url: str = "s3://in/a.tif", tile: str = "T08WMA") -> Scene:
    return Scene(url, "geotiff", "ä", tile, datetime(2021, 8, 21, 21, 0, 19, tzinfo=UTC), "S2A", ("a.tif",))


def test_what_was_registered_is_found_by_its_key(store: Store) -> None:
    scenes = [scene(), scene(tile="T08WMB")]
    assert register(store, scenes) == [one.key for one in scenes]
    assert [registered(store, one.key) for one in scenes] == scenes


def test_a_scene_that_is_delivered_again_replaces_its_entry(store: Store) -> None:
    register(store, [scene()])
    register(store, [scene("s3://in/later/a.tif")])
    assert registered(store, scene().key).url == "s3://in/later/a.tif"


def test_a_partition_without_a_scene_says_what_to_do(store: Store) -> None:
    with pytest.raises(MissingProduct, match=r"No scene is registered for partition 'by_hand'.*delete it"):
        registered(store, "by_hand")


@pytest.mark.parametrize("key", ["../../etc/passwd", "a/b", ""])
def test_a_key_cannot_leave_the_register(store: Store, key: str) -> None:
    with pytest.raises((StoreError, MissingProduct)):
        registered(store, key)


def test_the_source_finds_scenes_and_names_what_it_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK")
    findings = SceneSource(url=str(tmp_path)).find()
    assert findings.scenes == ()
    assert [Path(refusal.url).name for refusal in findings.refusals] == ["broken.zip"]


def test_the_source_of_another_s3_service_is_asked_there(s3: str, store: Store) -> None:
    prefix = f"{store.root}/in"
    store.fs.makedirs(prefix.removeprefix("s3://"), exist_ok=True)
    store.fs.pipe_file(f"{prefix}/broken.zip", b"PK")
    source = SceneSource(url=prefix, endpoint_url=None if store.local else s3)
    assert [refusal.url for refusal in source.find().refusals] == [f"{prefix}/broken.zip"]
