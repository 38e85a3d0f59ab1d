"""`training_patches`: what a segmentation model learns from."""

import dagster as dg

from darts_assets.materialize import MODEL_ASSET, materialize
from darts_assets.products import product
from darts_assets.stored import LabelledScenes, collected, preprocessed_scenes, super_resolved_scenes
from darts_assets.summaries import summarize_patches
from darts_core.segmentation.parameters import Input
from darts_core.training.parameters import TrainingPatchesParameters
from io_managers.base import StoreResource


class TrainingPatchesConfig(TrainingPatchesParameters, LabelledScenes):
    """What the Launchpad offers for `training_patches`."""


@product(
    **MODEL_ASSET,
    deps=[collected("preprocessed"), collected("sr_geotiff")],
    kinds={"zarr"},
    io_manager_key="zarr",
    code_version="2",
)
def training_patches(
    context: dg.AssetExecutionContext, config: TrainingPatchesConfig, store: StoreResource
) -> dg.MaterializeResult:
    """Patches of model input with their truth, balanced towards slumps; whole blocks are kept for validation."""
    from darts_core.training.patches import TrainingScene, make_training_patches
    from darts_core.vectors.files import read_polygons

    native = preprocessed_scenes(store, config.scenes)
    finer = super_resolved_scenes(store, list(native)) if config.input is Input.SUPER_RESOLVED else {}
    return materialize(
        context,
        store.open(),
        inputs={**native, **{f"{key}:super_resolved": raster for key, raster in finer.items()}},
        parameters={
            **config.model_dump(mode="json", exclude={"truth", "scenes"}),
            "truth": config.truth_digest(),
        },
        make=lambda: make_training_patches(
            [TrainingScene(key, scene, finer.get(key)) for key, scene in native.items()],
            read_polygons(config.truth),
            config,
        ),
        summarize=summarize_patches,
    )
