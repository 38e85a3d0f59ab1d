"""`sr_patches`: a scene's windows, super-resolved."""

from functools import partial

import dagster as dg

from darts_assets.automation.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.stored import collected
from darts_assets.summaries import summarize_shards
from darts_assets.types import Dataset
from darts_core.superresolution.parameters import SuperResolveParameters
from io_managers.base import StoreResource
from resources.accelerator import Accelerator
from resources.models import ModelStore


class SuperResolveConfig(SuperResolveParameters, dg.Config):
    """What the Launchpad offers for `sr_patches`."""


@dg.asset(
    **SCENE_ASSET,
    deps=[collected("super_resolution_model")],
    automation_condition=FOLLOWS,
    group_name="g2_super_resolution",
    kinds={"zarr", "pytorch"},
    io_manager_key="shards",
    code_version="1",
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
    from darts_core.superresolution import load_upscaler, super_resolve_patches

    upscaler, digest = models.upscaling(store.open())
    return materialize(
        context,
        store.open(),
        inputs={"preprocessed": preprocessed, "upscaler": digest},
        parameters=config.model_dump(),
        make=lambda: partial(
            super_resolve_patches, preprocessed, load_upscaler(upscaler), config, device=accelerator.resolve()
        ),
        summarize=summarize_shards,
    )
