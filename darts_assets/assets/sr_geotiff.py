"""`sr_geotiff`: the super-resolved windows of a scene, stitched."""

import dagster as dg

from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.products import product
from darts_assets.progress import logged
from darts_assets.summaries import summarize_scene
from darts_assets.types import Dataset, StoredShards
from io_managers.base import StoreResource


@product(
    **SCENE_ASSET,
    automation_condition=FOLLOWS,
    group_name="g2_super_resolution",
    kinds={"geotiff"},
    io_manager_key="cog",
    code_version="2",
    metadata={"contract": "super_resolved"},
)
def sr_geotiff(
    context: dg.AssetExecutionContext, store: StoreResource, preprocessed: Dataset, sr_patches: StoredShards
) -> dg.MaterializeResult:
    """Reflectance at the target resolution: one Cloud-Optimized GeoTIFF, blended without seams."""
    from darts_core.superresolution import stitch

    return materialize(
        context,
        store.open(),
        inputs={"preprocessed": preprocessed, "sr_patches": sr_patches},
        parameters={},
        make=lambda: stitch(sr_patches.shards, preprocessed, progress=logged(context.log)),
        summarize=summarize_scene,
    )
