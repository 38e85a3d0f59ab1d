"""`segmentation_probabilities`: how likely each pixel is a thaw slump, to each model."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from darts_assets.checks.scenes import probabilities_cover_what_was_observed
from darts_assets.conditions import USES_MODELS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.progress import logged
from darts_assets.stored import collected
from darts_assets.summaries import summarize_probabilities
from darts_assets.together import ByJob
from darts_assets.types import Dataset
from darts_core.inference.job import ProductVersion
from darts_core.segmentation.job import SegmentModel, raster_name, require_rasters, segment_job
from darts_core.segmentation.parameters import SegmentParameters
from darts_core.store import Draft, Store, StoreError, Version, identity
from io_managers.base import StoreResource, version_of
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher
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
        make=lambda: _make(
            context,
            accelerator,
            {one: _made_before(products, context.partition_key, one.name, rasters[one.name]) for one in released},
            (preprocessed, sr_geotiff),
            config,
        ),
        summarize=lambda product: {**summarize_probabilities(product), "rasters": rasters},
        made_from={**inputs, **{f"model:{model.name}": model.digest for model in released}},
    )


def _made_before(store: Store, partition: str, model: str, raster: str) -> Version | None:
    try:
        version = store.current("segmentation_probabilities", partition)
    except StoreError:
        return None
    return version if version.manifest.summary["rasters"].get(model) == raster else None


def _make(
    context: dg.AssetExecutionContext,
    accelerator: Accelerator,
    models: Mapping[ReleasedModel, Version | None],
    scene: tuple[Dataset, Dataset],
    parameters: SegmentConfig,
) -> Any:
    """Each model's raster: an earlier version or a stream in this process; or the launcher's job that makes it."""
    device = accelerator.resolve()
    if accelerator.launcher is Launcher.EMBEDDED:
        return {
            model.name: before or _predicted(context, model, *scene, parameters, device)
            for model, before in models.items()
        }
    preprocessed, super_resolved = (
        ProductVersion(asset=asset, partition=context.partition_key, version=version_of(product))
        for asset, product in zip(("preprocessed", "sr_geotiff"), scene, strict=True)
    )
    lacking = [model.name for model, before in models.items() if before is None]
    job = partial(
        segment_job,
        preprocessed=preprocessed,
        super_resolved=super_resolved,
        # also those that this scene has: then scenes that lack different ones can be of one job
        models=[SegmentModel(name=model.name, path=str(model.path), digest=model.digest) for model in models],
        parameters=parameters,
        device=device,
        ranks=accelerator.ranks,
        lacking=lacking,
    )
    return ByJob(accelerator, job if lacking else None, partial(_finish, models))


def _finish(models: Mapping[ReleasedModel, Version | None], draft: Draft) -> None:
    """Take over the rasters that are there from an earlier version; a job has made the others."""
    for model, before in models.items():
        if before is not None:
            draft.adopt(before, raster_name(model.name))
    require_rasters(draft, [model.name for model, before in models.items() if before is None])


def _predicted(
    context: dg.AssetExecutionContext,
    model: ReleasedModel,
    native: Dataset,
    super_resolved: Dataset,
    parameters: SegmentParameters,
    device: str,
) -> Any:
    segmenter = load_segmenter(model, device)
    return segmenter.stream(native, super_resolved, parameters, progress=logged(context.log))
