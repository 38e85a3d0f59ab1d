"""Scenes of a run that died before it said which they are: red, unless somebody has taken them up."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.storage.tags import WILL_RETRY_TAG

from darts_assets.automation.not_begun import mark, mark_not_begun
from darts_assets.batches import batch_tags
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, SEASONS, add
from darts_assets.states import State, scene_states

KEYS = [f"T08WMA_2021080{day}T210019_S2A" for day in range(1, 5)]
RANGE = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[2]}
SCATTERED = batch_tags([KEYS[0], KEYS[2]])
ONE = {"dagster/partition": KEYS[1]}


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "true")
    with dg.instance_for_test() as instance:
        add(instance, SCENES, KEYS)
        yield instance


def lost(instance: dg.DagsterInstance, tags: dict[str, str], job: str = "process_scene") -> dg.DagsterRun:
    """A run that was queued and whose process never came to its first asset."""
    run = instance.create_run_for_job(defs.resolve_job_def(job), tags=tags)
    instance.report_run_failed(run, "Run timed out due to taking longer than 180 seconds to start.")
    return again(instance, run)


def again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def red(instance: dg.DagsterInstance) -> set[str]:
    return {key for key, state in scene_states(instance).items() if state.state is State.FAILED}


@pytest.mark.parametrize(
    ("tags", "scenes"),
    [(RANGE, KEYS[:3]), (SCATTERED, [KEYS[0], KEYS[2]]), (ONE, [KEYS[1]])],
    ids=["range", "scattered", "one"],
)
def test_they_are_red_with_every_asset_that_it_was_to_make(
    instance: dg.DagsterInstance, tags: dict[str, str], scenes: list[str]
) -> None:
    run = lost(instance, tags)
    assert mark(instance, run) == scenes
    assert red(instance) == set(scenes)
    tried = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations
    assert set(tried(dg.AssetKey("slump_polygons"))) == set(scenes)


def test_what_dagster_retries_is_left_to_that(instance: dg.DagsterInstance) -> None:
    run = lost(instance, SCATTERED)
    instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "true"})
    assert mark(instance, again(instance, run)) == []
    assert red(instance) == set()


def test_a_scene_that_was_taken_up_since_is_left_alone(instance: dg.DagsterInstance) -> None:
    run = lost(instance, RANGE)
    assert mark(instance, lost(instance, ONE)) == [KEYS[1]]
    assert mark(instance, run) == [KEYS[0], KEYS[2]]
    attempts = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations
    assert attempts(dg.AssetKey("raw_scene"))[KEYS[1]][0] != run.run_id


def test_a_run_that_began_has_said_it_itself(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("process_scene")
    done = job.execute_in_process(instance=instance, tags=SCATTERED, raise_on_error=False)
    run = instance.get_run_by_id(done.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert mark(instance, run) == []


def test_a_run_of_no_scene_marks_none(instance: dg.DagsterInstance) -> None:
    add(instance, SEASONS, ["2021"])
    assert mark(instance, lost(instance, {"dagster/partition": "2021"}, "release_season")) == []


def test_the_sensor_says_that_it_had_nothing_to_do(instance: dg.DagsterInstance) -> None:
    run = lost(instance, SCATTERED)
    (failure,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event is not None
    context = dg.build_run_status_sensor_context(
        "mark_not_begun", dagster_event=failure.dagster_event, dagster_instance=instance, dagster_run=run
    ).for_run_failure()
    assert mark_not_begun(context) is None
    assert red(instance) == {KEYS[0], KEYS[2]}
    assert isinstance(mark_not_begun(context), dg.SkipReason)
