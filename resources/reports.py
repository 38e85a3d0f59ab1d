"""What the ranks of a job leave in its folder, for each other and for the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class RankReport(BaseModel):
    """How far one rank is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str] = "rank"

    rank: int
    ranks: int = 1
    """How many there are."""
    host: str
    pid: int
    """Process on that machine."""
    device: str = ""
    """Where it predicts."""
    scene: str = ""
    """The partition that it is at; empty before the first and after the last."""
    total: int | None = None
    """Windows of this rank, or tiles of its rasters, about as many until its last scene is open; None at first."""
    done: int = 0
    """Windows of this rank that are predicted."""
    before: int = 0
    """How many of them an earlier attempt has published."""
    seconds: float = 0.0
    """Since the rank started to predict."""
    megabytes: int = 0
    """Peak of resident memory."""
    device_megabytes: int = 0
    """Peak of a GPU's memory."""
    device_use: int | None = None
    """Share of the last moments in which the GPU was at work, percent; None where nothing tells."""
    flow: str = ""
    """How the reading ahead of its last scene fared, as a table in Markdown."""
    finished: bool = False


class RankFailure(BaseModel):
    """Why one rank ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str] = "failure"

    rank: int
    scene: str = ""
    """The partition that it was at; empty where it was at none."""
    error: str
    """Class and message, and which scene and windows it was about."""
    traceback: str = ""
    """Empty where the process had no time for last words."""


Told = TypeVar("Told", RankReport, RankFailure)


def write(folder: Path, told: RankReport | RankFailure) -> None:
    """Write so that a reader sees all of it or what was there before."""
    target = folder / f"{told.KIND}-{told.rank}.json"
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_text(told.model_dump_json())
    os.replace(partial, target)


def clear(folder: Path) -> None:
    """Remove what the ranks of an earlier attempt have told."""
    for kind in (RankReport.KIND, RankFailure.KIND):
        for file in folder.glob(f"{kind}-*"):
            file.unlink(missing_ok=True)


def read(folder: Path, kind: type[Told]) -> list[Told]:
    """What all ranks have told, in the order in which they did."""
    files = sorted(folder.glob(f"{kind.KIND}-*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [kind.model_validate_json(file.read_text()) for file in files]


def describe_job(reports: Sequence[RankReport]) -> str:
    """How far all ranks are together; empty until each of them has planned its windows.

    For example `windows 1,200 of 8,464 (14 %), 35.2/s, 3 min 26 s left; memory 3.2 GB; GPU 8.1 GB, at work 93 %`.
    """
    totals = [report.total for report in reports if report.total is not None]
    if not reports or len(totals) < max(report.ranks for report in reports):
        return ""
    done, before = sum(report.done for report in reports), sum(report.before for report in reports)
    parts = [
        describe_windows(done, sum(totals), before, max(report.seconds for report in reports)),
        f"memory {sum(report.megabytes for report in reports) / 1000:.1f} GB",
    ]
    used = [report.device_use for report in reports if report.device_use is not None]
    if any(report.device_megabytes for report in reports):
        busy = f", at work {sum(used) // len(used)} %" if used else ""
        parts.append(f"GPU {sum(report.device_megabytes for report in reports) / 1000:.1f} GB{busy}")
    return "; ".join(parts)


def describe_windows(done: int, total: int, before: int, seconds: float) -> str:
    """For example `windows 1,200 of 8,464 (14 %), 35.2/s, 3 min 26 s left`.

    Args:
        before: windows done before the `seconds` began; they do not count for the rate.
    """
    from darts_core.dataflow import describe_progress

    fresh = done - before
    return f"windows {describe_progress(done, total, seconds * done / fresh if fresh else 0)}"
