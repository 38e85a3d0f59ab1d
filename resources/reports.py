"""What the ranks of a job leave in its folder, for each other and for the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class RankReport(BaseModel):
    """How far one rank is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str] = "rank"

    rank: int
    pid: int
    """Process on the machine of the rank."""
    device: str = ""
    """Where it predicts."""
    total: int | None = None
    """Windows of the whole job; None until they are planned."""
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
    flow: str = ""
    """How the reading ahead of its last scene fared, as a table in Markdown."""
    finished: bool = False


class RankFailure(BaseModel):
    """Why one rank ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    KIND: ClassVar[str] = "failure"

    rank: int
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


def read(folder: Path, kind: type[Told]) -> list[Told]:
    """What all ranks have told, in the order in which they did."""
    files = sorted(folder.glob(f"{kind.KIND}-*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [kind.model_validate_json(file.read_text()) for file in files]


def describe_windows(done: int, total: int, before: int, seconds: float) -> str:
    """For example `windows 1,200 of 8,464 (14 %), 35.2/s, 3 min 26 s left`.

    Args:
        before: windows done before the `seconds` began; they do not count for the rate.
    """
    from darts_core.dataflow import describe_progress

    fresh = done - before
    return f"windows {describe_progress(done, total, seconds * done / fresh if fresh else 0)}"
