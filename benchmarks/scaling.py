"""Scenes in one job: CPU and wall seconds a scene, and peak memory, over 1, 4 and 16 scenes.

    python benchmarks/scaling.py [--size 1200]

Each count runs in a process of its own, through the verbs that `darts-assets preprocess … vectorize` call, with models
loaded once; the scene is that of `benchmarks/tile.py` at a smaller size, processed again and again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from tile import models, prepared

COUNTS = (1, 4, 16)


def main() -> None:
    """Run each count, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1200, help="rows and columns of a scene")
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = prepared(options.size)
    if options.count:
        print(json.dumps(_measured(folder, options.count)))
        return
    print(f"{'scenes':>8}{'wall s a scene':>16}{'CPU s a scene':>16}{'peak GB':>9}{'over one':>10}")
    alone = 0.0
    for count in COUNTS:
        command = [sys.executable, __file__, "--size", str(options.size), "--count", str(count)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        alone = alone or row["cpu"]
        print(f"{count:>8}{row['wall']:>16.2f}{row['cpu']:>16.2f}{row['peak']:>9.2f}{row['cpu'] / alone:>10.2f}")


def _measured(folder: Path, count: int) -> dict[str, float]:
    import xarray as xr

    from darts_core.auxiliary import AuxiliarySources
    from darts_core.ensemble import ensemble
    from darts_core.postprocessing import postprocess
    from darts_core.preprocessing.preprocess import preprocess
    from darts_core.scenes import find_scenes, read_scene
    from darts_core.vectors.polygons import Origin, vectorize

    (scene,) = find_scenes(str(folder / "scene")).scenes
    auxiliary = AuxiliarySources(dem=str(folder / "auxiliary/dem.tif"), trends=str(folder / "auxiliary/trends.tif"))
    segmenters = models(folder)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        dataset = preprocess(read_scene(scene), auxiliary).load()
        probabilities = xr.merge([one.inference(dataset) for one in segmenters])
        mask = postprocess(ensemble(probabilities), dataset["quality_level"])
        vectorize(mask, Origin.of(dataset.attrs), dataset["quality_level"])
    return {
        "wall": (time.perf_counter() - wall) / count,
        "cpu": (time.process_time() - cpu) / count,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


if __name__ == "__main__":
    main()
