"""`segmentation_probabilities`: how likely each pixel is a thaw slump, to each model."""

from typing import Any

import dagster as dg
from pydantic import Field

from darts_assets.automation.conditions import USES_MODELS
from darts_assets.checks.scenes import probabilities_cover_what_was_observed
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.progress import logged
from darts_assets.stored import collected
from darts_assets.summaries import summarize_probabilities
from darts_assets.types import Dataset
from darts_core.segmentation.parameters import SegmentParameters
from darts_core.store import Store, StoreError, Version, identity
from io_managers.base import StoreResource, version_of
from resources.accelerator import Accelerator
from resources.models import ModelStore, ReleasedModel, load_segmenter

CODE_VERSION = "3"


class SegmentConfig(SegmentParameters, dg.Config):
    """What the Launchpad offers for `segmentation_probabilities`."""

    models: list[str] = Field([], description="Names of the models to run; all that are there where empty")


@product(
    **SCENE_ASSET,
    checks=[probabilities_cover_what_was_observed],
    deps=["released_models", collected("segmentation_model")],
    automation_condition=USES_MODELS,
    group_name="g3_segmentation",
    kinds={"geotiff", "pytorch"},
    io_manager_key="cog",
    code_version=CODE_VERSION,
    metadata={"contract": "segmentation"},
    pool=ACCELERATOR,
)
def segmentation_probabilities(
    context: dg.AssetExecutionContext,
    config: SegmentConfig,
    store: StoreResource,
    models: ModelStore,
    accelerator: Accelerator,
    preprocessed: Dataset,
    sr_geotiff: Dataset,
) -> dg.MaterializeResult:
    """Thaw slump probability, one Cloud-Optimized GeoTIFF a model; a new model computes only its own."""
    products, released = store.open(), models.segmenters(store.open(), config.models)
    parameters = config.model_dump(exclude={"models"})
    inputs = {"preprocessed": version_of(preprocessed), "sr_geotiff": version_of(sr_geotiff)}
    rasters = {
        model.name: identity(
            "raster", code_version=CODE_VERSION, inputs={**inputs, "model": model.digest}, parameters=parameters
        )
        for model in released
    }
    return materialize(
        context,
        products,
        inputs=rasters,
        parameters={},
        make=lambda: {
            model.name: _made_before(products, context.partition_key, model.name, rasters[model.name])
            or _predicted(context, model, preprocessed, sr_geotiff, config, accelerator)
            for model in released
        },
        summarize=lambda product: {**summarize_probabilities(product), "rasters": rasters},
        made_from={**inputs, **{f"model:{model.name}": model.digest for model in released}},
    )


def _made_before(store: Store, partition: str, model: str, raster: str) -> Version | None:
    try:
        version = store.current("segmentation_probabilities", partition)
    except StoreError:
        return None
    return version if version.manifest.summary["rasters"].get(model) == raster else None


def _predicted(
    context: dg.AssetExecutionContext,
    model: ReleasedModel,
    native: Dataset,
    super_resolved: Dataset,
    parameters: SegmentParameters,
    accelerator: Accelerator,
) -> Any:
    segmenter = load_segmenter(model, accelerator.resolve())
    return segmenter.stream(native, super_resolved, parameters, progress=logged(context.log))
