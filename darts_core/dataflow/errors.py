"""What can go wrong on the way of an item, and where it did."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass

from darts_core.errors import DartsError


@dataclass(frozen=True, slots=True)
class BadItem:
    """An item that a stage could not process."""

    stage: str
    """The function, or `source`, `pack`, `unpack`."""
    items: tuple[int, ...]
    """Which items of the source it is or holds, counted from 0 in each epoch."""
    error: str
    """Kind and message."""
    traceback: str
    """As Python prints it, from the worker process where there was one; empty where the process died."""

    def __str__(self) -> str:
        first, last = self.items[0], self.items[-1]
        which = f"item {first}" if first == last else f"items {first} to {last}"
        return f"{self.stage} failed at {which}: {self.error}"


class DataflowError(DartsError):
    """A sequence that cannot run, or an item that broke it; `bad` says which, the cause is chained."""

    def __init__(self, message: str, bad: BadItem | None = None) -> None:
        super().__init__(message)
        self.bad = bad


class Report(Exception):
    """What is known of an exception, here or in a worker process; it is the cause, where it could be sent."""

    def __init__(self, error: str, text: str = "", *, fatal: bool = False) -> None:
        super().__init__(error)
        self.text = text
        self.fatal = fatal
        """The worker could not start, so no item will fare better."""


class Failures:
    """What went wrong in one run, told by all its stages: set aside, or raised by the consumer."""

    def __init__(self, quarantine: bool) -> None:
        self.quarantine = quarantine
        self.set_aside: list[BadItem] = []
        self.first: DataflowError | None = None
        self.since = 0.0
        self.closed = False
        """The run was stopped: what breaks now is of no account."""

    def report(
        self, stage: str, items: tuple[int, ...], error: BaseException, *, fatal: bool = False
    ) -> DataflowError | None:
        """The error to hand on in the item's place, or None where the item is set aside."""
        told = error if isinstance(error, Report) else _told(error)
        bad = BadItem(stage, items, str(told), told.text)
        raised = DataflowError(f"{bad}\n{told.text}".rstrip(), bad)
        raised.__cause__ = told.__cause__ or told
        if self.closed:
            return raised
        if self.quarantine and not (fatal or told.fatal):
            self.set_aside.append(bad)
            return None
        if self.first is None:
            self.first, self.since = raised, time.monotonic()
        return raised


def _told(error: BaseException) -> Report:
    told = Report(traceback.format_exception_only(error)[-1].strip(), "".join(traceback.format_exception(error)))
    told.__cause__ = error
    return told
