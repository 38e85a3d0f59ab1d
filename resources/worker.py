"""One rank of a job: ``python -m resources.worker JOB.json``.

Started as it is, it starts the other ranks itself; torchrun and Slurm start all of them. What a rank has to say lies
beside the job's file; the supervisor adds it up and tells it to the run.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import TYPE_CHECKING, Any

from resources.processes import MARK, die_with_parent
from resources.reports import RankFailure, RankReport, write

if TYPE_CHECKING:
    from darts_core.dataflow import StageStatus

FLUSH = 1.0
"""Seconds between two reports of a rank."""


def main(file: Path) -> None:
    """Do what the job says as the rank that the environment says."""
    if MARK in os.environ:
        die_with_parent()
    watch = RankWatch(file.parent)
    try:
        from darts_core.inference.ranks import placement
        from darts_core.jobs import predict_job, read_job

        job = read_job(file.read_bytes(), str(file))
        place = placement(job.ranks)
        watch.placed(place.ranks)
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
        self._report = RankReport(rank=int(rank), host=socket.gethostname(), pid=os.getpid())
        self._write()

    def placed(self, ranks: int) -> None:
        self._update(ranks=ranks)
        self._write()

    def begun(self, scene: str) -> None:
        self._update(scene=scene)
        self._write()

    def planned(self, device: str, total: int) -> None:
        if self._report.total is None:
            self._started = time.monotonic()
        self._update(device=device, total=total)

    def progress(self, done: int, before: int) -> None:
        self._update(done=done, before=before, seconds=time.monotonic() - self._started)
        if done == before or time.monotonic() - self._written > FLUSH:
            self._write()

    def observe(self, stages: Sequence[StageStatus]) -> None:
        from darts_core.dataflow import describe_flow

        self._update(flow=describe_flow(stages))

    def finished(self) -> None:
        self._update(finished=True, scene="")
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
        at = self._report
        write(self._folder, RankFailure(rank=at.rank, scene=at.scene, error=said, traceback="".join(told.format())))

    def _update(self, **fields: Any) -> None:
        self._report = self._report.model_copy(update=fields)

    def _write(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self._update(megabytes=round(peak / 1e6), **_gpu(self._report.device))
        write(self._folder, self._report)
        self._written = time.monotonic()


def _gpu(device: str) -> dict[str, int | None]:
    """Peak memory and use of a rank's GPU; nothing where it has none."""
    if not device.startswith("cuda"):
        return {}
    import torch

    use = None
    with suppress(Exception):  # needs NVML's bindings, which are no dependency
        use = torch.cuda.utilization(device)
    return {"device_megabytes": round(torch.cuda.max_memory_allocated(device) / 1e6), "device_use": use}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
