"""The process between a run and the processes of its job: none of them outlives the run.

``python -m resources.supervisor RUN FOLDER COMMAND…`` runs a command for the run with the process id RUN. It ends all
that the command started when it is told to, when a rank fails or disappears, when the command is done, and when the
run dies, by a SIGKILL too. What belongs to the job carries a mark in its environment, by which it is found whoever
its parent has become. Should this process be killed itself, the kernel ends the ranks, and the run what they started.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from resources.reports import RankFailure, RankReport, read, write

MARK = "DARTS_JOB"
"""The variable that every process of a job has in its environment."""
GRACE = 4.0
"""Seconds from SIGTERM to SIGKILL."""
PATIENCE = 2.0
"""Seconds that a job has to end by itself after a rank has failed."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Run a command to its end, or to that of the run; returns the command's exit status, 1 where it was ended."""
    run, folder, command = int(arguments[0]), Path(arguments[1]), arguments[2:]
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: told.append(received))
    adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    while child.poll() is None and not told and os.getppid() == run and not _failed(folder):
        time.sleep(0.1)
    if child.poll() is None and not told and os.getppid() == run:
        with suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
    end(os.environ[MARK], reap=_reap)
    if os.getppid() != run:
        shutil.rmtree(folder, ignore_errors=True)
    return child.returncode if child.returncode in range(256) else 1


def _failed(folder: Path) -> bool:
    """Whether a rank has said that it failed, or is gone without a word."""
    gone = {report.pid for report in read(folder, RankReport) if not _alive(report.pid)}
    said = {failure.rank for failure in read(folder, RankFailure)}
    for report in read(folder, RankReport):  # once more: the last words of those that are gone
        if report.pid in gone and not report.finished and report.rank not in said:
            reason = f"its process {report.pid} is gone without a word: killed from outside, or for want of memory"
            write(folder, RankFailure(rank=report.rank, error=reason))
    return bool(read(folder, RankFailure))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end(mark: str, grace: float = GRACE, reap: Callable[[], None] = lambda: None) -> None:
    """End every process of a job but this one: SIGTERM, a while, then SIGKILL until none is left.

    Args:
        reap: called while they end, to collect those that are children of this process.
    """
    for process in members(mark):
        _signal(process, signal.SIGTERM)
    patience = time.monotonic() + grace
    while (left := members(mark)) and time.monotonic() < patience + 5:
        if time.monotonic() > patience:
            for process in left:
                _signal(process, signal.SIGKILL)
        time.sleep(0.05)
        reap()


def members(mark: str) -> list[psutil.Process]:
    """Every process of a job but this one, whoever its parent is; zombies are none."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone meanwhile, or another user's
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, where the kernel is Linux."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own dies, where the kernel is Linux, so that none stays a zombie."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
