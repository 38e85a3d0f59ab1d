"""`preprocessed`: reflectance, features and masks of a scene."""

from collections.abc import Mapping

import dagster as dg
from pydantic import Field

from darts_assets.checks.contracts import preprocessed_keeps_its_contract
from darts_assets.checks.scenes import preprocessed_is_observed
from darts_assets.conditions import FOLLOWS
from darts_assets.materialize import SCENE_ASSET, materialize
from darts_assets.pools import pool_of
from darts_assets.products import product
from darts_assets.summaries import summarize_preprocessed
from darts_assets.types import Dataset
from darts_core.preprocessing.parameters import PreprocessParameters
from io_managers.base import StoreResource
from resources.auxiliary import AuxiliaryData
from resources.models import ModelStore
from resources.settings import Settings


class PreprocessConfig(PreprocessParameters, dg.Config):
    """What the Launchpad offers for `preprocessed`; where no feature is named, `features_to_make` says which."""

    reference: str | None = Field(
        None, description="Raster that the scene is first moved onto where it lies off it (co-registration); null: none"
    )


def features_to_make(brought: Mapping[str, tuple[str, ...]], *, trained: bool) -> list[str]:
    """Which features scenes get where nobody names them: what the models ask for.

    A model that is trained here is trained on what `preprocessed` holds; if it also had a say in that, then training
    it would make the scenes out of date, and these the model. So with such a model, or before there is any, scenes
    have DARTS's own set.

    Args:
        brought: the bands of each model that was brought, by its name.
        trained: whether a model was trained here.
    """
    from darts_core.preprocessing.features import BANDS, DEFAULT_FEATURES

    asked = {band for bands in brought.values() for band in bands}
    own = () if brought and not trained else DEFAULT_FEATURES
    return [*BANDS, *sorted({*asked, *own} - set(BANDS))]


def _elevation_pool() -> str | None:
    """Of the service that elevation is read from, the larger part of what preprocessing reads."""
    dem = Settings.load().dem
    return pool_of(dem[0] if isinstance(dem, list) else dem)


@product(
    **SCENE_ASSET,
    checks=[preprocessed_keeps_its_contract, preprocessed_is_observed],
    automation_condition=FOLLOWS,
    group_name="g1_scenes",
    kinds={"zarr"},
    io_manager_key="zarr",
    code_version="2",
    metadata={"contract": "preprocessed"},
    pool=_elevation_pool(),
)
def preprocessed(
    context: dg.AssetExecutionContext,
    config: PreprocessConfig,
    store: StoreResource,
    auxiliary: AuxiliaryData,
    models: ModelStore,
    raw_scene: Dataset,
) -> dg.MaterializeResult:
    """Surface reflectance, the features that models ask for (NDVI, relative elevation, …), and quality, on one grid."""
    from darts_core.auxiliary import choose_sources, fingerprint
    from darts_core.auxiliary.identity import identity_of
    from darts_core.grids import Grid
    from darts_core.preprocessing.features import available
    from darts_core.preprocessing.preprocess import preprocess

    products = store.open()
    sources = choose_sources(auxiliary.sources(), Grid.of(raw_scene), raw_scene.attrs.get("acquired"))
    features = sorted(config.features)
    if not features:
        trained = bool(products.partitions("segmentation_model"))
        # a feature that a model asks for and that has no source is left to segmentation, which names the model
        features = available(features_to_make(models.brought_bands(), trained=trained), sources)
    parameters = config.model_copy(update={"features": features})
    # a raster by what it holds, wherever it lies
    reference = {"reference": identity_of(config.reference)} if config.reference else {}
    return materialize(
        context,
        products,
        inputs={"raw_scene": raw_scene},
        parameters={**parameters.model_dump(exclude={"reference"}), **reference, "auxiliary": fingerprint(sources)},
        make=lambda: preprocess(_in_place(raw_scene, config.reference), sources, parameters),
        summarize=summarize_preprocessed,
    )


def _in_place(scene: Dataset, reference: str | None) -> Dataset:
    """The scene where the reference says that it lies."""
    from darts_core.coregistration.coregister import coregister

    return scene if reference is None else coregister(scene, reference)
