"""Dagster's own storage in PostgreSQL, by configuration only."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import DagsterRunStatus
from support.postgres import ROOT, Postgres, free_port, postgres_server, write_dagster_yaml

BIN = Path(sys.executable).parent
KEY = "T01AAA_20230101T000000_S2A"

CHAIN = '''
"""Two assets in a row; the first waits where a file says so."""
import time
from pathlib import Path
import dagster as dg

PARTS = dg.DynamicPartitionsDefinition(name="scenes")
HERE = Path(__file__).parent

@dg.asset(partitions_def=PARTS, code_version="1")
def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    (HERE / "started").touch()
    while (HERE / "wait").exists():
        time.sleep(0.1)
    return dg.MaterializeResult(metadata={"rows": 3}, data_version=dg.DataVersion("one"))

@dg.asset(partitions_def=PARTS, code_version="1", deps=[first])
def second() -> dg.MaterializeResult:
    return dg.MaterializeResult(data_version=dg.DataVersion("two"))

chain = dg.define_asset_job("chain", selection="*", executor_def=dg.in_process_executor)
defs = dg.Definitions([first, second], jobs=[chain])
'''


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """A file of definitions."""
    file = tmp_path / "chain.py"
    file.write_text(CHAIN)
    return file


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs, which end with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(home: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DAGSTER_HOME": str(home)}
        with open(home / f"{program}-{len(processes)}.log", "wb") as log:
            command = [str(BIN / program), *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def until(truth: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.3)


def ask(port: int, query: str, **variables: object) -> dict:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        said = json.loads(answer.read())
    assert "errors" not in said, said["errors"]
    return said["data"]


def answers(port: int) -> bool:
    try:
        return bool(ask(port, "{ version }"))
    except OSError:
        return False


LAUNCH = """mutation($location: String!, $tags: [ExecutionTag!]!) { launchRun(executionParams: {
  selector: {repositoryName: "__repository__", repositoryLocationName: $location, jobName: "chain"},
  executionMetadata: {tags: $tags}}) { __typename ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message } } }"""
STATE = """query($key: [String!]!) {
  runsOrError { ... on Runs { results { runId status } } }
  assetNodes(assetKeys: [{path: $key}]) { assetMaterializations(limit: 5) { runId partition } } }"""


def test_two_webservers_and_a_daemon_on_one_database_answer_alike(
    postgres_url: str, tmp_path: Path, definitions: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    homes = [tmp_path / name for name in ("web-one", "web-two", "daemon")]
    for home in homes:
        write_dagster_yaml(home, postgres_url)
    with dg.DagsterInstance.from_config(str(homes[0])) as instance:
        instance.add_dynamic_partitions("scenes", [KEY])
    ports = [free_port(), free_port()]
    for home, port in zip(homes, ports, strict=False):
        started(home, "dagster-webserver", "-f", str(definitions), "-h", "127.0.0.1", "-p", str(port))
    started(homes[2], "dagster-daemon", "run", "-f", str(definitions))
    for port in ports:
        until(lambda port=port: answers(port))
    location = ask(ports[0], "{ repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }")
    name = location["repositoriesOrError"]["nodes"][0]["location"]["name"]
    launched = ask(ports[0], LAUNCH, location=name, tags=[{"key": "dagster/partition", "value": KEY}])["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched

    def states() -> list[dict]:
        return [ask(port, STATE, key=["second"]) for port in ports]

    until(lambda: states()[1]["runsOrError"]["results"][0]["status"] in ("SUCCESS", "FAILURE"))
    one, two = states()
    assert one == two
    assert one["runsOrError"]["results"] == [{"runId": launched["run"]["runId"], "status": "SUCCESS"}]
    assert one["assetNodes"][0]["assetMaterializations"] == [{"runId": launched["run"]["runId"], "partition": KEY}]
    assert not [file for home in homes for file in home.rglob("*.db")], "nothing is left in SQLite"


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that the test may stop."""
    with postgres_server() as server:
        yield server


def start_waiting_run(
    server: Postgres, home: Path, definitions: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes]:
    """A run in a process of its own, in the middle of its first asset."""
    write_dagster_yaml(home, server.database())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("scenes", [KEY])
    (definitions.parent / "wait").touch()
    tags = json.dumps({"dagster/partition": KEY})
    run = started(home, "dagster", "job", "execute", "-f", str(definitions), "-j", "chain", "--tags", tags)
    until((definitions.parent / "started").exists)
    return run


def test_a_run_outlives_a_restart_of_the_database(
    own_server: Postgres, tmp_path: Path, definitions: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    run = start_waiting_run(own_server, tmp_path / "home", definitions, started)
    own_server.stop(signal.SIGQUIT)
    (definitions.parent / "wait").unlink()
    # from now on it tries for eleven seconds
    until(lambda: "Retrying failed database connection" in (tmp_path / "home" / "dagster-0.log").read_text())
    own_server.start()
    assert run.wait(240) == 0
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert [one.status for one in instance.get_runs()] == [DagsterRunStatus.SUCCESS]
        assert instance.get_materialized_partitions(dg.AssetKey("second")) == {KEY}


def test_a_run_fails_where_the_database_stays_away_and_the_next_one_makes_all(
    own_server: Postgres, tmp_path: Path, definitions: Path, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    home = tmp_path / "home"
    run = start_waiting_run(own_server, home, definitions, started)
    own_server.stop()
    (definitions.parent / "wait").unlink()
    assert run.wait(240) != 0
    own_server.start()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("second")) == set()
        tags = json.dumps({"dagster/partition": KEY})
        again = started(home, "dagster", "job", "execute", "-f", str(definitions), "-j", "chain", "--tags", tags)
        assert again.wait(240) == 0
        assert instance.get_materialized_partitions(dg.AssetKey("second")) == {KEY}


def test_the_deployments_instance_is_ours_but_for_what_postgresql_is_for(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, deployed = (
        yaml.safe_load((ROOT / file).read_text()) for file in ("dagster.yaml", "deploy/dagster-postgres.yaml")
    )
    assert {name: deployed[name] for name in ours} == ours
    assert set(deployed) - set(ours) == {"storage", "retention", "backfills"}
    shutil.copyfile(ROOT / "deploy/dagster-postgres.yaml", tmp_path / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("scenes", [KEY])
        password = postgres_url.split(":")[2].split("@")[0]
        assert password not in json.dumps(instance.info_dict()) + repr(instance), "the UI shows this"


def test_history_is_carried_by_a_dump_and_an_upgrade_migrates_it(postgres: Postgres, tmp_path: Path) -> None:
    source, target = postgres.database(), postgres.database()
    write_dagster_yaml(tmp_path / "one", source)
    with dg.DagsterInstance.from_config(str(tmp_path / "one")) as instance:
        instance.add_dynamic_partitions("scenes", [KEY])
        instance.report_runless_asset_event(dg.AssetMaterialization("first", partition=KEY))
    dump = postgres.run("pg_dump", "-d", source.rpartition("/")[2])
    (tmp_path / "dump.sql").write_text(dump)
    postgres.run("psql", "-q", "-d", target.rpartition("/")[2], "-f", str(tmp_path / "dump.sql"))
    write_dagster_yaml(tmp_path / "two", target)
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path / "two")}
    subprocess.run([str(BIN / "dagster"), "instance", "migrate"], env=environment, check=True, capture_output=True)
    with dg.DagsterInstance.from_config(str(tmp_path / "two")) as instance:
        assert instance.get_dynamic_partitions("scenes") == [KEY]
        assert instance.get_materialized_partitions(dg.AssetKey("first")) == {KEY}
