"""A backfill of 64 scenes over one and two workers: how much faster two are.

    python benchmarks/workers.py [--scenes 64]

Small scenes go from delivery to polygons through queue, daemon and event log, 16 a run. A worker is a run's process,
with one thread for the arithmetic; two have a place each in the pool of the accelerator.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import yaml
from recovery import ROOT, Daemon

from darts_assets.batches import cut
from darts_assets.pools import ACCELERATOR
from darts_assets.queueing import queue
from darts_assets.runs import add_scenes, instance_of, prepare_home
from darts_core.scenes import find_scenes
from darts_core.store import Store
from resources.settings import Settings

sys.path.append(str(ROOT / "tests"))
from support.deliveries import write_delivery
from support.models import write_checkpoint

WORKERS = (1, 2)
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def main() -> None:
    """Run both, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=64)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    alone = 0.0
    for workers in WORKERS:
        with tempfile.TemporaryDirectory(prefix="darts-workers-") as name:
            seconds = _measured(Path(name), workers, options.scenes)
        alone = alone or seconds
        print(f"{options.scenes} scenes, {workers} workers: {seconds:.0f} s ({alone / seconds:.2f})", flush=True)


def _measured(home: Path, workers: int, scenes: int) -> float:
    """Seconds from the moment in which the daemon takes up the first run to the end of the last."""
    os.environ |= {"DARTS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster"), "PYTHONPATH": str(ROOT)}
    settings = Settings.load()
    _lay_home(settings, workers, scenes)
    with instance_of(settings) as instance, Daemon(home):
        instance.event_log_storage.set_concurrency_slots(ACCELERATOR, workers)
        keys = add_scenes(instance, Store(settings.products), list(find_scenes(str(settings.scenes)).scenes))
        queue(instance, cut(keys), None)
        while True:
            time.sleep(1)
            records = instance.get_run_records()
            if all(record.dagster_run.status in FINISHED for record in records):
                break
        made = instance.get_materialized_partitions(dg.AssetKey("slump_polygons"))
        assert made == set(keys), f"{len(made)} of {len(keys)} scenes were made"
        return max(float(one.end_time or 0) for one in records) - min(float(one.start_time or 0) for one in records)


def _lay_home(settings: Settings, workers: int, scenes: int) -> None:
    for folder in (settings.scenes, settings.checkpoints):
        Path(folder).mkdir(parents=True)
    write_checkpoint(Path(settings.checkpoints) / "one.pt")
    for number in range(scenes):
        write_delivery(Path(settings.scenes), f"T{number:02d}WMA")
    prepare_home(settings)
    file = settings.dagster_home / "dagster.yaml"
    config = yaml.safe_load(file.read_text())
    config["concurrency"]["runs"]["max_concurrent_runs"] = workers
    file.write_text(yaml.safe_dump(config))


if __name__ == "__main__":
    main()
