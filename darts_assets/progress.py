"""What the event log of a run says of how far it is."""

from __future__ import annotations

import logging
import time

from darts_core.windows import Progress
from resources.reports import describe_windows

EVERY = 5.0
"""Seconds between two lines."""


def logged(log: logging.Logger) -> Progress:
    """A progress that writes a line about windows now and then, and one at the end."""
    started = said = 0.0
    before: int | None = None

    def progress(done: int, total: int) -> None:
        nonlocal started, said, before
        now = time.monotonic()
        if before is None:
            started, said, before = now, now, done
        if now - said > EVERY or done == total:
            log.info(describe_windows(done, total, before, now - started))
            said = now

    return progress
