"""Which features `preprocessed` holds: what people name, else what models ask for."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.deliveries import write_delivery
from support.models import write_checkpoint

from darts_assets.assets.preprocessed import features_to_make, preprocessed
from darts_assets.partitions import SCENES
from darts_core.datasets import GROUP, write_zarr
from darts_core.preprocessing.features import BANDS, DEFAULT_FEATURES
from darts_core.scenes import find_scenes, read_scene
from io_managers.base import StoreResource
from io_managers.zarr import ZarrIOManager
from resources.auxiliary import AuxiliaryData
from resources.models import ModelStore

KEY = "T08WMA_20210821T210019_S2B"
MASKS = {"valid_data_mask", "quality_data_mask", "quality_level"}


def test_brought_models_alone_say_what_is_made() -> None:
    brought = {"one": ("red", "gndvi", "NDWI"), "other": ("nir", "slope", "gndvi")}
    assert features_to_make(brought, trained=False) == [*BANDS, "NDWI", "gndvi", "slope"]
    assert features_to_make({"one": ("red",)}, trained=False) == list(BANDS)


def test_a_model_trained_here_has_no_say_in_what_it_is_trained_on() -> None:
    own = {*BANDS, *DEFAULT_FEATURES}
    assert set(features_to_make({}, trained=False)) == set(features_to_make({}, trained=True)) == own
    assert set(features_to_make({"one": ("NDWI", "slope")}, trained=True)) == own | {"NDWI"}


@pytest.fixture
def store(tmp_path: Path) -> StoreResource:
    """With one raw scene in it."""
    resource = StoreResource(root=str(tmp_path / "products"))
    delivery = find_scenes(str(write_delivery(tmp_path / "scenes", "T08WMA").parent)).scenes[0]
    with resource.open().draft("raw_scene", KEY, "v1") as draft:
        write_zarr(read_scene(delivery), draft.folder / GROUP)
        draft.commit()
    return resource


def run(store: StoreResource, checkpoints: Path, **config: Any) -> tuple[set[str], dict[str, Any]]:
    """Materialize `preprocessed`: the variables of the product beside its masks, and what the event says."""
    raw = dg.AssetSpec("raw_scene", partitions_def=SCENES).with_io_manager_key("zarr")
    zarr = ZarrIOManager(store=store)
    models = ModelStore(checkpoints=str(checkpoints))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(SCENES.name or "", [KEY])
        result = dg.materialize(
            [preprocessed, raw],
            instance=instance,
            partition_key=KEY,
            resources={"store": store, "zarr": zarr, "auxiliary": AuxiliaryData(), "models": models},
            run_config={"ops": {"preprocessed": {"config": config}}},
        )
    (event,) = result.get_asset_materialization_events()
    product = zarr.read(store.open().current("preprocessed", KEY), "preprocessed")
    told = {name: value.value for name, value in event.materialization.metadata.items()}
    return set(map(str, product)) - MASKS, told


def test_the_product_holds_what_its_models_ask_for(store: StoreResource, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    assert run(store, models)[0] == {*BANDS, "ndvi"}, "no model: DARTS's own set, less what has no source"
    write_checkpoint(models / "wet.pt", weights={"red": 1.0, "NDWI": 2.0, "slope": 1.0})
    variables, told = run(store, models)
    assert variables == {*BANDS, "NDWI"}
    assert not told["cache_hit"]
    assert "ndvi" not in told
    write_checkpoint(models / "green.pt", weights={"gndvi": 1.0})
    assert run(store, models)[0] == {*BANDS, "NDWI", "gndvi"}


def test_another_model_with_the_same_bands_makes_nothing_again(store: StoreResource, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_checkpoint(models / "one.pt")
    first = run(store, models)[1]
    write_checkpoint(models / "two.pt", bias=1.0)
    second = run(store, models)[1]
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    assert second["version"] == first["version"]


def test_what_people_name_comes_first(store: StoreResource, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "one.pt")
    variables, first = run(store, tmp_path, features=["evi", "NDWI"])
    assert variables == {*BANDS, "evi", "NDWI"}
    assert run(store, tmp_path, features=["NDWI", "evi"])[1]["version"] == first["version"], "the order says nothing"
    with pytest.raises(dg.Failure, match="slope cannot be made, for no dem is configured"):
        run(store, tmp_path, features=["slope"])
