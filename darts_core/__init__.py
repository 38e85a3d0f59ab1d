"""The science of darts-assets: pure steps on arrays, usable from a notebook or a script, without Dagster."""

import ctypes
import os
import sys

# Waiting threads of OpenMP spin by default, and where another process has the core that is a step five times slower.
# It counts only if it is set before torch is loaded, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# GDAL would keep decoded blocks up to 5 % of the memory; what is read again is kept where it is known to be
os.environ.setdefault("GDAL_CACHEMAX", "64")


def _one_heap() -> None:
    """Let threads share one heap: glibc's heap a thread keeps what each left, a tenth of the memory of a scene."""
    arena_max = -8
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(arena_max, 1)


_one_heap()
