"""What a scene's state is, from what Dagster recorded of real runs and of reported events."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG, get_input_data_version_tag
from support.demo import PER_SCENE

from darts_assets.batches import batch_tags
from darts_assets.definitions import defs
from darts_assets.partitions import SCENES, add
from darts_assets.states import State, _scene_assets, noted, scene_keys, scene_states

KEY = "T08WMA_20230801T000000_S2A"
OTHER = "T08WMA_20240801T000000_S2A"
ELSEWHERE = "T29UNU_20230802T000000_S2B"
RANGE = "dagster/asset_partition_range"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        add(instance, SCENES, [KEY])
        yield instance


def made(instance: dg.DagsterInstance, *assets: str, key: str = KEY, data: str = "a", code: str | None = None) -> None:
    """Report assets as made, in pipeline order, each from the versions of its parents that there are."""
    for asset in (asset for asset in _scene_assets() if asset.name in assets):
        parents = {
            parent: instance.get_latest_materialization_event(parent)
            for parent in asset.parents
            if instance.get_latest_materialization_event(parent)
        }
        inputs = {
            get_input_data_version_tag(parent): noted(event.asset_materialization.tags[DATA_VERSION_TAG])
            for parent, event in parents.items()
        }
        tags = {DATA_VERSION_TAG: f"{code or asset.code}-{data}", **inputs}
        instance.report_runless_asset_event(dg.AssetMaterialization(asset.name, partition=key, tags=tags))


def test_pipeline_order_ends_in_polygons() -> None:
    assert {asset.name for asset in _scene_assets()} == set(PER_SCENE)
    assert (_scene_assets()[0].name, _scene_assets()[-1].name) == ("raw_scene", "slump_polygons")


def test_a_scene_of_which_nothing_or_half_is_made_is_missing(instance: dg.DagsterInstance) -> None:
    assert scene_states(instance)[KEY].state is State.MISSING
    assert scene_states(instance)[KEY].asset == "raw_scene"
    made(instance, *PER_SCENE[:3])
    assert (scene_states(instance)[KEY].state, scene_states(instance)[KEY].asset) == (State.MISSING, "sr_geotiff")


def test_a_scene_of_which_all_is_there_is_made(instance: dg.DagsterInstance) -> None:
    made(instance, *PER_SCENE)
    assert scene_states(instance)[KEY].state is State.MADE


def test_what_older_code_made_is_stale(instance: dg.DagsterInstance) -> None:
    made(instance, *PER_SCENE)
    made(instance, "slump_polygons", code="0")
    state = scene_states(instance)[KEY]
    assert (state.state, state.asset) == (State.STALE, "slump_polygons")
    assert "code version 0" in state.why


def test_what_was_made_from_another_version_is_stale_and_what_was_found_there_is_not(
    instance: dg.DagsterInstance,
) -> None:
    made(instance, *PER_SCENE)
    made(instance, "preprocessed")  # there already: the same version once more
    assert scene_states(instance)[KEY].state is State.MADE
    made(instance, "preprocessed", data="b")
    state = scene_states(instance)[KEY]
    assert (state.state, state.asset) == (State.STALE, "sr_patches")
    assert "preprocessed" in state.why


def test_dagster_notes_the_version_that_something_was_made_from_as_we_read_it(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=SCENES)
    def parent() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("2-abc"))

    @dg.asset(partitions_def=SCENES, deps=[parent])
    def child() -> None: ...

    dg.materialize([parent, child], partition_key=KEY, instance=instance)
    event = instance.get_latest_materialization_event(child.key)
    assert event.asset_materialization.tags[get_input_data_version_tag(parent.key)] == noted("2-abc")


def test_what_was_delivered_anew_is_stale_until_it_is_made(instance: dg.DagsterInstance) -> None:
    made(instance, *PER_SCENE)
    instance.report_runless_asset_event(dg.AssetObservation("raw_scene", partition=KEY))
    assert (scene_states(instance)[KEY].state, scene_states(instance)[KEY].asset) == (State.STALE, "raw_scene")
    made(instance, "raw_scene")
    assert scene_states(instance)[KEY].state is State.MADE


def test_a_failed_run_makes_a_scene_failed_until_it_is_made(instance: dg.DagsterInstance) -> None:
    made(instance, *PER_SCENE)
    # nothing is registered under the key, so the real asset fails
    result = defs.resolve_job_def("process_scene").execute_in_process(
        partition_key=KEY, instance=instance, raise_on_error=False
    )
    assert not result.success
    state = scene_states(instance)[KEY]
    assert (state.state, state.asset, state.run_id) == (State.FAILED, "raw_scene", result.run_id)
    made(instance, *PER_SCENE)
    assert scene_states(instance)[KEY].state is State.MADE


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, State.RUNNING),
        (dg.DagsterRunStatus.STARTED, State.RUNNING),
        (dg.DagsterRunStatus.FAILURE, State.FAILED),
        (dg.DagsterRunStatus.CANCELED, State.MISSING),
    ],
)
def test_the_latest_run_decides(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, expected: State) -> None:
    job = defs.resolve_job_def("process_scene")
    instance.create_run_for_job(job, status=status, tags={"dagster/partition": KEY})
    assert scene_states(instance)[KEY].state is expected


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(batch_tags([KEY, ELSEWHERE]), id="scattered"),
        pytest.param({f"{RANGE}_start": KEY, f"{RANGE}_end": ELSEWHERE}, id="range"),
        pytest.param({"dagster/partition": ELSEWHERE}, id="one"),
    ],
)
def test_scenes_that_wait_in_the_queue_are_running_whatever_their_run_was_asked_for(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "true")
    add(instance, SCENES, [ELSEWHERE, OTHER])
    job = defs.resolve_job_def("process_scene")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED, tags=tags)
    states = scene_states(instance)
    assert (states[ELSEWHERE].state, states[ELSEWHERE].run_id) == (State.RUNNING, run.run_id)
    assert states[OTHER].state is State.MISSING


def test_a_run_of_one_asset_that_waits_is_of_that_asset(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("process_scene")
    run = instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=batch_tags([KEY]),
        asset_selection={dg.AssetKey("ensemble")},
    )
    state = scene_states(instance)[KEY]
    assert (state.asset, state.run_id) == ("ensemble", run.run_id)


def test_scenes_are_chosen_by_tile_and_season_in_their_order(instance: dg.DagsterInstance) -> None:
    add(instance, SCENES, [ELSEWHERE, OTHER])
    assert scene_keys(instance) == [KEY, OTHER, ELSEWHERE]
    assert list(scene_states(instance, season="2023")) == [KEY, ELSEWHERE]
    assert list(scene_states(instance, tile="T08WMA")) == [KEY, OTHER]
    made(instance, *PER_SCENE, key=OTHER)
    assert [state.state for state in scene_states(instance, tile="T08WMA").values()] == [State.MISSING, State.MADE]
