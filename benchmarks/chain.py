"""What the platform itself costs a scene: the chain again, where every product is there already.

Makes the first four products of the demo's scenes, then runs the same again in this process, and prints seconds an
asset of the repetition: identity, look-up, whole-check and Dagster's events, no work.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path


def main(repetitions: int = 5) -> None:
    """Measure up to `sr_geotiff`, which needs no trained model."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DARTS_HOME"] = folder
        from darts_assets.runs import add_scenes, instance_of, run_job
        from darts_core.scenes import find_scenes
        from darts_core.store import Store
        from darts_core.synthetic.world import make_world
        from resources.settings import Settings

        world = make_world(Path(folder) / "world")
        settings = Settings.load()
        assets = ["raw_scene", "preprocessed", "sr_patches", "sr_geotiff"]
        with instance_of(settings) as instance:
            keys = add_scenes(instance, Store(settings.products), list(find_scenes(str(world.scenes)).scenes))
            first = [run_job(instance, "process_scene", key, select=assets).seconds for key in keys]
            started, cpu = time.perf_counter(), time.process_time()
            for _ in range(repetitions):
                for key in keys:
                    outcome = run_job(instance, "process_scene", key, select=assets)
                    assert outcome.error is None, outcome.error
            count = repetitions * len(keys) * len(assets)
        wall, used = (time.perf_counter() - started) / count, (time.process_time() - cpu) / count
    print(f"first run of a scene, {len(assets)} assets: {', '.join(f'{one:.1f}' for one in first)} s")
    print(f"repetition, an asset (one check included): {wall:.3f} s wall, {used:.3f} s CPU")


if __name__ == "__main__":
    main()
