"""`raw_scene`: a delivered scene, as it is, in one format."""

import dagster as dg

from darts_assets.conditions import NEW_SCENE
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.pools import pool_of
from darts_assets.products import product
from darts_assets.summaries import summarize_scene
from darts_core.store import identity
from io_managers.base import StoreResource
from resources.scenes import SceneSource, registered
from resources.settings import Settings

CODE_VERSION = "2"


def version_of_delivery(digest: str) -> str:
    """The version that `raw_scene` has of a delivery."""
    return identity("raw_scene", code_version=CODE_VERSION, inputs={"delivery": digest}, parameters={})


@product(
    **SCENE_ASSET,
    automation_condition=NEW_SCENE,
    group_name="g1_scenes",
    kinds={"zarr"},
    io_manager_key="zarr",
    code_version=CODE_VERSION,
    pool=pool_of(Settings.load().scenes),
)
def raw_scene(context: dg.AssetExecutionContext, store: StoreResource, scenes: SceneSource) -> dg.MaterializeResult:
    """Digital numbers and quality layers exactly as delivered, with the STAC Item that describes them.

    Sentinel-2 .SAFE (folder or zip), Landsat 8/9 (folder or tar), PlanetScope orders, and any GeoTIFF with a STAC Item
    beside it.
    """
    from darts_core.scenes import read_scene, scene_digest

    scene = registered(store.open(), context.partition_key)
    return materialize(
        context,
        store.open(),
        inputs={"delivery": scene_digest(scene, scenes.options)},
        parameters={},
        make=lambda: read_scene(scene, storage_options=scenes.options),
        summarize=summarize_scene,
    )
