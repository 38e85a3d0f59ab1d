"""New scenes become partitions, and partitions become products. Off until a person turns them on."""

import dagster as dg

from darts_assets.partitions import SCENES, SEASONS, known, season_of
from darts_core.errors import DartsError
from io_managers.base import StoreResource
from resources.scenes import SceneSource, register

MOST_AT_ONCE = 1_000
"""New partitions a tick; the rest follows at the next."""


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def new_scenes(
    context: dg.SensorEvaluationContext, scenes: SceneSource, store: StoreResource
) -> dg.SensorResult | dg.SkipReason:
    """Registers a partition for every scene that arrived in the source, and says why it leaves the others."""
    try:
        found = scenes.find()
    except DartsError as error:
        return dg.SkipReason(str(error))
    for refusal in found.refusals:
        context.log.info(f"Left out: {refusal}")
    there = known(context.instance, SCENES)
    new = [scene for scene in found.scenes if scene.key not in there][:MOST_AT_ONCE]
    if not new:
        return dg.SkipReason(
            f"No new scene in {scenes.url}: {len(found.scenes)} known, {len(found.refusals)} left out (in the log)"
        )
    keys = register(store.open(), new)
    seasons = sorted({season_of(key) for key in keys} - known(context.instance, SEASONS))
    return dg.SensorResult(
        dynamic_partitions_requests=[SCENES.build_add_request(keys), SEASONS.build_add_request(seasons)],
        skip_reason=dg.SkipReason(f"Registered {len(keys)} scenes; 'process_new_scenes' materializes them"),
    )


process_new_scenes = dg.AutomationConditionSensorDefinition(
    "process_new_scenes",
    target=dg.AssetSelection.tag("darts/of", "scene"),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Materializes what is missing or out of date of every scene, each version once.",
)

SENSORS = [new_scenes, process_new_scenes]
