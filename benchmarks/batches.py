"""Scenes in batches: what a scene costs beside its work, and what sharing a run saves.

Overhead: an asset that has nothing to do for any of 1,000 partitions, in one run, made by our decorator and by Dagster
alone (which marks the range when all is made, or nothing); everything but the work, queueing and planning included.
Sharing: eight small scenes from delivery to polygons in one run, against eight runs in a process each.
Launched: four of them by the launcher `local`, in one run, against a run for each in one process.

    python benchmarks/batches.py [--postgres postgresql://user@host:port/database | --launched]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import yaml

from darts_assets.partitions import SCENES
from darts_assets.products import product
from darts_assets.recording import ENVIRONMENT
from io_managers.base import StoreResource
from io_managers.files import FileIOManager

PARTITIONS = 1_000
SCENES_SHARED = 8
SCENES_LAUNCHED = 4
RANGE = "dagster/asset_partition_range"
ABOUT = {"partitions_def": SCENES, "code_version": "1", "backfill_policy": dg.BackfillPolicy.single_run()}


@product(**ABOUT, io_manager_key="file")
def ours(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Nothing to do: it is there already."""
    return dg.MaterializeResult(metadata={"cache_hit": True}, data_version=dg.DataVersion("v1"))


@dg.asset(**ABOUT)
def dagsters(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Nothing to do, for all at once."""
    return dg.MaterializeResult(metadata={"cache_hit": True}, data_version=dg.DataVersion("v1"))


def overhead(postgres: str | None) -> None:
    """Milliseconds an asset-partition."""
    with tempfile.TemporaryDirectory() as home:
        storage = {"storage": {"postgres": {"postgres_url": postgres}}} if postgres else {}
        Path(home, "dagster.yaml").write_text(yaml.safe_dump({"telemetry": {"enabled": False}, **storage}))
        with dg.DagsterInstance.from_config(home) as instance:
            keys = [f"T{number:05d}_20210801T000000_S2A" for number in range(PARTITIONS)]
            instance.add_dynamic_partitions("scene", keys)
            file = FileIOManager(store=StoreResource(root=str(Path(home, "products"))))
            definitions = dg.Definitions([ours, dagsters], resources={"file": file}, executor=dg.in_process_executor)
            job = definitions.resolve_implicit_global_asset_job_def()

            def run(asset: dg.AssetsDefinition) -> None:
                result = job.execute_in_process(
                    instance=instance,
                    asset_selection=[asset.key],
                    tags={f"{RANGE}_start": keys[0], f"{RANGE}_end": keys[-1]},
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
                assert result.success
                assert len(instance.get_materialized_partitions(asset.key)) == PARTITIONS

            where = "PostgreSQL" if postgres else "SQLite"
            for name, asset in (("Dagster alone", dagsters), ("ours", ours)):
                run(asset)  # the first pays for imports
                wall, cpu = (seconds / PARTITIONS * 1e3 for seconds in spent(lambda: run(asset)))  # noqa: B023
                print(f"{where}, {name}: {wall:.2f} ms wall, {cpu:.2f} ms CPU an asset-partition", flush=True)


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


SETTING_UP = """
import sys
sys.path.append({tests!r})
from pathlib import Path
from support.deliveries import write_delivery
from support.models import write_checkpoint
from darts_assets.runs import add_scenes, instance_of, run_batch, run_job
from darts_core.scenes import find_scenes
from darts_core.store import Store
from resources.settings import Settings
settings = Settings.load()
with instance_of(settings) as instance:
"""
REGISTER = """
    folder = Path(settings.checkpoints)
    folder.mkdir(parents=True)
    write_checkpoint(folder / "one.pt")
    for number in range({scenes}):
        write_delivery(Path(settings.scenes), f"T{{number:02d}}WMA")
    print(*add_scenes(instance, Store(settings.products), list(find_scenes(settings.scenes).scenes)))
"""


def sharing() -> None:
    """CPU seconds of eight scenes, children included."""
    with tempfile.TemporaryDirectory() as apart, tempfile.TemporaryDirectory() as together:
        register = REGISTER.format(scenes=SCENES_SHARED)
        keys = _python(apart, register).split()
        _python(together, register)
        alone = [f"    assert not run_job(instance, 'process_scene', {key!r}).error\n" for key in keys]
        batch = f"    assert not any(outcome.error for outcome in run_batch(instance, {keys!r}))\n"
        one = _cpu(lambda: [_python(apart, body) for body in alone])
        all_ = _cpu(lambda: _python(together, batch))
    print(f"{len(keys)} scenes: {one:.1f} CPU s in runs of their own, {all_:.1f} in one run ({all_ / one:.2f})")


def launched() -> None:
    """CPU and wall seconds of four scenes, those of the jobs included."""
    with tempfile.TemporaryDirectory() as apart, tempfile.TemporaryDirectory() as together:
        register = REGISTER.format(scenes=SCENES_LAUNCHED)
        keys = _python(apart, register).split()
        _python(together, register)
        alone = "".join(f"    assert not run_job(instance, 'process_scene', {key!r}).error\n" for key in keys)
        batch = f"    assert not any(outcome.error for outcome in run_batch(instance, {keys!r}))\n"
        for what, home, body in (("a job for each", apart, alone), ("one job", together, batch)):
            started = time.perf_counter()
            cpu = _cpu(lambda: _python(home, body, DARTS_LAUNCHER="local"))  # noqa: B023
            wall = time.perf_counter() - started
            print(f"{len(keys)} scenes launched, {what}: {cpu:.1f} CPU s, {wall:.0f} s wall", flush=True)


def _python(home: str, body: str, **variables: str) -> str:
    tests = str(Path(__file__).parents[1] / "tests")
    code = SETTING_UP.format(tests=tests) + body
    environment = {**os.environ, "DARTS_HOME": str(Path(home, "home")), **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _cpu(work: Callable[[], object]) -> float:
    before = os.times()
    work()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    os.environ |= ENVIRONMENT
    parser = argparse.ArgumentParser()
    parser.add_argument("--postgres", help="URL of an empty database")
    parser.add_argument("--launched", action="store_true", help="only what is launched")
    options = parser.parse_args()
    if not options.launched:
        overhead(options.postgres)
        sharing()
    launched()
