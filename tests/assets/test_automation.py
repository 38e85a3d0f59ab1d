"""Scenes that arrive become products, once; nothing starts before a person turns it on."""

import shutil
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from support.demo import PER_SCENE

from darts_assets.automation.schedules import nightly_backfill
from darts_assets.automation.sensors import new_scenes
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, SEASONS, add, known
from darts_core.synthetic.world import World, make_world
from io_managers.base import StoreResource
from resources.scenes import SceneSource, registered

KEYS = ["T08WMA_20230101T000000_S2A", "T08WMA_20230102T000000_S2A"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def apart(evaluate: Callable[[], Any]) -> Any:
    """Evaluate in context variables of their own: Dagster leaves those of a directly called sensor or schedule set."""
    return copy_context().run(evaluate)


class TestConditions:
    """What declarative automation asks for, evaluation after evaluation."""

    @staticmethod
    def requested(result: dg.EvaluateAutomationConditionsResult) -> dict[str, set[str]]:
        asked = {asset: result.get_requested_partitions(dg.AssetKey(asset)) for asset in PER_SCENE}
        return {asset: keys for asset, keys in asked.items() if keys}

    def test_what_was_missing_when_it_was_turned_on_is_made_in_one_chain(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS)
        first = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        assert self.requested(first) == {asset: set(KEYS) for asset in PER_SCENE}

    def test_a_request_is_made_once(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS[:1])
        first = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        second = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=first.cursor)
        assert self.requested(second) == {}

    def test_only_a_new_scene_is_asked_for(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS[:1])
        first = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        add(instance, SCENES, KEYS[1:])
        second = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=first.cursor)
        assert self.requested(second) == {asset: {KEYS[1]} for asset in PER_SCENE}

    def test_what_changed_above_is_made_again_below(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS[:1])
        for asset in PER_SCENE:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=KEYS[0]))
        first = dg.evaluate_automation_conditions(defs=defs, instance=instance)
        assert self.requested(first) == {}
        instance.report_runless_asset_event(dg.AssetMaterialization("ensemble", partition=KEYS[0]))
        second = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=first.cursor)
        assert self.requested(second) == {"segmentation_mask": set(KEYS[:1]), "slump_polygons": set(KEYS[:1])}


class TestNightlyBackfill:
    """The schedule."""

    def runs(self, instance: dg.DagsterInstance, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
        night = datetime(2023, 8, 20, 2, tzinfo=UTC)
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=night)
        result = apart(lambda: nightly_backfill(context, store=store))
        return result if isinstance(result, dg.SkipReason) else list(result)

    def test_scenes_without_polygons_are_processed_in_order_and_once_a_night(
        self, instance: dg.DagsterInstance, tmp_path: Path
    ) -> None:
        add(instance, SCENES, [KEYS[1], KEYS[0]])
        requests = self.runs(instance, StoreResource(root=str(tmp_path)))
        assert [request.partition_key for request in requests] == KEYS
        assert [request.run_key for request in requests] == [f"{key}/2023-08-20" for key in KEYS]

    def test_what_is_made_is_left_alone(self, instance: dg.DagsterInstance, tmp_path: Path) -> None:
        store = StoreResource(root=str(tmp_path))
        add(instance, SCENES, KEYS)
        for number, key in enumerate(KEYS):
            with store.open().draft("slump_polygons", key, "v1") as draft:
                (draft.folder / "slumps.parquet").write_text("made")
                draft.commit()
            result = self.runs(instance, store)
            if number == 0:
                assert [request.partition_key for request in result] == KEYS[1:]
        assert isinstance(result, dg.SkipReason)
