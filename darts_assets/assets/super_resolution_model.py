"""`super_resolution_model`: a learned upscaler."""

from functools import partial

import dagster as dg
from pydantic import Field

from darts_assets.materialize import MODEL_ASSET, materialize
from darts_assets.partitions import UPSCALERS
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.stored import collected, preprocessed_scenes
from darts_assets.summaries import summarize_upscaler
from darts_core.training.parameters import TrainUpscalerParameters
from io_managers.base import StoreResource
from resources.accelerator import Accelerator


class TrainUpscalerConfig(TrainUpscalerParameters, dg.Config):
    """What the Launchpad offers for `super_resolution_model`; the partition is the model's name."""

    scenes: list[str] = Field([], description="Partition keys of the scenes to learn from; all where empty")


@product(
    **{**MODEL_ASSET, "partitions_def": UPSCALERS},
    deps=[collected("preprocessed")],
    kinds={"pytorch", "lightning"},
    io_manager_key="file",
    metadata={"contract": ".pt"},
    code_version="1",
    pool=ACCELERATOR,
)
def super_resolution_model(
    context: dg.AssetExecutionContext, config: TrainUpscalerConfig, store: StoreResource, accelerator: Accelerator
) -> dg.MaterializeResult:
    """A small network that restores degraded scenes (Wald's protocol), to be configured as the upscaler."""
    from darts_core.training.superresolution import train_upscaler

    scenes = preprocessed_scenes(store, config.scenes)
    parameters = config.model_copy(update={"name": context.partition_key})
    return materialize(
        context,
        store.open(),
        inputs=scenes,
        parameters=parameters.model_dump(mode="json", exclude={"scenes"}),
        make=lambda: partial(train_upscaler, list(scenes.values()), parameters, device=accelerator.resolve()),
        summarize=partial(summarize_upscaler, scenes=list(scenes.values())),
    )
