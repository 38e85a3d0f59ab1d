"""Loading the definitions, against importing Dagster alone: every process of Dagster pays for it.

Prints CPU and wall seconds (median of 5 fresh processes each) and the ratio.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from os import environ

RUNS = 5
OURS, PEER = "import darts_assets.definitions", "import dagster"


def measured(code: str) -> tuple[float, float]:
    """CPU and wall seconds of one fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        subprocess.run([sys.executable, "-c", code], env={**environ, "DARTS_HOME": home}, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Measure the two in turn."""
    for code in (OURS, PEER):
        measured(code)
    pairs = [(measured(OURS), measured(PEER)) for _ in range(RUNS)]
    for place, unit in enumerate(("CPU s", "wall s")):
        ours = statistics.median(pair[0][place] for pair in pairs)
        peer = statistics.median(pair[1][place] for pair in pairs)
        print(f"definitions {unit}: {ours:.2f}; dagster alone {peer:.2f}; ratio {ours / peer:.2f}")


if __name__ == "__main__":
    main()
