"""One rank of a job: ``python -m resources.worker JOB.json``.

Started as it is, it starts the other ranks itself; torchrun and Slurm start all of them. What a rank has to say lies
beside the job's file; the first one adds it up and tells it to the run.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import TYPE_CHECKING

from resources.reports import RankFailure, RankReport, describe_windows, read, write
from resources.supervisor import MARK, die_with_parent

if TYPE_CHECKING:
    from darts_core.dataflow import StageStatus

EVERY = 5.0
"""Seconds between two lines about the progress."""
FLUSH = 1.0
"""Seconds between two reports of a rank."""


def main(file: Path) -> None:
    """Do what the job says as the rank that the environment says."""
    if MARK in os.environ:
        die_with_parent()
    watch = RankWatch(file.parent)
    try:
        from darts_core.inference.ranks import placement
        from darts_core.superresolution.job import SuperResolveJob, predict_job

        job = SuperResolveJob.model_validate_json(file.read_text())
        place = placement(job.ranks)
        with _progress_told(file.parent, place.rank, place.ranks):
            predict_job(job, place, watch)
    except Exception as error:
        watch.failed(error)
        raise


class RankWatch:
    """Writes how this rank fares."""

    def __init__(self, folder: Path) -> None:
        variables = os.environ
        rank = variables.get("RANK") or variables.get("SLURM_PROCID") or variables.get("LOCAL_RANK") or 0
        self._folder = folder
        self._report = RankReport(rank=int(rank), pid=os.getpid())
        self._write()

    def planned(self, device: str, total: int) -> None:
        self._report = self._report.model_copy(update={"device": device, "total": total})
        self._started = time.monotonic()

    def progress(self, done: int, before: int) -> None:
        seconds = time.monotonic() - self._started
        self._report = self._report.model_copy(update={"done": done, "before": before, "seconds": seconds})
        if done == before or time.monotonic() - self._written > FLUSH:
            self._write()

    def observe(self, stages: Sequence[StageStatus]) -> None:
        from darts_core.dataflow import describe_flow

        self._report = self._report.model_copy(update={"flow": describe_flow(stages)})

    def finished(self) -> None:
        import torch

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        on_device = torch.cuda.max_memory_allocated() if self._report.device.startswith("cuda") else 0
        peaks = {"megabytes": round(peak / 1e6), "device_megabytes": round(on_device / 1e6)}
        self._report = self._report.model_copy(update={**peaks, "finished": True})
        self._write()

    def failed(self, error: Exception) -> None:
        """Write why this rank ends; what Lightning called on the way is left out."""
        told = TracebackException.from_exception(error)
        part: TracebackException | None = told
        while part is not None:
            ours = [frame for frame in part.stack if "lightning" not in Path(frame.filename).parts]
            part.stack = StackSummary.from_list(ours)
            part = part.__cause__ or part.__context__
        said = "".join(told.format_exception_only()).strip()
        write(self._folder, RankFailure(rank=self._report.rank, error=said, traceback="".join(told.format())))

    def _write(self) -> None:
        write(self._folder, self._report)
        self._written = time.monotonic()


@contextmanager
def _progress_told(folder: Path, rank: int, ranks: int) -> Iterator[None]:
    """While the first rank is in this context, lines about the progress of all ranks go to the run."""
    if rank != 0:
        yield
        return
    with _run_told() as (say, hand_over):
        done = threading.Event()
        thread = threading.Thread(target=_tell, args=(folder, ranks, say, done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        hand_over([report.model_dump() for report in read(folder, RankReport)])


@contextmanager
def _run_told() -> Iterator[tuple[Callable[[str], None], Callable[[object], None]]]:
    """How to say a line to the run, and how to hand over the reports; without a run, the lines are printed."""
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield print, lambda reports: None
        return
    with open_dagster_pipes() as pipes:
        yield pipes.log.info, pipes.report_custom_message


def _tell(folder: Path, ranks: int, say: Callable[[str], None], done: threading.Event) -> None:
    said, ended = "", False
    while not ended:
        ended = done.wait(EVERY)
        line = _line(read(folder, RankReport), ranks)
        if line not in ("", said):
            say(said := line)


def _line(reports: Sequence[RankReport], ranks: int) -> str:
    """How far all ranks are together; empty until each of them has planned its windows."""
    totals = [report.total for report in reports if report.total is not None]
    if len(totals) < ranks:
        return ""
    done, before = sum(report.done for report in reports), sum(report.before for report in reports)
    return describe_windows(done, max(totals), before, max(report.seconds for report in reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
