"""Runs whose process is gone are found out, so that Dagster's run monitoring ends them.

With Dagster's own default launcher a run that was killed together with its code server, or by a restart of the machine,
stays STARTED for ever and keeps its places in pools. What that launcher lacks is the question whether a run's process
lives; the rest is Dagster's: run monitoring marks the run as failed, retries it, and frees its places.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._serdes.config_class import ConfigurableClassData

MACHINE = "darts/machine"
"""Where a run's process was started: host, and which of its lives."""
PROCESS = "darts/process"
"""Its process, where it is known when the run begins."""

PATIENCE = 150.0
"""Seconds for which a code server that went with a run may be gone; Dagster's daemon starts its own within 60."""

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which also tells whether the process of a run lives.

    It judges only what was started on this machine; a run elsewhere counts as alive.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._missed: dict[str, float] = {}
        """Lost runs, and since when they are waited for."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """As ever, with a note of this machine."""
        # a run that is executed again has the tags of the first
        self._instance.add_run_tags(context.dagster_run.run_id, {MACHINE: _machine(), PROCESS: ""})
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks only those who say so."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run lives; one that cannot be judged does."""
        host, _, life = run.tags.get(MACHINE, "").partition(" ")
        here, _, now = _machine().partition(" ")
        if host != here or not life or not _is_local(run.tags):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "It was not started on this machine")
        if life != now:
            return self._gone(run, f"{socket.gethostname()} was restarted since the run began")
        pids = self._pids(run)
        if not pids or any(map(_lives, pids)):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return self._gone(run, f"its process {pids[-1]} on {socket.gethostname()} is gone: killed, or out of memory")

    def _pids(self, run: DagsterRun) -> list[int]:
        """Processes that were started for a run: several where its code server died while it started the first."""
        if run.tags.get(PROCESS):
            return [int(run.tags[PROCESS])]
        told = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        return [int(found[1]) for found in (_STARTED.search(entry.message) for entry in told) if found]

    def _gone(self, run: DagsterRun, why: str) -> CheckRunHealthResult:
        """A lost run, once Dagster can retry it: where it finds no code server then, it never will."""
        since = self._missed.setdefault(run.run_id, time.monotonic())
        if not self._server_answers(run) and time.monotonic() - since < PATIENCE:
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"{why}, and its code server is not back")
        del self._missed[run.run_id]
        told = f"{why}. What it had finished is kept; a run that is started anew goes on from there"
        return CheckRunHealthResult(WorkerStatus.FAILED, told)

    def _server_answers(self, run: DagsterRun) -> bool:
        """Whether the code server that started a run is there, or another in its place; true where there was none."""
        server = _code_server(run.tags)
        if not server or (server.get("socket") and run.run_id not in self._run_ids):
            return True  # it belonged to an earlier daemon, and this one began with a server of its own
        try:
            DagsterGrpcClient(**server).ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True


def process_tags() -> dict[str, str]:
    """The tags of a run that this process executes itself."""
    return {MACHINE: _machine(), PROCESS: str(os.getpid())}


def _is_local(tags: Mapping[str, str]) -> bool:
    """Whether the code server that started the run's process is on the machine that launched it."""
    if tags.get(PROCESS):
        return True
    server = _code_server(tags)
    return bool(server.get("socket")) or server.get("host") in ("localhost", "127.0.0.1")


def _code_server(tags: Mapping[str, str]) -> dict[str, Any]:
    """How the code server that started the run's process is reached; empty where there was none."""
    server: dict[str, Any] = json.loads(tags.get(GRPC_INFO_TAG, "{}"))
    return server


def _machine() -> str:
    """Host, and what changes when it, or the container that this is, is started anew."""
    identity, boot = (_read(path) for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"))
    # ticks from the start of the system to that of its first process; no clock is asked
    first = _read("/proc/1/stat").rpartition(")")[2].split()
    return f"{socket.gethostname()}+{identity[:8]} {boot}+{first[19] if len(first) > 19 else ''}".strip("+ ")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    """Whether a process is there that can be the run's; a number that went to another Python counts as alive."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "python" in process.name().lower()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
