"""`segmentation_mask`: where thaw slumps are."""

import dagster as dg
from pydantic import Field

from darts_assets.checks.scenes import segmentation_mask_was_looked_at
from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, carried, materialize
from darts_assets.products import product
from darts_assets.summaries import summarize_mask
from darts_assets.types import Dataset
from darts_core.postprocessing.parameters import PostprocessParameters
from io_managers.base import StoreResource
from resources.auxiliary import AuxiliaryData


class PostprocessConfig(PostprocessParameters, dg.Config):
    """What the Launchpad offers for `segmentation_mask`."""

    excluded: list[str] = Field(
        [],
        description="Further files of ground where no slump can be (water, glaciers) than the auxiliary resource has: "
        "GeoTIFF, VRT or polygons",
    )


@product(
    **SCENE_ASSET,
    checks=[segmentation_mask_was_looked_at],
    automation_condition=FOLLOWS,
    group_name="g3_segmentation",
    kinds={"geotiff"},
    io_manager_key="cog",
    code_version="1",
    metadata={"contract": "postprocessed"},
)
def segmentation_mask(
    context: dg.AssetExecutionContext,
    config: PostprocessConfig,
    store: StoreResource,
    auxiliary: AuxiliaryData,
    preprocessed: Dataset,
    ensemble: Dataset,
) -> dg.MaterializeResult:
    """Slump or not, where the observation is good enough to tell; small objects removed."""
    from darts_core.exclusions import digests, read_excluded
    from darts_core.grids import refine
    from darts_core.inference.geotiff import blocks_of
    from darts_core.postprocessing import postprocess

    files = [*auxiliary.excluded, *config.excluded]

    def mask() -> Dataset:
        quality = refine(preprocessed["quality_level"], ensemble)
        excluded = read_excluded(files, ensemble) if files else None
        return postprocess(ensemble, quality, config, excluded)

    return materialize(
        context,
        store.open(),
        inputs={"preprocessed": preprocessed, "ensemble": ensemble},
        # the files by what they hold, wherever they lie
        parameters={**config.model_dump(), "excluded": digests(files)},
        make=lambda: blocks_of(mask(), "postprocessed", tags=carried(ensemble)),
        summarize=summarize_mask,
    )
