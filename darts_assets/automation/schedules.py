"""What runs at a time of day. Off until a person turns it on."""

from collections.abc import Iterator

import dagster as dg

from darts_assets.automation.jobs import process_scene
from darts_assets.partitions import SCENES, known
from io_managers.base import StoreResource

MOST_AT_ONCE = 200
"""Scenes a night; sorted by key, so tile after tile."""


@dg.schedule(job=process_scene, cron_schedule="0 2 * * *", default_status=dg.DefaultScheduleStatus.STOPPED)
def nightly_backfill(
    context: dg.ScheduleEvaluationContext, store: StoreResource
) -> Iterator[dg.RunRequest] | dg.SkipReason:
    """Processes the scenes that are registered and have no slump polygons: the missing and the failed."""
    made = set(store.open().partitions("slump_polygons"))
    missing = sorted(known(context.instance, SCENES) - made)[:MOST_AT_ONCE]
    if not missing:
        return dg.SkipReason("Every registered scene has slump polygons")
    night = context.scheduled_execution_time.date().isoformat()
    return (dg.RunRequest(run_key=f"{key}/{night}", partition_key=key) for key in missing)


hourly_overview = dg.ScheduleDefinition(
    name="hourly_overview",
    target=dg.AssetSelection.assets("scene_overview"),
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Draws the map of all scenes and the progress of each season anew.",
)

SCHEDULES = [nightly_backfill, hourly_overview]
