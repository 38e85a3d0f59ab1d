"""Many scenes in one run: each is made, marked and blocked by itself, and nothing is lost or made twice."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from support.batches import KEYS, Bench, failure

from darts_assets import faults
from darts_assets.batches import batch_tags
from darts_assets.partitions import SCENES
from darts_assets.products import SECONDS_TAG, product
from darts_assets.recording import ENVIRONMENT
from darts_core.errors import DartsError
from darts_core.store import Store
from io_managers.base import StoreResource
from io_managers.files import FileIOManager

BLOCKED = KEYS[3]
"""What the blocking check of `first` holds against."""
GOOD = [key for key in KEYS if key != BLOCKED]
RANGE = "dagster/asset_partition_range"
TOGETHER = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with dg.instance_for_test() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOGETHER, ENVIRONMENT[TOGETHER])
        yield Bench(Store(str(tmp_path / "store")), instance)


def of(asset: str, keys: list[str]) -> list[tuple[str, str]]:
    return [(asset, key) for key in keys]


class TestFailures:
    """What fails takes nothing with it."""

    def test_a_scene_that_fails_is_red_alone_and_the_run_says_which_and_why(self, bench: Bench) -> None:
        def wrong(asset: str, key: str) -> None:
            if (asset, key) == ("first", KEYS[1]):
                raise DartsError("the scene has no bands")

        bench.on_make = wrong
        result = bench.batch()
        assert not result.success
        good = [key for key in GOOD if key != KEYS[1]]
        assert bench.made == of("first", [key for key in KEYS if key != KEYS[1]]) + of("second", good)
        assert bench.materialized("second") == set(good)
        assert bench.failed("first") == {KEYS[1]}, "what a check blocks is made, and wrong"
        assert bench.failed("second") == {KEYS[1], BLOCKED}
        assert "2 of 6 scenes failed" in failure(result)
        assert f"{KEYS[1]}: first: the scene has no bands" in failure(result)
        assert f"{BLOCKED}: first: is_not_empty: has no letters that count" in failure(result)

    @pytest.mark.parametrize("keys", [KEYS[:3], KEYS[1:4:2]], ids=["range", "scattered"])
    def test_it_is_red_too_where_dagster_announces_each_by_itself(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, keys: list[str]
    ) -> None:
        def wrong(asset: str, key: str) -> None:
            if (asset, key) == ("first", KEYS[1]):
                raise DartsError("the scene has no bands")

        monkeypatch.setenv(TOGETHER, "false")
        bench.on_make = wrong
        bench.batch(keys)
        blocked = {BLOCKED} & set(keys)
        assert bench.failed("first") == {KEYS[1]}
        assert bench.failed("second") == {KEYS[1]} | blocked

    def test_a_single_one_that_fails_is_red_and_so_is_what_would_have_followed(self, bench: Bench) -> None:
        def wrong(asset: str, key: str) -> None:
            raise DartsError("the scene has no bands")

        bench.on_make = wrong
        bench.execute(partition_key=KEYS[1])
        assert bench.failed("first") == bench.failed("second") == {KEYS[1]}

    def test_what_has_no_partitions_is_not_told_to_have_some(self, bench: Bench) -> None:
        @dg.asset
        def whole() -> None: ...

        @product(partitions_def=SCENES, io_manager_key="file", code_version="1")
        def part(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            return dg.MaterializeResult(data_version=dg.DataVersion("1"))

        resources = {"file": FileIOManager(store=StoreResource(root=bench.store.root))}
        dg.materialize([part, whole], instance=bench.instance, partition_key=KEYS[0], resources=resources)
        told = {
            record.asset_key.path[-1]: record.partition_key
            for asset in ("part", "whole")
            for record in bench.instance.event_log_storage.get_event_records(
                dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.AssetKey(asset)), limit=1
            )
        }
        assert told == {"part": KEYS[0], "whole": None}

    def test_while_a_run_goes_on_all_that_it_has_yet_to_make_is_seen_as_being_made(self, bench: Bench) -> None:
        seen = {}

        def look(asset: str, key: str) -> None:
            if (asset, key) == ("first", KEYS[2]):
                seen.update({name: bench.in_progress(name) for name in ("first", "second")})

        bench.on_make = look
        bench.batch(GOOD)
        assert seen == {"first": set(GOOD) - set(KEYS[:2]), "second": set(GOOD)}
        assert bench.in_progress("first") == bench.in_progress("second") == set()

    def test_a_failure_in_the_middle_of_the_graph_leaves_the_scene_out_from_there(self, bench: Bench) -> None:
        def wrong(asset: str, key: str) -> None:
            if (asset, key) == ("second", KEYS[0]):
                raise ValueError("nobody foresaw this")

        bench.on_make = wrong
        result = bench.batch(GOOD)
        assert bench.failed("first") == set()
        assert bench.failed("second") == {KEYS[0]}
        assert f"{KEYS[0]}: second: nobody foresaw this" in failure(result)

    def test_what_failed_is_made_by_the_next_run_and_nothing_else(self, bench: Bench) -> None:
        def wrong(asset: str, key: str) -> None:
            if key == KEYS[1]:
                raise DartsError("not now")

        bench.on_make = wrong
        bench.batch(GOOD)
        bench.on_make, bench.made = lambda asset, key: None, []
        assert bench.batch(GOOD).success
        assert bench.made == [("first", KEYS[1]), ("second", KEYS[1])]
        assert bench.failed("first") == bench.failed("second") == set()

    def test_where_no_scene_is_left_the_run_ends_at_once(self, bench: Bench) -> None:
        def wrong(asset: str, key: str) -> None:
            raise DartsError("none of them")

        bench.on_make = wrong
        result = bench.batch()
        assert [event.step_key for event in result.all_events if event.is_step_failure] == ["first"]
        assert bench.made == []

    def test_a_scene_that_hangs_is_ended(self, bench: Bench) -> None:
        bench.on_make = lambda asset, key: time.sleep(60 if (asset, key) == ("first", KEYS[0]) else 0)
        result = bench.batch(GOOD, **{SECONDS_TAG: "2"})
        assert bench.materialized("second") == set(GOOD[1:])
        assert f"first of {KEYS[0]} took longer than" in failure(result)


class TestKeys:
    """Which scenes a run makes."""

    def test_scenes_that_do_not_follow_each_other_are_one_run(self, bench: Bench) -> None:
        scattered = [KEYS[0], KEYS[2], KEYS[5]]
        assert bench.batch(scattered).success
        assert bench.made == of("first", scattered) + of("second", scattered)
        assert bench.materialized("first") == bench.materialized("second") == set(scattered)
        assert bench.instance.get_runs_count() == 1
        assert bench.failed("first") == set()

    def test_a_range_of_dagster_is_made_one_by_one_too(self, bench: Bench) -> None:
        result = bench.execute(tags={f"{RANGE}_start": KEYS[2], f"{RANGE}_end": KEYS[5]})
        assert not result.success, "a check blocks one of them"
        assert bench.materialized("second") == {KEYS[2], KEYS[4], KEYS[5]}
        assert bench.failed("second") == {BLOCKED}

    def test_a_single_partition_is_made_as_ever(self, bench: Bench) -> None:
        result = bench.execute(partition_key=KEYS[0])
        assert result.success
        assert bench.made == [("first", KEYS[0]), ("second", KEYS[0])]
        assert {check.partition for check in result.get_asset_check_evaluations()} == {KEYS[0]}

    def test_a_blocking_check_of_a_single_partition_ends_its_run(self, bench: Bench) -> None:
        result = bench.execute(partition_key=BLOCKED)
        assert not result.success
        assert bench.made == [("first", BLOCKED)]
        assert bench.materialized("first") == {BLOCKED}, "it is there to be looked at"
        assert f"{BLOCKED} is not built upon: is_not_empty: has no letters that count" in failure(result)

    def test_a_name_too_long_for_one_tag_goes_on_in_the_next(self) -> None:
        keys = [f"T{number:099d}_20210801T210019_S2A" for number in range(64)]
        tags = batch_tags(keys)
        assert (
            " ".join(value for name, value in sorted(tags.items()) if name.startswith("darts/scenes")).split() == keys
        )
        assert max(map(len, tags.values())) <= 2_000

    def test_every_run_says_its_tile_and_season(self, bench: Bench) -> None:
        runs = [bench.execute(partition_key=KEYS[0]), bench.batch(GOOD)]
        single, batch = (bench.instance.get_run_by_id(run.run_id).tags for run in runs)
        for tags in (single, batch):
            assert tags["darts/tile"] == "T08WMA"
            assert tags["darts/season"] == "2021"
        assert single["darts/scene"] == KEYS[0]
        assert batch["dagster/retry_strategy"] == "ALL_STEPS", "who retries it does not know which scenes failed"
        assert batch["darts/scenes"].split() == GOOD


class TestEvents:
    """What Dagster knows of a scene of a batch is what it knows of one that was made alone."""

    def test_each_scene_is_marked_before_the_next_is_made(self, bench: Bench) -> None:
        seen: dict[str, set[str]] = {}
        bench.on_make = lambda asset, key: seen.setdefault(key, bench.materialized("first"))
        bench.batch(GOOD)
        assert [seen[key] for key in GOOD] == [set(GOOD[:number]) for number in range(len(GOOD))]

    def test_tags_and_metadata_are_those_of_a_run_of_its_own(self, bench: Bench) -> None:
        def told(asset: str) -> tuple[dict[str, str], set[str]]:
            (record,) = bench.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[KEYS[0]]), limit=1
            ).records
            event = record.asset_materialization
            # which event of an input was the latest is another one each time
            tags = {tag: value for tag, value in event.tags.items() if "event_pointer" not in tag}
            return tags, set(event.metadata) - {"seconds"}

        bench.execute(partition_key=KEYS[0])
        alone = {asset: told(asset) for asset in ("first", "second")}
        bench.batch(GOOD)
        assert {asset: told(asset) for asset in ("first", "second")} == alone

    def test_checks_are_of_a_partition_and_of_what_was_just_made(self, bench: Bench) -> None:
        bench.batch()
        evaluations = self.stored(bench)
        assert set(evaluations) == {(name, key) for name in ("is_not_empty", "is_short") for key in KEYS}
        failed = {key for key, one in evaluations.items() if not one.passed}
        assert failed == {("is_not_empty", BLOCKED), ("is_short", KEYS[4])}
        for (_, key), one in evaluations.items():
            (record,) = bench.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey("first"), asset_partitions=[key]), limit=1
            ).records
            assert one.target_materialization_data.storage_id == record.storage_id

    def stored(self, bench: Bench) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
        evaluations = {}
        for name in ("is_not_empty", "is_short"):
            key = dg.AssetCheckKey(dg.AssetKey("first"), name)
            for record in bench.instance.event_log_storage.get_asset_check_execution_history(key, limit=100):
                if record.evaluation:
                    evaluations[name, str(record.partition)] = record.evaluation
        return evaluations

    def test_events_that_are_written_together_are_the_same(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "500")
        bench.batch()
        bench.batch()
        assert bench.materialized("second") == set(GOOD)
        assert len(self.stored(bench)) == 2 * len(KEYS)


class TestAgain:
    """A killed run, another code, a fault that passes."""

    def test_killed_in_the_middle_only_the_rest_is_made(self, bench: Bench) -> None:
        def killed(asset: str, key: str) -> None:
            if (asset, key) == ("first", KEYS[2]):
                os.kill(os.getpid(), signal.SIGKILL)

        bench.on_make = killed
        run = multiprocessing.get_context("fork").Process(target=bench.batch, args=(GOOD,))
        run.start()
        run.join()
        assert run.exitcode == -signal.SIGKILL
        assert bench.materialized("first") == set(KEYS[:2]), "what was made is marked"
        (killed_run,) = bench.instance.get_runs()
        bench.instance.report_run_failed(killed_run)
        assert bench.failed("first") == set(GOOD[2:])
        assert bench.failed("second") == set(GOOD)
        bench.on_make = lambda asset, key: None
        assert bench.batch(GOOD).success
        assert bench.made == of("first", GOOD[2:]) + of("second", GOOD)
        for asset in ("first", "second"):
            for key in GOOD:
                bench.store.current(asset, key).verify()

    def test_code_that_changes_between_two_runs_leaves_each_product_with_its_own(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        bench.batch(KEYS[:3])
        bench.code = "2"
        bench.batch(GOOD[3:])
        assert {self.text(bench.store, key) for key in KEYS[:3]} == {f"second of {key} by 1" for key in KEYS[:3]}
        bench.made = []
        assert bench.batch(GOOD).success
        assert bench.made == of("first", KEYS[:3]) + of("second", KEYS[:3]), "the next run makes what is of old code"
        undisturbed = Bench(Store(str(tmp_path / "other")), bench.instance, code="2")
        undisturbed.batch(GOOD)
        for asset in ("first", "second"):
            for key in GOOD:
                versions = {one.current(asset, key).version for one in (bench.store, undisturbed.store)}
                assert len(versions) == 1
        tags = bench.instance.event_log_storage.get_latest_tags_by_partition(
            dg.AssetKey("second"), dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG], asset_partitions=GOOD
        )
        assert tags[KEYS[0]][DATA_VERSION_TAG] == bench.store.current("second", KEYS[0]).version

    def text(self, store: Store, key: str) -> str:
        return Path(store.current("second", key).path("it.txt")).read_text()

    @pytest.mark.parametrize("single", [True, False], ids=["alone", "in a batch"])
    def test_only_a_fault_that_passes_is_tried_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, single: bool
    ) -> None:
        monkeypatch.setattr(faults, "WAITS", (0.0, 0.0))
        tries: list[str] = []

        def wrong(asset: str, key: str) -> None:
            tries.append(asset)
            if asset == "first" and len(tries) < 3:
                raise DartsError("the store does not answer") from ConnectionResetError()
            if asset == "second":
                raise DartsError("the scene is broken")

        bench.on_make = wrong
        result = bench.execute(partition_key=KEYS[0]) if single else bench.batch(KEYS[:1])
        assert not result.success
        assert tries == ["first"] * 3 + ["second"]
        assert bench.materialized("first") == {KEYS[0]}


def test_scenes_of_the_graph_may_come_in_batches() -> None:
    from darts_assets.definitions import defs

    policies = {spec.key: None for spec in defs.resolve_all_asset_specs() if spec.partitions_def == SCENES}
    graph = defs.resolve_asset_graph()
    assert {graph.get(key).backfill_policy for key in policies} == {dg.BackfillPolicy.multi_run(16)}
