"""`evaluation`: how good a segmentation model is."""

from functools import partial

import dagster as dg

from darts_assets.materialize import MODEL_ASSET, materialize
from darts_assets.pools import ACCELERATOR
from darts_assets.products import product
from darts_assets.stored import LabelledScenes, collected, preprocessed_scenes, super_resolved_scenes
from darts_assets.summaries import summarize_evaluation
from darts_assets.types import Dataset, StoredFile
from darts_core.evaluation.parameters import EvaluateParameters
from io_managers.base import StoreResource
from resources.accelerator import Accelerator


class EvaluateConfig(EvaluateParameters, LabelledScenes):
    """What the Launchpad offers for `evaluation`."""


@product(
    **MODEL_ASSET,
    deps=[collected("preprocessed"), collected("sr_geotiff")],
    kinds={"json"},
    io_manager_key="file",
    metadata={"contract": ".json"},
    code_version="1",
    pool=ACCELERATOR,
)
def evaluation(
    context: dg.AssetExecutionContext,
    config: EvaluateConfig,
    store: StoreResource,
    accelerator: Accelerator,
    training_patches: Dataset,
    segmentation_model: StoredFile,
) -> dg.MaterializeResult:
    """Agreement with truth by pixel and by object on each scene, counting only pixels that training never saw."""
    from darts_core.evaluation.scenes import evaluate_scenes
    from darts_core.segmentation import Segmenter
    from darts_core.vectors.files import read_polygons

    native = preprocessed_scenes(store, config.scenes)
    finer = super_resolved_scenes(store, list(native))
    return materialize(
        context,
        store.open(),
        inputs={**native, **{f"{key}:super_resolved": raster for key, raster in finer.items()}}
        | {"training_patches": training_patches, "segmentation_model": segmentation_model},
        parameters={
            **config.model_dump(mode="json", exclude={"truth", "scenes"}),
            "truth": config.truth_digest(),
        },
        make=lambda: partial(
            evaluate_scenes,
            Segmenter.load(segmentation_model.path, accelerator.resolve(), context.partition_key),
            {key: (native[key], finer[key]) for key in native},
            read_polygons(config.truth),
            training_patches,
            config,
        ),
        summarize=partial(summarize_evaluation, scenes=native.values()),
    )
