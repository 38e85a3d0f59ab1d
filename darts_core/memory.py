"""How this process holds memory, where its C library is glibc; elsewhere nothing is done."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_SETTINGS = {
    "MALLOC_ARENA_MAX": (-8, 1),
    "MALLOC_MMAP_THRESHOLD_": (-3, 2**24),
    "MALLOC_TRIM_THRESHOLD_": (-1, 2**25),
}
"""By the variable that overrules it: a parameter of `mallopt` and its value."""
_KEPT = {"MALLOC_MMAP_MAX_": (-4, 0), "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1)}
"""No array is left out of the heap, which returns nothing below 2 GB."""
_AGAIN = {"MALLOC_MMAP_MAX_": (-4, 2**16)}
"""As it is by itself."""


def share_heap() -> None:
    """Let all threads share one heap, and leave large arrays out of it.

    Each thread's own heap keeps what the thread left, a tenth of the memory of a scene; and what is laid between large
    arrays keeps their places from being given back, as much again.
    """
    _set(_SETTINGS)


@contextmanager
def freed_is_kept() -> Iterator[None]:
    """Keep what is freed in here for what comes next, and return it to the system at the end.

    A step of a training lays and frees the same large arrays again and again. As each is a mapping of its own, the
    system would clear every page of it every time: a quarter of the work.
    """
    _set(_KEPT)
    try:
        yield
    finally:
        _set({**_AGAIN, **_SETTINGS})
        give_back()


def give_back() -> None:
    """Return what was freed to the system: the heap keeps the holes that loading a model leaves, twice its size."""
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _set(settings: Mapping[str, tuple[int, int]]) -> None:
    libc = _glibc()
    for variable, (parameter, value) in settings.items() if libc is not None else ():
        if variable not in os.environ:
            libc.mallopt(parameter, value)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
