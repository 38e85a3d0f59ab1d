"""Old runs are forgotten, and nothing that is current with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.runs.schema import RunsTable
from support.postgres import write_dagster_yaml
from typer.testing import CliRunner

from darts_assets.cli import app
from darts_assets.retention import apply_retention, plan_retention
from darts_assets.runs import instance_of
from resources.settings import Settings

PARTS = dg.StaticPartitionsDefinition(["one", "two"])
LATER = timedelta(days=1)


class Switch(dg.Config):
    fail: bool = False


@dg.asset(partitions_def=PARTS, code_version="1")
def stage(context: dg.AssetExecutionContext, config: Switch) -> dg.MaterializeResult:
    if config.fail:
        raise dg.Failure("asked to")
    return dg.MaterializeResult(metadata={"run": context.run.run_id})


@dg.asset(code_version="1")
def whole() -> None: ...


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> dg.DagsterInstance:
    if request.param == "postgres":
        write_dagster_yaml(tmp_path, request.getfixturevalue("postgres_url"))
    return dg.DagsterInstance.from_config(str(tmp_path))


def run(instance: dg.DagsterInstance, part: str | None, *, fail: bool = False) -> str:
    config = {"ops": {"stage": {"config": {"fail": fail}}}} if part else None
    made = dg.materialize(
        [stage if part else whole],
        instance=instance,
        partition_key=part,
        run_config=config,
        raise_on_error=False,
    )
    return made.run_id


def test_only_runs_that_made_nothing_current_are_forgotten(instance: dg.DagsterInstance) -> None:
    superseded = [run(instance, "one"), run(instance, "two", fail=True), run(instance, None)]
    current = [run(instance, "one"), run(instance, "two"), run(instance, None)]
    failing = run(instance, "one", fail=True)
    assert plan_retention(instance, datetime.now(UTC) - LATER).forgotten == ()
    plan = plan_retention(instance, datetime.now(UTC) + LATER)
    assert set(plan.forgotten) == set(superseded)
    assert set(plan.kept) == {*current, failing}, "also the last attempt that failed, which makes its partition red"
    apply_retention(instance, plan)
    assert {one.run_id for one in instance.get_runs()} == {*current, failing}
    assert instance.get_materialized_partitions(stage.key) == {"one", "two"}
    made = {record.run_id for record in instance.fetch_materializations(stage.key, limit=10).records}
    assert made == set(current[:2])
    assert not [one for one in superseded if instance.all_logs(one)], "their events are gone too"


def test_what_old_runs_printed_goes_with_them(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        kept = run(instance, "one")
        printed = tmp_path / "storage" / kept / "compute_logs"
        assert list(printed.iterdir())
        apply_retention(instance, plan_retention(instance, datetime.now(UTC) + LATER))
        assert instance.get_run_by_id(kept) is not None
        assert not printed.exists()


def test_the_command_counts_first(tmp_path: Path) -> None:
    with instance_of(Settings(home=tmp_path)) as instance:
        old, new = run(instance, "one"), run(instance, "one")
        with instance.run_storage.connect() as connection:
            connection.execute(RunsTable.update().values(create_timestamp=datetime.now() - timedelta(days=9)))
    command = ["forget-runs", "--home", str(tmp_path), "--older-than-days", "8"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert "1 runs older than 8 days tell of what is current" in said.output.replace("\n", " ")
    with instance_of(Settings(home=tmp_path)) as instance:
        assert instance.has_run(old)
        assert CliRunner().invoke(app, [*command, "--apply"]).exit_code == 0
        assert {one.run_id for one in instance.get_runs()} == {new}
