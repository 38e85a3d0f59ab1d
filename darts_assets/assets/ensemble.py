"""`ensemble`: what the models say together."""

import dagster as dg

from darts_assets.checks.neighbours import ensemble_does_not_drift
from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, carried, materialize
from darts_assets.products import product
from darts_assets.summaries import summarize_probabilities
from darts_assets.types import Dataset
from darts_core.segmentation.parameters import EnsembleParameters
from io_managers.base import StoreResource


class EnsembleConfig(EnsembleParameters, dg.Config):
    """What the Launchpad offers for `ensemble`."""


@product(
    **SCENE_ASSET,
    checks=[ensemble_does_not_drift],
    automation_condition=FOLLOWS,
    group_name="g3_segmentation",
    kinds={"geotiff"},
    io_manager_key="cog",
    code_version="2",
    metadata={"contract": "ensemble"},
)
def ensemble(
    context: dg.AssetExecutionContext,
    config: EnsembleConfig,
    store: StoreResource,
    segmentation_probabilities: Dataset,
) -> dg.MaterializeResult:
    """Mean probability over the models that see a pixel, how far they are apart, and how undecided they are."""
    from darts_core.ensemble import ensemble as combine
    from darts_core.inference.geotiff import blocks_of

    return materialize(
        context,
        store.open(),
        inputs={"segmentation_probabilities": segmentation_probabilities},
        parameters=config.model_dump(mode="json"),
        make=lambda: blocks_of(
            combine(segmentation_probabilities, config), "ensemble", tags=carried(segmentation_probabilities)
        ),
        summarize=summarize_probabilities,
    )
