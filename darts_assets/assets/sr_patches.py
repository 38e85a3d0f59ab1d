"""`sr_patches`: a scene's windows, super-resolved."""

from functools import partial
from typing import Any

import dagster as dg

from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.progress import logged
from darts_assets.stored import collected
from darts_assets.summaries import summarize_shards
from darts_assets.together import ByJob
from darts_assets.types import Dataset
from darts_core.store import Draft
from darts_core.superresolution.job import ProductVersion, patch_job, require_whole
from darts_core.superresolution.parameters import SuperResolveParameters
from io_managers.base import StoreResource, Summary, version_of
from resources.accelerator import Accelerator
from resources.launchers.configuration import Launcher
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
    pool=ACCELERATOR,
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
        make=lambda: _made_by(context, accelerator, preprocessed, (upscaler, digest), config),
        summarize=partial(summarize_shards, scene=preprocessed),
    )


def _made_by(
    context: dg.AssetExecutionContext,
    accelerator: Accelerator,
    preprocessed: Dataset,
    model: tuple[str, str],
    parameters: SuperResolveConfig,
) -> Any:
    """What fills a draft with shards: this process, or a job of the launcher."""
    device, (upscaler, digest) = accelerator.resolve(), model
    if accelerator.launcher is Launcher.EMBEDDED:
        return partial(_predict, context, preprocessed, upscaler, parameters, device)
    scene = ProductVersion(asset="preprocessed", partition=context.partition_key, version=version_of(preprocessed))
    job = partial(
        patch_job,
        scene=scene,
        upscaler=upscaler,
        parameters=parameters,
        device=device,
        ranks=accelerator.ranks,
        digest=digest,
    )
    return ByJob(accelerator, job, require_whole)


def _predict(
    context: dg.AssetExecutionContext,
    preprocessed: Dataset,
    upscaler: str,
    parameters: SuperResolveConfig,
    device: str,
    draft: Draft,
) -> Summary:
    """Fill a draft with shards in this process, and tell how it went."""
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
