"""What a run and a job on another machine have in common beside products: the job, and a sign of life of the run.

Both lie in the store, under ``<root>/.jobs/<name>/``, for as long as the job runs.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from darts_core.store import JOBS, Store, check_name

BEAT = 2.0
"""Seconds between two signs of life, and between two looks for one."""


@dataclass(frozen=True)
class Exchange:
    """The place of one job in the store."""

    store: Store
    name: str

    def path(self, *names: str) -> str:
        """As the store's filesystem spells it."""
        return "/".join((self.store.base, JOBS, check_name(self.name, "job"), *names))

    def put(self, job: bytes) -> None:
        """Lay the job there, and a first sign of life."""
        self.store.write_bytes(self.path("job.json"), job)
        self._beat()

    def job(self) -> bytes:
        """The job.

        Raises:
            FileNotFoundError: there is none any more.
        """
        return bytes(self.store.fs.cat_file(self.path("job.json")))

    def jobs(self) -> Iterator[bytes]:
        """The jobs of all that lie in the store."""
        folder = f"{self.store.base}/{JOBS}"
        for name in self.store.sizes(folder):
            if name.endswith("/job.json") and (job := self.store.read(f"{folder}/{name}")):
                yield job

    def remove(self) -> None:
        """Leave nothing there."""
        with suppress(FileNotFoundError):
            self.store.fs.rm(self.path(), recursive=True)

    def keep_alive(self) -> Callable[[], None]:
        """Give signs of life from now on, until what this returns is called."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT):
                with suppress(Exception):  # whatever the client of a store raises: the next one may come through
                    self._beat()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()

        def stop() -> None:
            done.set()
            thread.join()

        return stop

    def _beat(self) -> None:
        self.store.write_bytes(self.path("alive"), uuid.uuid4().bytes)


@dataclass
class Pulse:
    """Follows the signs of life of a run. Only this process's own clock counts, and a store out of reach says nothing.

    The sign is looked for in a thread, for a store may take its time to answer.
    """

    exchange: Exchange
    patience: float
    """Seconds without a new sign after which the run is gone."""
    lost: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        last, since = b"", time.monotonic()
        while not self.lost:
            try:
                found = self._read()
            except Exception:  # whatever the client of a store raises: the run does not reach it either
                since = time.monotonic()
            else:
                if found != last:
                    last, since = found, time.monotonic()
                self.lost = time.monotonic() - since > self.patience
            time.sleep(BEAT / 2)

    def _read(self) -> bytes:
        try:
            return bytes(self.exchange.store.fs.cat_file(self.exchange.path("alive")))
        except FileNotFoundError:  # the run is over, and has cleaned up
            return b""
