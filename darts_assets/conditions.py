"""When an asset of a scene is made by itself: once it is missing, and again when what it is made from changed.

Dagster's own `on_missing` and `eager` leave out what was missing when the switch was turned on; a person who turns it
on means those too. Each trigger counts once: what was requested is not requested again, so a scene that failed stays
red until a person, a retry or the nightly backfill takes it up.
"""

from dagster import AssetSelection
from dagster import AutomationCondition as When

from resources.settings import ModelRefresh, Settings

_HANDLED = When.newly_requested() | When.newly_updated()
_MODELS = AssetSelection.assets("released_models")

NEW_SCENE = (When.newly_missing().since(_HANDLED) & ~When.in_progress()).with_label("a new scene")
"""For the root: its partition was registered and has no materialization."""


def _follows(updated: When) -> When:
    # models need not have been recorded for scenes to be made
    return (
        (When.newly_missing() | updated).since(_HANDLED)
        & ~When.any_deps_missing().ignore(_MODELS)
        & ~When.any_deps_in_progress()
        & ~When.in_progress()
        & ~When.any_deps_match(When.any_checks_match(When.check_failed(), blocking_only=True))
    ).with_label("what it is made from is there and new")


FOLLOWS = _follows(When.any_deps_updated())
"""For all that follows; a chain whose parts all apply becomes one run."""

USES_MODELS = (
    FOLLOWS
    if Settings.load().model_refresh is ModelRefresh.AT_ONCE
    else _follows(When.any_deps_updated().ignore(_MODELS))
)
"""For what is made with the released models: other models are a change at once, or left to the nightly backfill."""
