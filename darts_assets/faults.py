"""Which faults pass by themselves, and how often and how long work waits for that.

What is wrong with a scene, a model or a setting is as wrong the second time: only what lies between this process and
the data it asks for is worth another attempt, and a job that somebody killed.
"""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from dagster._core.errors import DagsterExecutionInterruptedError

from darts_core.errors import DartsError
from darts_core.inference.job import JobKilled

WAITS = (5.0, 25.0, 125.0)
"""Seconds before each further attempt, give or take a half; about the time that a store takes to shed load."""
AGAIN = 0.2
"""Seconds after which an interrupt that was lost is repeated."""

_ERRNOS = {
    *(errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EPIPE, errno.EAGAIN),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ESTALE),
}
_STATUSES = {408, 425, 429, 500, 502, 503, 504}
_CLASSES = {
    "aiohttp.client_exceptions": {"ClientConnectionError", "ClientPayloadError"},
    "botocore.exceptions": {"ConnectionError", "HTTPClientError", "ResponseStreamingError"},
    "http.client": {"IncompleteRead", "RemoteDisconnected"},
    "requests.exceptions": {"ConnectionError", "Timeout", "ChunkedEncodingError"},
    "urllib3.exceptions": {"TimeoutError", "ProtocolError", "NewConnectionError", "MaxRetryError"},
}
"""Classes of libraries that are not imported for this: module to names."""
_IN_WORDS = re.compile(
    r"(?:HTTP (?:error|response) code ?: ?|response_code=|CURL error.*?)(?P<status>\d{3})?"
    r"|Could not resolve host|Connection (?:timed out|reset|refused)|Operation timed out",
    re.IGNORECASE,
)
"""How GDAL tells of such a fault."""

Result = TypeVar("Result")


class TookTooLong(DartsError):
    """One scene that kept a run from going on."""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed a little later: judged by the error and by what caused it."""
    return any(_passes(one) for one in _causes(error))


@dataclass
class Patience:
    """How long an asset of a run waits for faults to pass; once it waited in vain, it waits for no scene that follows.

    So a service that is gone costs a batch minutes and not hours, and one that comes back is waited for again.
    """

    waits: tuple[float, ...] = field(default_factory=lambda: WAITS)
    """Seconds before each further attempt."""

    def __call__(
        self, work: Callable[[], Result], said: Callable[[str], object], sleep: Callable[[float], None] = time.sleep
    ) -> Result:
        """What `work` returns, after as many attempts as a transient fault is worth.

        Args:
            said: told of each attempt that failed and is repeated.
            sleep: waits for some seconds.

        Raises:
            Exception: of the work: the first that is not transient, or the last.
        """
        for wait in self.waits:
            try:
                return work()
            except Exception as error:
                if not is_transient(error):
                    raise
                seconds = wait * random.uniform(0.5, 1.5)
                said(f"{type(error).__name__}: {error} — this may pass: once more in {seconds:.0f} s")
            sleep(seconds)
        try:
            made = work()
        except Exception as error:
            self.waits = () if is_transient(error) else self.waits
            raise
        self.waits = WAITS
        return made


@contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """End what goes on in here once it has taken so long.

    A signal does it, which reaches whatever waits (for a socket, a lock, a process); what computes inside a library
    without returning is left to the limit of the whole run. Does nothing outside the main thread.

    Raises:
        TookTooLong: naming `what`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise TookTooLong(
            f"{what} took longer than {seconds / 3600:.3g} h and was ended so that other scenes can go on. Look at the "
            "scene and at what it reads; run it alone, with the tag darts/scene_seconds where it needs the time"
        )

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Interrupt once more where an interrupt, or the end of `at_most`, was lost, as long as this lasts.

    What a signal raises is ignored by Python where it strikes in what runs while memory is freed, which SQLAlchemy
    does much of: a run that was cancelled while it wrote an event would go on.
    """
    before, again = sys.unraisablehook, list[threading.Timer]()

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, TookTooLong):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        elif issubclass(unraisable.exc_type, KeyboardInterrupt | DagsterExecutionInterruptedError):
            again.append(threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)))
            again[-1].start()
        else:
            before(unraisable)

    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in again:
            timer.cancel()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and the parts of a group."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        pending += [cause] if cause else []


def _passes(error: BaseException) -> bool:
    if isinstance(error, TimeoutError | ConnectionError | JobKilled):
        return True
    if _status(error) in _STATUSES or (isinstance(error, OSError) and error.errno in _ERRNOS):
        return True
    if any(base.__name__ in _CLASSES.get(base.__module__, ()) for base in type(error).__mro__):
        return True
    told = _IN_WORDS.search(str(error)) if type(error).__module__.startswith("rasterio") else None
    return told is not None and (told["status"] is None or int(told["status"]) in _STATUSES)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of a client library stands for."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for status in (
        getattr(error, "status", None),
        getattr(error, "code", None),
        getattr(response, "status_code", None),
    ):
        if isinstance(status, int):
            return status
    return None
