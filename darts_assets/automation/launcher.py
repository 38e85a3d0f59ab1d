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
from collections.abc import Mapping
from pathlib import Path

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

MACHINE = "darts/machine"
"""Where a run's process was started: host, and which of its lives."""
PROCESS = "darts/process"
"""Its process, where it is known when the run begins."""

_STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which also tells whether the process of a run lives.

    It judges only what was started on this machine; a run elsewhere counts as alive.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        """As ever, with a note of this machine."""
        self._instance.add_run_tags(context.dagster_run.run_id, {MACHINE: _machine()})
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
            return _gone(f"{socket.gethostname()} was restarted since the run began")
        pid = self._pid(run)
        if pid is None or _lives(pid):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return _gone(f"its process {pid} on {socket.gethostname()} is gone: killed, or out of memory")

    def _pid(self, run: DagsterRun) -> int | None:
        if PROCESS in run.tags:
            return int(run.tags[PROCESS])
        for entry in self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
            found = _STARTED.search(entry.message)
            if found:
                return int(found[1])
        return None


def process_tags() -> dict[str, str]:
    """The tags of a run that this process executes itself."""
    return {MACHINE: _machine(), PROCESS: str(os.getpid())}


def _gone(why: str) -> CheckRunHealthResult:
    told = f"{why}. What it had finished is kept; a run that is started anew goes on from there"
    return CheckRunHealthResult(WorkerStatus.FAILED, told)


def _is_local(tags: Mapping[str, str]) -> bool:
    """Whether the code server that started the run's process is on the machine that launched it."""
    if PROCESS in tags:
        return True
    server = json.loads(tags.get(GRPC_INFO_TAG, "{}"))
    return bool(server.get("socket")) or server.get("host") in ("localhost", "127.0.0.1")


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
