"""Runs without the UI: the same jobs, in this process, recorded where the UI finds them."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterInstance
from dagster._core.utils import make_new_run_id

from darts_assets.automation.launcher import process_tags
from darts_assets.batches import batch_tags, failed_in
from darts_assets.failures import message_of
from darts_assets.partitions import SCENES, SEASONS, add, season_of
from darts_assets.recording import ENVIRONMENT
from darts_core.scenes import Scene
from darts_core.store import Store
from resources.accelerator import Accelerator
from resources.auxiliary import AuxiliaryData
from resources.models import ModelStore
from resources.scenes import register
from resources.settings import Settings, SettingsError

Progress = Callable[[int, int, str], None]
"""Called with assets done, assets in the run, and the asset that is being made."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run ended."""

    partition: str
    error: str | None
    """None where it succeeded; else the asset that failed and its message."""
    seconds: float


@contextmanager
def instance_of(settings: Settings) -> Iterator[DagsterInstance]:
    """Dagster's storage in the home folder, made on first use from the `dagster.yaml` of the project."""
    prepare_home(settings)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield instance


def prepare_home(settings: Settings) -> None:
    """Lay `dagster.yaml` into the folder that DAGSTER_HOME is to name; one that is there is left alone.

    Raises:
        SettingsError: no folder can be made there.
    """
    try:
        settings.dagster_home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{settings.home} cannot be the home: {error}. Expected a folder that can be written to; name another "
            "with --home or DARTS_HOME"
        ) from error
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    target = settings.dagster_home / "dagster.yaml"
    if not target.exists():
        shutil.copyfile(Path(__file__).parents[1] / "dagster.yaml", target)


def add_scenes(instance: DagsterInstance, store: Store, scenes: list[Scene]) -> list[str]:
    """Make every scene a partition, and its year a season."""
    keys = register(store, scenes)
    add(instance, SCENES, keys)
    add(instance, SEASONS, sorted({season_of(key) for key in keys}))
    return keys


def check_settings(settings: Settings, store: Store) -> None:
    """Find out before the first scene what would fail every one of them.

    Raises:
        DartsError: no segmentation model, an unknown upscaler, a device or an auxiliary raster that is not there.
    """
    from darts_core.auxiliary import fingerprint

    models = ModelStore(checkpoints=settings.checkpoints, upscaler=settings.upscaler)
    models.segmenters(store, [])
    models.upscaling(store)
    Accelerator.of(settings).resolve()
    fingerprint(AuxiliaryData.of(settings).sources())


def run_job(
    instance: DagsterInstance,
    job: str,
    partition: str,
    *,
    config: Mapping[str, Any] | None = None,
    select: list[str] | None = None,
    progress: Progress = lambda done, total, asset: None,
) -> Outcome:
    """Run one job for one partition in this process.

    Args:
        instance: where the run is recorded.
        job: name of a job of the definitions.
        partition: its key.
        config: of single assets, by name.
        select: assets to make; all of the job where None.
        progress: called as assets are finished.
    """
    started = time.perf_counter()
    result = _executed(instance, job, config or {}, select, progress, partition=partition)
    return Outcome(partition, None if result.success else _failure(result), time.perf_counter() - started)


def run_batch(
    instance: DagsterInstance,
    keys: Sequence[str],
    *,
    select: list[str] | None = None,
    progress: Progress = lambda done, total, asset: None,
) -> list[Outcome]:
    """Process scenes in one run in this process, asset by asset; one that fails takes no other with it.

    Args:
        instance: where the run is recorded.
        keys: of the scenes, which need not follow each other.
        select: assets to make; all of a scene where None.
        progress: called as assets are finished.

    Returns:
        How each scene ended; the seconds are those of the whole run, divided by the scenes.
    """
    started = time.perf_counter()
    result = _executed(instance, "process_scene", {}, select, progress, tags=batch_tags(keys))
    each = (time.perf_counter() - started) / len(keys)
    failed = failed_in(result.run_id)
    others = None if result.success or failed else _failure(result)
    return [Outcome(key, failed.get(key, others), each) for key in keys]


def _executed(
    instance: DagsterInstance,
    job: str,
    config: Mapping[str, Any],
    select: list[str] | None,
    progress: Progress,
    *,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    from darts_assets.definitions import defs

    definition = defs.resolve_job_def(job)
    run_id = make_new_run_id()
    total = len(select) if select else len(set(definition.asset_layer.executable_asset_keys))
    with _watched(instance, run_id, total, progress):
        return definition.execute_in_process(
            run_config={
                "ops": {name: {"config": dict(values)} for name, values in config.items()},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            instance=instance,
            partition_key=partition,
            tags={**process_tags(), **(tags or {})},
            asset_selection=[dg.AssetKey(name) for name in select] if select else None,
            raise_on_error=False,
            run_id=run_id,
        )


@contextmanager
def _watched(instance: DagsterInstance, run_id: str, total: int, progress: Progress) -> Iterator[None]:
    """Report the steps of a run from its event log while it runs in this thread."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.3):
            steps = instance.get_run_step_stats(run_id) if instance.has_run(run_id) else []
            running = [step.step_key for step in steps if step.end_time is None]
            progress(len(steps) - len(running), total, running[-1] if running else "")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _failure(result: dg.ExecuteInProcessResult) -> str:
    failures = [event for event in result.all_events if event.is_step_failure]
    lines = [f"{event.step_key}: {message_of(event)}" for event in failures]
    return "\n".join(lines) or "the run failed before its first step"
