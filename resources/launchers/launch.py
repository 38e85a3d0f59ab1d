"""Starts jobs, tells the run how they fare, and leaves none of their processes behind, whatever the backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any

import dagster as dg

from darts_core.inference.job import ProductVersion
from darts_core.jobs import Job, is_made, joined
from darts_core.store import StoreUnavailable
from resources.launchers.backend import RANK, Backend, JobError, Launched, Request
from resources.launchers.underway import Ended, Underway, told_of


def launch(
    context: dg.AssetExecutionContext, job: Job, backend: Backend, *, rank: tuple[str, ...] = RANK
) -> dict[str, Any]:
    """Run a job until it is done; see `Launches.make`.

    Args:
        rank: what a rank runs.
    """
    with Launches(rank) as launches:
        return launches.make(context, job, lambda: backend)


class Launches:
    """The jobs of one asset in one run, one at a time: each makes what is due now, and with it what is due later.

    What is made is there to be taken while its job goes on. As a context it leaves no job behind: one that goes on at
    the end is waited for, and ended where the run is.
    """

    def __init__(self, rank: tuple[str, ...] = RANK) -> None:
        self._rank = rank
        self._going: Underway | None = None
        self._untaken: set[ProductVersion] = set()
        """Products of the job that goes on of which nobody has asked yet."""
        self._failed: dict[str, JobError] = {}
        """Partitions that a job failed at, which were not due yet, and why."""

    def __enter__(self) -> Launches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception | None):
            self._outwait()
        else:
            self._end()

    def make(
        self,
        context: dg.AssetExecutionContext,
        job: Job,
        backend: Callable[[], Backend],
        later: Callable[[], Iterable[Job]] = tuple,
    ) -> dict[str, Any]:
        """See to it that a job is done: by one that goes on, by one that an earlier run lost, or by a new one.

        Where a job fails at what is due later, that waits for its turn to be the error, and another job does the rest;
        likewise where a job dies that has made something, and nobody knows at what it was.

        Args:
            context: of the run; progress appears in its log, what the ranks print in its output.
            backend: where jobs run; asked for when one is to be started.
            later: jobs of what is due later; asked for then, too, and done with it.

        Returns:
            How it went, for the run's metadata; nothing where all was made already.

        Raises:
            JobError: a rank failed, with its last lines; or the backend does not have what the job asks for.
        """
        lost = True
        while not is_made(job):
            self._raise_failed(job)
            going = self._at_work_on(context, job, backend, later, lost)
            made_some = len(self._untaken) < len(going.job.products)
            self._untaken -= set(job.products)
            ended = self._awaited(partial(is_made, job) if self._untaken else None)
            if ended is None or ended.error is None:
                return _metadata(job, going, ended)
            if not (going.found or made_some or ended.failed):
                raise ended.error
            lost = False
            if not going.found:
                self._failed |= ended.failed
                self._raise_failed(job)
            context.log.warning(f"{going} failed, so another is started. {ended.error}")
        self._untaken -= set(job.products)
        context.log.info("A job has published all of it before")
        return {}

    def _raise_failed(self, job: Job) -> None:
        for one in job.products:
            if one.partition in self._failed:
                raise self._failed.pop(one.partition)

    def _at_work_on(
        self,
        context: dg.AssetExecutionContext,
        job: Job,
        backend: Callable[[], Backend],
        later: Callable[[], Iterable[Job]],
        lost: bool,
    ) -> Underway:
        """The job that goes on where it does this one too, else one that an earlier run `lost`, else a new one."""
        if self._going is not None and set(job.products) <= set(self._going.job.products):
            return self._going
        self._outwait()
        there, request = backend(), Request(job, self._rank)
        found = _lost(there, request) if lost else None
        if found is not None:
            request, launched = found
            context.log.info(f"{launched} of an earlier run is at work on this; it is watched, and none is started")
        else:
            launched = None
            others = [one for one in later() if not any(made.partition in self._failed for made in one.products)]
            request = Request(joined(job, others), self._rank)
            there.check(request)
        self._going = Underway(context, there, request, launched)
        self._untaken = set(request.job.products)
        return self._going

    def _awaited(self, done: Callable[[], bool] | None) -> Ended | None:
        """How the job that goes on ended; None where something is done before."""
        assert self._going is not None
        try:
            ended = self._going.until(done)
        except StoreUnavailable:
            # whoever asks again finds the job still at work
            raise
        except BaseException:
            self._end()
            raise
        if ended is not None:
            self._going = None
        return ended

    def _outwait(self) -> None:
        going = self._going
        if going is not None and (ended := self._awaited(None)) and ended.error is not None:
            going.context.log.warning(f"{going} failed after all that was asked of it. {ended.error}")

    def _end(self) -> None:
        going, self._going = self._going, None
        if going is not None:
            going.end()


def _lost(backend: Backend, request: Request) -> tuple[Request, Launched] | None:
    """A job that an earlier run started for all of this, maybe among others, and that still runs or waits."""
    for other in backend.laid(request):
        if set(request.job.products) <= set(other.job.products) and (launched := backend.find(other)):
            return other, launched
    return None


def _metadata(job: Job, going: Underway, ended: Ended | None) -> dict[str, Any]:
    """How the job went; of one that does more, what it does is nothing about this part."""
    if ended is None or going.job.products != job.products:
        return {"scenes of its job": len(going.job.products)}
    return told_of(ended.reports)
