"""What watches: new scenes, what is to be made, runs that fail. What starts work is off until a person turns it on."""

import dagster as dg

from darts_assets.automation.failures import tell_failures
from darts_assets.automation.models import watch_models
from darts_assets.automation.new_scenes import new_scenes
from darts_assets.automation.not_begun import mark_not_begun

process_new_scenes = dg.AutomationConditionSensorDefinition(
    "process_new_scenes",
    target=dg.AssetSelection.tag("darts/of", "scene"),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Materializes what is missing or out of date of every scene, each version once.",
)

SENSORS = [new_scenes, process_new_scenes, watch_models, tell_failures, mark_not_begun]
