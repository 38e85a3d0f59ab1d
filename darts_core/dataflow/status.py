"""How a sequence fares: what went through each stage, and who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage of a run, up to now or to its end. The first is the source, the last the consumer."""

    name: str
    workers: int
    items_in: int
    items_out: int
    """Lists, behind a pack; members, behind an unpack."""
    bad: int
    """Items set aside."""
    busy: float
    """Seconds its workers worked, added up."""
    waiting: float
    """Seconds its workers had nothing to do, or no room for what they had done."""
    queued: int
    """Items in the queue behind it."""
    mean_queued: float
    """The same, on average over the run: near 0 the stage is too slow, near the bound the next one is."""
    bound: int
    """Items that the queue behind it can hold; 0 for the consumer."""


class Meter:
    """Counts of one stage, told by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0
        self.given = 0
        self.bad = 0
        self.busy = 0.0

    def count(self, taken: int = 0, given: int = 0, bad: int = 0, busy: float = 0.0) -> None:
        with self._lock:
            self.taken += taken
            self.given += given
            self.bad += bad
            self.busy += busy


def describe_flow(stages: Iterable[StageStatus]) -> str:
    """A Markdown table, for a run's metadata."""
    rows = [
        "| stage | workers | in | out | bad | busy s | waiting s | queue, mean of bound |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for one in stages:
        queue = f"{one.mean_queued:.1f} of {one.bound}" if one.bound else ""
        rows.append(
            f"| {one.name} | {one.workers} | {one.items_in:,} | {one.items_out:,} | {one.bad:,} "
            f"| {one.busy:.1f} | {one.waiting:.1f} | {queue} |"
        )
    return "\n".join(rows)
