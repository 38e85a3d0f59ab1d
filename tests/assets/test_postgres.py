"""Dagster's own storage in PostgreSQL, by configuration only."""

from pathlib import Path

import dagster as dg
from support.postgres import write_dagster_yaml

from darts_assets.partitions import SCENES, add


@dg.asset(partitions_def=SCENES, code_version="1")
def stage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(data_version=dg.DataVersion(context.partition_key))


def test_a_run_is_recorded_in_postgres(postgres_url: str, tmp_path: Path) -> None:
    write_dagster_yaml(tmp_path, postgres_url)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        add(instance, SCENES, ["T01AAA_20230101T000000_S2A"])
        made = dg.materialize([stage], instance=instance, partition_key="T01AAA_20230101T000000_S2A")
        assert made.success
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        latest = instance.get_latest_materialization_event(dg.AssetKey("stage"))
        assert latest is not None
        assert latest.run_id == made.run_id
    assert not list(tmp_path.rglob("*.db")), "nothing is left in SQLite"
