"""What a training step costs with the memory that it freed kept for the next, and without.

    python benchmarks/training.py [--steps 20]

A Unet-mobilenet_v2 on random patches of 256 pixels and 8 bands, in a process of its own each time, twice in turn.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import xarray as xr

WAYS = ("returned", "kept")
BANDS = ("blue", "green", "red", "nir", "ndvi", "relative_elevation", "slope", "tc_wetness")


def main() -> None:
    """Both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(train(options.steps, options.way)))
        return
    found: dict[str, dict[str, float]] = {}
    for way in WAYS * 2:
        command = [sys.executable, __file__, "--steps", str(options.steps), "--way", way]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        found[way] = min(told, found.get(way, told), key=lambda one: one["cpu"])
    for way, one in found.items():
        print(
            f"freed memory {way:<9} {one['cpu']:6.2f} CPU s a step, of which the system's {one['system']:.2f}; "
            f"peak {one['peak']:.2f} GB"
        )
    print(f"ratio {found['kept']['cpu'] / found['returned']['cpu']:.2f}")


def train(steps: int, way: str) -> dict[str, float]:
    """CPU seconds a step, and the peak in GB."""
    from darts_core.training import fitting
    from darts_core.training.parameters import TrainSegmentationParameters
    from darts_core.training.segmentation import train_segmentation

    if way == "returned":
        fitting.freed_is_kept = nullcontext  # type: ignore[assignment]
    rng = np.random.default_rng(1)
    patches = xr.Dataset(
        {
            "image": (("patch", "band", "y", "x"), rng.random((24, len(BANDS), 256, 256)).astype(np.float16)),
            "mask": (("patch", "y", "x"), rng.integers(0, 2, (24, 256, 256), np.uint8)),
            "validation": ("patch", np.arange(24) == 0),
        },
        attrs={"bands": list(BANDS), "input": "native"},
    )
    with tempfile.TemporaryDirectory() as folder:
        train_segmentation(patches, TrainSegmentationParameters(name="one", steps=1), Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF)
        train_segmentation(patches, TrainSegmentationParameters(name="many", steps=steps), Path(folder))
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    cpu = after.ru_utime - before.ru_utime + system
    return {"cpu": cpu / steps, "system": system / steps, "peak": after.ru_maxrss / 1e6}


if __name__ == "__main__":
    main()
