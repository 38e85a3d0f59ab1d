"""`segmentation_model`: a model that tells thaw slumps from the rest."""

from functools import partial

import dagster as dg

from darts_assets.materialize import MODEL_ASSET, materialize
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.summaries import summarize_segmentation_model
from darts_assets.types import Dataset
from darts_core.training.parameters import TrainSegmentationParameters
from io_managers.base import StoreResource
from resources.accelerator import Accelerator


class TrainSegmentationConfig(TrainSegmentationParameters, dg.Config):
    """What the Launchpad offers for `segmentation_model`; the partition is the model's name."""


@product(
    **MODEL_ASSET,
    kinds={"pytorch", "lightning"},
    io_manager_key="file",
    metadata={"contract": ".pt"},
    code_version="2",
    pool=ACCELERATOR,
)
def segmentation_model(
    context: dg.AssetExecutionContext,
    config: TrainSegmentationConfig,
    store: StoreResource,
    accelerator: Accelerator,
    training_patches: Dataset,
) -> dg.MaterializeResult:
    """A checkpoint of segmentation-models-pytorch, trained on the patches; scenes are segmented with it at once."""
    from darts_core.training.segmentation import train_segmentation

    parameters = config.model_copy(update={"name": context.partition_key})
    return materialize(
        context,
        store.open(),
        inputs={"training_patches": training_patches},
        parameters=parameters.model_dump(mode="json"),
        make=lambda: partial(train_segmentation, training_patches.load(), parameters, device=accelerator.resolve()),
        summarize=partial(summarize_segmentation_model, patches=training_patches),
    )
