"""A model that is released, changed or taken away is noticed. Off until a person turns it on."""

from __future__ import annotations

import hashlib

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG, extract_data_version_from_entry

from darts_core.errors import DartsError
from io_managers.base import StoreResource
from resources.models import ModelStore

ASSET = dg.AssetKey("released_models")


@dg.sensor(minimum_interval_seconds=300, default_status=dg.DefaultSensorStatus.STOPPED)
def watch_models(
    context: dg.SensorEvaluationContext, models: ModelStore, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Records in `released_models` which segmentation models there are, whenever these are others than before."""
    try:
        there = models.segmenters(store.open(), [])
    except DartsError as error:
        return dg.SkipReason(str(error))
    digest = hashlib.sha256("\n".join(f"{model.name} {model.digest}" for model in there).encode()).hexdigest()[:20]
    latest = context.instance.get_latest_materialization_event(ASSET)
    version = extract_data_version_from_entry(latest) if latest else None
    names = ", ".join(model.name for model in there)
    if version is not None and version.value == digest:
        return dg.SkipReason(f"The models are those that they were: {names}")
    event = dg.AssetMaterialization(ASSET, tags={DATA_VERSION_TAG: digest}, metadata={"models": names})
    return dg.SensorResult(asset_events=[event], skip_reason=dg.SkipReason(f"The models are now {names}"))
