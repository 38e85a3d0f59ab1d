"""How this process holds memory, where its C library is glibc; elsewhere nothing is done."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from typing import Any

_ARENA_MAX = -8
"""Parameter of `mallopt`."""


def share_heap() -> None:
    """Let all threads share one heap: each thread's own keeps what it left, a tenth of the memory of a scene."""
    libc = _glibc()
    if libc is not None and "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Return what was freed to the system: the heap keeps the holes that loading a model leaves, twice its size."""
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
