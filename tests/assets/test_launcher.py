"""A run whose process was really killed is ended with the reason and its place freed; no other is touched."""

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import EmptyWorkspaceTarget, GrpcServerTarget
from dagster._daemon.monitoring.concurrency import execute_concurrency_slots_iteration
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._grpc.server import GrpcServerProcess

from darts_assets.automation import launcher
from darts_assets.automation.launcher import MACHINE, PROCESS
from darts_assets.partitions import SCENES, add
from darts_assets.queueing import LOCATION, MODULE, queue

ROOT = Path(__file__).parents[2]
KEY = "T08WMA_20230801T000000_S2A"
POOL = "accelerator"

HOLDS_A_PLACE = """
import time
import dagster as dg
from darts_assets.automation.launcher import process_tags

@dg.op(pool="accelerator")
def hold():
    print("holding", flush=True)
    time.sleep(600)

@dg.job(executor_def=dg.in_process_executor)
def holder():
    hold()

holder.execute_in_process(instance=dg.DagsterInstance.get(), tags=process_tags())
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    overrides = {
        "run_launcher": {"module": "darts_assets.automation.launcher", "class": "WatchedRunLauncher"},
        "run_monitoring": {"enabled": True, "free_slots_after_run_end_seconds": 1},
        "concurrency": {"pools": {"granularity": "op", "default_limit": 1}},
    }
    with dg.instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def process(instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a run that holds the pool's only place."""
    command = [sys.executable, "-c", HOLDS_A_PLACE]
    environment = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline().strip() == "holding"
    yield running
    running.kill()
    running.wait()


@contextmanager
def started_server(instance: dg.DagsterInstance) -> Iterator[GrpcServerProcess]:
    """A code server of ours, on a port."""
    code = LoadableTargetOrigin(module_name=MODULE, executable_path=sys.executable)
    with GrpcServerProcess(instance.get_ref(), loadable_target_origin=code, force_port=True, cwd=str(ROOT)) as server:
        yield server


def monitor(instance: dg.DagsterInstance) -> None:
    """One round of Dagster's run monitoring."""
    with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), instance) as context:
        logger = logging.getLogger("monitoring")
        assert not any(execute_run_monitoring_iteration(context, logger))
        assert not any(execute_concurrency_slots_iteration(context, logger))


def the_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (run,) = instance.get_runs()
    return run


def places(instance: dg.DagsterInstance) -> int:
    return len(instance.event_log_storage.get_concurrency_info(POOL).active_run_ids)


def test_a_run_that_lives_is_left_alone(instance: dg.DagsterInstance, process: subprocess.Popen[str]) -> None:
    monitor(instance)
    assert the_run(instance).status is dg.DagsterRunStatus.STARTED
    assert places(instance) == 1


def test_a_killed_one_is_ended_with_the_reason_and_its_place_freed(
    instance: dg.DagsterInstance, process: subprocess.Popen[str]
) -> None:
    process.kill()
    process.wait()
    assert (the_run(instance).status, places(instance)) == (dg.DagsterRunStatus.STARTED, 1)
    monitor(instance)
    assert the_run(instance).status is dg.DagsterRunStatus.FAILURE
    (failure,) = instance.all_logs(the_run(instance).run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert f"process {process.pid}" in failure.user_message + str(failure.dagster_event.message)
    time.sleep(1.1)
    monitor(instance)
    assert places(instance) == 0


def test_after_a_restart_of_the_machine_its_runs_are_gone(
    instance: dg.DagsterInstance, process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = launcher._machine().split(" ")[0]
    monkeypatch.setattr(launcher, "_machine", lambda: f"{host} another-life")
    monitor(instance)
    assert the_run(instance).status is dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {MACHINE: "elsewhere+1 life", PROCESS: "999999999"},
        {MACHINE: launcher._machine(), ".dagster/grpc_info": '{"host": "code-location", "port": 4000}'},
        {MACHINE: launcher._machine(), ".dagster/grpc_info": '{"socket": "/tmp/socket"}'},
        {MACHINE: launcher._machine(), PROCESS: "", ".dagster/grpc_info": '{"socket": "/tmp/socket"}'},
    ],
    ids=["unknown", "another machine", "another container", "process not told yet", "executed again"],
)
def test_what_cannot_be_judged_is_left_alone(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    @dg.job
    def nothing() -> None:
        """No step."""

    instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
    monitor(instance)
    assert the_run(instance).status is dg.DagsterRunStatus.STARTED


def test_a_run_whose_code_server_dies_as_it_is_started_waits_for_the_next(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance, started_server(instance) as server:
        add(instance, SCENES, [KEY])
        target = GrpcServerTarget("localhost", server.port, socket=None, location_name=LOCATION)
        with create_test_daemon_workspace_context(target, instance) as context:
            queue(instance, [[KEY]], None)
            server.server_process.kill()
            server.server_process.wait()
            for _ in QueuedRunCoordinatorDaemon(interval_seconds=5).run_iteration(context):
                pass
        assert the_run(instance).status is dg.DagsterRunStatus.QUEUED


class TestCodeServer:
    """A run that was lost together with its code server is given up when there is one to retry it."""

    def lost(self, instance: dg.DagsterInstance, server: str) -> dg.DagsterRun:
        """A started run whose two processes are gone."""

        @dg.job
        def nothing() -> None:
            """No step."""

        tags = {MACHINE: launcher._machine(), ".dagster/grpc_info": server}
        run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags)
        for _ in range(2):
            with subprocess.Popen([sys.executable, "-c", ""]) as ended:
                ended.wait()
            instance.report_engine_event(f"Started process for run (pid: {ended.pid}).", run)
        return run

    def test_at_once_where_it_answers(self, instance: dg.DagsterInstance) -> None:
        with started_server(instance) as server:
            self.lost(instance, f'{{"host": "localhost", "port": {server.port}}}')
            monitor(instance)
        assert the_run(instance).status is dg.DagsterRunStatus.FAILURE

    def test_later_where_it_does_not(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost(instance, '{"host": "localhost", "port": 1}')
        monitor(instance)
        assert the_run(instance).status is dg.DagsterRunStatus.STARTED
        monkeypatch.setattr(launcher, "PATIENCE", 0.0)
        monitor(instance)
        assert the_run(instance).status is dg.DagsterRunStatus.FAILURE

    def test_at_once_where_it_was_that_of_an_earlier_daemon(self, instance: dg.DagsterInstance) -> None:
        self.lost(instance, '{"host": "localhost", "socket": "/tmp/nothing"}')
        monitor(instance)
        assert the_run(instance).status is dg.DagsterRunStatus.FAILURE

    def test_not_at_all_while_one_of_its_processes_lives(
        self, instance: dg.DagsterInstance, process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launcher, "PATIENCE", 0.0)
        run = self.lost(instance, '{"socket": "/tmp/nothing"}')
        instance.report_engine_event(f"Started process for run (pid: {process.pid}).", run)
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait()
        instance.report_engine_event(f"Started process for run (pid: {ended.pid}).", run)
        monitor(instance)
        status = instance.get_run_by_id(run.run_id)
        assert status is not None
        assert status.status is dg.DagsterRunStatus.STARTED


def test_a_number_that_went_to_another_program_is_no_run(instance: dg.DagsterInstance) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        assert not launcher._lives(other.pid)
    finally:
        other.kill()
        other.wait()
