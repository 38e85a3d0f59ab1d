"""The processes of a job: found by a mark in their environment, and ended whoever their parent has become."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "DARTS_JOB"
"""The variable that every process of a job has in its environment; see `new_mark`."""
GRACE = 4.0
"""Seconds from SIGTERM to SIGKILL."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def new_mark() -> str:
    """A mark for the job of this process, which it names, so that others can tell when nobody waits for the job."""
    return f"{uuid.uuid4().hex}:{os.getpid()}:{_born(os.getpid())}"


def end_orphans() -> None:
    """End every job of this machine whose run is gone, so that its ranks are when the next one starts."""
    marks = {_environment(process).get(MARK, "") for process in psutil.process_iter()}
    for mark in marks:
        _, _, run = mark.partition(":")
        pid, _, born = run.partition(":")
        if pid.isdigit() and _born(int(pid)) != born:
            end(mark)


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
    others = (process for process in psutil.process_iter() if process.pid != os.getpid())
    return [process for process in others if _environment(process).get(MARK) == mark]


def alive(pid: int) -> bool:
    """Whether a process of this machine runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def reap_children() -> None:
    """Collect the children of this process that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, where the kernel is Linux."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own dies, where the kernel is Linux, so that none stays a zombie."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _born(pid: int) -> str:
    """When a process began, which tells it from a later one with its number; empty where none runs.

    On Linux in ticks since the machine started, for the time of day may be set meanwhile.
    """
    try:
        if sys.platform == "linux":
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if state == "Z" else fields[18]
        return f"{psutil.Process(pid).create_time():.2f}"
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return ""


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # gone meanwhile, or another user's
        return {}


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
