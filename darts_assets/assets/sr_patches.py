"""`sr_patches`: a scene's windows, super-resolved."""

from functools import partial

import dagster as dg

from darts_assets.automation.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.products import product
from darts_assets.progress import logged
from darts_assets.stored import collected
from darts_assets.summaries import summarize_shards
from darts_assets.types import Dataset
from darts_core.store import Draft
from darts_core.superresolution.job import ProductVersion, patch_job, require_whole
from darts_core.superresolution.parameters import SuperResolveParameters
from io_managers.base import StoreResource, Summary, version_of
from resources.accelerator import Accelerator, Launcher
from resources.models import ModelStore


class SuperResolveConfig(SuperResolveParameters, dg.Config):
    """What the Launchpad offers for `sr_patches`."""


@product(
    **SCENE_ASSET,
    deps=[collected("super_resolution_model")],
    automation_condition=FOLLOWS,
    group_name="g2_super_resolution",
    kinds={"zarr", "pytorch"},
    io_manager_key="shards",
    code_version="2",
    pool="accelerator",
)
def sr_patches(
    context: dg.AssetExecutionContext,
    config: SuperResolveConfig,
    store: StoreResource,
    models: ModelStore,
    accelerator: Accelerator,
    preprocessed: Dataset,
) -> dg.MaterializeResult:
    """Overlapping super-resolved windows in shards; an interrupted run goes on after its last whole shard.

    A scene that is at or below the target resolution already passes: it has no shards, and says so.
    """
    upscaler, digest = models.upscaling(store.open())
    return materialize(
        context,
        store.open(),
        inputs={"preprocessed": preprocessed, "upscaler": digest},
        parameters=config.model_dump(exclude={"batch_size"}),
        make=lambda: partial(_predict, context, accelerator, preprocessed, upscaler, config),
        summarize=summarize_shards,
    )


def _predict(
    context: dg.AssetExecutionContext,
    accelerator: Accelerator,
    preprocessed: Dataset,
    upscaler: str,
    parameters: SuperResolveConfig,
    draft: Draft,
) -> Summary:
    """Fill a draft with shards, in this process or in those that the launcher starts, and tell how it went."""
    device = accelerator.resolve()
    if accelerator.launcher is not Launcher.EMBEDDED:
        scene = ProductVersion(asset="preprocessed", partition=draft.partition, version=version_of(preprocessed))
        job = patch_job(draft, scene, upscaler, parameters, device=device, ranks=accelerator.ranks)
        launched = accelerator.launch(context, job)
        require_whole(draft)
        return launched
    from darts_core.dataflow import describe_flow
    from darts_core.superresolution import load_upscaler, super_resolve_patches

    told: Summary = {}
    super_resolve_patches(
        preprocessed,
        load_upscaler(upscaler, device=device),
        parameters,
        draft.folder,
        draft.publish,
        done=draft.published(),
        device=device,
        progress=logged(context.log),
        observe=lambda stages: told.update({"reading ahead": describe_flow(stages)}),
    )
    return told
