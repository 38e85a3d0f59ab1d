"""Scenes of a run that failed before it began the first of them are red, as those of any run that failed."""

from __future__ import annotations

import dagster as dg
from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.storage.tags import WILL_RETRY_TAG

from darts_assets.graph import scene_assets
from darts_assets.partitions import SCENES
from darts_assets.pending import scenes_of
from darts_assets.recording import announce


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def mark_not_begun(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Marks the scenes of a run as failed where its process never came to saying which they are. It starts nothing."""
    marked = mark(context.instance, context.dagster_run)
    return None if marked else dg.SkipReason(f"Nothing is to be said of run {context.dagster_run.run_id}")


def mark(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """Mark what a failed run was to make and did not begin.

    Returns:
        Scenes that are marked: none where the run began or Dagster retries it, and none that was taken up since.
    """
    registered = instance.get_dynamic_partitions(str(SCENES.name))
    place = {key: number for number, key in enumerate(registered)}
    keys = place.keys() & scenes_of(run, registered, place)
    begun = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_START, limit=1).records
    if not keys or begun or run.tags.get(WILL_RETRY_TAG) == "true":
        return []
    failed = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.RUN_FAILURE, ascending=False).records
    assets = scene_assets()
    for asset in assets:
        planned = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, DagsterEventType.ASSET_MATERIALIZATION_PLANNED, partitions=set(keys)
        )
        keys -= {key for key, storage_id in planned.items() if storage_id > failed[0].storage_id}
    announce(instance, run, set(assets), sorted(keys))
    return sorted(keys)
