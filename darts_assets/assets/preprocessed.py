"""`preprocessed`: reflectance, indices, terrain, trends and masks of a scene."""

import dagster as dg

from darts_assets.automation.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.summaries import summarize_preprocessed
from darts_assets.types import Dataset
from darts_core.preprocessing.parameters import PreprocessParameters
from io_managers.base import StoreResource
from resources.auxiliary import AuxiliaryData


class PreprocessConfig(PreprocessParameters, dg.Config):
    """What the Launchpad offers for `preprocessed`."""


@dg.asset(
    **SCENE_ASSET,
    automation_condition=FOLLOWS,
    group_name="g1_scenes",
    kinds={"zarr"},
    io_manager_key="zarr",
    code_version="2",
    metadata={"contract": "preprocessed"},
)
def preprocessed(
    context: dg.AssetExecutionContext,
    config: PreprocessConfig,
    store: StoreResource,
    auxiliary: AuxiliaryData,
    raw_scene: Dataset,
) -> dg.MaterializeResult:
    """Surface reflectance, NDVI, relative elevation, slope, tasselled-cap trends, and quality on the scene's grid."""
    from darts_core.auxiliary import fingerprint
    from darts_core.grids import Grid
    from darts_core.preprocessing.preprocess import preprocess

    sources = auxiliary.sources().for_scene(Grid.of(raw_scene), raw_scene.attrs.get("acquired"))
    return materialize(
        context,
        store.open(),
        inputs={"raw_scene": raw_scene},
        parameters={**config.model_dump(), "auxiliary": fingerprint(sources)},
        make=lambda: preprocess(raw_scene, sources, config),
        summarize=summarize_preprocessed,
    )
