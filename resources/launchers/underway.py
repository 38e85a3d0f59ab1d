"""A job that was started: looked at from time to time until it has ended, and what it then has to say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import dagster as dg

from darts_core.inference.job import JobError, JobKilled
from resources.launchers.backend import Backend, Launched, Request, Unreachable
from resources.launchers.messages import OutputReader
from resources.reports import RankFailure, RankReport

LOOK = 0.5
"""Seconds between two looks at a job."""
ASK = 5.0
"""Seconds between two looks into the store for what it has made."""
SILENCE = 300.0
"""Seconds that a backend may be out of reach while a job runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    reports: Sequence[RankReport]
    error: JobError | None
    """None where it did what it was to do."""
    failed: Mapping[str, JobError]
    """The partitions that ranks failed at, and why."""


class Underway:
    """A job that goes on while this process does other things; `until` or `end` has to be its end."""

    def __init__(
        self, context: dg.AssetExecutionContext, backend: Backend, request: Request, found: Launched | None
    ) -> None:
        self.job, self.found = request.job, found is not None
        self.context, self._reader, self._said = context, OutputReader(), ""
        with ExitStack() as stack:
            pipes = dg.open_pipes_session(context, dg.PipesEnvContextInjector(), self._reader)
            self._session = stack.enter_context(pipes)
            self._launched = found or _submit(backend, request, self._session.get_bootstrap_env_vars())
            self._open = stack.pop_all()
        self._heard = time.monotonic()
        context.log.info(f"Watching {self._launched}")

    def __str__(self) -> str:
        return str(self._launched)

    def until(self, done: Callable[[], bool] | None = None) -> Ended | None:
        """Look on until something is done, or the job has ended: then how, else None.

        Raises:
            JobError: the backend says no more how the job fares.
        """
        asked = time.monotonic()
        while self._goes_on():
            time.sleep(LOOK)
            if done is not None and time.monotonic() - asked > ASK:
                if done():
                    return None
                asked = time.monotonic()
        self._leave()
        told = self._session.get_custom_messages()
        return _ended(told[-1] if told else {}, self._reader.last, self._said)

    def end(self) -> None:
        """End every process of it.

        Raises:
            JobError: some are left.
        """
        try:
            self._launched.end()
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._open:
            self._launched.remove()

    def _goes_on(self) -> bool:
        try:
            state = self._launched.state()
            self._reader.take(self._launched.output())
            note, self._heard = state.note, time.monotonic()
            if not state.running:
                self._said = note
                return False
        except Unreachable as silence:
            if time.monotonic() - self._heard > SILENCE:
                raise
            note = str(silence)
        if note not in ("", self._said):
            self._said = note
            self.context.log.info(f"{self._launched}: {note}")
        return True


def _submit(backend: Backend, request: Request, variables: Mapping[str, str]) -> Launched:
    try:
        return backend.submit(request, variables)
    except BaseException:
        # interrupted between the backend's start of it and its answer
        started = backend.find(request)
        if started is not None:
            started.end()
            started.remove()
        raise


def _ended(told: Mapping[str, Any], last: Sequence[str], note: str) -> Ended:
    reports = [RankReport(**report) for report in told.get("reports", ())]
    if told.get("status") == 0:
        return Ended(reports, None, {})
    failures = sorted(
        (RankFailure(**failure) for failure in told.get("failures", ())), key=lambda failure: bool(failure.traceback)
    )
    failed = {
        scene: _error(told, [failure for failure in failures if failure.scene == scene], last, note)
        for scene in {failure.scene for failure in failures if failure.scene}
    }
    return Ended(reports, _error(told, failures, last, note), failed)


def _error(told: Mapping[str, Any], failures: Sequence[RankFailure], last: Sequence[str], note: str) -> JobError:
    """Which ranks failed and why, those that had no last words first, and the last lines of the first that had."""
    said = [failure.traceback for failure in failures if failure.traceback]
    heads = [f"Rank {failure.rank} failed: {failure.error}" for failure in failures]
    if not told:
        reason = f" ({note})" if note else ""
        heads.append(f"The job ended without a word{reason}: its supervisor was killed, or never began")
    elif told["why"]:
        heads.append(f"The job was ended: {told['why']}{f' ({note})' if note else ''}")
    elif not heads:
        heads.append(f"The job ended with the status {told['status']}")
    lines = said[0].rstrip().splitlines() if said else [*last]
    killed = any(not failure.traceback for failure in failures) or not (said or told.get("why"))
    return (JobKilled if killed else JobError)(
        "\n".join(
            [
                *heads,
                "What is published stays; the next run computes the rest.",
                *(["Last lines:", *lines] if lines else []),
            ]
        )
    )


def told_of(reports: Sequence[RankReport]) -> dict[str, Any]:
    """How the ranks fared, for the metadata of what they made."""
    fresh = sum(report.done - report.before for report in reports)
    seconds = max((report.seconds for report in reports), default=0.0)
    rows = [
        f"| {one.rank} | {one.host} | {one.device} | {one.done - one.before:,} | {one.seconds:.1f} "
        f"| {one.megabytes:,} | {one.device_megabytes:,} |"
        for one in sorted(reports, key=lambda one: one.rank)
    ]
    return {
        "windows predicted": fresh,
        "windows a second": round(fresh / seconds, 2) if seconds else 0.0,
        "ranks": "\n".join(
            [
                "| rank | machine | device | windows | seconds | peak memory, MB | of the GPU, MB |",
                "| --: | --- | --- | --: | --: | --: | --: |",
                *rows,
            ]
        ),
        "reading ahead": next((report.flow for report in reports if report.flow), ""),
    }
