"""Collections of scenes, and what they say where there is nothing to collect."""

from pathlib import Path

import pytest
from support.datasets import preprocessed_dataset

from darts_assets.stored import LabelledScenes, preprocessed_scenes
from darts_core.contracts import encode
from darts_core.datasets import write_zarr
from darts_core.errors import DartsError
from darts_core.store import MissingProduct
from io_managers.base import StoreResource, version_of

KEYS = ["T08WMA_20230101T000000_S2A", "T08WMA_20230102T000000_S2A"]


@pytest.fixture
def store(tmp_path: Path) -> StoreResource:
    resource = StoreResource(root=str(tmp_path))
    for key in KEYS:
        with resource.open().draft("preprocessed", key, "v1") as draft:
            write_zarr(encode(preprocessed_dataset(), "preprocessed"), draft.folder / "data.zarr")
            draft.commit()
    return resource


def test_all_scenes_that_are_made_are_collected(store: StoreResource) -> None:
    assert {key: version_of(scene) for key, scene in preprocessed_scenes(store, []).items()} == dict.fromkeys(
        KEYS, "v1"
    )


def test_only_the_scenes_that_are_named_are_collected(store: StoreResource) -> None:
    assert list(preprocessed_scenes(store, KEYS[1:])) == KEYS[1:]


def test_a_scene_that_is_not_made_is_named(store: StoreResource) -> None:
    with pytest.raises(MissingProduct, match=r"preprocessed of T01ABC_.* does not exist"):
        preprocessed_scenes(store, ["T01ABC_20230101T000000_S2A"])


def test_nothing_to_collect_says_what_to_materialize(tmp_path: Path) -> None:
    with pytest.raises(MissingProduct, match="No scene has preprocessed yet; materialize it"):
        preprocessed_scenes(StoreResource(root=str(tmp_path)), [])


def test_outlines_are_identified_by_their_content(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a.geojson", "one"), ("b.geojson", "one"), ("c.geojson", "two")):
        (tmp_path / name).write_text(content)
        digests.append(LabelledScenes(truth=str(tmp_path / name)).truth_digest())
    assert digests[0] == digests[1] != digests[2]


def test_outlines_that_are_not_there_are_named() -> None:
    with pytest.raises(DartsError, match=r"'nowhere.geojson' cannot be read .* give its path as `truth`"):
        LabelledScenes(truth="nowhere.geojson").truth_digest()
