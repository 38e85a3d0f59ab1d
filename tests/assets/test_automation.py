"""Scenes that arrive become products, once; nothing starts before a person turns it on."""

import os
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from support.demo import PER_SCENE

from darts_assets.automation.clean_up import CleanUpConfig, clean_up
from darts_assets.automation.schedules import (
    for_tonight,
    nightly_backfill,
    season_release,
    seasons_to_release,
    weekly_clean_up,
)
from darts_assets.batches import named_in
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, add
from darts_assets.states import SceneState, State, scene_states
from darts_core.retention import note_made_from
from io_managers.base import StoreResource
from resources.upkeep import Upkeep

KEYS = ["T08WMA_20230101T000000_S2A", "T08WMA_20230102T000000_S2A"]


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

    NIGHT = datetime(2023, 8, 20, 2, tzinfo=UTC)

    def evaluate(self, instance: dg.DagsterInstance, **bounds: Any) -> list[dg.RunRequest] | str:
        """What it asks for, or why it does not."""

        def evaluated() -> list[dg.RunRequest] | str:
            context = dg.build_schedule_context(instance=instance, scheduled_execution_time=self.NIGHT)
            asked = nightly_backfill(context, upkeep=Upkeep(**bounds))
            return str(asked.skip_message) if isinstance(asked, dg.SkipReason) else list(asked)

        return apart(evaluated)

    def test_what_is_not_made_is_taken_up_many_a_run_tile_after_tile(self, instance: dg.DagsterInstance) -> None:
        keys = [f"T{number:02d}WMA_20230801T000000_S2A" for number in range(20)]
        add(instance, SCENES, keys[::-1])
        first, second = self.evaluate(instance)
        assert [named_in(first.tags), named_in(second.tags)] == [keys[:16], keys[16:]]
        again = self.evaluate(instance)
        assert [request.run_key for request in again] == [first.run_key, second.run_key], "Dagster launches each once"

    def test_a_scene_that_waits_in_the_queue_is_not_taken_up_again(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS)
        (request,) = self.evaluate(instance)
        job = defs.resolve_job_def("process_scene")
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED, tags=request.tags)
        assert {state.state for state in scene_states(instance).values()} == {State.RUNNING}
        assert "running" in self.evaluate(instance)

    def test_what_is_made_is_left_alone(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS[:1])
        code = {spec.key.path[-1]: spec.code_version for spec in defs.resolve_all_asset_specs()}
        for asset in PER_SCENE:
            tags = {DATA_VERSION_TAG: f"{code[asset]}-a"}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=KEYS[0], tags=tags))
        assert "Nothing to do" in self.evaluate(instance)

    def test_failed_scenes_come_last_and_a_night_is_bounded(self) -> None:
        tiles = [f"T{number:02d}_20230101T000000_S2A" for number in range(6)]
        states = [State.FAILED, State.MADE, State.STALE, State.RUNNING, State.MISSING, State.FAILED]
        night = dict(zip(tiles, map(SceneState, states), strict=True))
        assert for_tonight(night, 3) == [tiles[2], tiles[4], tiles[0]]
        assert for_tonight(night, 9) == [tiles[2], tiles[4], tiles[0], tiles[5]]

    def test_one_season_only(self, instance: dg.DagsterInstance) -> None:
        add(instance, SCENES, KEYS)
        assert "0 scenes" in self.evaluate(instance, nightly_season="2019")


class TestSeasonRelease:
    """The schedule at the end of a season."""

    def test_a_season_is_released_when_it_has_new_polygons(self, instance: dg.DagsterInstance) -> None:
        def report(asset: str, partition: str) -> None:
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))

        assert seasons_to_release(instance) == []
        report("slump_polygons", KEYS[0])
        report("slump_polygons", "T08WMA_20240101T000000_S2A")
        assert seasons_to_release(instance) == ["2023", "2024"]
        report("slump_dataset", "2023")
        assert seasons_to_release(instance) == ["2024"]
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime(2024, 10, 15, tzinfo=UTC)
        )
        (request,) = apart(lambda: list(season_release(context)))
        assert (request.partition_key, request.run_key) == ("2024", "2024/2024-10-15")
        report("slump_polygons", KEYS[1])
        assert seasons_to_release(instance) == ["2023", "2024"]


class TestWeeklyCleanUp:
    """The schedule and its job."""

    @pytest.mark.parametrize("applies", [False, True])
    def test_it_removes_only_where_the_settings_say_so(
        self, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, applies: bool
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        store = StoreResource(root=str(tmp_path / "store"))
        for version in ("v1", "v2"):
            note_made_from(store.open(), "raw_scene", KEYS[0], version, {})
            with store.open().draft("raw_scene", KEYS[0], version) as draft:
                (draft.folder / "zarr.json").write_text("{}")
                draft.commit()
        old = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
        for path in (tmp_path / "store").rglob("*"):
            os.utime(path, (old, old))
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime(2023, 8, 20, 5, tzinfo=UTC)
        )
        request = apart(lambda: weekly_clean_up(context, upkeep=Upkeep(clean_up_applies=applies)))
        result = clean_up.execute_in_process(
            run_config=request.run_config, resources={"store": store}, instance=instance
        )
        assert result.success
        assert (store.open().committed("raw_scene", KEYS[0], "v1") is None) == applies
        assert store.open().current("raw_scene", KEYS[0]).version == "v2"

    def test_a_clean_up_by_hand_is_a_dry_run_unless_asked(self) -> None:
        assert CleanUpConfig().dry_run
