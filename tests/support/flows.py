"""Functions that worker processes of a sequence can import, and what a sequence must not leave behind."""

import gc
import os
import random
import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import psutil


def jitter(value):
    time.sleep(random.uniform(0, 0.003))
    return value


def double(value):
    return 2 * value


def nothing(value):
    return None


def arrays(value: int) -> dict[str, np.ndarray]:
    """Large and small, of each order, and one that is not contiguous."""
    whole = np.arange(value, value + 600_000, dtype=np.float32).reshape(2, 500, 600)
    return {"c": whole, "f": np.asfortranarray(whole), "strided": (2 * whole)[:, ::2, ::3], "empty": whole[:0]}


def total(value: dict[str, np.ndarray]) -> tuple[float, bool]:
    """Sum of what `arrays` made, and whether it may be written to."""
    value["c"] += 1
    return float(sum(one.sum(dtype=np.float64) for one in value.values())), value["f"].flags.f_contiguous


class NotToBeRebuilt(Exception):
    """Its pickle cannot be read, for it takes two arguments and keeps one."""

    def __init__(self, one, two):
        super().__init__(one)


def fails(places: Collection[int], value: int) -> int:
    if value in places:
        raise ValueError(f"broken {value}")
    return jitter(value)


def fails_oddly(value):
    raise NotToBeRebuilt("odd", value)


def unpicklable(value):
    return threading.Lock()


def killed(place: int, value: int) -> int:
    if value == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return jitter(value)


def exits(value):
    os._exit(3)


def leaves(value):
    raise SystemExit("leaving")


def forks_and_is_killed(value):
    """A child keeps the sockets of its parent open for a while."""
    if os.fork() == 0:
        time.sleep(4)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(value: float) -> float:
    time.sleep(value)
    return value


def own_process(value):
    time.sleep(0.01)
    return os.getpid()


@contextmanager
def nothing_left() -> Iterator[None]:
    """Holds that no process, thread or descriptor stays that came meanwhile; what was there before may well go."""
    before = _there()
    yield
    until = time.monotonic() + 10
    while (stays := _there() - before) and time.monotonic() < until:
        gc.collect()  # what nobody holds any more has gone, collected or not
        time.sleep(0.02)
    assert not stays, f"stays behind: {', '.join(map(str, stays))}"


def _there() -> set[object]:
    """Processes below this one, its threads, and its descriptors with what each of them is open on."""
    there: set[object] = set(threading.enumerate())
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended under our eyes
            if child.status() != psutil.STATUS_ZOMBIE:
                there.add(child)
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the listing itself was read by
            there.add(f"descriptor {number} on {os.readlink(f'/proc/self/fd/{number}')}")
    return there
