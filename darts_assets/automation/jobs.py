"""What a person or a schedule starts as one run."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from darts_assets.automation.clean_up import clean_up

process_scene = dg.define_asset_job(
    "process_scene",
    selection=dg.AssetSelection.assets("raw_scene")
    | dg.AssetSelection.assets("raw_scene").downstream().tag("darts/of", "scene"),
    description="One scene from delivery to slump polygons, in one process.",
)

release_season = dg.define_asset_job(
    "release_season",
    selection=dg.AssetSelection.assets("slump_dataset"),
    description="The merged dataset of a season, from all its scenes.",
)

train_segmentation = dg.define_asset_job(
    "train_segmentation",
    selection=dg.AssetSelection.assets("training_patches", "segmentation_model", "evaluation"),
    description="Training set, checkpoint and evaluation of one segmentation model.",
)

train_super_resolution = dg.define_asset_job(
    "train_super_resolution",
    selection=dg.AssetSelection.assets("super_resolution_model"),
    description="One learned upscaler.",
)

JOBS: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    process_scene,
    release_season,
    train_segmentation,
    train_super_resolution,
    clean_up,
]
