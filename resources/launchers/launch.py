"""Starts a job, tells the run how it fares, and leaves none of its processes behind, whatever the backend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from darts_core.jobs import Job, is_made
from resources.launchers.backend import RANK, Backend, JobError, Launched, Request, Unreachable
from resources.launchers.messages import OutputReader
from resources.reports import RankFailure, RankReport

LOOK = 0.5
"""Seconds between two looks at a job."""
SILENCE = 300.0
"""Seconds that a backend may be out of reach while a job runs."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    reports: list[RankReport]
    error: str | None
    """None where it did what it was to do."""


def launch(
    context: dg.AssetExecutionContext, job: Job, backend: Backend, *, rank: tuple[str, ...] = RANK
) -> dict[str, Any]:
    """Run a job until it is done.

    A job of the same products that an earlier run started and lost is watched instead of being started again.

    Args:
        context: of the run; progress appears in its log, what the ranks print in its output.
        rank: what a rank runs.

    Returns:
        How it went, for the run's metadata; nothing where all was made already.

    Raises:
        JobError: a rank failed, with its last lines; or the backend does not have what the job asks for.
    """
    if is_made(job):
        context.log.info("An earlier job has published all of it")
        return {}
    request = Request(job, rank)
    found = backend.find(request)
    if found is not None:
        context.log.info(f"{found} of an earlier run is at work on this; it is watched, and none is started")
        ended = _attend(context, backend, request, found)
        if ended.error is None:
            return _metadata(ended.reports)
        context.log.warning(f"{found} failed, so another is started. {ended.error}")
    backend.check(request)
    ended = _attend(context, backend, request, None)
    if ended.error is not None:
        raise JobError(ended.error)
    return _metadata(ended.reports)


def _attend(context: dg.AssetExecutionContext, backend: Backend, request: Request, found: Launched | None) -> Ended:
    reader = OutputReader()
    with dg.open_pipes_session(context, dg.PipesEnvContextInjector(), reader) as session:
        launched = found or _submit(backend, request, session.get_bootstrap_env_vars())
        try:
            context.log.info(f"Watching {launched}")
            note = _watch(context, launched, reader)
        except BaseException:
            launched.end()
            raise
        finally:
            launched.remove()
    told = session.get_custom_messages()
    return _ended(told[-1] if told else {}, reader.last, note)


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


def _watch(context: dg.AssetExecutionContext, launched: Launched, reader: OutputReader) -> str:
    """Until it has ended; returns what the backend says about that."""
    said, heard = "", time.monotonic()
    while True:
        try:
            state = launched.state()
            reader.take(launched.output())
            note, heard = state.note, time.monotonic()
            if not state.running:
                return note
        except Unreachable as silence:
            if time.monotonic() - heard > SILENCE:
                raise
            note = str(silence)
        if note not in ("", said):
            said = note
            context.log.info(f"{launched}: {said}")
        time.sleep(LOOK)


def _ended(told: Mapping[str, Any], last: Sequence[str], note: str) -> Ended:
    reports = [RankReport(**report) for report in told.get("reports", ())]
    if told.get("status") == 0:
        return Ended(reports, None)
    failures = sorted(
        (RankFailure(**failure) for failure in told.get("failures", ())), key=lambda failure: bool(failure.traceback)
    )
    return Ended(reports, _reason(told, failures, last, note))


def _reason(told: Mapping[str, Any], failures: Sequence[RankFailure], last: Sequence[str], note: str) -> str:
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
    return "\n".join(
        [
            *heads,
            "What is published stays; the next run computes the rest.",
            *(["Last lines:", *lines] if lines else []),
        ]
    )


def _metadata(reports: Sequence[RankReport]) -> dict[str, Any]:
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
