"""The same identity does its work once, wherever products lie."""

import dagster as dg
import xarray as xr
from support.datasets import preprocessed_dataset

from darts_assets.materialize import materialize
from darts_core.store import Store
from io_managers.base import StoreResource
from io_managers.zarr import ZarrIOManager

KEY = "T08WMA_20210821T210019_S2A"
PARTITIONS = dg.DynamicPartitionsDefinition(name="scene")


def run(store: Store, made: list[int], delivery: str = "delivered", seed: int = 1) -> dict[str, object]:
    """Materialize one asset, note in `made` that its work was done, and give the metadata of the event."""

    @dg.asset(partitions_def=PARTITIONS, io_manager_key="zarr", metadata={"contract": "preprocessed"}, code_version="1")
    def product(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        def make() -> xr.Dataset:
            made.append(seed)
            return preprocessed_dataset(seed)

        return materialize(
            context,
            store,
            inputs={"delivery": delivery},
            parameters={"seed": seed},
            make=make,
            summarize=lambda dataset: {"ndvi": round(float(dataset["ndvi"].mean()), 4)},
        )

    resource = StoreResource(root=store.root, endpoint_url=store.options.get("endpoint_url"))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("scene", [KEY])
        resources = {"zarr": ZarrIOManager(store=resource)}
        result = dg.materialize([product], instance=instance, partition_key=KEY, resources=resources)
    (event,) = result.get_asset_materialization_events()
    materialization = event.materialization
    version = store.current("product", KEY).version
    assert materialization.tags["dagster/data_version"] == version
    return {name: value.value for name, value in materialization.metadata.items()}


def test_the_second_time_nothing_is_done_and_the_product_is_still_shown(store: Store) -> None:
    made: list[int] = []
    first, second = run(store, made), run(store, made)
    assert made == [1]
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    assert second["ndvi"] == first["ndvi"]


def test_another_input_or_parameter_is_another_version(store: Store) -> None:
    made: list[int] = []
    versions = {
        run(store, made)["version"],
        run(store, made, seed=2)["version"],
        run(store, made, delivery="delivered again")["version"],
    }
    assert len(versions) == 3
    assert made == [1, 2, 1]


def test_going_back_makes_the_old_version_current_again_without_work(store: Store) -> None:
    made: list[int] = []
    first = run(store, made)["version"]
    run(store, made, seed=2)
    assert run(store, made)["version"] == first
    assert store.current("product", KEY).version == first
    assert made == [1, 2]


def test_what_was_damaged_is_made_again(store: Store) -> None:
    made: list[int] = []
    run(store, made)
    version = store.current("product", KEY)
    store.fs.rm_file(version.path("data.zarr", "blue", "c", "0", "0"))
    assert run(store, made)["cache_hit"] is False
    assert made == [1, 1]
    store.current("product", KEY).verify()
