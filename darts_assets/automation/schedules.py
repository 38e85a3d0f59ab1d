"""What runs at a time of day, week or year. Off until a person turns it on."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from darts_assets.automation.clean_up import CleanUpConfig, clean_up
from darts_assets.automation.jobs import process_scene, release_season
from darts_assets.batches import batch_tags, cut
from darts_assets.partitions import season_of
from darts_assets.states import SceneState, State, scene_states
from resources.settings import Settings
from resources.upkeep import Upkeep


@dg.schedule(
    job=process_scene,
    cron_schedule=Settings.load().nightly_cron,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def nightly_backfill(context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> Iterator[dg.RunRequest] | dg.SkipReason:
    """Takes up the scenes that are missing, stale or failed, tile after tile, many a run; bounded in size."""
    states = scene_states(context.instance, season=upkeep.nightly_season)
    chosen = for_tonight(states, upkeep.nightly_scenes)
    if not chosen:
        return dg.SkipReason(f"Nothing to do: {len(states)} scenes are made or running")
    counts = ", ".join(f"{sum(states[key].state is state for key in chosen)} {state}" for state in _TAKEN)
    context.log.info(f"{len(chosen)} scenes: {counts}")
    night = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
    # the name keeps a tick that is evaluated again from launching a run again
    return (dg.RunRequest(run_key=f"{night}/{keys[0]}", tags=batch_tags(keys)) for keys in cut(chosen))


_TAKEN = (State.MISSING, State.STALE, State.FAILED)


def for_tonight(states: dict[str, SceneState], most: int) -> list[str]:
    """The scenes that a night takes up, in the order of their keys: tile after tile, each in the order of time.

    Those that failed come after the others, so that scenes that always fail do not keep the rest from their turn.
    """
    waiting = [key for key in sorted(states) if states[key].state in _TAKEN]
    return sorted(waiting, key=lambda key: states[key].state is State.FAILED)[:most]


@dg.schedule(job=clean_up, cron_schedule="0 5 * * 0", default_status=dg.DefaultScheduleStatus.STOPPED)
def weekly_clean_up(context: dg.ScheduleEvaluationContext, upkeep: Upkeep) -> dg.RunRequest:
    """Lists what nobody needs any more, and where the settings say so (`clean_up_applies`) removes it."""
    config = CleanUpConfig(dry_run=not upkeep.clean_up_applies, older_than_days=upkeep.keep_days)
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%d}",
        run_config=dg.RunConfig(ops={"remove_superseded": config}),
    )


@dg.schedule(
    job=release_season,
    cron_schedule=Settings.load().release_cron,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def season_release(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest] | dg.SkipReason:
    """Releases each season that has polygons newer than its release; `release_cron` says when."""
    seasons = seasons_to_release(context.instance)
    if not seasons:
        return dg.SkipReason("No season has polygons that are newer than its release")
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    return (dg.RunRequest(run_key=f"{season}/{day}", partition_key=season) for season in seasons)


def seasons_to_release(instance: dg.DagsterInstance) -> list[str]:
    """The seasons of which a scene's polygons were made after the latest release, or that were never released."""
    polygons, released = (
        instance.event_log_storage.get_latest_storage_id_by_partition(
            dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        for asset in ("slump_polygons", "slump_dataset")
    )
    return sorted({season_of(key) for key, made in polygons.items() if made > released.get(season_of(key), 0)})


hourly_overview = dg.ScheduleDefinition(
    name="hourly_overview",
    target=dg.AssetSelection.assets("scene_overview"),
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Draws the map of all scenes and the progress of each season anew.",
)

SCHEDULES = [nightly_backfill, weekly_clean_up, season_release, hourly_overview]
