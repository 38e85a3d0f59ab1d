"""The worker processes of a `ProcessStep`, as its threads call them.

SPDL runs functions in a `ProcessPoolExecutor` or moves stages into processes of its own. The first does not say which
item a killed process had, the second loses the order and notices a death after 15 minutes. So each thread of the stage
has one process and one socket here, and SPDL sees threads only.

A process is a fresh interpreter, what multiprocessing calls spawn: a fork of a process with threads may hang. It is
started without multiprocessing, whose resource tracker and fork server would outlive the sequence.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from multiprocessing import spawn
from typing import Any

from darts_core.dataflow import worker
from darts_core.dataflow.errors import DataflowError, Report
from darts_core.dataflow.steps import name_of

GRACE = 0.3
"""Seconds that processes have to end by themselves."""


class Workers:
    """Up to `count` processes that apply one function, started as items come, for as many threads.

    Raises:
        DataflowError: the function cannot be pickled.
    """

    def __init__(self, function: Callable[[Any], Any], count: int) -> None:
        preparation = spawn.get_preparation_data("dataflow")
        del preparation["authkey"]  # may not be pickled, and is not needed
        try:
            self._greeting = worker.dump(preparation), worker.dump(function)
        except Exception as error:
            raise DataflowError(
                f"A ProcessStep takes a function that can be pickled, defined at the top of a module; "
                f"received {name_of(function)}: {error}"
            ) from error
        self._idle: queue.SimpleQueue[_Process | None] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(None)
        self._started: list[_Process] = []
        self._lock = threading.Lock()
        self._stopped = False

    def call(self, value: object) -> tuple[object, float]:
        """The result for `value`, and the seconds that the function took.

        Raises:
            Report: the function failed, or its process died; the next call then starts another one.
        """
        one = self._idle.get()
        try:
            one = one or self._start()
            return one.call(value)
        finally:
            self._idle.put(None if one is None or one.dead else one)

    def interrupt(self) -> None:
        """End all processes; a thread that waits for one of them gets an error."""
        with self._lock:
            self._stopped = True
        for one in self._started:
            one.hang_up()
        until = time.monotonic() + GRACE
        for one in self._started:
            one.end(until - time.monotonic())

    def close(self) -> None:
        """Free the sockets, once no thread calls any more."""
        for one in self._started:
            one.link.close()

    def _start(self) -> _Process:
        with self._lock:
            if self._stopped:
                raise Report("the sequence was stopped", fatal=True)
            try:
                one = _Process(*self._greeting)
            except OSError as error:
                raise Report(f"no process could be started for it: {error}", fatal=True) from error
            self._started.append(one)
        return one


class _Process:
    """One worker process and the socket to it."""

    def __init__(self, preparation: worker.Parts, function: worker.Parts) -> None:
        self.dead = False
        self._greeting = [preparation, function]
        self.link, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                # -P: the script's folder is not a place to import from
                [spawn.get_executable(), "-P", worker.__file__, str(descriptor), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
            )
        self._poll = select.poll()
        self._poll.register(self.link, select.POLLIN)

    def call(self, value: object) -> tuple[object, float]:
        item = worker.dump(value)
        try:
            how, *answer = worker.load(self._answered(item))
        except (EOFError, ConnectionError):
            self.dead = True
            self.link.close()
            raise Report(self._obituary()) from None
        if how == worker.DONE:
            result, seconds = answer
            return result, seconds
        error, text, pickled = answer
        raise Report(error, text, fatal=how == worker.UNUSABLE) from _unpickled(pickled)

    def _answered(self, item: worker.Parts) -> worker.Parts:
        greeting, self._greeting = self._greeting, []
        for message in (*greeting, item):
            worker.write(self.link, message)
        # a process that the function forked may hold the socket open, so its end alone does not tell
        while not self._poll.poll(1000):
            if self._process.poll() is not None:
                raise EOFError
        return worker.read(self.link)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)

    def end(self, seconds: float) -> None:
        """Wait for the process, and kill it where it does not end in time."""
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _obituary(self) -> str:
        """How the process ended."""
        self.end(1)
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"its worker process {self._process.pid} {how}"


def _unpickled(error: bytes) -> BaseException | None:
    """An exception from a worker, None where it cannot be rebuilt here."""
    try:
        return pickle.loads(error)
    except Exception:
        return None
