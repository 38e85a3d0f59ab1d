"""`slump_polygons`: the thaw slumps of one scene."""

import dagster as dg

from darts_assets.checks.contracts import slump_polygons_are_valid
from darts_assets.checks.neighbours import slump_polygons_are_as_many_as_nearby
from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, column_schema, materialize
from darts_assets.products import product
from darts_assets.summaries import summarize_polygons
from darts_assets.types import Dataset
from darts_core.vectors.schema import SLUMP_SCHEMA
from io_managers.base import StoreResource, version_of


@product(
    **SCENE_ASSET,
    checks=[slump_polygons_are_valid, slump_polygons_are_as_many_as_nearby],
    automation_condition=FOLLOWS,
    group_name="g4_slumps",
    kinds={"geoparquet"},
    io_manager_key="geoparquet",
    code_version="2",
    metadata=column_schema(SLUMP_SCHEMA),
)
def slump_polygons(
    context: dg.AssetExecutionContext, store: StoreResource, preprocessed: Dataset, segmentation_mask: Dataset
) -> dg.MaterializeResult:
    """One polygon a slump, with its size, its probability and where it comes from; the schema stands at zero rows."""
    from darts_core.grids import refine
    from darts_core.vectors.polygons import Origin, vectorize

    quality = refine(preprocessed["quality_level"], segmentation_mask)
    digests = segmentation_mask.attrs["model_digests"].split(",")
    origin = Origin.of(preprocessed.attrs, models=digests, data_version=version_of(segmentation_mask))

    return materialize(
        context,
        store.open(),
        inputs={"preprocessed": preprocessed, "segmentation_mask": segmentation_mask},
        parameters={},
        make=lambda: vectorize(segmentation_mask, origin, quality),
        summarize=summarize_polygons,
    )
